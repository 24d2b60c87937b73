#include "scheduler/features/follower.h"

#include "scheduler/features/collection.h"
#include "scheduler/state/store.h"

#include "base/clock.h"
#include "base/digest.h"
#include "base/mem.h"
#include "base/must.h"

#include <event2/event.h>
#include <hiredis/hiredis.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What is new since a version. Its own entry must still stand in the stream with its token, and every later one behind it:
 * otherwise nobody can tell what happened since.
 *      KEYS  docs, meta, changes
 *      ARGV  version, token, changes at most, bytes at most (of all but the last change)
 *      gives {1}: nothing; {0}: start again; {2, version, token, settings or false, id, record or false, …} */
static const char news_text[] =
    "local meta = redis.call('HMGET', KEYS[2], 'version', 'token', 'settings')\n"
    "local have, from = tonumber(meta[1] or '0'), tonumber(ARGV[1])\n"
    "if have == from and (meta[2] or '') == ARGV[2] then return {1} end\n"
    "if from == 0 or have <= from then return {0} end\n"
    "local rows = redis.call('XRANGE', KEYS[3], ARGV[1] .. '-1', '+', 'COUNT', ARGV[3] + 1)\n"
    "if #rows < 2 or rows[1][1] ~= ARGV[1] .. '-1' or rows[1][2][2] ~= ARGV[2] then return {0} "
    "end\n"
    "local out, bytes = {2, '', '', false}, 0\n"
    "for n = 2, #rows do\n"
    "  local id, fields = rows[n][1], rows[n][2]\n"
    "  out[2] = string.format('%.0f', from + n - 1)\n"
    "  if id ~= out[2] .. '-1' then return {0} end\n"
    "  out[3] = fields[2]\n"
    "  if fields[6] then out[4] = meta[3] or '' end\n"
    "  local ids = cmsgpack.unpack(fields[4])\n"
    "  if #ids > 0 then\n"
    "    local records = redis.call('HMGET', KEYS[1], unpack(ids))\n"
    "    for k = 1, #ids do\n"
    "      out[#out + 1] = ids[k]\n"
    "      out[#out + 1] = records[k]\n"
    "      if records[k] then bytes = bytes + #records[k] end\n"
    "    end\n"
    "  end\n"
    "  if bytes > tonumber(ARGV[4]) then break end\n"
    "end\n"
    "return out\n";

enum {
    NEWS_CHANGES = 64, // of one answer
    NEWS_BYTES = 512 << 10,
    NEWS_HEAD = 4, // elements before the first document
    ENLIST_MS = 10000,
    CURSOR_SIZE = 24
};

enum phase {
    PHASE_START,
    PHASE_SCAN,
    PHASE_FOLLOW
};

struct follower_wait {
    struct follower_wait *next, *previous; // of the follower's list
    uint64_t version, deadline_ns;
    follower_reached_fn *done;
    void *argument;
};

struct follower {
    struct collections *collections;
    const struct follower_sink *sink;
    void *owner;
    char name[COLLECTION_NAME_MAX + 1];
    struct collection_keys keys;
    struct store_script *news;
    struct event *tick;
    enum phase phase;
    bool asked;  // one question is on its way
    bool kicked; // and another shall follow it
    bool closing;
    bool is_stale;            // the answer on its way is to a question of before a restart
    bool is_head;             // documents are not wanted
    struct digest settings;   // of the latest ones
    char cursor[CURSOR_SIZE]; // of the scan
    uint64_t version;         // that the copy has, once it is whole
    char token[COLLECTION_TOKEN_MAX + 1];
    uint64_t fresh_ns;  // when the latest question that found nothing new was asked
    uint64_t asked_ns;  // when the one on its way was
    uint64_t listed_ns; // when the list was told of the collection
    struct follower_wait waits;
};

static void ask(struct follower *follower);

// ---- who waits ---------------------------------------------------------------------------------

static void unlink_wait(struct follower_wait *wait)
{
    wait->next->previous = wait->previous;
    wait->previous->next = wait->next;
}

void follower_leave(struct follower_wait *wait)
{
    unlink_wait(wait);
    mem_free(wait);
}

/* Tell one whose time has come; false when there is none (left). */
static bool tell_one(struct follower *follower, uint64_t now_ns)
{
    for (struct follower_wait *wait = follower->waits.next; wait != &follower->waits;
         wait = wait->next) {
        enum err err = ERR_OK;
        bool reached = follower->phase == PHASE_FOLLOW && follower->version >= wait->version &&
                       !follower->closing;
        if (!reached && !follower->closing && now_ns < wait->deadline_ns) continue;
        if (follower->closing)
            err = err_note(ERR_CANCELED, "the scheduler ends");
        else if (!reached)
            err = err_note(ERR_TIMEOUT, "version %" PRIu64 " has not come in time", wait->version);
        struct follower_wait told = *wait;
        follower_leave(wait);
        told.done(told.argument, err);
        return true;
    }
    return false;
}

static void tell_waits(struct follower *follower)
{
    uint64_t now_ns = clock_now_ns();
    while (tell_one(follower, now_ns))
        continue;
}

struct follower_wait *follower_await(struct follower *follower, uint64_t version,
                                     uint32_t timeout_ms, follower_reached_fn *done, void *argument)
{
    struct follower_wait *wait = mem_new(1, sizeof *wait), *head = &follower->waits;
    *wait = (struct follower_wait){.next = head,
                                   .previous = head->previous,
                                   .version = version,
                                   .deadline_ns = clock_now_ns() + timeout_ms * CLOCK_MS,
                                   .done = done,
                                   .argument = argument};
    head->previous->next = wait;
    head->previous = wait;
    follower_kick(follower);
    return wait;
}

// ---- the whole of it ---------------------------------------------------------------------------

static void start_again(struct follower *follower)
{
    follower->phase = PHASE_START;
    follower->version = 0;
    follower->token[0] = '\0';
    follower->kicked = true;
}

static bool read_version(struct follower *follower, const redisReply *version,
                         const redisReply *token)
{
    if (version->type != REDIS_REPLY_STRING || token->type != REDIS_REPLY_STRING ||
        token->len > COLLECTION_TOKEN_MAX)
        return false;
    follower->version = strtoull(version->str, NULL, 10);
    memcpy(follower->token, token->str, token->len);
    follower->token[token->len] = '\0';
    return true;
}

static struct digest digest_settings(const redisReply *settings)
{
    bool are_there = settings->type == REDIS_REPLY_STRING;
    return digest_of(are_there ? settings->str : "", are_there ? settings->len : 0);
}

static void take_settings(struct follower *follower, const redisReply *settings)
{
    follower->settings = digest_settings(settings);
    if (!follower->sink->settings) return;
    if (settings->type == REDIS_REPLY_STRING)
        follower->sink->settings(follower->owner, settings->str, settings->len);
    else
        follower->sink->settings(follower->owner, NULL, 0);
}

static void catch_up(struct follower *follower)
{
    follower->phase = PHASE_FOLLOW;
    follower->sink->caught_up(follower->owner, follower->version);
    tell_waits(follower);
}

static void take_head(struct follower *follower, const redisReply *reply)
{
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 3) return;
    follower->version = 0;
    follower->token[0] = '\0';
    (void)read_version(follower, reply->element[0], reply->element[1]);
    follower->sink->reset(follower->owner);
    take_settings(follower, reply->element[2]);
    follower->is_head = follower->sink->wants && !follower->sink->wants(follower->owner);
    snprintf(follower->cursor, sizeof follower->cursor, "0");
    follower->phase = PHASE_SCAN;
    follower->kicked = true;
    if (follower->version == 0 || follower->is_head) catch_up(follower);
}

/* Where documents are not wanted: another version, or other settings. */
static void take_head_again(struct follower *follower, const redisReply *reply)
{
    char token[COLLECTION_TOKEN_MAX + 1];
    uint64_t version = follower->version;
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 3) return;
    struct digest settings = digest_settings(reply->element[2]);
    memcpy(token, follower->token, sizeof token);
    bool is_there = read_version(follower, reply->element[0], reply->element[1]);
    if (is_there != (version > 0) || follower->version < version ||
        !digest_equal(&settings, &follower->settings))
        start_again(follower);
    else if (version == follower->version && strcmp(token, follower->token) == 0)
        follower->fresh_ns = follower->asked_ns;
    else
        catch_up(follower);
}

static void take_documents(struct follower *follower, redisReply *const *elements, size_t count)
{
    for (size_t i = 0; i + 1 < count; i += 2) {
        const redisReply *id = elements[i], *record = elements[i + 1];
        if (id->type != REDIS_REPLY_STRING) continue;
        if (record->type == REDIS_REPLY_STRING)
            follower->sink->put(follower->owner, id->str, id->len, record->str, record->len);
        else
            follower->sink->drop(follower->owner, id->str, id->len);
    }
}

static void take_scan(struct follower *follower, const redisReply *reply)
{
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 ||
        reply->element[0]->type != REDIS_REPLY_STRING ||
        reply->element[0]->len >= sizeof follower->cursor ||
        reply->element[1]->type != REDIS_REPLY_ARRAY) {
        start_again(follower);
        return;
    }
    take_documents(follower, reply->element[1]->element, reply->element[1]->elements);
    snprintf(follower->cursor, sizeof follower->cursor, "%s", reply->element[0]->str);
    follower->kicked = true;
    if (strcmp(follower->cursor, "0") == 0) catch_up(follower);
}

// ---- the news ----------------------------------------------------------------------------------

static void take_news(struct follower *follower, const redisReply *reply)
{
    long long what = reply->type == REDIS_REPLY_ARRAY && reply->elements > 0 &&
                             reply->element[0]->type == REDIS_REPLY_INTEGER
                         ? reply->element[0]->integer
                         : 0;
    if (what == 1) {
        follower->fresh_ns = follower->asked_ns;
        return;
    }
    if (what != 2 || reply->elements < NEWS_HEAD ||
        !read_version(follower, reply->element[1], reply->element[2])) {
        start_again(follower);
        return;
    }
    if (reply->element[3]->type == REDIS_REPLY_STRING) take_settings(follower, reply->element[3]);
    take_documents(follower, reply->element + NEWS_HEAD, reply->elements - NEWS_HEAD);
    follower->kicked = true; // there may be more
    catch_up(follower);
}

// ---- asking ------------------------------------------------------------------------------------

static void end(struct follower *follower)
{
    event_free(follower->tick);
    mem_free(follower);
}

static void on_answer(void *argument, enum err err, const redisReply *reply)
{
    struct follower *follower = argument;
    follower->asked = false;
    if (follower->closing) {
        end(follower);
        return;
    }
    if (follower->is_stale) {
        follower->is_stale = false;
        follower->kicked = false;
        ask(follower);
        return;
    }
    bool again = follower->kicked; // there may be news that the answer has not
    follower->kicked = false;
    if (err && follower->phase == PHASE_SCAN) // the cursor may mean nothing where Redis is now
        follower->phase = PHASE_START;
    else if (!err && follower->phase == PHASE_START)
        take_head(follower, reply);
    else if (!err && follower->phase == PHASE_SCAN)
        take_scan(follower, reply);
    else if (!err && follower->is_head)
        take_head_again(follower, reply);
    else if (!err)
        take_news(follower, reply);
    if (!err && (again || follower->kicked)) ask(follower);
}

static void ask_news(struct follower *follower)
{
    char version[24], changes[16], bytes[16];
    snprintf(version, sizeof version, "%" PRIu64, follower->version);
    snprintf(changes, sizeof changes, "%d", NEWS_CHANGES);
    snprintf(bytes, sizeof bytes, "%d", NEWS_BYTES);
    const char *const words[] = {follower->keys.docs,
                                 follower->keys.meta,
                                 follower->keys.changes,
                                 version,
                                 follower->token,
                                 changes,
                                 bytes};
    store_eval(collections_store(follower->collections), follower->news, on_answer, follower, 3, 7,
               words, NULL);
}

static void ask(struct follower *follower)
{
    struct store *store = collections_store(follower->collections);
    const struct follower_sink *sink = follower->sink;
    if (follower->asked) {
        follower->kicked = true;
        return;
    }
    if (sink->is_full && sink->is_full(follower->owner)) return; // the tick asks again
    follower->asked = true;
    follower->asked_ns = clock_now_ns();
    bool asks_head = follower->phase == PHASE_FOLLOW && follower->is_head;
    if (follower->phase == PHASE_START || asks_head) {
        const char *const words[] = {"HMGET", follower->keys.meta, "version", "token", "settings"};
        store_command(store, on_answer, follower, 5, words, NULL);
    } else if (follower->phase == PHASE_SCAN) {
        const char *const words[] = {"HSCAN", follower->keys.docs, follower->cursor, "COUNT",
                                     "128"};
        store_command(store, on_answer, follower, 5, words, NULL);
    } else {
        ask_news(follower);
    }
}

static void on_tick(evutil_socket_t unused, short events, void *argument)
{
    (void)unused, (void)events;
    struct follower *follower = argument;
    uint64_t now_ns = clock_now_ns();
    tell_waits(follower); // those whose time is over
    if (!store_is_up(collections_store(follower->collections))) return;
    if (follower->version > 0 && now_ns - follower->listed_ns > ENLIST_MS * CLOCK_MS) {
        follower->listed_ns = now_ns;
        collections_enlist(follower->collections, follower->name);
    }
    if (!follower->asked) ask(follower);
}

void follower_kick(struct follower *follower)
{
    if (store_is_up(collections_store(follower->collections))) ask(follower);
}

struct follower *follower_new(struct collections *collections, const char *name,
                              const struct follower_sink *sink, void *owner)
{
    struct follower *follower = mem_new(1, sizeof *follower);
    struct timeval period = {.tv_usec = FOLLOWER_POLL_MS * 1000};
    collection_keys(&follower->keys, name);
    snprintf(follower->name, sizeof follower->name, "%s", name);
    follower->collections = collections;
    follower->sink = sink;
    follower->owner = owner;
    follower->waits.next = follower->waits.previous = &follower->waits;
    follower->fresh_ns = follower->listed_ns = clock_now_ns();
    follower->news = store_add_script(collections_store(collections), news_text);
    follower->tick = event_new(collections_base(collections), -1, EV_PERSIST, on_tick, follower);
    must(follower->tick && event_add(follower->tick, &period) == 0);
    event_active(follower->tick, EV_TIMEOUT, 0); // the first look is not a period away
    return follower;
}

void follower_free(struct follower *follower)
{
    if (!follower) return;
    follower->closing = true;
    tell_waits(follower);
    event_del(follower->tick);
    if (!follower->asked) end(follower);
}

bool follower_is_whole(const struct follower *follower)
{
    return follower->phase == PHASE_FOLLOW;
}

uint64_t follower_version(const struct follower *follower)
{
    return follower->version;
}

const char *follower_token(const struct follower *follower)
{
    return follower->token;
}

void follower_restart(struct follower *follower)
{
    start_again(follower);
    follower->is_stale = follower->asked;
}

void follower_resume(struct follower *follower, uint64_t version, const char *token)
{
    follower->phase = PHASE_FOLLOW;
    follower->is_head = false;
    follower->version = version;
    snprintf(follower->token, sizeof follower->token, "%s", token);
    follower->is_stale = follower->asked;
}

uint64_t follower_age_ms(const struct follower *follower)
{
    return (clock_now_ns() - follower->fresh_ns) / CLOCK_MS;
}
