#include "scheduler/door/shortlist.h"

#include "scheduler/core/flight.h"
#include "scheduler/core/slices.h"
#include "scheduler/door/context.h"
#include "scheduler/door/door.h"
#include "scheduler/door/govern.h"
#include "scheduler/door/keys.h"
#include "scheduler/features/sold.h"
#include "scheduler/settings.h"
#include "scheduler/uplink.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/must.h"

#include <stdio.h>
#include <string.h>

/* One slice, or all, as one node ranks it. */
struct part {
    struct shortlist *shortlist;
    uint64_t flight;
    bool in_air, with_bits;
    int32_t *rows; // [count]
    float *scores;
    size_t count;
};

struct shortlist {
    struct door *door;
    struct shortlist_ask ask;
    uint64_t deadline_ns;
    shortlist_fn *done;
    void *argument;
    struct part parts[SLICES_MAX];
    size_t part_count, left;
    struct part reasons; // of a list that was put together
    struct sold *listed; // its rows, as a bitmap
    float *weights;      // [weight_count]
    size_t weight_count;
    uint64_t heard_ns;
};

static void recall(struct shortlist *s, struct part *part)
{
    if (part->in_air) flight_cancel(s->door->flights, part->flight, clock_now_ns());
    part->in_air = false;
}

static void free_part(struct part *part)
{
    mem_free(part->rows);
    mem_free(part->scores);
}

void shortlist_cancel(struct shortlist *s)
{
    for (size_t i = 0; i < s->part_count; i++) {
        recall(s, &s->parts[i]);
        free_part(&s->parts[i]);
    }
    recall(s, &s->reasons);
    free_part(&s->reasons);
    sold_release(s->ask.sold);
    sold_release(s->listed);
    mem_free(s->weights);
    mem_free(s);
}

static void finish(struct shortlist *s, const struct shortlist_answer *answer)
{
    shortlist_fn *done = s->done;
    void *argument = s->argument;
    s->done = NULL;
    done(argument, answer);
    shortlist_cancel(s);
}

static void fail(struct shortlist *s, enum err err, const char *note, uint32_t retry_ms)
{
    finish(s, &(struct shortlist_answer){.err = err, .note = note, .retry_ms = retry_ms});
}

// ---- asking ------------------------------------------------------------------------------------

static void fill_order(const struct shortlist *s, const struct part *part,
                       struct flight_order *order)
{
    const struct shortlist_ask *ask = &s->ask;
    size_t most = ask->model.context_length,
           newest = ask->seen_count < most ? ask->seen_count : most;
    bool reasons = part == &s->reasons;
    const struct sold *sold = reasons ? s->listed : ask->sold;
    *order = (struct flight_order){.kind = WIRE_RECOMMEND,
                                   .model = ask->model.model,
                                   .adapter = ask->model.adapter,
                                   .numerics = ask->model.numerics,
                                   .ids = ask->seen + (ask->seen_count - newest),
                                   .id_count = newest,
                                   .top_count = ask->count,
                                   .explain = ask->explain && (reasons || s->part_count == 1),
                                   .sampling = {.top_p = 1, .repetition_penalty = 1},
                                   .tenant = ask->context->tenant_tag,
                                   .tenant_weight = ask->context->key->weight,
                                   .priority = ask->context->key->priority,
                                   .deadline_ns = s->deadline_ns};
    govern_place(ask->context, order);
    if (!reasons) {
        struct slice slice =
            slices_at(ask->model.vocab_size, s->part_count, (size_t)(part - s->parts));
        order->row_begin = slice.begin;
        order->row_end = slice.end;
    }
    if (ask->exclude_seen && !reasons) {
        order->excluded = ask->seen;
        order->excluded_count = ask->seen_count;
    }
    if (!sold) return;
    order->filter = sold->digest;
    if (!part->with_bits) return;
    order->filter_bits = sold->bits;
    order->filter_size = sold->size;
}

static void on_whole(void *argument, const struct flight_whole *whole);
static void on_end(void *argument, const struct flight_end *end);

static enum err fly(struct shortlist *s, struct part *part)
{
    static const struct flight_events events = {.end = on_end, .whole = on_whole};
    struct flight_order order;
    fill_order(s, part, &order);
    TRY(flight_start(s->door->flights, &order, &events, part, clock_now_ns(), &part->flight));
    part->in_air = true;
    return ERR_OK;
}

// ---- hearing -----------------------------------------------------------------------------------

static void on_whole(void *argument, const struct flight_whole *whole)
{
    struct part *part = argument;
    struct shortlist *s = part->shortlist;
    size_t bytes = whole->id_count * sizeof *part->scores;
    part->count = whole->scores ? whole->id_count : 0;
    part->rows = mem_new(part->count + 1, sizeof *part->rows);
    part->scores = mem_new(part->count + 1, sizeof *part->scores);
    if (part->count > 0) memcpy(part->rows, whole->ids, bytes);
    if (part->count > 0) memcpy(part->scores, whole->scores, bytes);
    s->heard_ns = uplink_heard_ns(s->door->uplink);
    if (whole->weight_count == 0 || whole->weight_count > s->ask.seen_count) return;
    s->weight_count = whole->weight_count;
    s->weights = mem_new(s->weight_count, sizeof *s->weights);
    memcpy(s->weights, whole->weights, s->weight_count * sizeof *s->weights);
}

static void tell(struct shortlist *s, const struct part *list)
{
    finish(s, &(struct shortlist_answer){.rows = list->rows,
                                         .scores = list->scores,
                                         .count = list->count,
                                         .weights = s->weights,
                                         .weight_count = s->weight_count,
                                         .heard_ns = s->heard_ns});
}

/* The whole list is known; which of the seen items weighed most in it, a node says that ranks its rows alone. */
static void ask_for_reasons(struct shortlist *s, const struct part *list)
{
    s->listed = sold_of_rows(list->rows, list->count, s->ask.model.vocab_size);
    s->reasons = (struct part){.shortlist = s, .with_bits = true};
    enum err err = fly(s, &s->reasons);
    if (err) fail(s, err, err_text(), flights_refusal_ms(s->door->flights));
}

static void put_together(struct shortlist *s)
{
    struct slices_list lists[SLICES_MAX];
    struct part all = {.shortlist = s};
    for (size_t i = 0; i < s->part_count; i++)
        lists[i] = (struct slices_list){s->parts[i].rows, s->parts[i].scores, s->parts[i].count};
    all.rows = mem_new(s->ask.count + 1, sizeof *all.rows);
    all.scores = mem_new(s->ask.count + 1, sizeof *all.scores);
    all.count = slices_merge(lists, s->part_count, s->ask.count, all.rows, all.scores);
    if (s->ask.explain && all.count > 0)
        ask_for_reasons(s, &all);
    else
        tell(s, &all);
    free_part(&all);
}

static void on_end(void *argument, const struct flight_end *end)
{
    struct part *part = argument;
    struct shortlist *s = part->shortlist;
    part->in_air = false;
    if (end->err == ERR_NOT_FOUND && !part->with_bits) { // the node does not have the bitmap
        part->with_bits = true;
        enum err err = fly(s, part);
        if (err) fail(s, err, err_text(), flights_refusal_ms(s->door->flights));
    } else if (end->err) {
        fail(s, end->err, end->note, end->retry_ms);
    } else if (part == &s->reasons || s->part_count == 1) {
        tell(s, part);
    } else if (--s->left == 0) {
        put_together(s);
    }
}

enum err shortlist_start(struct door *door, const struct shortlist_ask *ask, shortlist_fn *done,
                         void *argument, struct shortlist **out, uint32_t *retry_ms)
{
    struct shortlist *s = mem_new(1, sizeof *s);
    enum err err = ERR_OK;
    *s = (struct shortlist){.door = door, .ask = *ask, .done = done, .argument = argument};
    must(ask->seen_count > 0 && ask->count > 0);
    s->deadline_ns = clock_now_ns() + door->settings->deadline_ms * CLOCK_MS;
    s->part_count =
        slices_count(ask->model.vocab_size, door->settings->slice_rows, ask->model.node_count);
    s->left = s->part_count;
    for (size_t i = 0; i < s->part_count && !err; i++) {
        s->parts[i] = (struct part){.shortlist = s};
        err = fly(s, &s->parts[i]);
    }
    if (err) {
        *retry_ms = err == ERR_BUSY ? flights_refusal_ms(door->flights) : 0;
        shortlist_cancel(s);
        return err;
    }
    *out = s;
    return ERR_OK;
}
