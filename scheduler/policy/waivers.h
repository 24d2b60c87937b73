/* scheduler/policy/waivers.h -- users who have agreed to get answers without the visible label.
 *
 * An agreement is a document that the operator keeps; its SHA-256 stands here, for as long as it holds, and names nobody (state/owner.h):
 *
 *      qiao:{u:OWNER}:waiver   string   64 hexadecimal digits, until when (Unix seconds), a keyed hash of both and of the name; goes when the
 *                                       agreement is over
 *
 * Who can write to Redis alone can end an agreement and not make one.
 *
 * That it was given, used and ended is recorded by who calls (audit.h), and outlives it there.
 *
 * Every call answers once, from the loop, unless its ticket was dropped. Thread: the loop's. */
#ifndef SCHEDULER_POLICY_WAIVERS_H
#define SCHEDULER_POLICY_WAIVERS_H

#include "scheduler/state/owner.h"

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct store;
struct waivers;
struct waivers_ticket;

enum {
    WAIVERS_AGREEMENT_SIZE = 65, // its SHA-256 in hexadecimal, and a NUL
    WAIVERS_DAYS_MAX = 3650
};

struct waivers *waivers_new(struct store *store, const unsigned char root[OWNER_ROOT_SIZE]);
void waivers_free(struct waivers *waivers);
/* 64 lower-case hexadecimal digits. */
bool waivers_is_agreement(const char *text);

/* `agreement` "": there is none. ERR_STORE_AWAY: nobody knows. */
typedef void waivers_fn(void *argument, enum err err, const char *agreement);
struct waivers_ticket *waivers_ask(struct waivers *waivers, const char *tenant, const char *user,
                                   waivers_fn *done, void *argument);
/* From now on, for `days`; 0: no more. `done` hears what holds then. */
struct waivers_ticket *waivers_put(struct waivers *waivers, const char *tenant, const char *user,
                                   const char *agreement, uint32_t days, waivers_fn *done,
                                   void *argument);
/* Nobody asks any more; what was put is put all the same. */
void waivers_drop(struct waivers_ticket *ticket);

#endif
