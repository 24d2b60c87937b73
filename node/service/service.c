#include "node/service/service.h"

#include "node/engine/engine.h"
#include "node/engine/seq.h"
#include "node/service/answers.h"
#include "node/service/dials.h"
#include "node/service/filters.h"
#include "node/service/flights.h"
#include "node/service/intake.h"
#include "node/service/loads.h"
#include "node/service/loan.h"
#include "node/service/peers.h"
#include "node/service/places.h"
#include "node/service/service_parts.h"
#include "node/shelf/shelf.h"

#include "wire/link.h"

#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mailbox.h"
#include "base/mem.h"
#include "base/must.h"

#include <string.h>
#include <unistd.h>

enum {
    EVENTS_MAX = 1024,                                      // link events that can wait
    ARENA_SIZE = WIRE_IDS_MAX * sizeof(int32_t) + (1 << 20) // arrays of one decoded message
};

/* Schedulers. */

_Static_assert((int)PEERS_MAX >= (int)DIALS_MAX, "whoever is dialed can be a peer");

/* Known schedulers are dialed already. */
static enum err dial(struct service *service, const char *url, size_t size, bool keeps)
{
    char text[WIRE_URL_MAX];
    uint64_t now_ns = clock_now_ns();
    if (size == 0 || size >= WIRE_URL_MAX)
        return err_note(ERR_INVALID, "scheduler: a URL of %zu bytes, at most %d", size,
                        WIRE_URL_MAX - 1);
    if (memchr(url, '\0', size)) return err_note(ERR_INVALID, "scheduler: a NUL inside of its URL");
    if (dials_know(&service->dials, url, size)) return ERR_OK;
    struct dial *place = dials_place(&service->dials, now_ns, service->options.gone_ms);
    if (!place) return err_note(ERR_TOO_LARGE, "scheduler: more than %d of them", DIALS_MAX);
    memcpy(text, url, size);
    text[size] = '\0';
    size_t dialer;
    TRY(links_dial(service->links, text, &dialer));
    if (place->url[0]) {
        log_info("scheduler_forgotten", "url=%s", place->url);
        links_hang_up(service->links, place->dialer);
    }
    dials_set(&service->dials, place, text, dialer, keeps, now_ns);
    return ERR_OK;
}

enum err service_new(struct service **out, const struct service_options *options)
{
    must(options->hello.model_count == 1 && options->requests_max > 0);
    struct service *service = mem_new(1, sizeof *service);
    service->options = *options;
    service->model = &options->hello.models[0];
    service->next_ticket = 1;
    service->peers = (struct peers){.pack_digest = service->model->pack,
                                    .pack = options->pack,
                                    .pack_size = options->pack_size,
                                    .shelf = options->shelf};
    service->cached = cached_new(options->hello.kv_blocks);
    service->events = mailbox_new(EVENTS_MAX);
    void *bytes = mem_map(ARENA_SIZE);
    enum err err = ERR_OK;
    if (!bytes)
        err = err_note(ERR_NO_MEMORY, "service: no memory for messages");
    else
        arena_init(&service->arena, bytes, ARENA_SIZE);
    if (!err) err = links_new(&service->links, service->events);
    if (!err && options->silence_ms) links_set_silence(service->links, options->silence_ms);
    service->peers.links = service->links;
    for (size_t i = 0; !err && i < options->scheduler_count; i++)
        err = dial(service, options->schedulers[i], strlen(options->schedulers[i]), true);
    if (err) {
        service_free(service);
        return err;
    }
    *out = service;
    return ERR_OK;
}

void service_free(struct service *service)
{
    if (!service) return;
    must(service->flights.count == 0);
    if (service->links) links_free(service->links);
    for (struct link_event *event; (event = mailbox_take(service->events)) != NULL;)
        link_event_free(event);
    mailbox_free(service->events);
    cached_free(service->cached);
    filters_fini(&service->filters);
    if (service->arena.bytes) mem_unmap(service->arena.bytes, ARENA_SIZE);
    mem_free(service);
}

static void close_link(struct service *service, uint64_t link, const char *reason)
{
    log_warn("link_refused", "link=%llu reason=\"%s\"", (unsigned long long)link, reason);
    link_close(service->links, link, reason);
}

static void refuse(struct service *service, uint64_t link, const struct wire_submit *submit,
                   enum err err)
{
    // A bitmap or shard that is not here is asked for by its name first, and then brought: nothing is wrong.
    log_event(err == ERR_NOT_FOUND ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO, "request_refused",
              "link=%llu request=%llu error=%s", (unsigned long long)link,
              (unsigned long long)submit->key.request, err_name(err));
    answer_refused(service->links, link, submit, err);
}

static uint32_t retry_ms(const struct service *service)
{
    const struct engine_load *load = &service->load;
    return places_retry_ms(&service->places, load->waiting_tokens, load->prefill_rate);
}

/* What a scheduler says. */

void service_cut(struct service *service, struct seq *seq, enum seq_cut why)
{
    if (seq->cut == SEQ_WHOLE) engine_cancel(service->options.engine, seq->ticket);
    if (seq->cut != SEQ_CUT_GONE) seq->cut = why;
}

static bool has_place(const struct service *service, const struct peer *peer, uint64_t tenant)
{
    size_t held = service->flights.count;
    size_t most = service->options.requests_max;
    if (peer->held >= service->options.hello.credits || held >= most) return false;
    return places_admit(held, most - held) || // whosever they are
           places_admit(flights_of(&service->flights, tenant), most - held);
}

/* A scheduler that is behind the others may let in what they have shut out by now: it is told to look again. */
static enum err check_epoch(struct service *service, const struct wire_submit *submit)
{
    if (submit->gate_epoch < service->gate_epoch)
        return err_note(ERR_STALE, "submit: the gate's epoch %llu, this node has seen %llu",
                        (unsigned long long)submit->gate_epoch,
                        (unsigned long long)service->gate_epoch);
    service->gate_epoch = submit->gate_epoch;
    return ERR_OK;
}

static void take_submit(struct service *service, struct peer *peer,
                        const struct wire_submit *submit)
{
    uint64_t link = peer->link;
    if (flights_find(&service->flights, link, &submit->key)) {
        log_warn("request_twice", "link=%llu request=%llu", (unsigned long long)link,
                 (unsigned long long)submit->key.request);
        return;
    }
    enum err err = intake_check(submit, service->model);
    if (!err) err = check_epoch(service, submit);
    if (err) {
        refuse(service, link, submit, err);
        return;
    }
    if (service->draining) { // not BUSY: it is no matter of load, and other nodes may well be free
        refuse(service, link, submit, err_note(ERR_UNAVAILABLE, "the node is draining"));
        return;
    }
    if (!has_place(service, peer, submit->tenant)) {
        answer_busy(service->links, link, &submit->key, retry_ms(service));
        return;
    }
    struct loan loan;
    err = loan_take(&loan, &service->filters, service->options.shelf, submit);
    if (err) {
        refuse(service, link, submit, err);
        return;
    }
    struct seq_room room = {.context_max = service->model->context_length,
                            .vector_size = service->model->vector_size};
    struct seq *seq = seq_new(submit, service->next_ticket++, link, &room, clock_now_ns());
    seq->finish = seq_finish(seq);
    if (seq->finish != WIRE_FINISH_NONE) {
        answer_end(service->links, seq);
        seq_free(seq);
        return;
    }
    loan_pass(&loan, seq);
    if (service->flights.count == 0) places_begin(&service->places, clock_now_ns());
    flights_add(&service->flights, seq);
    peer->held++;
    engine_submit(service->options.engine, seq);
}

static void take_welcome(struct service *service, const struct peer *peer,
                         const struct wire_welcome *welcome)
{
    if (welcome->protocol != WIRE_PROTOCOL) {
        close_link(service, peer->link, "the scheduler speaks another protocol");
        return;
    }
    for (size_t i = 0; i < welcome->peer_count; i++) {
        enum err err = dial(service, welcome->peers[i].text, welcome->peers[i].size, false);
        if (err) log_warn("peer_not_dialed", "error=%s", err_name(err));
    }
}

static void take_pack_want(struct service *service, struct peer *peer,
                           const struct wire_pack_want *want)
{
    if (!digest_equal(&want->pack, &service->model->pack)) {
        close_link(service, peer->link, "it wants a text pack that this node never announced");
        return;
    }
    peer->wants_pack = true;
    peer->pack_offset = 0;
}

void service_drain(struct service *service, bool draining)
{
    if (service->draining == draining) return;
    service->draining = draining;
    service->peers.beat_ns = 0; // said at once
    log_info("node_drain", "on=%d in_flight=%zu", draining, service->flights.count);
}

static void take_shard(struct service *service, const struct peer *peer,
                       const struct wire_message *message)
{
    struct shelf *shelf = service->options.shelf;
    if (!shelf) {
        close_link(service, peer->link, "this node has no shelf");
        return;
    }
    if (message->type == WIRE_SHARD_DROP) {
        shelf_drop(shelf, message->shard_drop.shard);
        return;
    }
    enum err err = shelf_put(shelf, peer->link, &message->shard_put);
    if (err)
        log_warn("shard_refused", "link=%llu shard=%016llx reason=\"%s\"",
                 (unsigned long long)peer->link, (unsigned long long)message->shard_put.shard,
                 err_text());
}

static void ring_reload(const struct service *service)
{
    uint64_t one = 1;
    if (service->options.reload_bell == 0) return;
    log_info("node_reload", "by=scheduler");
    ssize_t written = write(service->options.reload_bell, &one, sizeof one);
    (void)written; // full: it rings already
}

static void take_evict(struct service *service, const struct peer *peer,
                       const struct wire_evict *evict)
{
    struct engine_forget forget = {.salt = evict->salt,
                                   .before = service->next_ticket,
                                   .link = peer->link,
                                   .serial = evict->serial};
    (void)engine_forget(service->options.engine, &forget); // false: it is asked again
}

static void take_message(struct service *service, struct peer *peer,
                         const struct wire_message *message)
{
    struct seq *seq;
    switch (message->type) {
    case WIRE_WELCOME: take_welcome(service, peer, &message->welcome); break;
    case WIRE_HEARTBEAT: break; // the link has noted that its peer lives
    case WIRE_PACK_WANT: take_pack_want(service, peer, &message->pack_want); break;
    case WIRE_SUBMIT: take_submit(service, peer, &message->submit); break;
    case WIRE_CANCEL:
        seq = flights_find(&service->flights, peer->link, &message->cancel.key);
        if (seq) service_cut(service, seq, SEQ_CUT_CANCELED); // else it has ended already
        break;
    case WIRE_DRAIN:
        service_drain(service, message->drain.on || service->stopping);
        if (message->drain.reload) ring_reload(service);
        break;
    case WIRE_EVICT: take_evict(service, peer, &message->evict); break;
    case WIRE_SHARD_PUT:
    case WIRE_SHARD_DROP: take_shard(service, peer, message); break;
    default: close_link(service, peer->link, "a message that only a node sends"); break;
    }
}

static void take_frame(struct service *service, const struct link_event *event)
{
    struct peer *peer = peers_find(&service->peers, event->link);
    if (!peer) return; // refused when it came up
    struct wire_message message;
    enum err err = message_decode(&message, event->type, event->body, event->size, &service->arena);
    if (err)
        close_link(service, event->link, err_text());
    else
        take_message(service, peer, &message);
    arena_reset(&service->arena); // a prompt stays no longer than it is read
}

static void link_up(struct service *service, const struct link_event *event)
{
    uint64_t link = event->link;
    if (!peers_add(&service->peers, link)) {
        close_link(service, link, "more links than dialers");
        return;
    }
    struct wire_message hello = {.type = WIRE_HELLO, .hello = service->options.hello};
    (void)link_send(service->links, link, &hello, false);
    dials_up(&service->dials, event->dialer);
    service->peers.beat_ns = 0;
    log_info("link_up", "link=%llu", (unsigned long long)link);
}

struct gone {
    struct service *service;
    uint64_t link;
};

static void cut_if_gone(void *argument, struct seq *seq)
{
    const struct gone *gone = argument;
    if (seq->link == gone->link) service_cut(gone->service, seq, SEQ_CUT_GONE);
}

static void link_down(struct service *service, const struct link_event *event)
{
    log_info("link_down", "link=%llu reason=\"%s\"", (unsigned long long)event->link,
             event->reason);
    struct peer *peer = peers_find(&service->peers, event->link);
    if (!peer) return;
    peers_remove(&service->peers, peer);
    if (service->options.shelf) shelf_link_down(service->options.shelf, event->link);
    dials_down(&service->dials, event->dialer, clock_now_ns());
    struct gone gone = {.service = service, .link = event->link};
    flights_each(&service->flights, cut_if_gone, &gone);
}

void service_take_events(struct service *service)
{
    mailbox_hush(service->events);
    for (struct link_event *event; (event = mailbox_take(service->events)) != NULL;) {
        switch (event->kind) {
        case LINK_UP: link_up(service, event); break;
        case LINK_FRAME: take_frame(service, event); break;
        case LINK_DOWN: link_down(service, event); break;
        }
        link_event_free(event);
    }
    links_resume(service->links);
}

/* What the engine says. */

static void end_flight(struct service *service, struct seq *seq)
{
    struct peer *peer = peers_find(&service->peers, seq->link);
    if (peer) peer->held--;
    if (seq->err == ERR_BUSY && seq->cut == SEQ_WHOLE)
        answer_busy(service->links, seq->link, &seq->key, retry_ms(service));
    else if (seq->cut != SEQ_CUT_GONE)
        answer_end(service->links, seq);
    if (seq->err != ERR_BUSY) places_end(&service->places, clock_now_ns());
    flights_remove(&service->flights, seq);
    loan_end(&service->filters, service->options.shelf, seq);
    seq_free(seq);
}

void service_take_reports(struct service *service)
{
    struct engine *engine = service->options.engine;
    mailbox_hush(engine_outbox(engine));
    links_hold(service->links);
    for (struct engine_report *report; (report = engine_take(engine)) != NULL;) {
        for (size_t i = 0; i < report->item_count; i++) {
            struct engine_item *item = &report->items[i];
            if (item->sampled && item->seq->cut == SEQ_WHOLE) answer_result(service->links, item);
            if (item->answered && item->seq->cut == SEQ_WHOLE) answer_whole(service->links, item);
            if (item->end) end_flight(service, item->seq);
        }
        for (size_t i = 0; i < report->change_count; i++)
            cached_note(service->cached, report->changes[i].hash, report->changes[i].gone);
        for (size_t i = 0; i < report->forgotten_count; i++)
            answer_evicted(service->links, &report->forgotten[i]);
        if (loads_differ(&service->load, &report->load)) peers_load_changed(&service->peers);
        service->load = report->load;
        engine_give(engine, report);
    }
    links_release(service->links);
}
