#include "scheduler/features/search/indexes.h"

#include "scheduler/features/collection.h"
#include "scheduler/features/follower.h"
#include "scheduler/features/search/keeper.h"
#include "scheduler/features/search/redisearch_link.h"
#include "scheduler/features/search/writer.h"
#include "scheduler/scribe.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/must.h"

#include <event2/event.h>

#include <stdio.h>
#include <string.h>

enum {
    TICK_MS = 20,
    LIST_MS = 1000,
    SLICE_MS = 4,
    LOOK_MS = 40,
    LATE_MS = 500 // of a read that began before a write, and says that there is no index
};

#define PREFIX "index:"

struct index_entry;

/* One question on its way. */
struct indexes_ticket {
    struct indexes_ticket *next, *previous; // of its entry's
    struct index_entry *entry;
    struct indexes_question question;
    bool at_work;
    void (*gone)(void *argument); // it was dropped
    bool dropped;
    // Of work():
    enum err err;
    uint64_t version;
    char note[ERR_NOTE_MAX];
};

/* After a deletion the copy is not believed before the follower has begun anew, and been carried out. */
enum doubt {
    DOUBT_NONE,
    DOUBT_UNTIL_RESET,
    DOUBT_UNTIL_MARK
};

struct index_entry {
    struct index_entry *next;
    struct indexes *indexes;
    char name[COLLECTION_NAME_MAX + 1];
    size_t lane;
    struct scribe *scribe; // whose worker has it
    size_t jobs;           // of it
    struct follower *follower;
    struct writer writer;
    struct corpus_status status;  // after the latest slice
    uint64_t look_ns;             // when one that is kept elsewhere is looked at again
    struct keeper keeper;         // the worker's while it is at work
    struct keeper_orders waiting; // the loop's
    struct keeper_orders orders;  // the worker's
    bool at_work;                 // a slice is
    bool is_known;                // a mark has been reached
    bool gone;                    // there is no such index
    bool removed;                 // it was deleted here, which the follower has yet to see
    enum doubt doubt;
    uint64_t written_ns; // here, last, and not deleted since
    uint64_t version;    // reached
    bool restless;
    struct indexes_ticket tickets; // head of a ring
    size_t ticket_count;
};

struct indexes {
    struct indexes_options options;
    struct index_entry *entries;
    size_t count, lanes;
    struct event *timer;
    uint64_t list_ns;
    bool listing, stopped;
    bool is_over; // freed, but for a list that is still to be answered
};

static void on_slice(void *argument);
static void after_slice(void *argument);
static void serve(struct index_entry *entry);

enum err indexes_collection(char *out, size_t out_size, const char *tenant, const char *name,
                            size_t size)
{
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
    bool fits = size >= 1 && size <= INDEXES_NAME_MAX;
    for (size_t i = 0; fits && i < size; i++)
        fits = name[i] != '\0' && strchr(letters, name[i]);
    if (!fits)
        return err_note(ERR_INVALID, "the name of an index is 1 to %d letters, digits, '-' and '_'",
                        INDEXES_NAME_MAX);
    snprintf(out, out_size, PREFIX "%s:%.*s", tenant, (int)size, name);
    return ERR_OK;
}

// ---- what the follower tells -------------------------------------------------------------------

/* One that is kept elsewhere is a worker's that may wait; it changes hands when nobody has it. */
static bool choose_worker(struct index_entry *entry)
{
    const struct indexes_options *options = &entry->indexes->options;
    struct scribe *scribe = entry->writer.is_remote ? options->waiters : options->scribe;
    if (entry->scribe != scribe && entry->jobs > 0) return false;
    entry->scribe = scribe;
    return true;
}

/* Each server has a worker of its own. */
static size_t lane_of(const struct index_entry *entry)
{
    const struct indexes_options *options = &entry->indexes->options;
    if (entry->scribe == options->scribe) return entry->lane;
    return entry->keeper.place ? (size_t)(entry->keeper.place - options->places.items) : 0;
}

static bool submit(struct index_entry *entry, scribe_fn *work, scribe_fn *done, void *argument)
{
    if (!choose_worker(entry) ||
        !scribe_submit_to(entry->scribe, lane_of(entry), work, done, argument))
        return false;
    entry->jobs++;
    return true;
}

static void start_slice(struct index_entry *entry)
{
    if (entry->at_work || entry->indexes->stopped) return;
    uint64_t now_ns = clock_now_ns();
    bool looks = entry->writer.is_remote && now_ns >= entry->look_ns;
    if (!entry->waiting.first && !entry->orders.first && !entry->restless && !looks) return;
    entry->look_ns = now_ns + LOOK_MS * CLOCK_MS;
    entry->at_work = true;
    if (!entry->orders.first && entry->waiting.first) {
        entry->orders = entry->waiting;
        keeper_orders_init(&entry->waiting);
    }
    if (!submit(entry, on_slice, after_slice, entry))
        entry->at_work = false; // the timer tries again
}

static void order(struct index_entry *entry, enum keeper_kind kind, const char *id, size_t id_size,
                  const char *text, size_t text_size, uint64_t version)
{
    keeper_orders_add(&entry->waiting, kind, id, id_size, text, text_size, version);
}

static void on_reset(void *owner)
{
    struct index_entry *entry = owner;
    if (entry->doubt == DOUBT_UNTIL_RESET) entry->doubt = DOUBT_UNTIL_MARK;
    writer_reset(&entry->writer);
    order(owner, KEEPER_RESET, NULL, 0, NULL, 0, 0);
}

static void on_settings(void *owner, const char *text, size_t size)
{
    struct index_entry *entry = owner;
    const struct indexes_options *options = &entry->indexes->options;
    if (!writer_settings(&entry->writer, text, size)) return;
    order(owner, KEEPER_SETTINGS, NULL, 0, text, size, 0);
    if (options->told) options->told(options->owner, entry->name, text, size);
}

static void on_put(void *owner, const char *id, size_t id_size, const char *record, size_t size)
{
    order(owner, KEEPER_PUT, id, id_size, record, size, 0);
}

static void on_drop(void *owner, const char *id, size_t id_size)
{
    order(owner, KEEPER_DROP, id, id_size, NULL, 0, 0);
}

static void on_caught_up(void *owner, uint64_t version)
{
    struct index_entry *entry = owner;
    if (!writer_caught_up(&entry->writer)) return;
    const char *token = follower_token(entry->follower);
    bool has_all = writer_wants(&entry->writer);
    order(owner, KEEPER_MARK, NULL, 0, has_all ? token : NULL, has_all ? strlen(token) : 0,
          version);
    start_slice(owner);
}

static bool wants(void *owner)
{
    const struct index_entry *entry = owner;
    return writer_wants(&entry->writer);
}

static bool is_full(void *owner)
{
    struct index_entry *entry = owner;
    start_slice(entry);
    return entry->waiting.bytes > INDEXES_ORDERS_BYTES;
}

static const struct follower_sink sink = {
    .reset = on_reset,
    .settings = on_settings,
    .put = on_put,
    .drop = on_drop,
    .caught_up = on_caught_up,
    .wants = wants,
    .is_full = is_full,
};

// ---- the worker --------------------------------------------------------------------------------

static void on_slice(void *argument)
{
    struct index_entry *entry = argument;
    keeper_work(&entry->keeper, &entry->orders, SLICE_MS * CLOCK_MS);
}

static void after_slice(void *argument)
{
    struct index_entry *entry = argument;
    entry->at_work = false;
    entry->jobs--;
    entry->restless = entry->keeper.restless;
    entry->version = entry->keeper.version;
    // A mark is the end of what the follower has told: with nothing left it has been reached.
    if (!entry->orders.first && !entry->keeper.is_reset) {
        entry->is_known = true;
        entry->gone = !entry->keeper.corpus;
        corpus_status(entry->keeper.corpus, &entry->status);
        if (!entry->waiting.first) writer_settle(&entry->writer);
        if (entry->doubt == DOUBT_UNTIL_MARK && !entry->waiting.first) {
            entry->doubt = DOUBT_NONE;
            entry->removed = false;
        }
    }
    if (entry->version > 0) entry->is_known = true;
    if (entry->indexes->stopped) return;
    start_slice(entry);
    serve(entry);
}

// ---- questions ---------------------------------------------------------------------------------

static void unlink_ticket(struct indexes_ticket *ticket)
{
    ticket->previous->next = ticket->next;
    ticket->next->previous = ticket->previous;
    ticket->entry->ticket_count--;
}

static void end_ticket(struct indexes_ticket *ticket, enum err err, uint64_t version)
{
    struct indexes_question question = ticket->question;
    bool dropped = ticket->dropped;
    void (*gone)(void *argument) = ticket->gone;
    unlink_ticket(ticket);
    mem_free(ticket);
    if (!dropped)
        question.done(question.argument, err, version);
    else if (gone)
        gone(question.argument);
}

static void on_work(void *argument)
{
    struct indexes_ticket *ticket = argument;
    struct keeper *keeper = &ticket->entry->keeper;
    ticket->version = keeper->version;
    if (!keeper->corpus) {
        ticket->err = err_note(ERR_NOT_FOUND, "there is no such index");
    } else {
        ticket->err =
            ticket->question.work(ticket->question.argument, keeper->corpus, keeper->version);
    }
    if (ticket->err) snprintf(ticket->note, sizeof ticket->note, "%s", err_text());
}

static void after_work(void *argument)
{
    struct indexes_ticket *ticket = argument;
    enum err err = ticket->err;
    ticket->entry->jobs--;
    if (err) (err_note)(err, "%s", ticket->note);
    end_ticket(ticket, err, ticket->version);
}

static void refuse(struct indexes_ticket *ticket, enum err err, const char *note)
{
    (err_note)(err, "%s", note);
    end_ticket(ticket, err, 0);
}

/* False: the workers' queue is full. */
static bool start_work(struct indexes_ticket *ticket)
{
    struct index_entry *entry = ticket->entry;
    ticket->at_work = true;
    ticket->err = ERR_CANCELED; // until it was worked
    if (submit(entry, on_work, after_work, ticket)) return true;
    ticket->at_work = false;
    return false;
}

/* Its version can be believed, and that there is none. */
static bool is_sure(const struct index_entry *entry)
{
    return entry->is_known && entry->doubt == DOUBT_NONE;
}

static bool is_whole(const struct index_entry *entry)
{
    return is_sure(entry) && !entry->gone;
}

/* It has the version that is asked for, or a later one. */
static bool has_version(const struct index_entry *entry, uint64_t version)
{
    return is_whole(entry) && entry->version > 0 && entry->version >= version;
}

/* Ask now, if it can be, or say that it cannot. */
static void serve_ticket(struct indexes_ticket *ticket, uint64_t now_ns)
{
    struct index_entry *entry = ticket->entry;
    if (ticket->at_work) return;
    // What was just written may have been looked for just before.
    bool is_late = entry->written_ns > 0 && now_ns - entry->written_ns < LATE_MS * CLOCK_MS;
    bool is_gone = entry->removed || (is_sure(entry) && entry->gone && !is_late);
    if (is_gone && ticket->question.version == 0) {
        refuse(ticket, ERR_NOT_FOUND, "there is no such index");
    } else if (has_version(entry, ticket->question.version)) {
        if (!ticket->question.work)
            end_ticket(ticket, ERR_OK, entry->version);
        else if (!start_work(ticket))
            refuse(ticket, ERR_BUSY, "too much waits for the workers");
    } else if (now_ns >= ticket->question.deadline_ns) {
        refuse(ticket, ERR_UNAVAILABLE,
               has_version(entry, 0)
                   ? "the index has not reached the version that was asked for yet"
                   : "the index is being read, and not whole yet");
    }
}

static void serve(struct index_entry *entry)
{
    uint64_t now_ns = clock_now_ns();
    struct indexes_ticket *next;
    for (struct indexes_ticket *at = entry->tickets.next; at != &entry->tickets; at = next) {
        next = at->next;
        serve_ticket(at, now_ns);
    }
}

// ---- entries -----------------------------------------------------------------------------------

static struct index_entry *find(const struct indexes *indexes, const char *name)
{
    struct index_entry *entry = indexes->entries;
    while (entry && strcmp(entry->name, name) != 0)
        entry = entry->next;
    return entry;
}

/* NULL: there are INDEXES_MAX. */
static struct index_entry *open_entry(struct indexes *indexes, const char *name)
{
    struct index_entry *entry = find(indexes, name);
    if (entry || indexes->count == INDEXES_MAX) return entry;
    entry = mem_new(1, sizeof *entry);
    entry->indexes = indexes;
    snprintf(entry->name, sizeof entry->name, "%s", name);
    entry->lane = indexes->lanes++;
    entry->keeper.tools = indexes->options.tools;
    entry->keeper.place = redisearch_find(&indexes->options.places, name);
    keeper_orders_init(&entry->waiting);
    keeper_orders_init(&entry->orders);
    entry->tickets.next = entry->tickets.previous = &entry->tickets;
    entry->follower = follower_new(indexes->options.collections, name, &sink, entry);
    writer_init(&entry->writer, collections_store(indexes->options.collections), entry->name,
                entry->follower);
    entry->next = indexes->entries;
    indexes->entries = entry;
    indexes->count++;
    return entry;
}

static void free_entry(struct index_entry *entry)
{
    writer_fini(&entry->writer);
    follower_free(entry->follower);
    keeper_orders_free(&entry->waiting);
    keeper_orders_free(&entry->orders);
    keeper_fini(&entry->keeper);
    mem_free(entry);
}

/* An index that is gone, and of which nobody wants anything any more. */
static void sweep(struct indexes *indexes)
{
    struct index_entry **at = &indexes->entries;
    while (*at) {
        struct index_entry *entry = *at;
        bool idle = is_sure(entry) && entry->gone && entry->jobs == 0 && !entry->restless &&
                    !entry->waiting.first && !entry->orders.first && entry->ticket_count == 0;
        if (!idle) {
            at = &entry->next;
            continue;
        }
        *at = entry->next;
        indexes->count--;
        free_entry(entry);
    }
}

static void on_list(void *argument, enum err err, const char *const *names, size_t count)
{
    struct indexes *indexes = argument;
    indexes->listing = false;
    if (indexes->is_over) {
        mem_free(indexes);
        return;
    }
    if (err || indexes->stopped) return;
    for (size_t i = 0; i < count; i++)
        if (strncmp(names[i], PREFIX, sizeof PREFIX - 1) == 0) (void)open_entry(indexes, names[i]);
}

static void on_tick(evutil_socket_t fd, short what, void *argument)
{
    struct indexes *indexes = argument;
    uint64_t now_ns = clock_now_ns();
    (void)fd, (void)what;
    for (struct index_entry *entry = indexes->entries; entry; entry = entry->next) {
        writer_tick(&entry->writer, &entry->status, now_ns);
        start_slice(entry);
        if (entry->ticket_count > 0) serve(entry);
    }
    sweep(indexes);
    if (indexes->listing || now_ns < indexes->list_ns) return;
    indexes->listing = true;
    indexes->list_ns = now_ns + LIST_MS * CLOCK_MS;
    collections_list(indexes->options.collections, on_list, indexes);
}

struct indexes_ticket *indexes_ask(struct indexes *indexes, const struct indexes_question *question)
{
    struct index_entry *entry = open_entry(indexes, question->collection);
    if (!entry) {
        err_note(ERR_BUSY, "this scheduler holds %d indexes, its most", INDEXES_MAX);
        return NULL;
    }
    if (entry->ticket_count == INDEXES_WAITING_MAX) {
        err_note(ERR_BUSY, "%d searches of this index wait already", INDEXES_WAITING_MAX);
        return NULL;
    }
    struct indexes_ticket *ticket = mem_new(1, sizeof *ticket);
    ticket->entry = entry;
    ticket->question = *question;
    ticket->question.collection = entry->name;
    ticket->next = &entry->tickets;
    ticket->previous = entry->tickets.previous;
    ticket->previous->next = entry->tickets.previous = ticket;
    entry->ticket_count++;
    bool is_ready = has_version(entry, question->version);
    // Others, and those whom the workers have no room for, wait for a slice or the tick.
    if (is_ready && question->work) (void)start_work(ticket);
    return ticket;
}

void indexes_drop(struct indexes_ticket *ticket, void (*gone)(void *argument))
{
    ticket->dropped = true;
    ticket->gone = gone;
    if (!ticket->at_work) end_ticket(ticket, ERR_CANCELED, 0);
}

void indexes_kick(struct indexes *indexes, const char *collection)
{
    struct index_entry *entry = indexes ? find(indexes, collection) : NULL;
    if (!indexes) return;
    if (!entry) entry = open_entry(indexes, collection);
    if (!entry) return;
    if (entry->gone) entry->is_known = false; // it may be there again
    entry->removed = false;
    entry->written_ns = clock_now_ns();
    follower_kick(entry->follower);
}

void indexes_forget(struct indexes *indexes, const char *collection)
{
    struct index_entry *entry = indexes ? find(indexes, collection) : NULL;
    if (!entry) return;
    entry->removed = true;
    entry->written_ns = 0;
    entry->doubt = DOUBT_UNTIL_RESET;
    follower_kick(entry->follower);
    serve(entry);
}

bool indexes_have_place(const struct indexes *indexes, const char *collection)
{
    return redisearch_find(&indexes->options.places, collection) != NULL;
}

size_t indexes_count(const struct indexes *indexes)
{
    return indexes->count;
}

// ---- life --------------------------------------------------------------------------------------

struct indexes *indexes_new(const struct indexes_options *options)
{
    struct indexes *indexes = mem_new(1, sizeof *indexes);
    struct timeval period = {.tv_usec = TICK_MS * 1000};
    indexes->options = *options;
    indexes->timer = event_new(options->base, -1, EV_PERSIST, on_tick, indexes);
    must(indexes->timer && event_add(indexes->timer, &period) == 0);
    return indexes;
}

void indexes_stop(struct indexes *indexes)
{
    if (!indexes) return;
    indexes->stopped = true;
    event_del(indexes->timer);
}

void indexes_free(struct indexes *indexes)
{
    if (!indexes) return;
    while (indexes->entries) {
        struct index_entry *entry = indexes->entries;
        indexes->entries = entry->next;
        while (entry->tickets.next != &entry->tickets)
            refuse(entry->tickets.next, ERR_CANCELED, "the scheduler ends");
        free_entry(entry);
    }
    event_free(indexes->timer);
    indexes->is_over = true;
    if (!indexes->listing) mem_free(indexes);
}
