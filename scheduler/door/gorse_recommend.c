#include "scheduler/door/door.h"
#include "scheduler/door/gorse_internal.h"
#include "scheduler/door/http.h"
#include "scheduler/door/json.h"
#include "scheduler/door/recommend.h"
#include "scheduler/door/recommend_answer.h"
#include "scheduler/door/recommend_ask.h"
#include "scheduler/features/catalogue.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/must.h"

#include <event2/http.h>

#include <stdlib.h>
#include <string.h>

enum {
    ROWS_PRESET = 10
};

// ---- words -------------------------------------------------------------------------------------

/* Gorse's lists are bare, so what a region's rules want said beside one stands in a header: UTF-8, percent-encoded (RFC 3986, 2.1). */
static void tell_label(struct http_request *request, const struct recommend_answer *answer)
{
    if (!answer->label) return;
    char *text = evhttp_uriencode(answer->label, -1, 0);
    must(text != NULL);
    http_set_header(request, "X-Qiao-List-Label", text);
    free(text);
}

/* ["item", …] */
static void reply_ids(struct http_request *request, const struct recommend_answer *answer)
{
    struct buf body = {0};
    tell_label(request, answer);
    buf_add_byte(&body, '[');
    for (size_t i = 0; i < answer->count; i++) {
        if (i > 0) buf_add_byte(&body, ',');
        json_write_text(&body, recommend_item_id(&answer->items[i]), answer->items[i].size);
    }
    buf_add_byte(&body, ']');
    http_reply_json(request, 200, body.data, body.size);
    buf_fini(&body);
}

/* [{"Id": "item", "Score": 1.5}, …] */
static void reply_scores(struct http_request *request, const struct recommend_answer *answer)
{
    struct buf body = {0};
    tell_label(request, answer);
    buf_add_byte(&body, '[');
    for (size_t i = 0; i < answer->count; i++) {
        const struct recommend_item *item = &answer->items[i];
        buf_add_text(&body, i > 0 ? ",{\"Id\":" : "{\"Id\":");
        json_write_text(&body, recommend_item_id(item), item->size);
        buf_addf(&body, ",\"Score\":%.6g}", item->is_scored ? (double)item->score : 0.0);
    }
    buf_add_byte(&body, ']');
    http_reply_json(request, 200, body.data, body.size);
    buf_fini(&body);
}

static const struct recommend_words ids = {reply_ids, gorse_refuse_error};
static const struct recommend_words scores = {reply_scores, gorse_refuse_error};

// ---- questions ---------------------------------------------------------------------------------

static enum err read_common(const struct gorse_call *call, const char *category,
                            struct recommend_ask *ask)
{
    char named[GORSE_PART_MAX + 1];
    uint32_t count = ROWS_PRESET;
    ask->exclude_seen = true;
    TRY(gorse_read_count(call, "n", GORSE_ROWS_MAX, &count));
    TRY(gorse_read_count(call, "offset", GORSE_ROWS_MAX, &ask->skip));
    if (count == 0) count = ROWS_PRESET;
    if (count + ask->skip > RECOMMEND_LIST_MAX)
        return err_note(ERR_INVALID, "n and offset together must be at most %d",
                        RECOMMEND_LIST_MAX);
    ask->count = count + ask->skip;
    TRY(http_query_text(call->request, "category", named, sizeof named));
    if (!category && *named) category = named;
    TRY(http_query_text(call->request, "write-back-type", named, sizeof named));
    if (*named)
        return err_note(ERR_INVALID, "write-back-type is not served: what is shown is no event "
                                     "here until the client says so");
    return category ? recommend_ask_within(ask, category) : ERR_OK;
}

/* `part` is where the category stands in the path, if it does. */
static void begin(struct gorse_call *call, size_t part, struct recommend_ask *ask,
                  const struct recommend_words *words)
{
    json_param_clear();
    enum err err = read_common(call, part < call->part_count ? call->parts[part] : NULL, ask);
    if (!err) {
        recommend_begin(call->door, call->request, &call->context, ask, words);
        return;
    }
    gorse_refuse(call->request, err);
    recommend_ask_fini(ask);
}

void gorse_recommend(struct gorse_call *call)
{
    struct recommend_ask ask = {.scenario = RECOMMEND_HOME};
    enum err err = context_set_user(&call->context, "the user", call->parts[1]);
    if (err)
        gorse_refuse(call->request, err);
    else
        begin(call, 2, &ask, &ids);
}

void gorse_popular(struct gorse_call *call)
{
    struct recommend_ask ask = {.scenario = RECOMMEND_POPULAR};
    begin(call, 1, &ask, &scores);
}

void gorse_neighbours(struct gorse_call *call)
{
    struct recommend_ask ask = {.scenario = RECOMMEND_ALSO_BOUGHT,
                                .root = json_pack("{s:s}", "item", call->parts[1])};
    ask.item = json_string_value(json_find(ask.root, "item"));
    begin(call, 3, &ask, &scores);
}

// ---- a visit -----------------------------------------------------------------------------------

struct looked {
    const char *item;
    int64_t time_ms;
    size_t index;
};

static int by_time(const void *a, const void *b)
{
    const struct looked *left = a, *right = b;
    if (left->time_ms != right->time_ms) return left->time_ms < right->time_ms ? -1 : 1;
    return left->index < right->index ? -1 : 1;
}

static enum err read_looked(const json_t *list, struct looked *looked)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *feedback = json_array_get(list, i);
        looked[i].index = i;
        if (!json_is_object(feedback)) return err_note(ERR_INVALID, "a feedback must be an object");
        TRY(json_take_text(feedback, "ItemId", 1, CATALOGUE_ID_MAX, &looked[i].item));
        if (!looked[i].item) return json_wrong("ItemId", "must be given");
        TRY(gorse_read_time(feedback, &looked[i].time_ms));
    }
    return ERR_OK;
}

/* What was looked at, the oldest first, as the question's session. */
static enum err read_visit(const json_t *list, struct recommend_ask *ask)
{
    size_t count = json_array_size(list);
    if (count == 0 || count > RECOMMEND_SESSION_MAX)
        return err_note(ERR_INVALID, "the body must be a list of 1 to %d feedbacks",
                        RECOMMEND_SESSION_MAX);
    struct looked *looked = mem_new(count, sizeof *looked);
    enum err err = read_looked(list, looked);
    if (!err) {
        json_t *session = json_array();
        qsort(looked, count, sizeof *looked, by_time);
        for (size_t i = 0; i < count; i++)
            json_array_append_new(session, json_string(looked[i].item));
        ask->root = json_pack("{s:o}", "session", session);
        ask->session = session;
    }
    mem_free(looked);
    return err;
}

void gorse_session(struct gorse_call *call)
{
    struct recommend_ask ask = {.scenario = RECOMMEND_HOME};
    json_t *list = NULL;
    size_t size;
    const char *body = http_body(call->request, &size);
    enum err err = json_read_list(&list, body, size);
    if (!err) err = read_visit(list, &ask);
    json_decref(list);
    if (err)
        gorse_refuse(call->request, err);
    else
        begin(call, 2, &ask, &scores);
}
