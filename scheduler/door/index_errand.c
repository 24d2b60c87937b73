#include "scheduler/door/index_errand.h"

#include "scheduler/door/door.h"
#include "scheduler/door/http.h"
#include "scheduler/door/json.h"
#include "scheduler/door/receipts.h"
#include "scheduler/door/screen.h"
#include "scheduler/door/search_run.h"
#include "scheduler/policy/label.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/must.h"

#include <stdio.h>
#include <string.h>

static void free_gone(void *argument)
{
    index_errand_free(argument);
}

void index_errand_leave(struct index_errand *errand)
{
    errand->request = NULL;
    errand->patron.done = NULL;
    if (errand->run && search_run_gone(errand->run)) return;
    // Without a ticket Redis has been asked, and its answer ends the errand.
    if (errand->ticket) indexes_drop(errand->ticket, free_gone);
}

static void on_gone(void *argument)
{
    index_errand_leave(argument);
}

struct index_errand *index_errand_new_for(struct door *door, const struct context *context,
                                          const char *collection, const struct index_patron *patron)
{
    struct index_errand *errand = mem_new(1, sizeof *errand);
    errand->door = door;
    errand->context = *context;
    errand->patron = *patron;
    errand->start_ns = clock_now_ns();
    snprintf(errand->collection, sizeof errand->collection, "%s", collection);
    return errand;
}

struct index_errand *index_errand_new(struct door *door, struct http_request *request, bool writes,
                                      const char **rest)
{
    struct context context;
    char collection[COLLECTION_NAME_MAX + 1];
    if (!door_admit(door, request, false, &context)) return NULL;
    json_param_clear();
    const char *name = http_path(request) + strlen("/v1/indexes/");
    size_t size = strcspn(name, "/");
    enum err err =
        indexes_collection(collection, sizeof collection, context.key->tenant, name, size);
    if (!err && writes && !context.key->data)
        err = err_note(ERR_FORBIDDEN, "this key may not write indexes: its `data` is not set");
    if (err) {
        door_refuse(request, err);
        return NULL;
    }
    struct index_errand *errand = mem_new(1, sizeof *errand);
    errand->door = door;
    errand->context = context;
    errand->request = request;
    errand->status = 200;
    errand->start_ns = clock_now_ns();
    errand->waits = http_query_has(request, "wait=true");
    memcpy(errand->collection, collection, sizeof collection);
    snprintf(errand->name, sizeof errand->name, "%.*s", (int)size, name);
    http_set_gone(request, on_gone, errand);
    *rest = name + size;
    return errand;
}

void index_errand_free(struct index_errand *errand)
{
    search_run_free(errand->run);
    search_ask_fini(&errand->ask);
    ndjson_fini(&errand->report);
    buf_fini(&errand->answer);
    buf_fini(&errand->texts);
    mem_free(errand->lines);
    mem_free(errand->entries);
    mem_free(errand->fates);
    screen_free(errand->screen);
    govern_drop(&errand->governed);
    if (errand->patron.free) errand->patron.free(errand->patron.owner);
    mem_free(errand);
}

void index_errand_fail(struct index_errand *errand, enum err err)
{
    const char *param = *errand->param ? errand->param : json_param();
    if (errand->patron.done) errand->patron.done(errand->patron.owner, err);
    if (errand->request)
        http_reply_error(errand->request,
                         &(struct http_error){.err = err,
                                              .message = err_text(),
                                              .param = param,
                                              .code = errand->code,
                                              .retry_seconds = errand->retry_seconds});
    index_errand_free(errand);
}

/* What a governed search says of itself, as the last member of its answer. */
static void add_label(struct index_errand *errand)
{
    const struct governed *governed = &errand->governed;
    const char *label =
        governed->rules ? label_of_list(&governed->rules->labels, governed->language) : NULL;
    if (!label || errand->answer.size == 0) return;
    must(errand->answer.data[errand->answer.size - 1] == '}');
    errand->answer.size--;
    buf_add_text(&errand->answer, ",\"label\":");
    json_write_string(&errand->answer, label);
    buf_add_byte(&errand->answer, '}');
}

void index_errand_reply(struct index_errand *errand)
{
    add_label(errand);
    if (errand->patron.done) errand->patron.done(errand->patron.owner, ERR_OK);
    if (errand->request && errand->status == 204) {
        http_reply(errand->request, 204, NULL, "", 0);
    } else if (errand->request) {
        receipts_set_header(errand->door, errand->request, &errand->governed,
                            search_run_model(errand->run));
        http_reply_json(errand->request, errand->status, buf_text(&errand->answer),
                        errand->answer.size);
    }
    index_errand_free(errand);
}

void index_errand_ask(struct index_errand *errand, uint64_t version, uint64_t wait_ms,
                      indexes_work_fn *work, indexes_done_fn *done)
{
    struct indexes_question question = {.collection = errand->collection,
                                        .version = version,
                                        .deadline_ns = clock_now_ns() + wait_ms * CLOCK_MS,
                                        .work = work,
                                        .done = done,
                                        .argument = errand};
    json_param_clear();
    errand->ticket = indexes_ask(errand->door->indexes, &question);
    if (!errand->ticket) index_errand_fail(errand, ERR_BUSY);
}

void index_errand_written(struct index_errand *errand, indexes_done_fn *done)
{
    indexes_kick(errand->door->indexes, errand->collection);
    if (errand->waits && errand->request)
        index_errand_ask(errand, errand->version, INDEX_WAIT_MS, NULL, done);
    else
        done(errand, ERR_OK, errand->version);
}
