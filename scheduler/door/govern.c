#include "scheduler/door/govern.h"

#include "scheduler/core/order.h"
#include "scheduler/core/sets.h"
#include "scheduler/door/door.h"
#include "scheduler/door/http.h"
#include "scheduler/door/hurdles.h"
#include "scheduler/door/json.h"
#include "scheduler/door/residence.h"
#include "scheduler/policy/audit.h"
#include "scheduler/policy/policy.h"
#include "scheduler/settings.h"

#include "base/buf.h"
#include "base/digest.h"
#include "base/log.h"
#include "base/metric.h"

#include <stdio.h>
#include <string.h>

// ---- denials -----------------------------------------------------------------------------------

/* "assistant in region 'cn': <reason>: <what>" */
enum err govern_deny(struct door *door, const struct context *context, enum feature feature,
                     enum reason reason, const char *what, const char **code)
{
    const char *name = feature_name(feature), *why = reason_code(reason);
    bool named = *context->region != '\0';
    metric_add(door->metrics, M_denials_total, name, why, 1);
    // Of a region that no policy knows the name is a stranger's text, and no record has one.
    bool known = context->rules || reason == REASON_POLICY_EXPIRED;
    const struct audit_field fields[] = {{"feature", name},
                                         {"region", known ? context->region : ""},
                                         {"reason", why},
                                         {"tenant", context->key->tenant},
                                         {"key", context->key->id}};
    audit_note_often(door->audit, AUDIT_DENIAL, fields, sizeof fields / sizeof *fields);
    log_debug("denied", "feature=%s region=%s reason=%s", name, context->region, why);
    json_param_clear();
    *code = why;
    return err_note(reason_err(reason), "%s%s%s%s: %s%s%s", name, named ? " in region '" : "",
                    context->region, named ? "'" : "", reason_text(reason), what ? ": " : "",
                    what ? what : "");
}

// ---- admission ---------------------------------------------------------------------------------

/* The first of these hurdles that does not let it pass, as a denial. */
static enum err pass_hurdles(struct hurdles *hurdles, const struct context *context,
                             enum hurdle first, enum hurdle last, const char **code)
{
    struct buf what = {0};
    enum err err = ERR_OK;
    for (int i = first; !err && i <= (int)last; i++) {
        buf_clear(&what);
        enum reason reason = hurdle_check(hurdles, (enum hurdle)i, &what);
        if (reason)
            err = govern_deny(hurdles->door, context, hurdles->feature, reason,
                              what.size ? buf_text(&what) : NULL, code);
    }
    buf_fini(&what);
    return err;
}

/* `model` (or its adapter) NULL: before one is chosen. What is let in is let out only as long as the gate stands. */
static enum err check_gate(struct door *door, const struct context *context, enum feature feature,
                           const struct digest *model, const char **code)
{
    struct hurdles hurdles = hurdles_of(door, context, feature);
    hurdles.model = model;
    TRY(pass_hurdles(&hurdles, context, HURDLE_GATE, HURDLE_GATE, code));
    if (context->request && hurdles.pass.gated)
        http_add_pass(context->request, door->gate, &hurdles.pass);
    return ERR_OK;
}

/* What the rules in context->rules say of the feature before anything is known of the model. */
static enum err check_feature(struct door *door, const struct context *context,
                              enum feature feature, const char **code)
{
    struct hurdles hurdles = hurdles_of(door, context, feature);
    TRY(pass_hurdles(&hurdles, context, HURDLE_FEATURE, HURDLE_AUDIT, code));
    return check_gate(door, context, feature, NULL, code);
}

enum err govern_admit(struct door *door, struct context *context, enum feature feature,
                      struct governed *out, const char **code)
{
    *out = (struct governed){.feature = feature};
    context->rules = NULL;
    if (!door->policies) return ERR_OK;
    context_complete_region(context);
    struct hurdles hurdles = hurdles_of(door, context, feature);
    TRY(pass_hurdles(&hurdles, context, HURDLE_POLICY, HURDLE_POLICY, code));
    context->rules = hurdles.rules;
    enum err err = check_feature(door, context, feature, code);
    if (err) {
        context->rules = NULL;
        return err;
    }
    out->rules = rules_hold(hurdles.rules);
    snprintf(out->language, sizeof out->language, "%s", context->language);
    return ERR_OK;
}

enum err govern_also(struct door *door, const struct context *context, enum feature feature,
                     const char **code)
{
    return context->rules ? check_feature(door, context, feature, code) : ERR_OK;
}

static bool holds(const struct digest *list, size_t count, const struct digest *digest)
{
    for (size_t i = 0; i < count; i++)
        if (digest_equal(&list[i], digest)) return true;
    return false;
}

enum err govern_model(struct door *door, const struct context *context, enum feature feature,
                      const struct fleet_model *model, const char **code)
{
    char what[256], text[DIGEST_TEXT_SIZE];
    if (!context->rules) return ERR_OK;
    const struct rules_feature *rule = &context->rules->features[feature];
    bool has_adapter = !digest_is_zero(&model->adapter);
    bool good = rule->any_model || holds(rule->models, rule->model_count, &model->model);
    bool adapter_good = !has_adapter || rule->any_adapter ||
                        holds(rule->adapters, rule->adapter_count, &model->adapter);
    if (good && adapter_good) {
        TRY(check_gate(door, context, feature, &model->model, code));
        return has_adapter ? check_gate(door, context, feature, &model->adapter, code) : ERR_OK;
    }
    snprintf(what, sizeof what, "%s of '%s' is %s", good ? "the adapter" : "the model", model->name,
             digest_text(good ? &model->adapter : &model->model, text));
    return govern_deny(door, context, feature, REASON_MODEL_NOT_APPROVED, what, code);
}

// ---- what else the rules say -------------------------------------------------------------------

enum err govern_size(const struct context *context, size_t prompt_tokens, uint32_t *max_tokens)
{
    if (!context->rules) return ERR_OK;
    const struct rules_limits *limits = &context->rules->limits;
    if (limits->prompt_tokens > 0 && prompt_tokens > limits->prompt_tokens)
        return err_note(ERR_TOO_LONG,
                        "the policy of region '%s' allows prompts of %u tokens, and this one has "
                        "%zu",
                        context->region, limits->prompt_tokens, prompt_tokens);
    if (limits->answer_tokens > 0 && *max_tokens > limits->answer_tokens)
        *max_tokens = limits->answer_tokens;
    return ERR_OK;
}

void govern_place(const struct context *context, struct flight_order *order)
{
    if (!context->rules) return;
    order->regions = context->rules->privacy.residency_tags;
    order->region_count = context->rules->privacy.residency_count;
}

enum err govern_origin(struct door *door, const struct context *context, enum feature feature,
                       uint64_t region, const char **code)
{
    char what[256];
    if (!context->rules || !region || region == digest_tag(context->region)) return ERR_OK;
    const struct rules *rules = residence_rules(door, region, context->key->tenant);
    if (rules && residence_allows(rules, context->rules)) return ERR_OK;
    snprintf(what, sizeof what,
             "the session was begun in %s%s, whose data may not go to the nodes that this region "
             "may use",
             rules ? "region " : "another region", rules ? rules->region : "");
    return govern_deny(door, context, feature, REASON_REGION_NOT_APPROVED, what, code);
}

void govern_copy(struct governed *out, const struct governed *governed)
{
    *out = *governed;
    if (out->rules) rules_hold(out->rules);
}

void govern_drop(struct governed *governed)
{
    rules_drop(governed->rules);
    governed->rules = NULL;
}
