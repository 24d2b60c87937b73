#include "scheduler/uplink.h"

#include "scheduler/core/fleet.h"
#include "scheduler/core/flight.h"
#include "scheduler/lexicon.h"
#include "scheduler/settings.h"
#include "scheduler/state/peers.h"

#include "wire/link.h"

#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mailbox.h"
#include "base/mem.h"
#include "base/metric.h"
#include "base/must.h"
#include "base/rand.h"
#include "base/wipe.h"

#include <event2/event.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    INBOX_MAX = 4096,     // events of links that wait for the loop
    BATCH_MAX = 512,      // events between two looks at the other descriptors
    ARENA_SIZE = 4 << 20, // arrays of the largest message that a node sends
    STALL_MS = LINK_SILENCE_MS / 2
};

struct uplink {
    struct uplink_options options;
    struct links *links;
    struct mailbox *inbox;
    struct event *bell, *timer;
    struct flights *flights;
    struct lexicon *lexicon;
    struct evictions *evictions;
    struct peers *peers;
    uint64_t told_news; // of the peers
    struct arena arena;
    uint64_t instance;
    uint64_t ticked_ns;
    uint64_t beat;
    struct flights_stats seen; // as counted in the metrics
    uint64_t seen_dropped;
    uint64_t heard_ns; // see uplink_heard_ns()
};

enum err uplink_send(void *owner, uint64_t link, const struct wire_message *message, bool urgent)
{
    struct uplink *uplink = owner;
    return link_send(uplink->links, link, message, urgent);
}

size_t uplink_backlog(void *owner, uint64_t link)
{
    struct uplink *uplink = owner;
    return link_backlog(uplink->links, link);
}

uint64_t uplink_heard_ns(const struct uplink *uplink)
{
    return uplink->heard_ns;
}

static const char *node_name(const struct uplink *uplink, uint64_t link)
{
    const struct fleet_node *node = fleet_find_node(uplink->options.fleet, link);
    return node ? node->name : "?";
}

static void refuse(struct uplink *uplink, uint64_t link, const char *why)
{
    log_warn("node_refused", "node=%s link=%" PRIu64 " reason=\"%s\"", node_name(uplink, link),
             link, why);
    link_close(uplink->links, link, why);
}

static void count_shelves(struct uplink *uplink)
{
    struct fleet_shelves shelves;
    struct metrics *metrics = uplink->options.metrics;
    fleet_shelves(uplink->options.fleet, &shelves);
    metric_set(metrics, M_shelf_shards, NULL, NULL, (double)shelves.shards);
    metric_set(metrics, M_shelf_rows, NULL, NULL, (double)shelves.rows);
    metric_set(metrics, M_shelf_bytes, NULL, NULL, (double)shelves.sum.used);
    metric_set(metrics, M_shelf_bytes_most, NULL, NULL, (double)shelves.sum.memory);
    metric_set(metrics, M_shelf_refused, NULL, NULL, (double)shelves.sum.refused);
}

static void count_nodes(struct uplink *uplink)
{
    size_t ready = 0;
    for (size_t i = 0; i < fleet_node_count(uplink->options.fleet); i++)
        ready += fleet_node_at(uplink->options.fleet, i)->state == FLEET_READY;
    metric_set(uplink->options.metrics, M_nodes, NULL, NULL, (double)ready);
    count_shelves(uplink); // a node that has gone took its shelf along
}

static enum err send_welcome(struct uplink *uplink, uint64_t link)
{
    const char *urls[PEERS_MAX];
    struct wire_text peers[WIRE_PEERS_MAX];
    size_t peer_count = uplink->peers ? peers_list(uplink->peers, urls) : 0;
    must(peer_count <= WIRE_PEERS_MAX);
    for (size_t i = 0; i < peer_count; i++)
        peers[i] = (struct wire_text){urls[i], strlen(urls[i])};
    struct wire_message welcome = {.type = WIRE_WELCOME,
                                   .welcome = {.protocol = WIRE_PROTOCOL,
                                               .instance = uplink->instance,
                                               .peers = peers,
                                               .peer_count = peer_count}};
    return link_send(uplink->links, link, &welcome, false);
}

/* A scheduler that has come since is told to the nodes that are here already. */
static void tell_news(struct uplink *uplink)
{
    const struct fleet *fleet = uplink->options.fleet;
    uint64_t news = uplink->peers ? peers_news(uplink->peers) : 0;
    if (news == uplink->told_news) return;
    uplink->told_news = news;
    for (size_t i = 0; i < fleet_node_count(fleet); i++)
        (void)send_welcome(uplink, fleet_node_at(fleet, i)->link);
}

/* Nodes with a newer model stand in for themselves as soon as its text pack is here. */
static void take_over(struct uplink *uplink, uint64_t now_ns)
{
    struct fleet *fleet = uplink->options.fleet;
    struct lexicon_pack *pack;
    for (size_t i = 0; i < fleet_node_count(fleet); i++) {
        const struct fleet_node *node = fleet_node_at(fleet, i);
        const struct served *models = fleet_node_models(fleet, i);
        bool ready = node->replaces != 0;
        for (size_t m = 0; ready && m < node->model_count; m++)
            ready = lexicon_find(uplink->lexicon, &models[m].pack, &pack) == ERR_OK;
        if (!ready) continue;
        log_info("node_swapped", "node=%s link=%" PRIu64 " model=%s", node->name, node->link,
                 models[0].name);
        fleet_take_over(fleet, node->link, now_ns);
        count_nodes(uplink);
    }
}

static void on_hello(struct uplink *uplink, uint64_t link, const struct wire_hello *hello,
                     uint64_t now_ns)
{
    if (fleet_hello(uplink->options.fleet, link, hello, now_ns)) {
        refuse(uplink, link, err_text());
        return;
    }
    if (send_welcome(uplink, link)) return; // its DOWN follows
    metric_add(uplink->options.metrics, M_node_up_total, NULL, NULL, 1);
    count_nodes(uplink);
    log_info("node_up", "node=%s link=%" PRIu64 " models=%zu credits=%u threads=%u",
             node_name(uplink, link), link, hello->model_count, hello->credits, hello->threads);
    lexicon_hello(uplink->lexicon, link, hello, now_ns);
    evictions_up(uplink->evictions, link);
}

static void on_shards(struct uplink *uplink, uint64_t link, const struct wire_shard_state *state)
{
    struct fleet_shard *shards =
        mem_new(state->shard_count ? state->shard_count : 1, sizeof *shards);
    for (size_t i = 0; i < state->shard_count; i++)
        shards[i] = (struct fleet_shard){.shard = state->shards[i].shard,
                                         .version = state->shards[i].version,
                                         .rows = state->shards[i].rows};
    fleet_shards(uplink->options.fleet, link, shards, state->shard_count);
    fleet_shelf(uplink->options.fleet, link,
                &(struct fleet_shelf){state->used, state->memory, state->refused});
    mem_free(shards);
    count_shelves(uplink);
}

static void on_message(struct uplink *uplink, uint64_t link, const struct wire_message *message,
                       uint64_t now_ns)
{
    struct fleet *fleet = uplink->options.fleet;
    switch (message->type) {
    case WIRE_HEARTBEAT: fleet_heartbeat(fleet, link, &message->heartbeat, now_ns); return;
    case WIRE_LOAD: fleet_load(fleet, link, &message->load, now_ns); return;
    case WIRE_PACK_PART: lexicon_part(uplink->lexicon, link, &message->pack_part, now_ns); return;
    case WIRE_RESULT: flights_result(uplink->flights, link, &message->result, now_ns); return;
    case WIRE_DONE: flights_done(uplink->flights, link, &message->done, now_ns); return;
    case WIRE_BUSY: flights_busy(uplink->flights, link, &message->busy, now_ns); return;
    case WIRE_CACHE_DELTA:
        if (fleet_cache_delta(fleet, link, &message->cache_delta, now_ns))
            refuse(uplink, link, err_text()); // it comes back, and tells all anew
        return;
    case WIRE_SHARD_STATE: on_shards(uplink, link, &message->shard_state); return;
    case WIRE_EVICTED: evictions_said(uplink->evictions, link, message->evicted.serial); return;
    default: refuse(uplink, link, "a message that only a scheduler may send"); return;
    }
}

static void on_frame(struct uplink *uplink, const struct link_event *event, uint64_t now_ns)
{
    struct wire_message message;
    bool known = fleet_find_node(uplink->options.fleet, event->link) != NULL;
    if (!known && event->type != WIRE_HELLO) {
        if (event->type != WIRE_HEARTBEAT) refuse(uplink, event->link, "it spoke before its HELLO");
        return;
    }
    if (known && event->type == WIRE_HELLO) {
        refuse(uplink, event->link, "a second HELLO");
        return;
    }
    if (message_decode(&message, event->type, event->body, event->size, &uplink->arena))
        refuse(uplink, event->link, err_text());
    else if (message.type == WIRE_HELLO)
        on_hello(uplink, event->link, &message.hello, now_ns);
    else
        on_message(uplink, event->link, &message, now_ns);
    arena_reset(&uplink->arena); // an answer stays no longer than it is read
}

static void on_down(struct uplink *uplink, const struct link_event *event, uint64_t now_ns)
{
    if (!fleet_find_node(uplink->options.fleet, event->link)) return;
    log_warn("node_down", "node=%s link=%" PRIu64 " reason=\"%s\"", node_name(uplink, event->link),
             event->link, event->reason);
    metric_add(uplink->options.metrics, M_node_down_total, NULL, NULL, 1);
    fleet_down(uplink->options.fleet, event->link, now_ns);
    flights_node_lost(uplink->flights, event->link, now_ns);
    lexicon_down(uplink->lexicon, event->link, now_ns);
    evictions_down(uplink->evictions, event->link);
    count_nodes(uplink);
}

/* Take up to `limit` events; true when nothing is left. */
static bool drain(struct uplink *uplink, size_t limit)
{
    while (limit-- > 0) {
        struct link_event *event = mailbox_take(uplink->inbox);
        if (!event) {
            links_resume(uplink->links);
            return true;
        }
        uint64_t now_ns = clock_now_ns();
        uplink->heard_ns = event->heard_ns;
        if (event->kind == LINK_FRAME) on_frame(uplink, event, now_ns);
        uplink->heard_ns = 0;
        if (event->kind == LINK_DOWN) on_down(uplink, event, now_ns);
        link_event_free(event);
    }
    return false;
}

static void on_bell(evutil_socket_t fd, short what, void *argument)
{
    struct uplink *uplink = argument;
    (void)fd;
    (void)what;
    mailbox_hush(uplink->inbox);
    /* The bell rings for the step from empty only: what is left needs a ring of our own. */
    if (!drain(uplink, BATCH_MAX)) event_active(uplink->bell, EV_READ, 0);
}

static void send_heartbeats(struct uplink *uplink)
{
    struct fleet *fleet = uplink->options.fleet;
    struct wire_message beat = {.type = WIRE_HEARTBEAT, .heartbeat = {.count = ++uplink->beat}};
    for (size_t i = 0; i < fleet_node_count(fleet); i++)
        (void)link_send(uplink->links, fleet_node_at(fleet, i)->link, &beat, true);
}

static void count_more(struct uplink *uplink, size_t metric, uint64_t now, uint64_t seen)
{
    metric_add(uplink->options.metrics, metric, NULL, NULL, (double)(now - seen));
}

static void count_flights(struct uplink *uplink)
{
    const struct flights_stats *now = flights_stats(uplink->flights);
    const struct flights_stats *seen = &uplink->seen;
    count_more(uplink, M_flight_retries_total, now->retried, seen->retried);
    count_more(uplink, M_flight_hedges_total, now->hedged, seen->hedged);
    count_more(uplink, M_flight_moves_total, now->moved, seen->moved);
    count_more(uplink, M_flight_overtaken_total, now->hedges_won, seen->hedges_won);
    uplink->seen = *now;
    metric_set(uplink->options.metrics, M_in_flight, NULL, NULL,
               (double)flights_count(uplink->flights));
}

static void count_index(struct uplink *uplink)
{
    struct index_stats stats = fleet_index_stats(uplink->options.fleet);
    metric_set(uplink->options.metrics, M_index_blocks, NULL, NULL, (double)stats.entries);
    count_more(uplink, M_index_dropped_total, stats.dropped, uplink->seen_dropped);
    uplink->seen_dropped = stats.dropped;
}

static void on_timer(evutil_socket_t fd, short what, void *argument)
{
    struct uplink *uplink = argument;
    uint64_t now_ns = clock_now_ns();
    (void)fd;
    (void)what;
    if (now_ns - uplink->ticked_ns > STALL_MS * CLOCK_MS) {
        metric_add(uplink->options.metrics, M_loop_stalls_total, NULL, NULL, 1);
        log_warn("loop_stall", "ms=%" PRIu64, (now_ns - uplink->ticked_ns) / CLOCK_MS);
    }
    uplink->ticked_ns = now_ns;
    send_heartbeats(uplink);
    tell_news(uplink);
    /* What waits in the mailbox was said before now: nobody is judged silent over it. */
    if (drain(uplink, INBOX_MAX)) links_check(uplink->links, now_ns);
    fleet_tick(uplink->options.fleet, now_ns);
    take_over(uplink, now_ns);
    flights_tick(uplink->flights, now_ns);
    lexicon_tick(uplink->lexicon, now_ns);
    evictions_tick(uplink->evictions, now_ns);
    count_flights(uplink);
    count_index(uplink);
    count_nodes(uplink);
    wipe_stack();
}

struct uplink *uplink_new(const struct uplink_options *options)
{
    struct uplink *uplink = mem_new(1, sizeof *uplink);
    uplink->options = *options;
    uplink->instance = rand_entropy();
    uplink->inbox = mailbox_new(INBOX_MAX);
    must(links_new(&uplink->links, uplink->inbox) == ERR_OK);
    if (options->silence_ms) links_set_silence(uplink->links, options->silence_ms);
    uplink->evictions =
        evictions_new(options->fleet, &(struct evictions_seam){uplink, uplink_send});
    arena_init(&uplink->arena, mem_new(1, ARENA_SIZE), ARENA_SIZE);
    uplink->bell = event_new(options->base, mailbox_bell(uplink->inbox), EV_READ | EV_PERSIST,
                             on_bell, uplink);
    uplink->timer = event_new(options->base, -1, EV_PERSIST, on_timer, uplink);
    must(uplink->bell && uplink->timer);
    return uplink;
}

enum err uplink_start(struct uplink *uplink, const struct conf_list *urls, struct flights *flights,
                      struct lexicon *lexicon, char url[WIRE_URL_MAX])
{
    struct timeval period = {.tv_usec = LINK_HEARTBEAT_MS * 1000};
    char bound[WIRE_URL_MAX];
    uplink->flights = flights;
    uplink->lexicon = lexicon;
    for (size_t i = 0; i < urls->count; i++) {
        TRY(links_listen(uplink->links, urls->items[i], bound));
        if (i == 0) snprintf(url, WIRE_URL_MAX, "%s", bound);
    }
    uplink->ticked_ns = clock_now_ns();
    must(event_add(uplink->bell, NULL) == 0 && event_add(uplink->timer, &period) == 0);
    return ERR_OK;
}

void uplink_set_peers(struct uplink *uplink, struct peers *peers)
{
    uplink->peers = peers;
}

void uplink_quarantine(void *owner, uint64_t link)
{
    struct uplink *uplink = owner;
    const struct fleet_node *node = fleet_find_node(uplink->options.fleet, link);
    metric_add(uplink->options.metrics, M_contradictions_total, NULL, NULL, 1);
    if (!node) return;
    log_error("node_contradicts", "node=%s link=%" PRIu64, node->name, link);
    (void)uplink_drain(uplink, node->name, true);
}

enum err uplink_evict(struct uplink *uplink, uint64_t salt, eviction_fn *done, void *argument)
{
    return evictions_begin(uplink->evictions, salt, clock_now_ns(), done, argument);
}

enum err uplink_drain(struct uplink *uplink, const char *node, bool on)
{
    uint64_t link;
    TRY(fleet_drain(uplink->options.fleet, node, on, clock_now_ns(), &link));
    struct wire_message message = {.type = WIRE_DRAIN, .drain = {.on = on}};
    log_info(on ? "node_drain" : "node_undrain", "node=%s", node_name(uplink, link));
    count_nodes(uplink);
    return link_send(uplink->links, link, &message, false);
}

enum err uplink_reload(struct uplink *uplink, const char *node)
{
    const struct fleet *fleet = uplink->options.fleet;
    const struct fleet_node *found = NULL;
    for (size_t i = 0; i < fleet_node_count(fleet); i++) {
        const struct fleet_node *one = fleet_node_at(fleet, i);
        // While one stands in for itself, two have the name: the younger is meant.
        if (strcmp(one->name, node) == 0 && (!found || one->since_ns > found->since_ns))
            found = one;
    }
    if (!found) return err_note(ERR_NOT_FOUND, "no linked node has the name %s", node);
    struct wire_message message = {.type = WIRE_DRAIN,
                                   .drain = {.on = found->state == FLEET_DRAINING, .reload = true}};
    log_info("node_reload", "node=%s", found->name);
    return link_send(uplink->links, found->link, &message, false);
}

void uplink_free(struct uplink *uplink)
{
    struct link_event *event;
    if (!uplink) return;
    evictions_free(uplink->evictions);
    links_free(uplink->links);
    while ((event = mailbox_take(uplink->inbox)))
        link_event_free(event);
    event_free(uplink->bell);
    event_free(uplink->timer);
    mailbox_free(uplink->inbox);
    mem_free(uplink->arena.bytes);
    mem_free(uplink);
}
