#include "scheduler/features/feed.h"

#include "scheduler/state/store.h"

#include "base/mem.h"

#include <hiredis/hiredis.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*      KEYS  the feed's hash
 *      ARGV  number, digest, lines, from, until, region, '1' to leave the one before as it is
 *      gives a word (ok, old, other, open) and the hash */
static const char begin_text[] =
    "local at = redis.call('HMGET', KEYS[1], 'number', 'digest', 'done', 'lines')\n"
    "local word = 'ok'\n"
    "if at[1] and tonumber(ARGV[1]) < tonumber(at[1]) then word = 'old'\n"
    "elseif at[1] and tonumber(ARGV[1]) == tonumber(at[1]) then\n"
    "  if at[2] ~= ARGV[2] then word = 'other' end\n"
    "elseif at[1] and tonumber(at[3]) < tonumber(at[4]) and ARGV[7] ~= '1' then word = 'open'\n"
    "else\n"
    "  redis.call('DEL', KEYS[1])\n"
    "  redis.call('HSET', KEYS[1], 'number', ARGV[1], 'digest', ARGV[2], 'lines', ARGV[3],\n"
    "    'from', ARGV[4], 'until', ARGV[5], 'region', ARGV[6], 'done', 0)\n"
    "end\n"
    "return {word, redis.call('HGETALL', KEYS[1])}\n";

/*      KEYS  the feed's hash
 *      ARGV  number, first, end, then names and counts
 *      gives ok or moved, and the hash */
static const char advance_text[] =
    "local at = redis.call('HMGET', KEYS[1], 'number', 'done')\n"
    "local word = 'moved'\n"
    "if at[1] == ARGV[1] and at[2] == ARGV[2] then\n"
    "  word = 'ok'\n"
    "  redis.call('HSET', KEYS[1], 'done', ARGV[3])\n"
    "  for n = 4, #ARGV, 2 do redis.call('HINCRBY', KEYS[1], ARGV[n], ARGV[n + 1]) end\n"
    "end\n"
    "return {word, redis.call('HGETALL', KEYS[1])}\n";

enum {
    NUMBER_SIZE = 24,
    COUNTS = 5
};

struct feeds {
    struct store *store;
    struct store_script *begin, *advance;
};

struct ask {
    feed_fn *done;
    void *argument;
    int64_t number, first; // of what was asked, for notes
};

struct feeds *feeds_new(struct store *store)
{
    struct feeds *feeds = mem_new(1, sizeof *feeds);
    *feeds = (struct feeds){store, store_add_script(store, begin_text),
                            store_add_script(store, advance_text)};
    return feeds;
}

void feeds_free(struct feeds *feeds)
{
    mem_free(feeds);
}

static void write_key(char *out, size_t size, const char *tenant, const char *source)
{
    snprintf(out, size, "qiao:{c:items:%s}:feed:%s", tenant, source);
}

// ---- what Redis says ---------------------------------------------------------------------------

static void read_field(struct feed *feed, const char *name, const char *value)
{
    const struct {
        const char *name;
        int64_t *signed_out;
        uint64_t *out;
    } rows[] = {{"number", &feed->number, NULL},
                {"lines", &feed->lines, NULL},
                {"done", &feed->done, NULL},
                {"from", &feed->from_ms, NULL},
                {"until", &feed->until_ms, NULL},
                {"stored", NULL, &feed->counts.stored},
                {"repeated", NULL, &feed->counts.repeated},
                {"unlinked", NULL, &feed->counts.unlinked},
                {"refused", NULL, &feed->counts.refused},
                {"wrong", NULL, &feed->counts.wrong}};

    if (strcmp(name, "digest") == 0) snprintf(feed->digest, sizeof feed->digest, "%s", value);
    if (strcmp(name, "region") == 0) snprintf(feed->region, sizeof feed->region, "%s", value);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (strcmp(rows[i].name, name) != 0) continue;
        if (rows[i].out)
            *rows[i].out = strtoull(value, NULL, 10);
        else
            *rows[i].signed_out = strtoll(value, NULL, 10);
    }
}

static enum err read_feed(struct feed *feed, const redisReply *fields)
{
    *feed = (struct feed){0};
    if (fields->type != REDIS_REPLY_ARRAY) return err_note(ERR_INTERNAL, "a feed's hash is none");
    for (size_t i = 0; i + 1 < fields->elements; i += 2)
        if (fields->element[i]->type == REDIS_REPLY_STRING &&
            fields->element[i + 1]->type == REDIS_REPLY_STRING)
            read_field(feed, fields->element[i]->str, fields->element[i + 1]->str);
    return ERR_OK;
}

static enum err judge(const struct ask *ask, const char *word, const struct feed *feed)
{
    if (strcmp(word, "ok") == 0) return ERR_OK;
    if (strcmp(word, "old") == 0)
        return err_note(ERR_CONFLICT,
                        "feed %" PRId64 " is older than %" PRId64 ", the latest one that was taken",
                        ask->number, feed->number);
    if (strcmp(word, "other") == 0)
        return err_note(ERR_CONFLICT,
                        "another file was feed %" PRId64 " already: the next needs a higher number",
                        ask->number);
    if (strcmp(word, "open") == 0)
        return err_note(ERR_CONFLICT,
                        "feed %" PRId64 " is not complete (%" PRId64 " of %" PRId64
                        " lines): bring the rest of it first, or say \"skip\"",
                        feed->number, feed->done, feed->lines);
    return err_note(ERR_CONFLICT,
                    "line %" PRId64 " of feed %" PRId64 " is not the next one: feed %" PRId64
                    " is at line %" PRId64,
                    ask->first, ask->number, feed->number, feed->done);
}

static void on_answer(void *argument, enum err err, const redisReply *reply)
{
    struct ask ask = *(struct ask *)argument;
    struct feed feed;
    mem_free(argument);
    if (err == ERR_STORE_AWAY || err == ERR_TIMEOUT)
        err = err_note(ERR_STORE_AWAY, "feeds cannot be taken: Redis is away");
    if (!err && (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 ||
                 reply->element[0]->type != REDIS_REPLY_STRING))
        err = err_note(ERR_INTERNAL, "the feeds' script gave an unknown answer");
    if (!err) err = read_feed(&feed, reply->element[1]);
    if (!err) err = judge(&ask, reply->element[0]->str, &feed);
    ask.done(ask.argument, err, err ? NULL : &feed);
}

static void on_look(void *argument, enum err err, const redisReply *reply)
{
    struct ask ask = *(struct ask *)argument;
    struct feed feed;
    mem_free(argument);
    if (err == ERR_STORE_AWAY || err == ERR_TIMEOUT)
        err = err_note(ERR_STORE_AWAY, "feeds cannot be looked at: Redis is away");
    if (!err) err = read_feed(&feed, reply);
    ask.done(ask.argument, err, err ? NULL : &feed);
}

// ---- asking ------------------------------------------------------------------------------------

static struct ask *new_ask(feed_fn *done, void *argument, int64_t number, int64_t first)
{
    struct ask *ask = mem_new(1, sizeof *ask);
    *ask = (struct ask){done, argument, number, first};
    return ask;
}

static const char *decimal(char out[NUMBER_SIZE], int64_t value)
{
    snprintf(out, NUMBER_SIZE, "%" PRId64, value);
    return out;
}

void feeds_look(struct feeds *feeds, const char *tenant, const char *source, feed_fn *done,
                void *argument)
{
    char key[256];
    write_key(key, sizeof key, tenant, source);
    const char *const words[] = {"HGETALL", key};
    store_command(feeds->store, on_look, new_ask(done, argument, 0, 0), 2, words, NULL);
}

void feeds_begin(struct feeds *feeds, const char *tenant, const char *source,
                 const struct feed *feed, bool skip, feed_fn *done, void *argument)
{
    char key[256], numbers[4][NUMBER_SIZE];
    write_key(key, sizeof key, tenant, source);
    const char *const words[] = {key,
                                 decimal(numbers[0], feed->number),
                                 feed->digest,
                                 decimal(numbers[1], feed->lines),
                                 decimal(numbers[2], feed->from_ms),
                                 decimal(numbers[3], feed->until_ms),
                                 feed->region,
                                 skip ? "1" : "0"};
    store_eval(feeds->store, feeds->begin, on_answer, new_ask(done, argument, feed->number, 0), 1,
               8, words, NULL);
}

void feeds_advance(struct feeds *feeds, const char *tenant, const char *source, int64_t number,
                   int64_t first, int64_t end, const struct feed_counts *counts, feed_fn *done,
                   void *argument)
{
    char key[256], numbers[3][NUMBER_SIZE], values[COUNTS][NUMBER_SIZE];

    const struct {
        const char *name;
        uint64_t value;
    } rows[COUNTS] = {{"stored", counts->stored},
                      {"repeated", counts->repeated},
                      {"unlinked", counts->unlinked},
                      {"refused", counts->refused},
                      {"wrong", counts->wrong}};

    const char *words[4 + 2 * COUNTS] = {key, decimal(numbers[0], number),
                                         decimal(numbers[1], first), decimal(numbers[2], end)};
    write_key(key, sizeof key, tenant, source);
    for (size_t i = 0; i < COUNTS; i++) {
        words[4 + 2 * i] = rows[i].name;
        words[5 + 2 * i] = decimal(values[i], (int64_t)rows[i].value);
    }
    store_eval(feeds->store, feeds->advance, on_answer, new_ask(done, argument, number, first), 1,
               4 + 2 * COUNTS, words, NULL);
}
