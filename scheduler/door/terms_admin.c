#include "scheduler/door/terms_admin.h"

#include "scheduler/door/context.h"
#include "scheduler/door/door.h"
#include "scheduler/door/http.h"
#include "scheduler/door/json.h"
#include "scheduler/policy/audit.h"
#include "scheduler/policy/bundle.h"
#include "scheduler/scribe.h"
#include "scheduler/settings.h"

#include "base/buf.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metric.h"

#include <jansson.h>

#include <stdio.h>
#include <string.h>

/* Work for a worker: the folder is read, or a text is looked at. */
struct task {
    struct door *door;
    struct http_request *request; // NULL: nobody waits, or not any more
    struct bundles_reading *reading;
    json_t *root; // of a text
    const char *name, *text;
    enum err err; // of a text, with its note
    char note[ERR_NOTE_MAX];
};

static enum err no_terms(void)
{
    return err_note(ERR_UNSUPPORTED, "there are no terms here: start the scheduler with --terms");
}

static void on_gone(void *argument)
{
    struct task *task = argument;
    task->request = NULL;
}

static void start(struct task *task, scribe_fn *work, scribe_fn *done)
{
    task->err = ERR_CANCELED; // until a worker has done it
    if (task->request) http_set_gone(task->request, on_gone, task);
    if (!scribe_submit(task->door->scribe, work, done, task)) done(task);
}

// ---- the folder --------------------------------------------------------------------------------

static void show(const struct door *door, struct http_request *request)
{
    struct buf body = {0};
    const char *failure = door->bundles ? bundles_failure(door->bundles) : "";
    buf_add_text(&body, "{\"object\":\"terms\",\"failure\":");
    if (*failure)
        json_write_string(&body, failure);
    else
        buf_add_text(&body, "null");
    buf_add_text(&body, ",\"bundles\":");
    if (door->bundles)
        bundles_show(door->bundles, &body);
    else
        buf_add_text(&body, "[]");
    buf_add_byte(&body, '}');
    http_reply_json(request, 200, body.data, body.size);
    buf_fini(&body);
}

static void tell(const struct door *door, enum err err)
{
    const char *outcome = err ? "refused" : "taken";
    const struct audit_field fields[] = {{"what", "terms"}, {"outcome", outcome}};
    metric_add(door->metrics, M_terms_loads_total, outcome, NULL, 1);
    audit_note(door->audit, AUDIT_POLICY, fields, sizeof fields / sizeof *fields);
    if (err)
        log_error("terms_refused", "note=\"%s\"", bundles_failure(door->bundles));
    else
        log_info("terms_taken", "folder=%s", door->settings->terms);
}

/* In a worker. */
static void read_folder(void *argument)
{
    struct task *task = argument;
    bundles_work(task->reading);
    task->err = ERR_OK;
}

static void on_folder(void *argument)
{
    struct task *task = argument;
    bool is_read = task->err == ERR_OK;
    enum err err = bundles_end(task->door->bundles, task->reading);
    if (is_read) tell(task->door, err);
    json_param_clear();
    if (err) // the file is wrong, not the scheduler
        err = err_note(ERR_INVALID, "%s", bundles_failure(task->door->bundles));
    if (!is_read) err = err_note(ERR_BUSY, "the workers have too much to do");
    if (task->request && err)
        door_refuse(task->request, err);
    else if (task->request)
        show(task->door, task->request);
    mem_free(task);
}

static void read_again(struct door *door, struct http_request *request)
{
    struct task *task = mem_new(1, sizeof *task);
    *task =
        (struct task){.door = door, .request = request, .reading = bundles_begin(door->bundles)};
    start(task, read_folder, on_folder);
}

void terms_look(struct door *door)
{
    if (door->bundles && bundles_changed(door->bundles)) read_again(door, NULL);
}

void terms_reload(struct door *door)
{
    if (door->bundles) read_again(door, NULL);
}

void terms_admin_show(struct door *door, struct http_request *request)
{
    struct context context;
    if (door_admit(door, request, true, &context)) show(door, request);
}

void terms_admin_reload(struct door *door, struct http_request *request)
{
    struct context context;
    if (!door_admit(door, request, true, &context)) return;
    json_param_clear();
    if (door->bundles)
        read_again(door, request);
    else
        door_refuse(request, no_terms());
}

// ---- a text ------------------------------------------------------------------------------------

/* In a worker. */
static void look_at_text(void *argument)
{
    struct task *task = argument;
    task->err = bundles_check(task->door->bundles, task->name, task->text, strlen(task->text));
    if (task->err) snprintf(task->note, sizeof task->note, "%s", err_text());
}

static void on_text(void *argument)
{
    static const char good[] = "{\"good\":true}";
    struct task *task = argument;
    json_param_clear();
    enum err err = task->err;
    if (err == ERR_CANCELED) {
        err = err_note(ERR_BUSY, "the workers have too much to do");
    } else if (err) {
        json_set_param("text");
        err = err_note(ERR_INVALID, "%s", task->note); // its author's mistake, not ours
    }
    if (task->request && err)
        door_refuse(task->request, err);
    else if (task->request)
        http_reply_json(task->request, 200, good, sizeof good - 1);
    json_decref(task->root);
    mem_free(task);
}

static enum err read_text(struct task *task)
{
    size_t size;
    const char *body = http_body(task->request, &size);
    if (!task->door->bundles) return no_terms();
    TRY(json_read(&task->root, body, size));
    TRY(json_take_text(task->root, "name", 1, TERMS_NAME_MAX, &task->name));
    TRY(json_take_text(task->root, "text", 1, TERMS_FILE_MAX, &task->text));
    return task->text ? ERR_OK : json_wrong("text", "must be given: the bundle");
}

void terms_admin_check(struct door *door, struct http_request *request)
{
    struct context context;
    if (!door_admit(door, request, true, &context)) return;
    struct task *task = mem_new(1, sizeof *task);
    *task = (struct task){.door = door, .request = request, .name = "the bundle"};
    json_param_clear();
    enum err err = read_text(task);
    if (!err) {
        start(task, look_at_text, on_text);
        return;
    }
    door_refuse(request, err);
    json_decref(task->root);
    mem_free(task);
}
