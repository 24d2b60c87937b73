#include "scheduler/door/recommend.h"

#include "scheduler/core/fleet.h"
#include "scheduler/core/flight.h"
#include "scheduler/door/choose.h"
#include "scheduler/door/context.h"
#include "scheduler/door/door.h"
#include "scheduler/door/http.h"
#include "scheduler/door/json.h"
#include "scheduler/door/quota.h"
#include "scheduler/door/recommend_ask.h"
#include "scheduler/features/catalogue.h"
#include "scheduler/features/events.h"
#include "scheduler/features/history.h"
#include "scheduler/features/popular.h"
#include "scheduler/features/sold.h"
#include "scheduler/lexicon.h"
#include "scheduler/settings.h"

#include "text/pack.h"
#include "text/rows.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/rand.h"

#include <inttypes.h>
#include <string.h>

enum {
    REASONS_MAX = 3
};

struct recommend {
    struct door *door;
    struct http_request *request;
    struct context context;
    struct recommend_ask ask;
    struct lexicon_pack *pack;
    struct fleet_model model;
    struct catalogue *catalogue; // NULL: too many tenants have one
    struct quota quota;
    struct history_ticket *history;
    struct popular_ticket *popular;
    uint64_t flight;
    bool in_air, with_bits;
    const char *basis; // "history", "session", "popular"
    int32_t *seen;     // [seen_count] rows, the oldest first
    size_t seen_count;
    struct buf data, because; // members of the answer's lists
};

static void finish(struct recommend *r)
{
    quota_settle(&r->quota, 1);
    if (r->pack) lexicon_release(r->pack);
    recommend_ask_fini(&r->ask);
    buf_fini(&r->data);
    buf_fini(&r->because);
    mem_free(r->seen);
    r->door->answers--;
    mem_free(r);
}

static void on_gone(void *argument)
{
    struct recommend *r = argument;
    if (r->in_air) flight_cancel(r->door->flights, r->flight, clock_now_ns());
    if (r->history) history_drop(r->history);
    if (r->popular) popular_drop(r->popular);
    finish(r);
}

static void fail(struct recommend *r, const struct http_error *error)
{
    http_reply_error(r->request, error);
    finish(r);
}

static void fail_retry(struct recommend *r, enum err err, const char *code, uint32_t seconds)
{
    fail(r, &(struct http_error){.err = err,
                                 .message = err_text(),
                                 .param = json_param(),
                                 .code = code,
                                 .retry_seconds = seconds});
}

// ---- the answer --------------------------------------------------------------------------------

/* The catalogue's item of this id; false: it is not there. */
static bool find_item(const struct recommend *r, const char *id, size_t size,
                      struct catalogue_item *item)
{
    char text[CATALOGUE_ID_MAX + 1];
    if (!r->catalogue || size > CATALOGUE_ID_MAX) return false;
    memcpy(text, id, size);
    text[size] = '\0';
    uint32_t row = catalogue_find(r->catalogue, text);
    return row != CATALOGUE_NONE && catalogue_item(r->catalogue, row, item);
}

static void add_item(struct recommend *r, const char *id, size_t size, const float *score)
{
    struct catalogue_item item;
    const char *title = NULL;
    buf_add_text(&r->data, r->data.size ? ",{\"item\":" : "{\"item\":");
    json_write_text(&r->data, id, size);
    if (score) buf_addf(&r->data, ",\"score\":%.6g", (double)*score);
    if (find_item(r, id, size, &item)) title = catalogue_title(&item, r->context.language);
    if (title) {
        buf_add_text(&r->data, ",\"title\":");
        json_write_string(&r->data, title);
    }
    buf_add_byte(&r->data, '}');
}

static void reply(struct recommend *r)
{
    struct buf body = {0};
    bool personal = strcmp(r->basis, "popular") != 0;
    buf_addf(&body,
             "{\"object\":\"recommendations\",\"recommendation_id\":\"rec-%016" PRIx64 "%016" PRIx64
             "\",\"personalized\":%s,\"basis\":\"%s\",\"scenario\":",
             rand_entropy(), rand_entropy(), personal ? "true" : "false", r->basis);
    json_write_string(&body, r->ask.scenario);
    buf_add_text(&body, ",\"model\":");
    json_write_string(&body, r->model.name);
    buf_addf(&body, ",\"data\":[%s]", buf_text(&r->data));
    if (r->ask.explain) buf_addf(&body, ",\"because\":[%s]", buf_text(&r->because));
    buf_add_byte(&body, '}');
    http_reply_json(r->request, 200, body.data, body.size);
    buf_fini(&body);
    finish(r);
}

// ---- for those whom nobody knows ---------------------------------------------------------------

static bool was_seen(const struct recommend *r, const char *id)
{
    for (size_t i = 0; i < json_array_size(r->ask.session); i++)
        if (strcmp(json_string_value(json_array_get(r->ask.session, i)), id) == 0) return true;
    return false;
}

static void on_popular(void *argument, enum err err, const char *const *items, size_t count)
{
    struct recommend *r = argument;
    uint32_t left = r->ask.count;
    r->popular = NULL;
    if (err) {
        fail_retry(r, err, NULL, 1);
        return;
    }
    bool known = r->catalogue && catalogue_count(r->catalogue) > 0;
    for (size_t i = 0; i < count && left > 0; i++) {
        struct catalogue_item item;
        if (r->ask.exclude_seen && was_seen(r, items[i])) continue;
        if (known && (!find_item(r, items[i], strlen(items[i]), &item) ||
                      !catalogue_is_sold(&item, r->context.region)))
            continue;
        add_item(r, items[i], strlen(items[i]), NULL);
        left--;
    }
    reply(r);
}

static void recommend_popular(struct recommend *r)
{
    r->basis = "popular";
    r->popular = popular_read(r->door->popular, r->context.key->tenant, r->context.region,
                              POPULAR_LIST_MAX, on_popular, r);
}

// ---- by the model ------------------------------------------------------------------------------

static void explain(struct recommend *r, const float *weights, size_t count)
{
    size_t first = r->seen_count - count; // the weights are those of the newest
    float below = 0;
    for (size_t reason = 0; reason < REASONS_MAX; reason++) {
        size_t best = count;
        for (size_t i = 0; i < count; i++) {
            if (weights[i] <= 0 || (reason > 0 && weights[i] >= below)) continue;
            if (best == count || weights[i] > weights[best]) best = i;
        }
        if (best == count) return;
        char number[ROWS_NUMBER_SIZE];
        size_t size;
        const char *id = rows_id(lexicon_text(r->pack)->rows, r->seen[first + best], number, &size);
        buf_add_text(&r->because, r->because.size ? ",{\"item\":" : "{\"item\":");
        json_write_text(&r->because, id, size);
        buf_addf(&r->because, ",\"weight\":%.6g}", (double)weights[best]);
        below = weights[best];
    }
}

static void on_whole(void *argument, const struct flight_whole *whole)
{
    struct recommend *r = argument;
    for (size_t i = 0; i < whole->id_count; i++) {
        char number[ROWS_NUMBER_SIZE];
        size_t size;
        const char *id = rows_id(lexicon_text(r->pack)->rows, whole->ids[i], number, &size);
        add_item(r, id, size, whole->scores ? &whole->scores[i] : NULL);
    }
    if (whole->weight_count <= r->seen_count) explain(r, whole->weights, whole->weight_count);
}

static void fly(struct recommend *r);

static void on_end(void *argument, const struct flight_end *end)
{
    struct recommend *r = argument;
    r->in_air = false;
    if (end->err == ERR_NOT_FOUND && !r->with_bits) { // the node does not have the bitmap
        r->with_bits = true;
        fly(r);
        return;
    }
    if (end->err) {
        json_param_clear();
        err_note(end->err, "%s", end->note);
        fail_retry(r, end->err, NULL, end->retry_ms / 1000 + (end->retry_ms % 1000 != 0));
        return;
    }
    reply(r);
}

static void fill_order(struct recommend *r, struct flight_order *order)
{
    const struct rows *rows = lexicon_text(r->pack)->rows;
    size_t most = r->model.context_length, newest = r->seen_count < most ? r->seen_count : most;
    *order = (struct flight_order){.kind = WIRE_RECOMMEND,
                                   .model = r->model.model,
                                   .adapter = r->model.adapter,
                                   .numerics = r->model.numerics,
                                   .ids = r->seen + (r->seen_count - newest),
                                   .id_count = newest,
                                   .top_count = r->ask.count,
                                   .explain = r->ask.explain,
                                   .sampling = {.top_p = 1, .repetition_penalty = 1},
                                   .tenant = r->context.tenant_tag,
                                   .tenant_weight = r->context.key->weight,
                                   .priority = r->context.key->priority,
                                   .deadline_ns =
                                       clock_now_ns() + r->door->settings->deadline_ms * CLOCK_MS};
    if (r->ask.exclude_seen) {
        order->excluded = r->seen;
        order->excluded_count = r->seen_count;
    }
    // Rows that have no names are in no catalogue.
    if (!rows || !r->catalogue || catalogue_count(r->catalogue) == 0) return;
    struct sold sold = solds_of(r->door->solds, r->catalogue, r->context.region, &r->model.model,
                                rows, r->model.vocab_size);
    order->filter = sold.digest;
    if (!r->with_bits) return;
    order->filter_bits = sold.bits;
    order->filter_size = sold.size;
}

static void fly(struct recommend *r)
{
    static const struct flight_events events = {.end = on_end, .whole = on_whole};
    struct flight_order order;
    fill_order(r, &order);
    json_param_clear();
    enum err err = flight_start(r->door->flights, &order, &events, r, clock_now_ns(), &r->flight);
    if (!err) {
        r->in_air = true;
        return;
    }
    uint32_t ms = err == ERR_BUSY ? flights_refusal_ms(r->door->flights) : 0;
    fail_retry(r, err, NULL, ms / 1000 + (ms % 1000 != 0));
}

// ---- what was seen -----------------------------------------------------------------------------

/* Items that the model does not know tell it nothing; row 0 is padding. */
static void see(struct recommend *r, const char *id)
{
    int32_t row = rows_find(lexicon_text(r->pack)->rows, id, strlen(id), r->model.vocab_size);
    if (row > 0) r->seen[r->seen_count++] = row;
}

static void on_history(void *argument, enum err err, const struct history *history)
{
    struct recommend *r = argument;
    r->history = NULL;
    json_param_clear();
    if (err) {
        fail_retry(r, err, NULL, 1);
        return;
    }
    r->seen = mem_new(history->count + 1, sizeof *r->seen);
    for (size_t i = 0; i < history->count; i++)
        if (history->events[i].item) see(r, history->events[i].item);
    r->basis = "history";
    if (r->seen_count > 0)
        fly(r);
    else
        recommend_popular(r);
}

static void look(struct recommend *r)
{
    size_t count = json_array_size(r->ask.session);
    if (count > 0) {
        r->seen = mem_new(count, sizeof *r->seen);
        for (size_t i = 0; i < count; i++)
            see(r, json_string_value(json_array_get(r->ask.session, i)));
        r->basis = "session";
        if (r->seen_count > 0)
            fly(r);
        else
            recommend_popular(r);
        return;
    }
    if (*r->context.user)
        r->history = history_read(r->door->histories, r->context.key->tenant, r->context.user,
                                  CONSENT_RECOMMENDATIONS, on_history, r);
    else
        recommend_popular(r);
}

static void on_reserved(void *owner, enum err err, uint32_t max_tokens, uint32_t retry_seconds)
{
    struct recommend *r = owner;
    (void)max_tokens;
    if (err)
        fail_retry(r, err, NULL, retry_seconds);
    else
        look(r);
}

// ---- the question ------------------------------------------------------------------------------

static enum err hold_model(struct recommend *r, const char **code)
{
    const struct fleet_model *model;
    TRY(choose_model_for(r->door, WIRE_RECOMMEND, r->ask.model, &model, code));
    TRY(lexicon_find(r->door->lexicon, &model->pack, &r->pack));
    lexicon_hold(r->pack);
    r->model = *model;
    return ERR_OK;
}

static enum err read_question(struct recommend *r)
{
    size_t size;
    const char *body = http_body(r->request, &size);
    json_param_clear();
    TRY(context_read(&r->context, r->door->keys, r->request));
    return recommend_ask_parse(&r->ask, body, size);
}

void recommend_post(struct door *door, struct http_request *request)
{
    struct recommend *r = mem_new(1, sizeof *r);
    uint32_t tokens;
    r->door = door;
    r->request = request;
    r->quota = (struct quota){.door = door, .request = request, .context = &r->context};
    door->answers++;
    const char *code = NULL;
    enum err err = read_question(r);
    if (!err) err = hold_model(r, &code);
    if (err) {
        fail_retry(r, err, code, 0);
        return;
    }
    r->catalogue = catalogue_of(door->catalogues, r->context.key->tenant);
    http_set_gone(request, on_gone, r);
    struct quota_ask ask = {.prompt_tokens = 1, .choices = 1};
    if (!quota_reserve(&r->quota, &ask, on_reserved, r, &tokens)) look(r);
}
