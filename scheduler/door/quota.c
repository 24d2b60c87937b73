#include "scheduler/door/quota.h"

#include "scheduler/door/context.h"
#include "scheduler/door/door.h"
#include "scheduler/door/http.h"
#include "scheduler/policy/rules.h"
#include "scheduler/settings.h"
#include "scheduler/state/limit.h"

#include "base/metric.h"

#include <inttypes.h>
#include <stdio.h>

void quota_write_duration(char out[QUOTA_DURATION_SIZE], uint64_t ms)
{
    uint64_t seconds = (ms + 999) / 1000;
    if (ms > 0 && ms < 1000)
        snprintf(out, QUOTA_DURATION_SIZE, "%" PRIu64 "ms", ms);
    else if (seconds < 60)
        snprintf(out, QUOTA_DURATION_SIZE, "%" PRIu64 "s", seconds);
    else if (seconds < 3600)
        snprintf(out, QUOTA_DURATION_SIZE, "%" PRIu64 "m%" PRIu64 "s", seconds / 60, seconds % 60);
    else
        snprintf(out, QUOTA_DURATION_SIZE, "%" PRIu64 "h%" PRIu64 "m%" PRIu64 "s", seconds / 3600,
                 seconds / 60 % 60, seconds % 60);
}

static void set_header(struct http_request *request, const char *what, const char *of,
                       const char *value)
{
    char name[64];
    snprintf(name, sizeof name, "x-ratelimit-%s-%s", what, of);
    http_set_header(request, name, value);
}

static void set_headers(struct http_request *request, const char *of, const struct limit_view *view)
{
    char text[QUOTA_DURATION_SIZE];
    if (view->limit == 0) return;
    snprintf(text, sizeof text, "%" PRIu64, view->limit);
    set_header(request, "limit", of, text);
    snprintf(text, sizeof text, "%" PRIu64, view->left);
    set_header(request, "remaining", of, text);
    quota_write_duration(text, view->reset_ms);
    set_header(request, "reset", of, text);
}

static const char *outcome_of(enum err err, const struct limit_answer *answer)
{
    if (err) return err == ERR_STORE_AWAY ? "away" : "refused";
    return answer->skipped ? "skipped" : "admitted";
}

/* What each choice may generate of the tokens that were granted. */
static uint32_t share_of(const struct quota_ask *ask, uint64_t tokens)
{
    uint64_t share = (tokens + ask->paid - ask->prompt_tokens) / ask->choices;
    return share < ask->max_tokens ? (uint32_t)share : ask->max_tokens;
}

/* The answer is there; how much each choice may generate. */
static uint32_t take(struct quota *quota, enum err err, const struct limit_answer *answer)
{
    metric_add(quota->door->metrics, M_limits_total, outcome_of(err, answer), NULL, 1);
    quota->held = err == ERR_OK;
    if (err) quota->ticket = NULL;
    set_headers(quota->request, "requests", &answer->requests);
    set_headers(quota->request, "tokens", &answer->minute);
    set_headers(quota->request, "tokens-day", &answer->day);
    return err ? 0 : share_of(&quota->ask, answer->tokens);
}

static void on_limit(void *argument, enum err err, const struct limit_answer *answer)
{
    struct quota *quota = argument;
    uint32_t max_tokens = take(quota, err, answer);
    quota->done(quota->owner, err, max_tokens, answer->retry_seconds);
}

/* What a request with so many for each choice still costs. */
static uint64_t cost_of(const struct quota_ask *ask, uint32_t max_tokens)
{
    uint64_t tokens = ask->prompt_tokens + (uint64_t)ask->choices * max_tokens;
    return tokens > ask->paid ? tokens - ask->paid : 0;
}

/* What a user may do: the key's word, and the region's where that is less. */
static struct limit_rule user_rule_of(const struct context *context)
{
    struct limit_rule rule = context->key->user_rule;
    uint64_t most = context->rules ? context->rules->limits.user_requests_per_minute : 0;
    if (most > 0 && (rule.requests_per_minute == 0 || most < rule.requests_per_minute))
        rule.requests_per_minute = most;
    return rule;
}

bool quota_reserve(struct quota *quota, const struct quota_ask *ask, quota_fn *done, void *owner,
                   uint32_t *max_tokens)
{
    const struct context *context = quota->context;
    const struct key *key = context->key;
    *max_tokens = ask->max_tokens;
    struct limit_rule user_rule = user_rule_of(context);
    if (!limit_is_set(&key->rule) && !limit_is_set(&user_rule)) return false;
    uint32_t answer_least = ask->max_tokens;
    if (ask->may_shorten && answer_least > QUOTA_ANSWER_LEAST) answer_least = QUOTA_ANSWER_LEAST;
    struct limit_ask limit = {
        .key = key->id,
        .tenant = key->tenant,
        .user = context->user,
        .key_rule = key->rule,
        .user_rule = user_rule,
        .tokens = cost_of(ask, ask->max_tokens),
        .least = cost_of(ask, answer_least),
        .streams = ask->choices,
    };
    quota->ask = *ask;
    quota->done = done;
    quota->owner = owner;
    quota->ticket = limit_reserve(quota->door->limits, &limit, on_limit, quota);
    const struct limit_answer *admitted = limit_admitted(quota->ticket);
    if (!admitted) return true;
    *max_tokens = take(quota, ERR_OK, admitted);
    return false;
}

void quota_settle(struct quota *quota, uint64_t used)
{
    struct limit_ticket *ticket = quota->ticket;
    quota->ticket = NULL;
    if (!ticket) return;
    if (quota->held)
        limit_settle(ticket, used);
    else
        limit_drop(ticket);
}
