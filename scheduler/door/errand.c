#include "scheduler/door/errand.h"

#include "scheduler/core/flight.h"
#include "scheduler/door/choose.h"
#include "scheduler/door/context.h"
#include "scheduler/door/door.h"
#include "scheduler/door/errand_air.h"
#include "scheduler/door/govern.h"
#include "scheduler/door/http.h"
#include "scheduler/door/json.h"
#include "scheduler/door/prompt.h"
#include "scheduler/door/quota.h"
#include "scheduler/door/redaction.h"
#include "scheduler/door/salts.h"
#include "scheduler/lexicon.h"
#include "scheduler/scribe.h"

#include "text/pack.h"
#include "text/tokenizer.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/must.h"
#include "base/rand.h"

#include <event2/event.h>

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* Where a text lies in the errand's copy of them all, until it is ids. */
struct stretch {
    size_t at, size;
    bool is_text; // else its ids were given
};

enum item_state {
    ITEM_WAITS,
    ITEM_FLIES,
    ITEM_DONE
};

struct item {
    struct errand *errand;
    struct stretch stretch;
    struct token_ids ids; // of the text, cut
    size_t query_count;   // ids of the query that go before it
    uint64_t flight;
    enum item_state state;
    bool answered;
};

struct errand {
    struct errand_options options; // its lists are not read after errand_start()
    struct errands *all;
    struct errand_turn turn;
    struct chosen chosen; // held
    struct quota quota;
    struct event *later; // done comes from the loop alone
    struct buf texts;
    struct stretch query;
    struct token_ids query_ids;
    struct item *items;
    size_t count, next, done;
    float *numbers; // [count][width]
    uint64_t tokens, used;
    size_t refusals; // BUSY of nodes since the last answer
    bool works;      // a worker has it
    bool is_dropped; // errand_free() came meanwhile
    bool ended;
    enum err err;
    uint32_t retry_ms;
    char note[ERR_NOTE_MAX], param[JSON_PARAM_MAX];
};

// ---- ends --------------------------------------------------------------------------------------

/* Nothing of it is in the air any more. */
static void land(struct errand *e)
{
    uint64_t now_ns = clock_now_ns();
    errand_turn_end(e->all, &e->turn); // before the cancels: its places are others' now
    for (size_t i = 0; i < e->count; i++)
        if (e->items[i].state == ITEM_FLIES)
            flight_cancel(e->options.door->flights, e->items[i].flight, now_ns);
}

static void end(struct errand *e)
{
    e->ended = true;
    quota_settle(&e->quota, e->used);
    land(e);
    event_active(e->later, EV_TIMEOUT, 0);
}

/* With the note and the field of this thread's latest failure. */
static void fail(struct errand *e, enum err err, uint32_t retry_ms)
{
    e->err = err;
    e->retry_ms = retry_ms;
    snprintf(e->note, sizeof e->note, "%s", err_text());
    snprintf(e->param, sizeof e->param, "%s", json_param());
    end(e);
}

static void on_later(evutil_socket_t fd, short what, void *argument)
{
    struct errand *e = argument;
    (void)fd;
    (void)what;
    struct http_error error = {.err = e->err,
                               .message = e->note,
                               .param = e->param,
                               .retry_seconds = e->retry_ms / 1000 + (e->retry_ms % 1000 != 0)};
    e->options.done(e->options.owner, e->err ? &error : NULL); // `e` may be gone behind this
}

static void discard(struct errand *e)
{
    if (e->later) event_free(e->later);
    for (size_t i = 0; i < e->count; i++)
        token_ids_fini(&e->items[i].ids);
    token_ids_fini(&e->query_ids);
    errands_return(e->all, e->count * e->options.width);
    chosen_release(&e->chosen);
    buf_fini(&e->texts);
    mem_free(e->numbers);
    mem_free(e->items);
    mem_free(e);
}

void errand_free(struct errand *e)
{
    if (!e->ended) {
        quota_settle(&e->quota, e->used);
        land(e);
    }
    struct errands *all = e->all;
    e->is_dropped = true;
    if (!e->works) discard(e);
    errands_go(all);
}

// ---- flights -----------------------------------------------------------------------------------

/* The first `width` numbers, of unit length again if some of a vector were cut. */
static void on_whole(void *argument, const struct flight_whole *whole)
{
    struct item *item = argument;
    struct errand *e = item->errand;
    size_t width = e->options.width;
    float *numbers = e->numbers + (size_t)(item - e->items) * width;
    double sum = 0;
    if (whole->vector_size < width) return; // on_end() finds none
    for (size_t i = 0; i < width; i++) {
        if (!isfinite(whole->vector[i])) return;
        numbers[i] = whole->vector[i];
        sum += (double)numbers[i] * (double)numbers[i];
    }
    item->answered = true;
    if (whole->vector_size == width) return;
    for (size_t i = 0; sum > 0 && i < width; i++)
        numbers[i] = (float)((double)numbers[i] / sqrt(sum));
}

static size_t framed_size(const struct errand *e, const struct item *item)
{
    const struct tokenizer *tokenizer = lexicon_text(e->chosen.pack)->tokenizer;
    bool pair = e->options.kind == WIRE_SCORE;
    return item->query_count + item->ids.count + tokenizer_frame_size(tokenizer, pair);
}

static void on_end(void *argument, const struct flight_end *flight)
{
    struct item *item = argument;
    struct errand *e = item->errand;
    enum err err = flight->err;
    json_param_clear();
    errand_turn_landed(e->all, &e->turn);
    item->state = ITEM_DONE;
    if (err)
        err_note(err, "%s", flight->note ? flight->note : err_phrase(err));
    else if (!item->answered)
        err = err_note(ERR_UNAVAILABLE, "a node's answer is not the one that was asked for");
    if (err == ERR_BUSY && errands_in_air(e->all) > 0 && ++e->refusals <= ERRAND_AIR_MAX) {
        size_t index = (size_t)(item - e->items);
        item->state = ITEM_WAITS;
        if (index < e->next) e->next = index;
    } else if (err) {
        fail(e, err, flight->retry_ms);
    } else {
        e->refusals = 0;
        e->used += framed_size(e, item);
        token_ids_fini(&item->ids);
        if (++e->done == e->count) end(e);
    }
    errands_go(e->all);
}

static enum err start_flight(struct errand *e, struct item *item)
{
    static const struct flight_events events = {.end = on_end, .whole = on_whole};
    const struct errand_options *options = &e->options;
    const struct fleet_model *model = &e->chosen.model;
    bool pair = options->kind == WIRE_SCORE;
    struct token_ids framed = {0}, query = {.ids = e->query_ids.ids, .count = item->query_count};
    struct flight_order order = {
        .kind = options->kind,
        .model = model->model,
        .adapter = model->adapter,
        .numerics = model->numerics,
        .sampling = {.repetition_penalty = 1},
        .tenant = options->context->tenant_tag,
        .tenant_weight = options->context->key->weight,
        .priority = options->priority,
        .deadline_ns = options->deadline_ns,
    };
    govern_place(options->context, &order);
    // An encoder reads a text as a whole: nothing of it is cached.
    if (model->kinds & 1u << WIRE_GENERATE) salts_fill(options->door, options->context, 0, &order);
    for (size_t i = 0; i < sizeof order.trace; i += 8) {
        uint64_t bits = rand_entropy();
        memcpy(order.trace + i, &bits, 8);
    }
    tokenizer_frame(lexicon_text(e->chosen.pack)->tokenizer, pair ? &query : &item->ids,
                    pair ? &item->ids : NULL, &framed, &order.segment);
    order.ids = framed.ids;
    order.id_count = framed.count;
    enum err err =
        flight_start(options->door->flights, &order, &events, item, clock_now_ns(), &item->flight);
    token_ids_fini(&framed);
    return err;
}

/* A place in the air is this errand's. */
static enum errand_took take_turn(void *owner)
{
    struct errand *e = owner;
    while (e->next < e->count && e->items[e->next].state != ITEM_WAITS)
        e->next++;
    if (e->next == e->count) return ERRAND_TOOK_NOTHING;
    struct item *item = &e->items[e->next];
    json_param_clear();
    enum err err = start_flight(e, item);
    if (err == ERR_BUSY && errands_in_air(e->all) > 0) return ERRAND_TOOK_FULL;
    if (err) {
        fail(e, err, err == ERR_BUSY ? flights_refusal_ms(e->options.door->flights) : 0);
        return ERRAND_TOOK_NOTHING;
    }
    item->state = ITEM_FLIES;
    e->next++;
    return ERRAND_TOOK;
}

static void fly(struct errand *e)
{
    const struct fleet_model *model = &e->chosen.model;
    size_t nodes = model->node_count > 0 ? model->node_count : 1;
    e->turn = (struct errand_turn){.tag = e->options.context->tenant_tag,
                                   .model = &model->model,
                                   .most = ERRAND_AIR_MAX * nodes,
                                   .take = take_turn,
                                   .owner = e};
    errand_turn_begin(e->all, &e->turn);
    errands_go(e->all);
}

// ---- texts to ids ------------------------------------------------------------------------------

static enum err wrong_text(const struct errand *e, size_t index, enum err err, const char *what)
{
    char param[JSON_PARAM_MAX];
    snprintf(param, sizeof param, "%s[%zu]", e->options.list_name, index);
    json_wrong(param, "%s", what);
    return err == ERR_INVALID ? err : err_note(err, "%s %s", param, what);
}

/* What goes into the model of a text, or of the query and a text: the longer one is cut to the shorter, then both. */
static void fit(size_t *first, size_t *second, size_t room)
{
    size_t *less = *first > *second ? second : first, *more = less == first ? second : first;
    if (*first + *second <= room) return;
    if (*less > room / 2) *less = room / 2;
    *more = room - *less;
}

static enum err encode_text(const struct errand *e, const struct stretch *stretch,
                            struct token_ids *ids)
{
    const struct tokenizer *tokenizer = lexicon_text(e->chosen.pack)->tokenizer;
    if (!stretch->is_text) return ERR_OK;
    return tokenizer_encode(tokenizer, buf_text(&e->texts) + stretch->at, stretch->size, 0, ids);
}

static enum err encode_item(struct errand *e, size_t index)
{
    const struct errand_options *options = &e->options;
    struct item *item = &e->items[index];
    const struct tokenizer *tokenizer = lexicon_text(e->chosen.pack)->tokenizer;
    bool pair = options->kind == WIRE_SCORE;
    size_t context = e->chosen.model.context_length, marks = tokenizer_frame_size(tokenizer, pair);
    if (context <= marks + pair)
        return wrong_text(e, index, ERR_TOO_LONG, "has no room in this model");
    TRY(encode_text(e, &item->stretch, &item->ids));
    size_t *count = &item->ids.count, room = context - marks;
    if (options->text_tokens && *count > options->text_tokens) *count = options->text_tokens;
    item->query_count = e->query_ids.count;
    if (item->query_count + *count > room) {
        char what[192];
        snprintf(what, sizeof what, "has %zu tokens%s, but the model takes %zu: shorten it, or %s",
                 item->query_count + *count, pair ? " together with the query" : "", room,
                 options->cure);
        if (!options->truncate) return wrong_text(e, index, ERR_TOO_LONG, what);
        fit(&item->query_count, count, room);
    }
    size_t framed = framed_size(e, item);
    e->tokens += framed;
    return framed > 0 ? ERR_OK : wrong_text(e, index, ERR_INVALID, "is empty");
}

static void encode(void *argument)
{
    struct errand *e = argument;
    json_param_clear();
    e->err = encode_text(e, &e->query, &e->query_ids);
    for (size_t i = 0; !e->err && i < e->count; i++)
        e->err = encode_item(e, i);
    if (!e->err && e->tokens > UINT32_MAX)
        e->err = err_note(ERR_TOO_LONG, "the texts have too many tokens together");
    if (!e->err) return;
    snprintf(e->note, sizeof e->note, "%s", err_text());
    snprintf(e->param, sizeof e->param, "%s", json_param());
}

static void on_reserved(void *owner, enum err err, uint32_t max_tokens, uint32_t retry_seconds)
{
    struct errand *e = owner;
    (void)max_tokens;
    json_param_clear();
    if (err)
        fail(e, err, retry_seconds * 1000);
    else
        fly(e);
}

static void on_encoded(void *argument)
{
    struct errand *e = argument;
    uint32_t nothing;
    e->works = false;
    if (e->is_dropped) {
        discard(e);
        return;
    }
    buf_fini(&e->texts);
    if (e->err) {
        end(e);
        return;
    }
    struct quota_ask ask = {.prompt_tokens = (uint32_t)e->tokens, .choices = 1};
    if (e->options.is_free || !quota_reserve(&e->quota, &ask, on_reserved, e, &nothing)) fly(e);
}

// ---- the beginning -----------------------------------------------------------------------------

static void keep_text(struct errand *e, const struct errand_text *text, struct stretch *stretch,
                      struct token_ids *ids)
{
    *stretch = (struct stretch){.at = e->texts.size, .is_text = text->text != NULL};
    if (text->text) {
        redaction_add(e->options.door, e->options.context, text->text, text->size, &e->texts);
        stretch->size = e->texts.size - stretch->at;
    } else if (text->id_count > 0) {
        memcpy(token_ids_room(ids, text->id_count), text->ids, text->id_count * sizeof *text->ids);
        ids->count = text->id_count;
    }
}

static enum err check(const struct errand_options *options)
{
    must(options->count > 0 && options->width > 0);
    if (options->count > ERRAND_TEXTS_MAX)
        return json_wrong(options->list_name, "must be at most %d texts", ERRAND_TEXTS_MAX);
    if (options->count * options->width > ERRAND_NUMBERS_MAX)
        return json_wrong(options->list_name,
                          "must be at most %u texts where each is answered by %" PRIu32 " numbers",
                          ERRAND_NUMBERS_MAX / options->width, options->width);
    for (size_t i = 0; redaction_wants(options->context) && i < options->count; i++)
        if (!options->texts[i].text) return redaction_refuse_ids(options->list_name);
    json_param_clear();
    return errands_lend(options->door->errands, options->count * options->width);
}

enum err errand_start(struct errand **out, const struct errand_options *options)
{
    TRY(check(options));
    struct errand *e = mem_new(1, sizeof *e);
    *out = e;
    e->options = *options;
    e->all = options->door->errands;
    e->quota = (struct quota){
        .door = options->door, .request = options->request, .context = options->context};
    e->chosen = *options->chosen;
    lexicon_hold(e->chosen.pack);
    e->count = options->count;
    e->items = mem_new(e->count, sizeof *e->items);
    e->numbers = mem_new(e->count * options->width, sizeof *e->numbers);
    e->later = event_new(options->door->base, -1, 0, on_later, e);
    must(e->later != NULL);
    keep_text(e, &options->query, &e->query, &e->query_ids);
    for (size_t i = 0; i < e->count; i++) {
        e->items[i].errand = e;
        keep_text(e, &options->texts[i], &e->items[i].stretch, &e->items[i].ids);
    }
    e->err = ERR_UNAVAILABLE; // until a worker has done it
    snprintf(e->note, sizeof e->note, "the scheduler stops");
    bool is_long = e->texts.size > PROMPT_SHORT_MAX;
    e->works = is_long && scribe_submit(options->door->scribe, encode, on_encoded, e);
    if (e->works) return ERR_OK;
    json_param_clear();
    if (is_long) {
        fail(e, err_note(ERR_BUSY, "too many long texts wait to be tokenised"), 0);
        return ERR_OK;
    }
    encode(e);
    on_encoded(e);
    return ERR_OK;
}

const float *errand_numbers(const struct errand *e, size_t index)
{
    must(e->ended && !e->err && index < e->count);
    return e->numbers + index * e->options.width;
}

uint64_t errand_tokens(const struct errand *e)
{
    return e->tokens;
}
