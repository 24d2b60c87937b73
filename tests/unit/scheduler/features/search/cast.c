#include "scheduler/core/fleet.h"
#include "scheduler/core/flight.h"
#include "scheduler/features/collection.h"
#include "scheduler/lexicon.h"
#include "scheduler/scribe.h"
#include "scheduler/settings.h"
#include "scheduler/state/store.h"
#include "tests/support/redis.h"
#include "tests/test.h"
#include "tests/unit/scheduler/features/search/cast_parts.h"
#include "tests/unit/scheduler/state/store_loop.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/metric.h"
#include "base/must.h"

#include <event2/event.h>

#include <stdio.h>
#include <string.h>

enum {
    WAIT_MS = 60000
};

static struct test_redis redis;
static struct event *timer;
static char *settings;

struct event_base *cast_base;
struct store *cast_store;
struct collections *cast_collections;
struct cast_scheduler cast_schedulers[CAST_SCHEDULERS];

// ---- a scheduler -------------------------------------------------------------------------------

static void on_quarantine(void *owner, uint64_t link)
{
    (void)owner, (void)link;
    fail_msg("a node contradicted itself");
}

static size_t no_backlog(void *owner, uint64_t link)
{
    (void)owner, (void)link;
    return 0;
}

void cast_scheduler_up(size_t at)
{
    struct cast_scheduler *s = &cast_schedulers[at];
    *s = (struct cast_scheduler){.index = at, .up = true};
    s->store =
        store_new(cast_base, &(struct store_options){.host = redis.socket, .timeout_ms = 2000});
    s->collections = collections_new(cast_base, s->store);
    s->metrics = metrics_new(settings_metrics, METRIC_COUNT);
    s->fleet = fleet_new(&(struct fleet_options){.seed = at + 1});
    s->flights = flights_new(s->fleet, &(struct flights_seams){s, cast_send, on_quarantine}, 1024);
    s->scribe = scribe_new(cast_base, 1);
    s->lexicon = lexicon_new(&(struct lexicon_options){
        .scribe = s->scribe, .metrics = s->metrics, .owner = s, .send = cast_send});
    s->vectors = vectors_new(&(struct vectors_options){.base = cast_base,
                                                       .collections = s->collections,
                                                       .fleet = s->fleet,
                                                       .flights = s->flights,
                                                       .lexicon = s->lexicon,
                                                       .scribe = s->scribe,
                                                       .metrics = s->metrics,
                                                       .owner = s,
                                                       .send = cast_send,
                                                       .backlog = no_backlog});
    cast_introduce(s);
    if (settings) vectors_told(s->vectors, CAST_INDEX, settings, strlen(settings));
}

void cast_scheduler_down(size_t at)
{
    struct cast_scheduler *s = &cast_schedulers[at];
    if (!s->up) return;
    vectors_stop(s->vectors);
    s->up = false;
    scribe_free(s->scribe);
    vectors_free(s->vectors);
    assert_int_equal(flights_count(s->flights), 0);
    flights_free(s->flights);
    lexicon_free(s->lexicon);
    fleet_free(s->fleet);
    store_free(s->store);
    collections_free(s->collections);
    metrics_free(s->metrics);
}

struct vectors *cast_vectors(size_t scheduler)
{
    return cast_schedulers[scheduler].vectors;
}

void cast_tell(const char *text_of_settings)
{
    mem_free(settings);
    settings = mem_copy_text(text_of_settings);
    for (size_t i = 0; i < CAST_SCHEDULERS; i++)
        if (cast_schedulers[i].up)
            vectors_told(cast_schedulers[i].vectors, CAST_INDEX, settings,
                         settings ? strlen(settings) : 0);
}

// ---- the stage ---------------------------------------------------------------------------------

static void on_timer(evutil_socket_t fd, short what, void *argument)
{
    (void)fd, (void)what, (void)argument;
    cast_nodes_turn();
    for (size_t i = 0; i < CAST_SCHEDULERS; i++) {
        if (!cast_schedulers[i].up) continue;
        flights_tick(cast_schedulers[i].flights, clock_now_ns());
        lexicon_tick(cast_schedulers[i].lexicon, clock_now_ns());
    }
}

bool cast_start(void)
{
    struct timeval period = {.tv_usec = 1000};
    if (!store_loop_begin(&redis, &cast_base, &cast_store)) return false;
    cast_collections = collections_new(cast_base, cast_store);
    cast_nodes_begin();
    timer = event_new(cast_base, -1, EV_PERSIST, on_timer, NULL);
    must(timer && event_add(timer, &period) == 0);
    return true;
}

void cast_stop(void)
{
    if (!cast_base) return;
    for (size_t i = 0; i < CAST_SCHEDULERS; i++)
        cast_scheduler_down(i);
    event_free(timer);
    mem_free(settings);
    settings = NULL;
    collections_free(cast_collections);
    store_loop_end(cast_base, cast_store);
    cast_nodes_end();
    test_redis_stop(&redis);
    cast_base = NULL;
}

void cast_run(unsigned milliseconds)
{
    store_loop_run(cast_base, milliseconds);
}

static void on_written(void *argument, enum err err, uint64_t version)
{
    bool *done = argument;
    (void)version;
    assert_int_equal(err, ERR_OK);
    *done = true;
}

void cast_put(const char *id, const char *words)
{
    bool done = false;
    char record[256];
    unsigned char fate;
    snprintf(record, sizeof record, "{\"id\":\"%s\",\"text\":\"%s\"}", id, words ? words : "");
    struct collection_entry entry = {.id = id, .id_size = strlen(id)};
    if (words) {
        entry.record = record;
        entry.record_size = strlen(record);
    }
    struct collection_write write = {
        .name = CAST_INDEX, .entries = &entry, .count = 1, .fates = &fate};
    collection_write(cast_collections, &write, on_written, &done);
    store_loop_until(cast_base, &done);
}

static bool is_there(const struct cast_scheduler *scheduler, size_t vectors)
{
    struct vectors_status status;
    if (vectors_status(scheduler->vectors, CAST_INDEX, &status)) return false;
    return status.is_whole && status.vectors == vectors && status.shards_held == status.shards &&
           (status.shards == 0 || status.shards_version == status.version);
}

void cast_until(size_t vectors)
{
    for (unsigned waited = 0; waited < WAIT_MS; waited += 20) {
        bool all = true;
        for (size_t i = 0; i < CAST_SCHEDULERS; i++)
            all &= !cast_schedulers[i].up || is_there(&cast_schedulers[i], vectors);
        if (all) return;
        cast_run(20);
    }
    for (size_t i = 0; i < CAST_SCHEDULERS; i++) {
        struct vectors_status status;
        if (!cast_schedulers[i].up ||
            vectors_status(cast_schedulers[i].vectors, CAST_INDEX, &status))
            continue;
        print_message("scheduler %zu: whole %d, %zu vectors, %u of %u shards, %zu of %zu\n", i,
                      status.is_whole, (size_t)status.vectors, status.shards_held, status.shards,
                      (size_t)status.shards_version, (size_t)status.version);
    }
    fail_msg("%zu vectors are not everywhere", vectors);
}

struct asked {
    struct cast_answer *answer;
    bool done;
};

static void on_answer(void *argument, const struct vectors_answer *from)
{
    struct asked *asked = argument;
    struct cast_answer *answer = asked->answer;
    asked->done = true;
    answer->err = from->err;
    if (from->err) snprintf(answer->note, sizeof answer->note, "%s", err_text());
    answer->partial = from->partial;
    answer->count = from->count;
    for (size_t i = 0; i < from->count; i++) {
        snprintf(answer->ids[i], sizeof answer->ids[i], "%.*s", (int)from->hits[i].id_size,
                 from->hits[i].id);
        answer->scores[i] = from->hits[i].score;
    }
}

void cast_search(size_t scheduler, const float *vector, uint32_t top_count, const char *allowed,
                 struct cast_answer *answer)
{
    struct buf ids = {0};
    struct asked asked = {.answer = answer};
    struct vectors_ticket *ticket = NULL;
    struct vectors_query query = {.index = CAST_INDEX,
                                  .vector = vector,
                                  .size = CAST_SIZE,
                                  .top_count = top_count,
                                  .filtered = allowed != NULL,
                                  .tenant_weight = 1,
                                  .done = on_answer,
                                  .argument = &asked};
    for (const char *at = allowed; at && *at;) {
        size_t size = strcspn(at, " ");
        vectors_allow(&ids, at, size);
        at += size + (at[size] == ' ');
    }
    query.allowed = ids.data;
    query.allowed_size = ids.size;
    *answer = (struct cast_answer){0};
    answer->err = vectors_search(cast_schedulers[scheduler].vectors, &query, &ticket);
    if (answer->err) snprintf(answer->note, sizeof answer->note, "%s", err_text());
    bool started = answer->err == ERR_OK;
    must(started == (ticket != NULL)); // what was not started leaves nothing to cancel
    buf_fini(&ids);
    if (started) store_loop_until(cast_base, &asked.done);
}
