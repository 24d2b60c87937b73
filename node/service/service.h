/* node/service/service.h -- wire <-> engine: the room that owns the node's links.
 *
 *      schedulers === links ===> [ check | take or BUSY ] --- orders ---> engine
 *                 <== RESULT, DONE ===================== <-- reports ---
 *
 * It dials every scheduler that it was told of and every one that a WELCOME names, and keeps dialing (node/service/dials.h says
 * for how long). On a link
 * that comes up it says HELLO; then heartbeats every LINK_HEARTBEAT_MS with the age of the engine's step, LOAD
 * when it changed (at most 20 a second), the text pack to whoever wants it, and for each SUBMIT results and
 * exactly one BUSY or DONE. A second SUBMIT under a key that is still in the air is refused without an answer:
 * the key's one end is the first's. A link that goes down cancels what came by it. Shards that schedulers put here go onto the
 * shelf (node/shelf/shelf.h); SHARD_STATE says what is on it.
 *
 * No text, no user id, no disk, no Redis. Thread: one, which calls service_run(). */
#ifndef NODE_SERVICE_SERVICE_H
#define NODE_SERVICE_SERVICE_H

#include "wire/message.h"

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct engine;
struct service;
struct shelf;

struct service_options {
    struct engine *engine;
    struct shelf *shelf; // outlives the service; NULL: there is none, and no SCAN among the kinds
    struct wire_hello hello; // all that it borrows outlives the service; one model
    const uint8_t *pack; // the text pack of which the model names the digest; outlives the service
    size_t pack_size;
    const char *const *schedulers; // URLs; at least one
    size_t scheduler_count;
    uint64_t gone_ms; // that a scheduler must be gone before its place is another's: DIALS_GONE_MS
    uint32_t silence_ms;   // of a scheduler, before its link is closed; 0: LINK_SILENCE_MS
    uint32_t requests_max; // in the air, over all links; `hello.credits` bounds each link
    int reload_bell;       // an eventfd that is rung when a scheduler orders a new model; 0: none
    int pause_bell;        // see service_run(); 0: none
};

/* ERR_INVALID, ERR_IO: a URL that cannot be dialed, by name. */
enum err service_new(struct service **out, const struct service_options *options);
/* Everything in the air has ended: service_run() has returned. */
void service_free(struct service *service);

/* Serve until `stop_fd` is readable; then tell every scheduler (the heartbeat says draining), answer what comes
 * with ERR_UNAVAILABLE, let what is in the air end for at most `drain_ms`, end the rest as ERR_UNAVAILABLE, so
 * that the schedulers go on with it elsewhere, stop the engine and return. Readable once more: at once. What is
 * readable there is read away.
 *
 * False: the pause bell was rung (and is read away). Nothing has changed; another call goes on, maybe another thread's. */
bool service_run(struct service *service, int stop_fd, uint64_t drain_ms);

/* The parts of a turn of service_run(), for whoever brings a clock and links of his own (the simulator): what came by the
 * links and what goes out by the clock; what the engine reports; when the first of them has something to do by the
 * clock. */
void service_hear(struct service *service);
void service_tell(struct service *service);
uint64_t service_wake_ns(const struct service *service);

#endif
