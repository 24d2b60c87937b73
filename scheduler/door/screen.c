#include "scheduler/door/screen.h"

#include "scheduler/door/ask.h"
#include "scheduler/door/context.h"
#include "scheduler/door/door.h"
#include "scheduler/door/govern.h"
#include "scheduler/door/json.h"
#include "scheduler/door/talk.h"
#include "scheduler/policy/audit.h"
#include "scheduler/policy/strikes.h"
#include "scheduler/settings.h"

#include "text/template.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/metric.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char plain_refusal[] = "This cannot be answered."; // where the rules have no text

/* A text in which something is masked. */
struct masked {
    struct masked *next;
    struct buf text;
};

struct screen {
    struct door *door;
    const struct context *context;
    enum feature feature;
    const struct rules_filter *rules;
    const struct bundle *bundle; // held
    struct masked *masked;
    struct strikes_ticket *ticket; // NULL: nothing is asked
    screen_fn *done;
    void *owner;
};

/* A strike on its way; it outlives its request. */
struct strike {
    struct door *door;
    char region[CONTEXT_LABEL_MAX + 1], key[CONTEXT_NAME_MAX + 1];
    bool of_user;
};

enum err screen_new(struct screen **out, struct door *door, const struct context *context,
                    enum feature feature, const char **code)
{
    const struct bundle *bundle;
    *out = NULL;
    if (!context->rules) return ERR_OK;
    const struct rules_filter *rules = &context->rules->filter;
    if (!rules->required && !rules->bundle) return ERR_OK;
    enum err err = bundles_find(door->bundles, rules, clock_wall_ms() / 1000, &bundle);
    if (err && !rules->required) return ERR_OK;
    if (err) {
        char what[ERR_NOTE_MAX];
        snprintf(what, sizeof what, "%s", err_text());
        return govern_deny(door, context, feature, REASON_FILTER_NOT_READY, what, code);
    }
    struct screen *screen = mem_new(1, sizeof *screen);
    *screen = (struct screen){
        .door = door, .context = context, .feature = feature, .rules = rules, .bundle = bundle};
    *out = screen;
    return ERR_OK;
}

void screen_free(struct screen *screen)
{
    if (!screen) return;
    if (screen->ticket) strikes_drop(screen->ticket);
    for (struct masked *masked = screen->masked, *next; masked; masked = next) {
        next = masked->next;
        buf_fini(&masked->text);
        mem_free(masked);
    }
    bundle_drop(screen->bundle);
    mem_free(screen);
}

// ---- who is suspended --------------------------------------------------------------------------

static struct strikes_who who_of(const struct context *context)
{
    return (struct strikes_who){
        .tenant = context->key->tenant, .user = context->user, .key = context->key->id};
}

static void on_left(void *argument, enum err err, uint64_t left_ms)
{
    struct screen *screen = argument;
    const char *code = NULL;
    uint64_t seconds = left_ms / 1000 + (left_ms % 1000 != 0);
    screen->ticket = NULL;
    json_param_clear();
    if (!err && left_ms > 0) {
        char what[64];
        snprintf(what, sizeof what, "for %" PRIu64 " s more", seconds);
        err = govern_deny(screen->door, screen->context, screen->feature, REASON_USER_SUSPENDED,
                          what, &code);
    }
    screen->done(screen->owner, err, code, (uint32_t)seconds);
}

bool screen_ask(struct screen *screen, screen_fn *done, void *owner)
{
    if (!screen || screen->rules->strikes == 0) return false;
    struct strikes_who who = who_of(screen->context);
    screen->done = done;
    screen->owner = owner;
    screen->ticket = strikes_ask(screen->door->strikes, &who, on_left, screen);
    return true;
}

static void on_struck(void *argument, enum err err, uint64_t left_ms)
{
    struct strike *strike = argument;
    char seconds[24];
    snprintf(seconds, sizeof seconds, "%" PRIu64, left_ms / 1000);
    const struct audit_field fields[] = {{"region", strike->region},
                                         {"key", strike->key},
                                         {"who", strike->of_user ? "user" : "key"},
                                         {"seconds", seconds}};
    if (!err && left_ms > 0) {
        metric_add(strike->door->metrics, M_suspensions_total, NULL, NULL, 1);
        audit_note(strike->door->audit, AUDIT_STRIKE, fields, sizeof fields / sizeof *fields);
    }
    mem_free(strike);
}

static void add_strike(struct screen *screen)
{
    const struct context *context = screen->context;
    struct strike *strike = mem_new(1, sizeof *strike);
    struct strikes_who who = who_of(context);
    strike->door = screen->door;
    strike->of_user = *context->user != '\0';
    snprintf(strike->region, sizeof strike->region, "%s", context->region);
    snprintf(strike->key, sizeof strike->key, "%s", context->key->id);
    strikes_add(screen->door->strikes, &who, screen->rules, on_struck, strike);
}

// ---- what is found -----------------------------------------------------------------------------

static void note_found(const struct screen *screen, const struct sieve_found *found,
                       const char *side)
{
    const char *action = terms_action_name((enum terms_action)found->action);
    char count[24], edition[24];
    snprintf(count, sizeof count, "%" PRIu32, found->count);
    snprintf(edition, sizeof edition, "%" PRIu64, screen->bundle->terms->serial);
    const struct audit_field fields[] = {{"region", screen->context->region},
                                         {"feature", feature_name(screen->feature)},
                                         {"key", screen->context->key->id},
                                         {"side", side},
                                         {"category", found->category},
                                         {"action", action},
                                         {"count", count},
                                         {"bundle", screen->bundle->terms->name},
                                         {"serial", edition}};
    metric_add(screen->door->metrics, M_filtered_total, side, action, 1);
    audit_note(screen->door->audit, AUDIT_FILTER, fields, sizeof fields / sizeof *fields);
}

static void note_all(const struct screen *screen, const struct sieve *sieve, enum sieve_side side)
{
    struct sieve_found found;
    for (size_t i = 0; sieve_found(sieve, i, &found); i++)
        note_found(screen, &found, side == SIEVE_INPUT ? "input" : "output");
}

void screen_note(struct screen *screen, const struct sieve *sieve, enum sieve_side side)
{
    if (!screen || !sieve) return;
    note_all(screen, sieve, side);
    if (sieve_action(sieve) == RULES_BLOCK) add_strike(screen);
}

// ---- what is said ------------------------------------------------------------------------------

/* `out` has what is left of a text in which something is masked. `stored`: it was there before, and is nobody's strike now. */
static enum rules_action sift(struct screen *screen, enum sieve_side side, bool stored,
                              const char *text, size_t size, struct buf *out)
{
    struct sieve *sieve = sieve_new(screen->bundle, screen->rules, side);
    enum rules_action action = sieve_text(sieve, text, size, out);
    if (!stored)
        screen_note(screen, sieve, side);
    else if (action >= RULES_MASK)
        note_all(screen, sieve, side);
    sieve_free(sieve);
    if (action != RULES_MASK) buf_fini(out);
    return action;
}

/* False: it is refused. */
static bool screen_text(struct screen *screen, enum sieve_side side, bool stored, const char **text,
                        size_t *size)
{
    struct buf out = {0};
    enum rules_action action = sift(screen, side, stored, *text, *size, &out);
    if (action != RULES_MASK) return action < RULES_REFUSE;
    struct masked *masked = mem_new(1, sizeof *masked);
    *masked = (struct masked){.next = screen->masked, .text = out};
    screen->masked = masked;
    *text = buf_text(&masked->text);
    *size = masked->text.size;
    return true;
}

enum err screen_check(const struct screen *screen, const struct ask *ask)
{
    if (!screen) return ERR_OK;
    if (ask->sampling.logprobs)
        return json_wrong("logprobs", "cannot be had in this region: answers are filtered there, "
                                      "and they would spell out what is masked");
    if (ask->ids)
        return json_wrong("prompt", "must be a text in this region: prompts are filtered there, "
                                    "and ids cannot be");
    return ERR_OK;
}

bool screen_prompt(struct screen *screen, struct ask *ask)
{
    if (!screen) return true;
    for (size_t i = 0; i < ask->message_count; i++) {
        struct chat_message *message = &ask->messages[i];
        if (!screen_text(screen, SIEVE_INPUT, false, &message->content, &message->content_size))
            return false;
    }
    if (!ask->prompt) return true;
    return screen_text(screen, SIEVE_INPUT, false, &ask->prompt, &ask->prompt_size);
}

enum err screen_query(struct screen *screen, const char *param, const char **text, size_t *size,
                      const char **code)
{
    if (!screen || !*text || screen_text(screen, SIEVE_INPUT, false, text, size)) return ERR_OK;
    *code = SCREEN_CODE;
    json_param_clear();
    json_set_param(param);
    return err_note(ERR_FORBIDDEN, "%s", screen_refusal(screen));
}

// ---- what is told ------------------------------------------------------------------------------

const char *screen_refusal(const struct screen *screen)
{
    const char *text = rules_text_for(&screen->rules->refusal, screen->context->language);
    return text ? text : plain_refusal;
}

bool screen_stored(struct screen *screen, const char **text, size_t *size)
{
    if (!screen || screen_text(screen, SIEVE_OUTPUT, true, text, size)) return true;
    *text = screen_refusal(screen);
    *size = strlen(*text);
    return false;
}

void screen_talk(struct screen *screen, struct talk *talk)
{
    for (size_t i = 0; screen && i < talk->fresh; i++) {
        struct buf out = {0};
        const struct session_turn *turn = &talk->turns[i];
        bool told = strcmp(turn->role, "assistant") == 0 || turn->summary;
        enum rules_action action = sift(screen, told ? SIEVE_OUTPUT : SIEVE_INPUT, true,
                                        turn->content, turn->content_size, &out);
        if (action < RULES_MASK) continue;
        if (action >= RULES_REFUSE) buf_add_text(&out, screen_refusal(screen));
        size_t size = out.size;
        talk_replace(talk, i, buf_take(&out), size);
    }
}

struct sieve *screen_sieve(struct screen *screen)
{
    return screen ? sieve_new(screen->bundle, screen->rules, SIEVE_OUTPUT) : NULL;
}
