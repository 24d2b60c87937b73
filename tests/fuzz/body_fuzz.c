/* Any bytes as a body: the first says of which request. Bulk writes are judged line by line, and each line that is refused is in the
 * report; what is accepted keeps its bounds. Built with libFuzzer, or with tests/fuzz/corpus.c. */
#include "scheduler/door/ask.h"
#include "scheduler/door/event_read.h"
#include "scheduler/door/json.h"
#include "scheduler/door/ndjson.h"
#include "scheduler/door/recommend_ask.h"
#include "scheduler/door/search_ask.h"
#include "scheduler/features/catalogue.h"
#include "scheduler/features/search/extract.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/must.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(enum err err)
{
    must(err == ERR_OK || err == ERR_INVALID || err == ERR_TOO_LARGE);
    must(!err || strlen(err_text()) > 0);
}

// ---- bulk --------------------------------------------------------------------------------------

static enum err take_item(void *argument, size_t line, json_t *object)
{
    const char *id;
    char member[CATALOGUE_LABEL_MAX];
    struct buf record = {0};
    size_t *taken = argument;
    must(line > 0);
    enum err err = catalogue_check(object, &id, &record, member);
    must(err || (record.size > 0 && record.size <= CATALOGUE_RECORD_MAX));
    must(err || (strlen(id) > 0 && strlen(id) <= CATALOGUE_ID_MAX));
    must(strlen(member) < CATALOGUE_LABEL_MAX);
    if (!err) {
        struct catalogue_item item = {id, object, true};
        (void)catalogue_title(&item, "zh-Hans-CN");
        (void)catalogue_is_sold(&item, "cn");
    }
    buf_fini(&record);
    *taken += !err;
    return err;
}

static enum err take_event(void *argument, size_t line, json_t *object)
{
    static const struct event_rules rules = {INT64_C(1790000000000), INT64_C(8640000000)};
    struct event event;
    size_t *taken = argument;
    must(line > 0);
    enum err err = event_name_members(object);
    if (!err) err = event_read(&event, object, &rules);
    check(err);
    if (err) return err;
    must(event.type < EVENT_TYPES && (event.item || event.type == EVENT_SEARCH));
    must(event.time_ms >= rules.now_ms - rules.age_ms &&
         event.time_ms <= rules.now_ms + EVENT_FUTURE_MS);
    mem_free((void *)(uintptr_t)event.properties);
    ++*taken;
    return ERR_OK;
}

static void read_bulk(const char *body, size_t size, ndjson_take_fn *take)
{
    static const struct ndjson_limits limits = {.lines = 64, .line_bytes = 4096};
    struct ndjson_report report = {0};
    size_t taken = 0;
    enum err err = ndjson_read(body, size, &limits, take, &taken, &report);
    check(err);
    if (!err) must(taken + report.error_count == report.line_count);
    if (!err && report.error_count > 0) {
        struct buf list = {0};
        buf_addf(&list, "[%s]", buf_text(&report.errors));
        json_t *errors = json_loadb(list.data, list.size, 0, NULL);
        must(json_array_size(errors) == report.error_count);
        json_decref(errors);
        buf_fini(&list);
    }
    ndjson_fini(&report);
}

// ---- questions ---------------------------------------------------------------------------------

static void read_search(const char *body, size_t size)
{
    struct search_ask ask;
    enum err err = search_ask_read(&ask, body, size);
    check(err);
    if (!err) {
        must(ask.search.depth <= CORPUS_DEPTH_MAX && ask.search.limit <= SEARCH_LIMIT_MAX);
        must(ask.search.sort_count <= CORPUS_SORTS_MAX);
        must(ask.deadline_ms > 0 && ask.deadline_ms <= SEARCH_MS_MAX);
    }
    search_ask_fini(&ask);
}

static void read_chat(const char *body, size_t size, enum ask_kind kind)
{
    struct ask ask;
    enum err err = ask_parse(&ask, kind, body, size);
    check(err);
    if (err) return;
    must(ask.choice_count >= 1 && ask.choice_count <= ASK_CHOICES_MAX);
    must(ask.context.count <= ASK_CONTEXT_MAX);
    (void)ask_check_vocab(&ask, 4096);
    ask_fini(&ask);
}

static void read_recommend(const char *body, size_t size)
{
    struct recommend_ask ask;
    enum err err = recommend_ask_parse(&ask, body, size);
    check(err);
    if (!err) recommend_ask_fini(&ask);
}

/* Settings of an index, and the same object as a document of it. */
static void read_settings(const char *body, size_t size)
{
    json_t *object;
    struct search_settings *settings;
    char param[SEARCH_PARAM_MAX] = "";
    if (json_read(&object, body, size)) return;
    enum err err = search_settings_read(&settings, object, param);
    check(err);
    if (!err) {
        struct search_settings *again; // as another scheduler reads what was kept
        json_t *kept = json_loads(settings->text, 0, NULL);
        must(search_settings_read(&again, kept, param) == ERR_OK);
        must(strcmp(again->text, settings->text) == 0);
        search_settings_free(again);
        json_decref(kept);
        struct buf title = {0}, text = {0};
        extract_text(settings, object, "zh", &title, &text);
        buf_fini(&title);
        buf_fini(&text);
        search_settings_free(settings);
    }
    json_decref(object);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) return 0;
    const char *body = (const char *)data + 1;
    json_param_clear();
    switch (data[0]) {
    case 'i': read_bulk(body, size - 1, take_item); break;
    case 'e': read_bulk(body, size - 1, take_event); break;
    case 's': read_search(body, size - 1); break;
    case 'c': read_chat(body, size - 1, ASK_CHAT); break;
    case 't': read_chat(body, size - 1, ASK_TEXT); break;
    case 'r': read_recommend(body, size - 1); break;
    case 'x': read_settings(body, size - 1); break;
    default: break;
    }
    return 0;
}
