/* node/service/dials.h -- pure: the schedulers that this node knows by their URLs, and dials for as long as it knows them.
 *
 *      free --add--> gone --up--> up --down--> gone … (dialed all the while) … --another needs the place--> free
 *
 * Schedulers come and go with addresses of their own, a node may outlive thousands of them; so places are not for ever.
 * One is given to another scheduler when all are taken and nobody was reached there for DIALS_GONE_MS, the one of longest
 * ago first. Those that the node was started with keep theirs: they are how it finds the others. A scheduler that was
 * forgotten and comes back is named by the others again. A link that is down has nothing in flight: all that came by it was
 * cut (service.h).
 *
 * Thread: the service's. Time is an argument. */
#ifndef NODE_SERVICE_DIALS_H
#define NODE_SERVICE_DIALS_H

#include "wire/message.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    DIALS_MAX = 128,
    DIALS_GONE_MS = 30 * 1000 // longer than a scheduler's restart, and most cuts of a network
};

struct dial {
    char url[WIRE_URL_MAX];
    size_t dialer; // links_dial()'s number
    bool keeps;    // its place, however long it is gone
    bool up;
    uint64_t gone_ns; // since when, unless it is up
};

/* Zeroed: none is known. */
struct dials {
    struct dial list[DIALS_MAX];
    size_t count;
};

/* `size` bytes without a NUL. */
bool dials_know(const struct dials *dials, const char *url, size_t size);
/* Where another scheduler can be put: one past the list while it is not full, or one that was gone for at least `gone_ms` and
 * is to be hung up. NULL: none. */
struct dial *dials_place(struct dials *dials, uint64_t now_ns, uint64_t gone_ms);
/* Put it there. `url` has at most WIRE_URL_MAX bytes, its NUL included; it counts as gone until it is reached. */
void dials_set(struct dials *dials, struct dial *place, const char *url, size_t dialer, bool keeps,
               uint64_t now_ns);

/* The link of that dialer is up or down. Nothing happens when its place was given away. */
void dials_up(struct dials *dials, size_t dialer);
void dials_down(struct dials *dials, size_t dialer, uint64_t now_ns);

#endif
