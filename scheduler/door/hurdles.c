#include "scheduler/door/hurdles.h"

#include "scheduler/door/context.h"
#include "scheduler/door/door.h"
#include "scheduler/policy/audit.h"
#include "scheduler/policy/bundle.h"
#include "scheduler/policy/label.h"
#include "scheduler/policy/policy.h"

#include "base/buf.h"
#include "base/clock.h"

#include <stdio.h>

struct hurdles hurdles_of(struct door *door, const struct context *context, enum feature feature)
{
    return (struct hurdles){.door = door,
                            .region = context->region,
                            .tenant = context->key->tenant,
                            .user = context->user,
                            .os = context->os,
                            .language = context->language,
                            .feature = feature,
                            .rules = context->rules};
}

static const struct rules_feature *rule_of(const struct hurdles *hurdles)
{
    return &hurdles->rules->features[hurdles->feature];
}

static enum reason check_policy(struct hurdles *hurdles, struct buf *what)
{
    const struct rules *rules;
    struct policies *policies = hurdles->door->policies;
    enum reason reason = policies_find(policies, hurdles->region, hurdles->tenant,
                                       clock_wall_ms() / 1000, &hurdles->rules);
    if (!reason) return REASON_NONE;
    hurdles->rules = NULL;
    if (reason == REASON_POLICY_EXPIRED) return reason;
    const char *before = "the regions that have a policy are ";
    for (size_t i = 0; (rules = policies_at(policies, i)) != NULL; i++) {
        if (*rules->tenant) continue;
        buf_addf(what, "%s%s", before, rules->region);
        before = ", ";
    }
    return reason;
}

static enum reason check_feature(struct hurdles *hurdles, struct buf *what)
{
    if (rule_of(hurdles)->allowed) return REASON_NONE;
    buf_add_text(what, "the region's policy does not allow it");
    return REASON_REGION_NOT_APPROVED;
}

/* What is answered with numbers alone has no label. */
static enum reason check_label(struct hurdles *hurdles, struct buf *what)
{
    enum feature feature = hurdles->feature;
    if (feature == FEATURE_EMBEDDINGS || feature == FEATURE_RERANK) return REASON_NONE;
    bool generates = feature == FEATURE_ASSISTANT || feature == FEATURE_GROUNDING;
    const char *lacks = labeller_lacks(hurdles->door->labeller, &hurdles->rules->labels, generates);
    if (!lacks) return REASON_NONE;
    buf_add_text(what, lacks);
    return REASON_LABEL_NOT_POSSIBLE;
}

static enum reason check_language(struct hurdles *hurdles, struct buf *what)
{
    const struct rules_feature *rule = rule_of(hurdles);
    if (rules_allow_language(rule, hurdles->language)) return REASON_NONE;
    buf_add_text(what, "Accept-Language may name");
    for (size_t i = 0; i < rule->language_count; i++)
        buf_addf(what, "%s %s", i ? "," : "", rule->languages[i]);
    return REASON_LANGUAGE_NOT_ALLOWED;
}

static enum reason check_audit(struct hurdles *hurdles, struct buf *what)
{
    (void)what;
    return audit_stands(hurdles->door->audit, hurdles->rules->audit.stops)
               ? REASON_NONE
               : REASON_AUDIT_NOT_POSSIBLE;
}

struct gate_ask hurdles_gate_ask(const struct hurdles *hurdles, char user[HURDLES_USER_SIZE])
{
    *user = '\0';
    if (*hurdles->user) snprintf(user, HURDLES_USER_SIZE, "%s/%s", hurdles->tenant, hurdles->user);
    return (struct gate_ask){.feature = feature_name(hurdles->feature),
                             .os = hurdles->os,
                             .user = user,
                             .model = hurdles->model};
}

static enum reason check_gate(struct hurdles *hurdles, struct buf *what)
{
    char user[HURDLES_USER_SIZE];
    hurdles->pass = (struct gate_pass){0};
    if (!rule_of(hurdles)->gated) {
        buf_add_text(what, "the region's policy asks for no approval of it");
        return REASON_NONE;
    }
    struct gate_ask ask = hurdles_gate_ask(hurdles, user);
    struct gate_finding finding = gate_decide(hurdles->door->gate, hurdles->rules, &ask,
                                              clock_now_ns(), clock_wall_ms(), &hurdles->pass);
    buf_add_text(what, finding.note);
    return finding.reason;
}

/* What has a screen (screen.h). */
static bool is_filtered(enum feature feature)
{
    return feature == FEATURE_ASSISTANT || feature == FEATURE_GROUNDING ||
           feature == FEATURE_SEARCH;
}

bool hurdles_count_strikes(const struct hurdles *hurdles)
{
    if (!hurdles->rules || !is_filtered(hurdles->feature)) return false;
    const struct rules_filter *filter = &hurdles->rules->filter;
    return (filter->required || filter->bundle) && filter->strikes > 0;
}

static enum reason check_filter(struct hurdles *hurdles, struct buf *what)
{
    const struct bundle *bundle;
    if (!is_filtered(hurdles->feature) || !hurdles->rules->filter.required) return REASON_NONE;
    if (bundles_find(hurdles->door->bundles, &hurdles->rules->filter, clock_wall_ms() / 1000,
                     &bundle)) {
        buf_add_text(what, err_text());
        return REASON_FILTER_NOT_READY;
    }
    bundle_drop(bundle);
    return REASON_NONE;
}

static const struct {
    const char *name;
    enum reason (*check)(struct hurdles *hurdles, struct buf *what);
} table[HURDLE_COUNT] = {
    [HURDLE_POLICY] = {"policy", check_policy}, [HURDLE_FEATURE] = {"feature", check_feature},
    [HURDLE_LABEL] = {"label", check_label},    [HURDLE_LANGUAGE] = {"language", check_language},
    [HURDLE_AUDIT] = {"audit", check_audit},    [HURDLE_GATE] = {"gate", check_gate},
    [HURDLE_FILTER] = {"filter", check_filter},
};

const char *hurdle_name(enum hurdle hurdle)
{
    return table[hurdle].name;
}

enum reason hurdle_check(struct hurdles *hurdles, enum hurdle hurdle, struct buf *what)
{
    return table[hurdle].check(hurdles, what);
}
