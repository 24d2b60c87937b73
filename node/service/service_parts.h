/* node/service/service_parts.h -- what the two halves of the service share; nobody else includes it.
 *
 *      service.c        what comes: links, messages, the engine's reports
 *      service_run.c    its turns: waiting for all of that, what goes out by the clock, the end
 *
 * Thread: the service's. */
#ifndef NODE_SERVICE_SERVICE_PARTS_H
#define NODE_SERVICE_SERVICE_PARTS_H

#include "node/engine/engine.h"
#include "node/engine/seq.h"
#include "node/service/dials.h"
#include "node/service/filters.h"
#include "node/service/flights.h"
#include "node/service/peers.h"
#include "node/service/places.h"
#include "node/service/service.h"

#include "base/arena.h"

#include <stdbool.h>
#include <stdint.h>

struct cached;
struct links;
struct mailbox;

struct service {
    struct service_options options;
    const struct wire_model *model;
    struct mailbox *events;
    struct links *links;
    struct arena arena;

    struct dials dials;
    struct peers peers;

    struct flights flights;
    struct filters filters;
    uint64_t next_ticket;
    uint64_t gate_epoch; // the highest that a SUBMIT had
    struct places places;
    struct engine_load load;
    struct cached *cached;
    bool draining;    // nothing new comes in
    bool stopping;    // and then the node goes away
    bool paused;      // service_run() is to return
    uint64_t stop_ns; // at the latest, when stopping
};

/* End what runs before its time; of two reasons a link that has gone is the one that counts. */
void service_cut(struct service *service, struct seq *seq, enum seq_cut why);
/* Take nothing new, or take it again; the schedulers are told at once. */
void service_drain(struct service *service, bool draining);
/* What came by the links. */
void service_take_events(struct service *service);
/* What the engine says. An answer's last id and its end leave together, and so does what all sequences got of one step. */
void service_take_reports(struct service *service);

#endif
