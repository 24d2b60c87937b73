#include "tests/unit/scheduler/core/sky.h"

#include "tests/test.h"

#include <string.h>

struct fleet *fleet;
struct flights *flights;
struct sent sent[SKY_SENT_MAX];
size_t sent_count;
uint64_t refusing_link, quarantined;
struct seen seen;

static enum err fake_send(void *owner, uint64_t link, const struct wire_message *message,
                          bool urgent)
{
    (void)owner;
    assert_false(urgent);
    if (link == refusing_link) return err_note(ERR_BUSY, "full");
    assert_true(sent_count < SKY_SENT_MAX);
    struct sent *copy = &sent[sent_count++];
    *copy = (struct sent){.link = link, .type = message->type};
    if (message->type == WIRE_CANCEL) {
        copy->key = message->cancel.key;
        return ERR_OK;
    }
    assert_int_equal(message->type, WIRE_SUBMIT);
    copy->submit = message->submit;
    copy->key = message->submit.key;
    copy->id_count = message->submit.id_count;
    memcpy(copy->ids, message->submit.ids, copy->id_count * sizeof *copy->ids);
    return ERR_OK;
}

static void fake_quarantine(void *owner, uint64_t link)
{
    (void)owner;
    quarantined = link;
}

static void see_ids(void *argument, const struct flight_ids *ids)
{
    struct seen *who = argument;
    assert_int_equal(who->ends, 0);
    assert_int_equal(ids->position, 3 + who->count);
    assert_true(who->count + ids->count <= SKY_IDS_MAX);
    memcpy(who->ids + who->count, ids->ids, ids->count * sizeof *ids->ids);
    who->count += ids->count;
    if (who->cancel_at) flight_cancel(flights, who->cancel_at, 1);
}

static void see_whole(void *argument, const struct flight_whole *whole)
{
    struct seen *who = argument;
    assert_int_equal(who->ends, 0);
    assert_int_equal(whole->vector_size, 1);
    who->wholes++;
    who->value = whole->vector[0];
    if (who->cancel_at) flight_cancel(flights, who->cancel_at, 1);
}

static void see_end(void *argument, const struct flight_end *end)
{
    struct seen *who = argument;
    who->ends++;
    who->end = *end;
    snprintf(who->note, sizeof who->note, "%s", end->note ? end->note : "");
}

const struct flight_events sky_events = {see_ids, see_end, see_whole};
const int32_t sky_answer[] = {10, 11, 12, 13, 14, 15};

void given_node(uint64_t link, const char *name, uint32_t credits)
{
    struct wire_model model = {
        .name = {"m", 1}, .kinds = 2, .context_length = 100, .vocab_size = 9};
    model.model.bytes[0] = 1;
    struct wire_hello hello = {.protocol = WIRE_PROTOCOL,
                               .node = {name, strlen(name)},
                               .models = &model,
                               .model_count = 1,
                               .credits = credits,
                               .threads = 1};
    assert_int_equal(fleet_hello(fleet, link, &hello, 0), ERR_OK);
}

void lose(uint64_t link, uint64_t now_ns)
{
    fleet_down(fleet, link, now_ns);
    flights_node_lost(flights, link, now_ns);
}

int sky_set_up(void **state)
{
    (void)state;
    sent_count = 0;
    refusing_link = quarantined = 0;
    seen = (struct seen){0};
    fleet = fleet_new(&(struct fleet_options){.seed = 1});
    flights = flights_new(fleet, &(struct flights_seams){NULL, fake_send, fake_quarantine}, 3);
    return 0;
}

int sky_tear_down(void **state)
{
    (void)state;
    assert_int_equal(flights_count(flights), 0);
    for (size_t i = 0; i < fleet_node_count(fleet); i++) {
        assert_int_equal(fleet_node_at(fleet, i)->in_air, 0);
        assert_int_equal(fleet_node_at(fleet, i)->in_air_tokens, 0);
    }
    assert_true(flights_stats(flights)->started == flights_stats(flights)->ended);
    flights_free(flights);
    fleet_free(fleet);
    return 0;
}

struct flight_order given_order(void)
{
    static const int32_t prompt[] = {1, 2, 3}, stops[] = {99};
    struct flight_order order = {.ids = prompt,
                                 .id_count = 3,
                                 .choice = 2,
                                 .max_tokens = 5,
                                 .stop_ids = stops,
                                 .stop_id_count = 1,
                                 .sampling = {.repetition_penalty = 1.0f, .seed = 7},
                                 .salt = 11};
    order.model.bytes[0] = 1;
    return order;
}

uint64_t start(void)
{
    struct flight_order order = given_order();
    uint64_t flight = 0;
    enum err err = flight_start(flights, &order, &sky_events, &seen, 0, &flight);
    if (err != ERR_OK) fail_msg("%s", err_text());
    return flight;
}

const struct sent *last(enum wire_type type)
{
    assert_true(sent_count > 0);
    assert_int_equal(sent[sent_count - 1].type, type);
    return &sent[sent_count - 1];
}

/* The node of the attempt `to` gives ids from `position` on. */
void give(const struct sent *to, uint32_t position, const int32_t *ids, size_t count)
{
    struct wire_result result = {.key = to->key,
                                 .position = position,
                                 .ids = ids,
                                 .id_count = count,
                                 .cached_tokens = to->key.attempt == 0 ? 1 : 100};
    flights_result(flights, to->link, &result, 1);
}

void finish(const struct sent *to, enum wire_finish how, enum err err, uint32_t tokens)
{
    struct wire_done done = {.key = to->key,
                             .finish = how,
                             .err = err,
                             .note = {"because", 7},
                             .cached_tokens = to->key.attempt == 0 ? 2 : 100,
                             .completion_tokens = tokens};
    flights_done(flights, to->link, &done, 1);
}

void assert_ended(enum err err, size_t ids)
{
    assert_int_equal(seen.ends, 1);
    assert_int_equal(seen.end.err, err);
    assert_int_equal(seen.count, ids);
    assert_int_equal(seen.end.completion_tokens, ids);
    assert_int_equal(seen.end.prompt_tokens, 3);
}
