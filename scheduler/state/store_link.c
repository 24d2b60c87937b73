#include "scheduler/state/store_link.h"

#include "scheduler/state/command.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/must.h"

#include <hiredis/adapters/libevent.h>
#include <hiredis/async.h>
#include <hiredis/hiredis.h>

#include <string.h>

enum {
    PAUSE_MS_LEAST = 100,
    PAUSE_MS_MOST = 1000
};

struct store_link {
    struct store_link_options options;
    struct store_address address; // "": none
    enum store_link_state state;
    redisAsyncContext *redis;
    bool ponged;               // the first half of the greeting
    uint64_t greeting_late_ns; // a connection that is not UP by then is dropped
    uint64_t retry_ns;         // when AWAY: the next attempt
    uint32_t pause_ms;
    struct command pending; // in the order of sending
    size_t pending_count;
    bool unsettled, lost; // store_link_is_unsettled(), store_link_has_lost()
};

// ---- the connection ----------------------------------------------------------------------------

static void pause_link(struct store_link *link)
{
    link->state = STORE_LINK_AWAY;
    link->retry_ns = clock_now_ns() + link->pause_ms * CLOCK_MS;
    link->pause_ms = link->pause_ms * 2 < PAUSE_MS_MOST ? link->pause_ms * 2 : PAUSE_MS_MOST;
}

/* The connection is gone, or will be when hiredis returns from its callback: its context is not ours any more. */
static void forget_connection(struct store_link *link, const char *reason)
{
    if (link->state == STORE_LINK_UP && !link->options.quiet)
        log_warn("store_down", "what=%s host=%s port=%u reason=%s", link->options.what,
                 link->address.host, link->address.port, reason);
    link->redis = NULL;
    if (link->unsettled) link->lost = true;
    pause_link(link);
    link->options.seams->down(link->options.owner, link);
}

static void on_disconnect(const redisAsyncContext *redis, int status)
{
    struct store_link *link = redis->data;
    if (link) forget_connection(link, status == REDIS_OK ? "closed" : redis->errstr);
}

void store_link_break(struct store_link *link, const char *reason)
{
    redisAsyncContext *redis = link->redis;
    if (!redis) return;
    redis->data = NULL; // on_disconnect shall not do it twice
    forget_connection(link, reason);
    redisAsyncFree(
        redis); // answers what is pending with a NULL reply, now or at the end of hiredis' callback
}

static void refuse(struct store_link *link, const char *reason)
{
    log_warn("store_refused", "what=%s host=%s port=%u reason=%s", link->options.what,
             link->address.host, link->address.port, reason);
    store_link_break(link, reason);
}

static void greeted(struct store_link *link)
{
    link->state = STORE_LINK_UP;
    link->pause_ms = PAUSE_MS_LEAST;
    if (!link->options.quiet)
        log_info("store_up", "what=%s host=%s port=%u", link->options.what, link->address.host,
                 link->address.port);
    link->options.seams->up(link->options.owner, link);
}

static void on_pong(redisAsyncContext *redis, void *answer_of, void *argument)
{
    const redisReply *reply = answer_of;
    struct store_link *link = argument;
    if (!reply || link->redis != redis) return; // the connection broke: told elsewhere
    link->ponged = reply->type != REDIS_REPLY_ERROR;
    if (!link->ponged)
        refuse(link, reply->str);
    else if (!link->options.master)
        greeted(link);
}

static void on_role(redisAsyncContext *redis, void *answer_of, void *argument)
{
    const redisReply *reply = answer_of;
    struct store_link *link = argument;
    if (!reply || link->redis != redis) return;
    must(link->ponged); // Redis answers in order
    if (reply->type == REDIS_REPLY_ERROR)
        refuse(link, reply->str);
    else if (reply->type != REDIS_REPLY_ARRAY || reply->elements < 1 ||
             reply->element[0]->type != REDIS_REPLY_STRING ||
             strcmp(reply->element[0]->str, "master") != 0)
        refuse(link, "not a master");
    else
        greeted(link);
}

static void on_connect(const redisAsyncContext *redis, int status)
{
    struct store_link *link = redis->data;
    if (!link || status == REDIS_OK) return;
    forget_connection(link, redis->errstr); // hiredis frees it after this
}

static void connect_now(struct store_link *link)
{
    const struct store_address *address = &link->address;
    redisAsyncContext *redis = address->host[0] == '/'
                                   ? redisAsyncConnectUnix(address->host)
                                   : redisAsyncConnect(address->host, address->port);
    if (!redis || redis->err) {
        if (redis) redisAsyncFree(redis);
        pause_link(link);
        link->options.seams->down(link->options.owner, link);
        return;
    }
    redis->data = link;
    link->redis = redis;
    link->state = STORE_LINK_GREETING;
    link->ponged = false;
    link->greeting_late_ns = clock_now_ns() + link->options.timeout_ms * CLOCK_MS;
    redisLibeventAttach(redis, link->options.base);
    redisAsyncSetConnectCallback(redis, on_connect);
    redisAsyncSetDisconnectCallback(redis, on_disconnect);
    const char *password = link->options.password;
    if (password && *password) redisAsyncCommand(redis, NULL, NULL, "AUTH %s", password);
    redisAsyncCommand(redis, on_pong, link, "PING"); // says so when AUTH was not enough
    if (link->options.master) redisAsyncCommand(redis, on_role, link, "ROLE");
}

void store_link_aim(struct store_link *link, const struct store_address *address)
{
    if (address && store_link_aims_at(link, address)) return;
    store_link_break(link, "another address");
    link->address = address ? *address : (struct store_address){.port = 0};
    link->pause_ms = PAUSE_MS_LEAST;
    if (address) connect_now(link);
}

void store_link_tick(struct store_link *link, uint64_t now_ns)
{
    if (link->state == STORE_LINK_AWAY && link->address.host[0] && link->retry_ns <= now_ns)
        connect_now(link);
    if (link->state == STORE_LINK_GREETING && link->greeting_late_ns <= now_ns) {
        store_link_break(link, "no greeting");
        return;
    }
    struct command *oldest = link->pending.next;
    if (oldest == &link->pending || oldest->late_ns > now_ns) return;
    for (struct command *at = oldest; at != &link->pending; at = at->next)
        at->failure = at->late_ns <= now_ns ? ERR_TIMEOUT : ERR_STORE_AWAY;
    store_link_break(link, "timeout");
}

// ---- birth and death ---------------------------------------------------------------------------

struct store_link *store_link_new(const struct store_link_options *options)
{
    struct store_link *link = mem_new(1, sizeof *link);
    link->options = *options;
    link->pause_ms = PAUSE_MS_LEAST;
    command_list_init(&link->pending);
    return link;
}

void store_link_free(struct store_link *link)
{
    if (!link) return;
    store_link_break(link, "closing");
    must(command_list_is_empty(&link->pending));
    mem_free(link);
}

void store_link_flush(struct store_link *link)
{
    if (link->state == STORE_LINK_UP) redisAsyncHandleWrite(link->redis);
}

bool store_link_aims_at(const struct store_link *link, const struct store_address *address)
{
    return link->address.port == address->port && strcmp(link->address.host, address->host) == 0;
}

const struct store_address *store_link_address(const struct store_link *link)
{
    return &link->address;
}

enum store_link_state store_link_state(const struct store_link *link)
{
    return link->state;
}

size_t store_link_pending(const struct store_link *link)
{
    return link->pending_count;
}

bool store_link_is_unsettled(const struct store_link *link)
{
    return link->unsettled;
}

bool store_link_has_lost(const struct store_link *link)
{
    return link->lost;
}

void store_link_settle(struct store_link *link)
{
    link->unsettled = link->lost = false;
}

// ---- commands ----------------------------------------------------------------------------------

static void on_reply(redisAsyncContext *redis, void *answer_of, void *argument)
{
    (void)redis;
    struct command *command = argument;
    struct store_link *link = command->link;
    const redisReply *reply = answer_of;
    command_list_remove(command);
    link->pending_count--;
    if (reply && reply->type != REDIS_REPLY_ERROR) link->unsettled = true;
    if (!reply && !command->failure) command->failure = ERR_STORE_AWAY;
    link->options.seams->answered(link->options.owner, link, command, reply);
}

bool store_link_send(struct store_link *link, struct command *command, bool asking)
{
    const char *words[COMMAND_WIRE_MAX];
    size_t sizes[COMMAND_WIRE_MAX];
    char number[COMMAND_NUMBER_SIZE];
    if (link->state != STORE_LINK_UP) return false;
    size_t count = command_wire(command, words, sizes, number);
    command->link = link;
    command->failure = ERR_OK;
    command->late_ns = clock_now_ns() + link->options.timeout_ms * CLOCK_MS;
    // Before the calls: should hiredis fail and answer inside, the list is right.
    command_list_add(&link->pending, command);
    link->pending_count++;
    int result = asking ? redisAsyncCommand(link->redis, NULL, NULL, "ASKING") : REDIS_OK;
    if (result == REDIS_OK)
        result = redisAsyncCommandArgv(link->redis, on_reply, command, (int)count, words, sizes);
    if (result == REDIS_OK) return true;
    command_list_remove(command);
    link->pending_count--;
    return false;
}

static void on_loaded(redisAsyncContext *redis, void *answer_of, void *argument)
{
    (void)redis;
    const redisReply *reply = answer_of;
    struct store_script *script = argument;
    if (reply && reply->type == REDIS_REPLY_STRING && reply->len == sizeof script->sha1 - 1)
        memcpy(script->sha1, reply->str, sizeof script->sha1);
}

void store_link_load(struct store_link *link, struct store_script *script)
{
    if (link->state == STORE_LINK_UP)
        redisAsyncCommand(link->redis, on_loaded, script, "SCRIPT LOAD %s", script->text);
}
