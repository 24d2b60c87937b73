#include "scheduler/door/resume.h"

#include "scheduler/core/fleet.h"
#include "scheduler/door/ask.h"
#include "scheduler/door/context.h"
#include "scheduler/door/door.h"
#include "scheduler/door/http.h"
#include "scheduler/door/json.h"
#include "scheduler/door/position.h"
#include "scheduler/door/shape.h"
#include "scheduler/policy/rules.h"
#include "scheduler/settings.h"
#include "scheduler/state/idem.h"

#include "base/clock.h"
#include "base/digest.h"
#include "base/mem.h"
#include "base/metric.h"
#include "base/must.h"
#include "base/rand.h"

#include <inttypes.h>
#include <string.h>

enum {
    KEY_MAX = 255 // bytes of an Idempotency-Key
};

_Static_assert((int)FACTS_MODEL_MAX >= (int)WIRE_NAME_MAX, "any model's name can be remembered");
_Static_assert((int)SHAPE_ID_SIZE == (int)FACTS_ID_MAX + 1, "and any answer's id");

struct resume {
    struct door *door;
    struct http_request *request;
    const struct context *context;
    const struct ask *ask;
    const char *key; // borrowed from the request
    bool resumes;    // Last-Event-ID was given
    struct position position;
    struct idem_ticket *ticket; // NULL: Redis was away, or it is released
    bool claiming, kept;
    struct idem_record record;
    struct fleet_model model;
    char turn[DIGEST_TEXT_SIZE]; // the key, as the id of a session's turn
    enum err refusal;
    const char *code; // of the refusal; NULL: the error's own
    resume_fn *done;
    resume_taken_fn *taken;
    void *argument;
};

// ---- headers -----------------------------------------------------------------------------------

static enum err read_key(const struct http_request *request, const char **out)
{
    static const char *const names[] = {"Idempotency-Key", "Last-Event-ID"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (http_header_count(request, names[i]) > 1)
            return json_wrong(names[i], "must not be given twice");
    const char *key = http_header(request, "Idempotency-Key");
    *out = key;
    if (!key) return ERR_OK;
    size_t size = strlen(key);
    if (size == 0 || size > KEY_MAX)
        return json_wrong("Idempotency-Key", "must have 1 to %d bytes, not %zu", KEY_MAX, size);
    for (size_t i = 0; i < size; i++)
        if (key[i] <= 0x20 || key[i] >= 0x7f)
            return json_wrong("Idempotency-Key",
                              "must be visible ASCII characters without spaces; byte %zu is not",
                              i);
    return ERR_OK;
}

enum err resume_new(struct resume **out, struct door *door, struct http_request *request,
                    const struct context *context, const struct ask *ask)
{
    const char *key = NULL;
    struct position position = {0};
    json_param_clear();
    TRY(read_key(request, &key));
    const char *last = http_header(request, "Last-Event-ID");
    if (last && !key)
        return json_wrong(
            "Last-Event-ID",
            "resumes an answer that was asked for with an Idempotency-Key: give that too");
    if (last && !ask->stream)
        return json_wrong("Last-Event-ID",
                          "is for requests with stream: true; without it the whole "
                          "answer comes again");
    if (last) TRY(position_parse(&position, last, ask->choice_count));
    *out = NULL;
    if (!key) return ERR_OK;
    struct resume *resume = mem_new(1, sizeof *resume);
    *resume = (struct resume){.door = door,
                              .request = request,
                              .context = context,
                              .ask = ask,
                              .key = key,
                              .resumes = last != NULL,
                              .position = position};
    struct digest digest = digest_of(key, strlen(key));
    digest_text(&digest, resume->turn);
    *out = resume;
    return ERR_OK;
}

// ---- the claim ---------------------------------------------------------------------------------

static void count(const struct resume *resume, const char *outcome)
{
    metric_add(resume->door->metrics, M_idempotency_total, outcome, NULL, 1);
}

static void write_set(struct digest set[FACTS_SET], const struct fleet_model *model)
{
    set[0] = model->pack;
    set[1] = model->model;
    set[2] = model->adapter;
    set[3] = model->numerics;
}

static bool is_of(const struct facts *facts, const struct fleet_model *model)
{
    struct digest set[FACTS_SET];
    write_set(set, model);
    for (size_t i = 0; i < FACTS_SET; i++)
        if (!digest_equal(&set[i], &facts->set[i])) return false;
    return strcmp(facts->model, model->name) == 0;
}

/* The first attempt's model, while some node serves it: also when another set has become the current one since. */
static enum err find_model(struct resume *resume)
{
    const struct facts *facts = &resume->record.facts;
    const struct fleet *fleet = resume->door->fleet;
    if (is_of(facts, &resume->model)) return ERR_OK;
    for (size_t i = 0; i < fleet_model_count(fleet); i++) {
        const struct fleet_model *model = fleet_model_at(fleet, i);
        if (model->node_count == 0 || !is_of(facts, model)) continue;
        resume->model = *model;
        return ERR_OK;
    }
    resume->code = "model_changed";
    return err_note(
        ERR_CONFLICT,
        "no node serves the model '%s' any more as it was when this Idempotency-Key was "
        "first used: the answer cannot be made again; take a new key",
        facts->model);
}

static const char *outcome_of(enum err err)
{
    switch (err) {
    case ERR_CONFLICT: return "busy";
    case ERR_MISMATCH: return "other";
    case ERR_NOT_FOUND: return "unknown";
    case ERR_LIMITED: return "spent";
    case ERR_STORE_AWAY: return "away";
    default: return "failed";
    }
}

/* Served all the same, when the setting says so and nothing was promised yet. */
static bool go_without(struct resume *resume, enum err err)
{
    bool open = strcmp(resume->door->settings->idempotency_when_away, "open") == 0;
    if (err != ERR_STORE_AWAY || !open || resume->resumes) return false;
    http_set_header(resume->request, "X-Qiao-Resumable", "no");
    return true;
}

static void on_claimed(void *argument, enum err err, const struct idem_record *record)
{
    struct resume *resume = argument;
    resume->claiming = false;
    if (err) {
        resume->ticket = NULL;
        count(resume, outcome_of(err));
        if (go_without(resume, err)) err = ERR_OK;
        if (err == ERR_CONFLICT) resume->code = "idempotency_in_progress";
        if (err == ERR_LIMITED) resume->code = "idempotency_spent";
    } else {
        resume->record = *record;
        resume->kept = true;
        if (record->again) http_set_header(resume->request, "Idempotent-Replayed", "true");
        err = find_model(resume);
        count(resume, err               ? "changed"
                      : !record->again  ? "new"
                      : resume->resumes ? "resumed"
                                        : "again");
    }
    resume->refusal = err;
    resume->done(resume->argument, err);
}

static void on_taken(void *argument)
{
    struct resume *resume = argument;
    if (resume->refusal) return; // it was told
    count(resume, "taken");
    resume->refusal = ERR_CONFLICT;
    resume->code = "idempotency_taken_over";
    err_note(ERR_CONFLICT, "a newer request with this Idempotency-Key goes on with the answer");
    resume->taken(resume->argument);
}

void resume_claim(struct resume *resume, const struct fleet_model *model, resume_fn *done,
                  resume_taken_fn *taken, void *argument)
{
    size_t size;
    const char *body = http_body(resume->request, &size);
    const struct context *context = resume->context;
    struct facts *facts = &resume->record.facts;
    char rules[RULES_NAME_MAX + CONTEXT_LABEL_MAX + 2] = ""; // label, notice, refusal follow
    if (context->rules)
        snprintf(rules, sizeof rules, "%s\n%s", context->rules->region, context->language);
    facts->seed = resume->ask->has_seed ? resume->ask->sampling.seed : rand_entropy();
    facts->wall_ms = clock_wall_ms();
    shape_new_id(resume->ask->kind, facts->id);
    memcpy(facts->model, model->name, strlen(model->name) + 1);
    write_set(facts->set, model);
    resume->model = *model;
    resume->done = done;
    resume->taken = taken;
    resume->argument = argument;
    resume->claiming = true;
    struct idem_asked asked = {.tenant = context->key->tenant,
                               .user = context->user,
                               .key = resume->key,
                               .path = http_path(resume->request),
                               .body = body,
                               .body_size = size,
                               .rules = context->rules ? rules : NULL,
                               .known = resume->resumes};
    resume->ticket = idem_claim(resume->door->idems, &asked, facts, on_claimed, on_taken, resume);
}

/* Some clients try again after any 409 or 429: where that is vain they are told. */
void resume_explain(const struct resume *resume, struct http_error *error)
{
    bool vain = resume->refusal == ERR_LIMITED || (resume->refusal == ERR_CONFLICT && resume->kept);
    if (resume->code) error->code = resume->code;
    if (vain) http_set_header(resume->request, "x-should-retry", "false");
    if (resume->refusal == ERR_CONFLICT && !vain)
        http_set_header(resume->request, "Retry-After", "1");
}

// ---- what the answer is made of ----------------------------------------------------------------

const struct fleet_model *resume_model(const struct resume *resume)
{
    return &resume->model;
}

uint64_t resume_seed(const struct resume *resume)
{
    return resume->record.facts.seed;
}

int64_t resume_wall_ms(const struct resume *resume)
{
    return resume->record.facts.wall_ms;
}

void resume_sign(const struct resume *resume, struct shape *shape)
{
    memcpy(shape->id, resume->record.facts.id, strlen(resume->record.facts.id) + 1);
    shape->created = resume->record.facts.wall_ms / 1000;
}

const struct position *resume_position(const struct resume *resume)
{
    return resume->kept ? &resume->position : NULL;
}

// ---- the session -------------------------------------------------------------------------------

const char *resume_turn(const struct resume *resume)
{
    return resume->turn;
}

enum err resume_base(struct resume *resume, uint64_t version)
{
    struct idem_mark *base = &resume->record.mark;
    if (!base->has_base) {
        base->has_base = true;
        base->version = version;
        return ERR_OK;
    }
    if (version == base->version) return ERR_OK;
    return err_note(ERR_CONFLICT,
                    "the session has changed since this Idempotency-Key was first used: it was at "
                    "version %" PRIu64 " and is at version %" PRIu64
                    "; load it and send the turn again under a new key",
                    base->version, version);
}

enum err resume_ground(struct resume *resume, const struct digest *ground)
{
    char text[DIGEST_TEXT_SIZE];
    char *first = resume->record.mark.ground;
    digest_text(ground, text);
    if (!*first) memcpy(first, text, sizeof text);
    if (strcmp(first, text) == 0) return ERR_OK;
    resume->refusal = ERR_CONFLICT;
    resume->code = "context_changed";
    return err_note(ERR_CONFLICT,
                    "what the context gives has changed since this Idempotency-Key was first used: "
                    "the answer cannot be made again; take a new key");
}

// ---- the bill ----------------------------------------------------------------------------------

bool resume_take_max(const struct resume *resume, uint32_t *max_tokens)
{
    uint32_t then = resume->record.mark.max_tokens;
    if (then > 0) *max_tokens = then;
    return then > 0;
}

uint64_t resume_paid(const struct resume *resume)
{
    return resume->record.mark.paid;
}

void resume_mark(struct resume *resume, uint64_t tokens, uint32_t max_tokens)
{
    struct idem_mark mark = resume->record.mark;
    if (!resume->ticket) return;
    if (mark.paid < tokens) mark.paid = tokens;
    mark.max_tokens = max_tokens;
    idem_set(resume->ticket, &mark);
}

uint64_t resume_release(struct resume *resume, uint64_t used)
{
    uint64_t paid = resume->record.mark.paid;
    uint64_t due = used > paid ? used - paid : 0;
    if (resume->claiming) return due; // nothing is held yet: resume_free() drops the claim
    if (resume->ticket) idem_release(resume->ticket, paid + due);
    resume->ticket = NULL;
    return due;
}

void resume_free(struct resume *resume)
{
    if (!resume) return;
    if (resume->claiming)
        idem_drop(resume->ticket);
    else if (resume->ticket)
        (void)resume_release(resume, 0);
    mem_free(resume);
}
