/* scheduler/uplink.h -- the door of the nodes: link events -> fleet, flights and lexicon.
 *
 * Owns the links, their mailbox and the timer of 100 ms on which heartbeats leave, silent links
 * are closed and deadlines pass. A scheduler whose own loop stalled judges nobody before it has
 * drained its mailbox.
 *
 * A link's first word is HELLO; what a node may not say closes the link with the reason in the log.
 *
 * Thread: the loop's. */
#ifndef SCHEDULER_UPLINK_H
#define SCHEDULER_UPLINK_H

#include "scheduler/evictions.h"

#include "wire/message.h"

#include "base/conf.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct event_base;
struct fleet;
struct flights;
struct lexicon;
struct metrics;
struct peers;
struct uplink;

struct uplink_options {
    struct event_base *base;
    struct metrics *metrics;
    struct fleet *fleet;
    uint32_t silence_ms; // links_set_silence(); 0: as it is
};

struct uplink *uplink_new(const struct uplink_options *options);
/* Closes every link. */
void uplink_free(struct uplink *uplink);

/* Listen for nodes, who from then on are led to `flights` and `lexicon`; `url` gets the first
 * address with its real port. ERR_IO. */
enum err uplink_start(struct uplink *uplink, const struct conf_list *urls, struct flights *flights,
                      struct lexicon *lexicon, char url[WIRE_URL_MAX]);
/* Who is named in WELCOME; NULL: nobody. */
void uplink_set_peers(struct uplink *uplink, struct peers *peers);

/* When the message that is being worked on was heard, clock_now_ns(); 0: none is. */
uint64_t uplink_heard_ns(const struct uplink *uplink);

/* The seams of flights, lexicon and vectors (owner: the uplink). */
enum err uplink_send(void *uplink, uint64_t link, const struct wire_message *message, bool urgent);
/* Bytes that wait on their way to the node. */
size_t uplink_backlog(void *uplink, uint64_t link);
void uplink_quarantine(void *uplink, uint64_t link);

/* Have every node drop what it has cached under a salt: evictions.h. */
enum err uplink_evict(struct uplink *uplink, uint64_t salt, eviction_fn *done, void *argument);

/* Take a node out of the choice or back into it; ERR_NOT_FOUND names it. */
enum err uplink_drain(struct uplink *uplink, const char *node, bool on);
/* Have it load its model's file again; it introduces itself anew when that is done, and stands in for itself. */
enum err uplink_reload(struct uplink *uplink, const char *node);

#endif
