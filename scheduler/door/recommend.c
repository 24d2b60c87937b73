#include "scheduler/door/recommend.h"

#include "scheduler/core/fleet.h"
#include "scheduler/door/choose.h"
#include "scheduler/door/context.h"
#include "scheduler/door/door.h"
#include "scheduler/door/govern.h"
#include "scheduler/door/http.h"
#include "scheduler/door/json.h"
#include "scheduler/door/quota.h"
#include "scheduler/door/receipts.h"
#include "scheduler/door/recommend_answer.h"
#include "scheduler/door/recommend_ask.h"
#include "scheduler/door/recommend_popular.h"
#include "scheduler/door/residence.h"
#include "scheduler/door/shortlist.h"
#include "scheduler/features/catalogue.h"
#include "scheduler/features/filter.h"
#include "scheduler/features/follower.h"
#include "scheduler/features/history.h"
#include "scheduler/features/popular.h"
#include "scheduler/features/sold.h"
#include "scheduler/lexicon.h"
#include "scheduler/policy/label.h"
#include "scheduler/settings.h"

#include "text/pack.h"
#include "text/rows.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/metric.h"

#include <string.h>

enum {
    REASONS_MAX = 3,
    CATALOGUE_WAIT_MS = 1000
};

struct recommend {
    struct door *door;
    struct http_request *request;
    const struct recommend_words *words;
    struct context context;
    struct governed governed;
    struct recommend_ask ask;
    struct lexicon_pack *pack;
    struct fleet_model model;
    struct catalogue *catalogue;
    struct follower_wait *wait; // for the catalogue
    struct quota quota;
    struct history_ticket *history;
    struct popular_ticket *popular;
    struct sold_ticket *sold;
    struct shortlist *shortlist;
    const char *basis;  // as in recommend_answer
    const char *metric; // the basis, but that cold is not popular
    json_t *looked;     // ids of what was seen, where the model knows none of them; NULL: nothing
    int32_t *seen;      // [seen_count] rows, the oldest first
    size_t seen_count;
    bool withheld;    // of the history, what another region does not let go
    uint64_t part_ns; // the part that runs began
};

static void finish(struct recommend *r)
{
    quota_settle(&r->quota, 1);
    if (r->pack) lexicon_release(r->pack);
    recommend_ask_fini(&r->ask);
    json_decref(r->looked);
    mem_free(r->seen);
    govern_drop(&r->governed);
    r->door->answers--;
    mem_free(r);
}

static void on_gone(void *argument)
{
    struct recommend *r = argument;
    if (r->shortlist) shortlist_cancel(r->shortlist);
    if (r->sold) sold_drop(r->sold);
    if (r->history) history_drop(r->history);
    if (r->popular) popular_drop(r->popular);
    if (r->wait) follower_leave(r->wait);
    finish(r);
}

static void fail_retry(struct recommend *r, enum err err, const char *code, uint32_t seconds)
{
    struct http_error error = {.err = err,
                               .message = err_text(),
                               .param = json_param(),
                               .code = code,
                               .retry_seconds = seconds};
    metric_add(r->door->metrics, M_recommendations_total, "failed", NULL, 1);
    r->words->refuse(r->request, &error);
    finish(r);
}

static uint32_t seconds_of(uint32_t ms)
{
    return ms / 1000 + (ms % 1000 != 0);
}

static void note_part(struct recommend *r, const char *part, uint64_t since_ns)
{
    metric_observe(r->door->metrics, M_recommendation_seconds, part, NULL,
                   (double)(clock_now_ns() - since_ns) / (double)CLOCK_SECOND);
}

static const struct rows *rows_of(const struct recommend *r)
{
    return lexicon_text(r->pack)->rows;
}

/* Is there a catalogue that says what there is to recommend? */
static bool has_catalogue(const struct recommend *r)
{
    return catalogue_count(r->catalogue) > 0;
}

// ---- the answer --------------------------------------------------------------------------------

/* The catalogue's item of this id; false: it is not there. */
static bool find_item(const struct recommend *r, const char *id, struct catalogue_item *item)
{
    if (strlen(id) > CATALOGUE_ID_MAX) return false;
    uint32_t row = catalogue_find(r->catalogue, id);
    return row != CATALOGUE_NONE && catalogue_item(r->catalogue, row, item);
}

static void entitle(const struct recommend *r, struct recommend_item *item)
{
    char id[CATALOGUE_ID_MAX + 1];
    struct catalogue_item found;
    if (item->size > CATALOGUE_ID_MAX) return;
    memcpy(id, recommend_item_id(item), item->size);
    id[item->size] = '\0';
    if (find_item(r, id, &found)) item->title = catalogue_title(&found, r->context.language);
}

static void reply(struct recommend *r, struct recommend_answer *answer)
{
    answer->basis = r->basis;
    answer->personalized = strcmp(r->basis, "history") == 0 || strcmp(r->basis, "session") == 0;
    answer->scenario = recommend_scenario_name(r->ask.scenario);
    answer->model = r->model.name;
    answer->withheld = r->withheld;
    if (r->governed.rules)
        answer->label = label_of_list(&r->governed.rules->labels, r->governed.language);
    if (r->ask.explain && !answer->reasons) answer->reasons = mem_new(1, sizeof *answer->reasons);
    for (size_t i = 0; i < answer->count; i++)
        entitle(r, &answer->items[i]);
    metric_add(r->door->metrics, M_recommendations_total, r->metric, NULL, 1);
    note_part(r, "all", http_arrival_ns(r->request));
    bool ranked = strcmp(r->basis, "popular") != 0;
    receipts_set_header(r->door, r->request, &r->governed, ranked ? &r->model.model : NULL);
    r->words->reply(r->request, answer);
    recommend_answer_fini(answer);
    finish(r);
}

// ---- for those whom nobody knows ---------------------------------------------------------------

static void on_popular(void *argument, enum err err, const char *const *items, size_t count)
{
    struct recommend *r = argument;
    struct recommend_answer answer = {0};
    struct recommend_popular want = {.catalogue = r->catalogue,
                                     .region = r->context.region,
                                     .filter = r->ask.filter,
                                     .without = r->ask.exclude_seen ? r->looked : NULL,
                                     .item = r->ask.item,
                                     .count = r->ask.count,
                                     .skip = r->ask.skip};
    r->popular = NULL;
    json_param_clear();
    if (err) {
        fail_retry(r, err, NULL, 1);
        return;
    }
    recommend_popular(&want, items, count, &answer);
    reply(r, &answer);
}

/* `metric`: why. */
static void ask_popular(struct recommend *r, const char *metric)
{
    r->basis = "popular";
    r->metric = metric;
    r->popular = popular_read(r->door->popular, r->context.key->tenant, r->context.region,
                              POPULAR_LIST_MAX, on_popular, r);
}

// ---- by the model ------------------------------------------------------------------------------

/* The seen items that weighed most. */
static void explain(const struct recommend *r, const struct shortlist_answer *list,
                    struct recommend_answer *answer)
{
    size_t first = r->seen_count - list->weight_count; // the weights are those of the newest
    answer->reasons = mem_new(REASONS_MAX, sizeof *answer->reasons);
    while (answer->reason_count < REASONS_MAX) {
        struct recommend_item *reason = &answer->reasons[answer->reason_count];
        float below = answer->reason_count ? reason[-1].score : 0;
        size_t best = list->weight_count;
        for (size_t i = 0; i < list->weight_count; i++) {
            float weight = list->weights[i];
            if (weight <= 0 || (answer->reason_count > 0 && weight >= below)) continue;
            if (best == list->weight_count || weight > list->weights[best]) best = i;
        }
        if (best == list->weight_count) return;
        recommend_item_name(reason, rows_of(r), r->seen[first + best]);
        reason->score = list->weights[best];
        reason->is_scored = true;
        answer->reason_count++;
    }
}

static void on_list(void *argument, const struct shortlist_answer *list)
{
    struct recommend *r = argument;
    struct recommend_answer answer = {0};
    r->shortlist = NULL;
    json_param_clear();
    if (list->err) {
        err_note(list->err, "%s", list->note);
        fail_retry(r, list->err, NULL, seconds_of(list->retry_ms));
        return;
    }
    note_part(r, "nodes", r->part_ns);
    for (size_t i = r->ask.skip; i < list->count; i++) {
        struct recommend_item *item = recommend_answer_add(&answer, NULL, 0);
        recommend_item_name(item, rows_of(r), list->rows[i]);
        item->score = list->scores[i];
        item->is_scored = true;
    }
    if (list->weight_count > 0 && list->weight_count <= r->seen_count) explain(r, list, &answer);
    reply(r, &answer);
}

/* `sold` is the list's from here on; NULL: any row may be recommended. */
static void ask_nodes(struct recommend *r, struct sold *sold)
{
    struct shortlist_ask ask = {.model = r->model,
                                .context = &r->context,
                                .seen = r->seen,
                                .seen_count = r->seen_count,
                                .count = r->ask.count,
                                .exclude_seen = r->ask.exclude_seen || r->ask.item,
                                .explain = r->ask.explain,
                                .sold = sold};
    uint32_t retry_ms = 0;
    json_param_clear();
    r->part_ns = clock_now_ns();
    enum err err = shortlist_start(r->door, &ask, on_list, r, &r->shortlist, &retry_ms);
    if (err) fail_retry(r, err, NULL, seconds_of(retry_ms));
}

static void on_sold(void *argument, struct sold *sold)
{
    struct recommend *r = argument;
    r->sold = NULL;
    note_part(r, "filter", r->part_ns);
    ask_nodes(r, sold);
}

static void recommend_by_model(struct recommend *r)
{
    struct sold *sold = NULL;
    r->metric = r->basis;
    if (!r->ask.filter && (!rows_of(r) || !has_catalogue(r))) {
        ask_nodes(r, NULL);
        return;
    }
    struct sold_want want = {r->catalogue, r->context.region,   &r->model.model,
                             rows_of(r),   r->model.vocab_size, r->ask.filter};
    json_param_clear();
    r->part_ns = clock_now_ns();
    enum err err = solds_find(r->door->solds, &want, on_sold, r, &sold, &r->sold);
    if (err)
        fail_retry(r, err, NULL, 1);
    else if (sold)
        ask_nodes(r, sold);
}

// ---- what was seen -----------------------------------------------------------------------------

/* Items that the model does not know tell it nothing; row 0 is padding. */
static void see(struct recommend *r, const char *id)
{
    int32_t row = rows_find(rows_of(r), id, strlen(id), r->model.vocab_size);
    if (row > 0) r->seen[r->seen_count++] = row;
}

static void recommend_seen(struct recommend *r, const char *basis)
{
    r->basis = basis;
    if (r->seen_count > 0)
        recommend_by_model(r);
    else
        ask_popular(r, "cold");
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
    note_part(r, "history", r->part_ns);
    if (!history->allowed) {
        ask_popular(r, "popular");
        return;
    }
    r->withheld = history->withheld > 0;
    r->seen = mem_new(history->count + 1, sizeof *r->seen);
    for (size_t i = 0; i < history->count; i++)
        if (history->events[i].item) see(r, history->events[i].item);
    if (r->seen_count == 0) {
        r->looked = json_array();
        for (size_t i = 0; i < history->count; i++)
            if (history->events[i].item)
                json_array_append_new(r->looked, json_string(history->events[i].item));
    }
    recommend_seen(r, "history");
}

static void look(struct recommend *r)
{
    size_t count = json_array_size(r->ask.session);
    if (r->ask.scenario == RECOMMEND_POPULAR) {
        ask_popular(r, "popular");
    } else if (r->ask.item) {
        r->seen = mem_new(1, sizeof *r->seen);
        see(r, r->ask.item);
        recommend_seen(r, "item");
    } else if (count > 0) {
        r->looked = json_incref((json_t *)(uintptr_t)r->ask.session);
        r->seen = mem_new(count, sizeof *r->seen);
        for (size_t i = 0; i < count; i++)
            see(r, json_string_value(json_array_get(r->ask.session, i)));
        recommend_seen(r, "session");
    } else if (*r->context.user) {
        struct history_scope scope;
        residence_scope(&scope, r->door, r->context.key->tenant, r->context.region);
        r->part_ns = clock_now_ns();
        r->history = history_read(r->door->histories, r->context.key->tenant, r->context.user,
                                  CONSENT_RECOMMENDATIONS, &scope, on_history, r);
    } else {
        ask_popular(r, "popular");
    }
}

// ---- the question ------------------------------------------------------------------------------

static enum err hold_model(struct recommend *r, const char **code)
{
    struct chosen chosen;
    TRY(choose_and_hold(r->door, WIRE_RECOMMEND, r->ask.model, &chosen, code));
    r->pack = chosen.pack;
    r->model = chosen.model;
    return govern_model(r->door, &r->context, FEATURE_RECOMMENDATIONS, &r->model, code);
}

/* Of the scenario similar: the item's category is one more condition. */
static enum err stay_similar(struct recommend *r)
{
    struct catalogue_item item;
    if (r->ask.scenario != RECOMMEND_SIMILAR) return ERR_OK;
    if (!find_item(r, r->ask.item, &item)) return json_wrong("item", "is not in the catalogue");
    const char *category = json_string_value(json_object_get(item.document, "category"));
    if (category) return recommend_ask_within(&r->ask, category);
    return json_wrong("item", "has no category in the catalogue: nothing is known to be similar "
                              "to it");
}

static void on_catalogue(void *argument, enum err err)
{
    struct recommend *r = argument;
    r->wait = NULL;
    json_param_clear();
    err = err ? err_note(ERR_UNAVAILABLE, "the catalogue cannot be read now") : stay_similar(r);
    if (err)
        fail_retry(r, err, NULL, 1);
    else
        look(r);
}

/* Who does not know what is sold recommends nothing: a scheduler that has just started reads the catalogue first. */
static void open_catalogue(struct recommend *r)
{
    struct follower *follower = r->catalogue ? catalogue_follower(r->catalogue) : NULL;
    if (follower && !follower_is_whole(follower))
        r->wait = follower_await(follower, 0, CATALOGUE_WAIT_MS, on_catalogue, r);
    else
        on_catalogue(r, ERR_OK);
}

static void on_reserved(void *owner, enum err err, uint32_t max_tokens, uint32_t retry_seconds)
{
    struct recommend *r = owner;
    (void)max_tokens;
    if (err)
        fail_retry(r, err, NULL, retry_seconds);
    else
        open_catalogue(r);
}

void recommend_begin(struct door *door, struct http_request *request, const struct context *context,
                     struct recommend_ask *ask, const struct recommend_words *words)
{
    struct recommend *r = mem_new(1, sizeof *r);
    uint32_t tokens;
    const char *code = NULL;
    *r = (struct recommend){
        .door = door, .request = request, .words = words, .context = *context, .ask = *ask};
    *ask = (struct recommend_ask){0};
    r->quota = (struct quota){.door = door, .request = request, .context = &r->context};
    door->answers++;
    json_param_clear();
    enum err err = govern_admit(door, &r->context, FEATURE_RECOMMENDATIONS, &r->governed, &code);
    if (!err) err = hold_model(r, &code);
    r->catalogue = catalogue_of(door->catalogues, r->context.key->tenant);
    if (!err && !r->catalogue)
        err =
            err_note(ERR_BUSY, "this scheduler has the catalogues of %d tenants, and takes no more",
                     CATALOGUE_TENANTS_MAX);
    if (err) {
        fail_retry(r, err, code, 0);
        return;
    }
    http_set_gone(request, on_gone, r);
    struct quota_ask spend = {.prompt_tokens = 1, .choices = 1};
    if (!quota_reserve(&r->quota, &spend, on_reserved, r, &tokens)) open_catalogue(r);
}

static void reply_ours(struct http_request *request, const struct recommend_answer *answer)
{
    struct buf body = {0};
    recommend_answer_write(&body, answer);
    http_reply_json(request, 200, body.data, body.size);
    buf_fini(&body);
}

void recommend_post(struct door *door, struct http_request *request)
{
    static const struct recommend_words ours = {reply_ours, http_reply_error};
    struct context context;
    struct recommend_ask ask;
    size_t size;
    if (!door_admit(door, request, false, &context)) return;
    const char *body = http_body(request, &size);
    enum err err = recommend_ask_parse(&ask, body, size);
    if (!err && ask.user) err = context_set_user(&context, "user", ask.user);
    if (err)
        door_refuse(request, err);
    else
        recommend_begin(door, request, &context, &ask, &ours);
    recommend_ask_fini(&ask);
}
