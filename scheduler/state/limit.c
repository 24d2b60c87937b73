#include "scheduler/state/limit.h"

#include "scheduler/state/store.h"

#include "base/mem.h"

#include <hiredis/hiredis.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Two token buckets in one hash. A bucket that nobody used for two minutes is full, so its key may expire.
 * A bucket without a limit is not counted: should its rule get one, it begins full.
 *      KEYS  the key's hash
 *      ARGV  "reserve" or "settle", requests a minute, tokens a minute, tokens
 *      gives allowed, requests left, tokens left, ms until the asked is there, ms until each is full */
static const char script_text[] =
    "local time = redis.call('TIME')\n"
    "local now = time[1] * 1000 + math.floor(time[2] / 1000)\n"
    "local rpm, tpm, ask = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])\n"
    "local old = redis.call('HMGET', KEYS[1], 'requests', 'tokens', 'ms')\n"
    "local past = math.max(0, now - (tonumber(old[3]) or now))\n"
    "local function filled(left, most)\n"
    "  if most == 0 then return 0 end\n"
    "  return math.min(most, (tonumber(left) or most) + past * most / 60000)\n"
    "end\n"
    "local requests, tokens = filled(old[1], rpm), filled(old[2], tpm)\n"
    "local allowed, wait = 1, 0\n"
    "if ARGV[1] == 'settle' then\n"
    "  tokens = math.min(tpm, tokens + ask)\n"
    "else\n"
    "  if rpm > 0 and requests < 1 then wait = (1 - requests) * 60000 / rpm end\n"
    "  if tpm > 0 and tokens < ask then wait = math.max(wait, (ask - tokens) * 60000 / tpm) end\n"
    "  if wait > 0 then allowed = 0 else requests = requests - 1; tokens = tokens - ask end\n"
    "end\n"
    "local function kept(left, most)\n"
    "  return most > 0 and string.format('%.6f', left) or 'unlimited'\n"
    "end\n"
    "redis.call('HSET', KEYS[1], 'requests', kept(requests, rpm), 'tokens', kept(tokens, tpm),\n"
    "           'ms', string.format('%.0f', now))\n"
    "redis.call('PEXPIRE', KEYS[1], 120000)\n"
    "local function full(left, most)\n"
    "  if most == 0 then return 0 end\n"
    "  return math.ceil((most - left) * 60000 / most)\n"
    "end\n"
    "return {allowed, math.max(0, math.floor(requests)), math.max(0, math.floor(tokens)),\n"
    "        math.ceil(wait), full(requests, rpm), full(tokens, tpm)}\n";

enum {
    ANSWER_FIELDS = 6,
    NUMBER_SIZE = 24,
    KEY_MAX = 128
};

struct limits {
    struct store *store;
    struct store_script *script;
    bool open_when_away;
};

struct limit_ticket {
    struct limits *limits;
    struct limit_rule rule;
    char key[KEY_MAX + 1];
    uint64_t tokens;
    limit_fn *done; // NULL: the asker is gone
    void *argument;
};

struct limits *limits_new(struct store *store, bool open_when_away)
{
    struct limits *limits = mem_new(1, sizeof *limits);
    limits->store = store;
    limits->open_when_away = open_when_away;
    limits->script = store_add_script(store, script_text);
    return limits;
}

void limits_free(struct limits *limits)
{
    mem_free(limits);
}

static void finish(struct limit_ticket *ticket, enum err err, const struct limit_answer *answer)
{
    if (ticket->done) ticket->done(ticket->argument, err, answer);
    mem_free(ticket);
}

static enum err note_limited(const struct limit_ticket *ticket, const struct limit_answer *answer)
{
    if (ticket->rule.requests_per_minute && answer->requests_left == 0)
        return err_note(ERR_LIMITED,
                        "the key's limit of %" PRIu64
                        " requests per minute is spent; try again in %" PRIu32 " s",
                        ticket->rule.requests_per_minute, answer->retry_seconds);
    return err_note(
        ERR_LIMITED,
        "the request reserves %" PRIu64 " tokens, but %" PRIu64 " of the key's %" PRIu64
        " tokens per minute are left; try again in %" PRIu32 " s, or ask for fewer with "
        "max_tokens",
        ticket->tokens, answer->tokens_left, ticket->rule.tokens_per_minute, answer->retry_seconds);
}

static bool is_answer(const redisReply *reply)
{
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != ANSWER_FIELDS) return false;
    for (size_t i = 0; i < ANSWER_FIELDS; i++)
        if (reply->element[i]->type != REDIS_REPLY_INTEGER || reply->element[i]->integer < 0)
            return false;
    return true;
}

static void on_reserved(void *argument, enum err err, const redisReply *reply)
{
    struct limit_ticket *ticket = argument;
    struct limit_answer answer = {0};
    // Nobody will use what was reserved for one who is gone; what was refused is not given back.
    bool unused = !ticket->done && !err && is_answer(reply) && reply->element[0]->integer == 1;
    if (unused) limit_settle(ticket->limits, ticket->key, &ticket->rule, ticket->tokens, 0);
    if (err == ERR_STORE_AWAY || err == ERR_TIMEOUT) {
        answer.skipped = true;
        if (ticket->limits->open_when_away)
            err = ERR_OK;
        else
            err =
                err_note(ERR_STORE_AWAY, "rate limits cannot be checked: Redis cannot be reached");
        finish(ticket, err, &answer);
        return;
    }
    if (!err && !is_answer(reply))
        err = err_note(ERR_INTERNAL, "the limit's script gave an unknown answer");
    if (err) {
        finish(ticket, err, &answer);
        return;
    }
    answer.requests_left = (uint64_t)reply->element[1]->integer;
    answer.tokens_left = (uint64_t)reply->element[2]->integer;
    answer.retry_seconds = (uint32_t)((reply->element[3]->integer + 999) / 1000);
    answer.requests_reset_ms = (uint32_t)reply->element[4]->integer;
    answer.tokens_reset_ms = (uint32_t)reply->element[5]->integer;
    if (reply->element[0]->integer == 0) {
        if (answer.retry_seconds == 0) answer.retry_seconds = 1;
        err = note_limited(ticket, &answer);
    }
    finish(ticket, err, &answer);
}

/* The last argument is signed: a settlement may take back more than was reserved. */
static void call(struct limits *limits, const char *verb, const char *key,
                 const struct limit_rule *rule, int64_t tokens, struct limit_ticket *ticket)
{
    char name[192], rpm[NUMBER_SIZE], tpm[NUMBER_SIZE], ask[NUMBER_SIZE];
    snprintf(name, sizeof name, "qiao:{k:%.*s}:limit", KEY_MAX, key);
    snprintf(rpm, sizeof rpm, "%" PRIu64, rule->requests_per_minute);
    snprintf(tpm, sizeof tpm, "%" PRIu64, rule->tokens_per_minute);
    snprintf(ask, sizeof ask, "%" PRId64, tokens);
    const char *const words[] = {name, verb, rpm, tpm, ask};
    store_eval(limits->store, limits->script, ticket ? on_reserved : NULL, ticket, 1, 5, words,
               NULL);
}

static void on_nothing(void *argument, enum err err, const redisReply *reply)
{
    (void)err, (void)reply;
    struct limit_answer answer = {.skipped = true};
    finish(argument, ERR_OK, &answer);
}

static void on_too_large(void *argument, enum err err, const redisReply *reply)
{
    (void)err, (void)reply;
    struct limit_ticket *ticket = argument;
    struct limit_answer answer = {.tokens_left = ticket->rule.tokens_per_minute};
    finish(ticket,
           err_note(ERR_TOO_LARGE,
                    "the request reserves %" PRIu64 " tokens, more than the key's %" PRIu64
                    " tokens per minute; shorten the prompt or max_tokens",
                    ticket->tokens, ticket->rule.tokens_per_minute),
           &answer);
}

struct limit_ticket *limit_reserve(struct limits *limits, const char *key,
                                   const struct limit_rule *rule, uint64_t tokens, limit_fn *done,
                                   void *argument)
{
    struct limit_ticket *ticket = mem_new(1, sizeof *ticket);
    *ticket = (struct limit_ticket){
        .limits = limits, .rule = *rule, .tokens = tokens, .done = done, .argument = argument};
    snprintf(ticket->key, sizeof ticket->key, "%s", key);
    if (!rule->requests_per_minute && !rule->tokens_per_minute)
        store_later(limits->store, on_nothing, ticket);
    else if (rule->tokens_per_minute && tokens > rule->tokens_per_minute)
        store_later(limits->store, on_too_large, ticket);
    else
        call(limits, "reserve", key, rule, (int64_t)tokens, ticket);
    return ticket;
}

void limit_settle(struct limits *limits, const char *key, const struct limit_rule *rule,
                  uint64_t reserved, uint64_t used)
{
    if (!rule->tokens_per_minute || reserved == used) return;
    call(limits, "settle", key, rule, (int64_t)reserved - (int64_t)used, NULL);
}

void limit_drop(struct limit_ticket *ticket)
{
    ticket->done = NULL;
}
