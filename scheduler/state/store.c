#include "scheduler/state/store.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/must.h"

#include <event2/event.h>
#include <hiredis/adapters/libevent.h>
#include <hiredis/async.h>
#include <hiredis/hiredis.h>

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

enum {
    PAUSE_MS_LEAST = 100,
    PAUSE_MS_MOST = 2000,
    TICK_MS = 50,
    WORDS_MAX = 64
};

/*             connect             ready (PONG)
 *      AWAY ----------> GREETING -------------> UP
 *        ^                  |                    |
 *        +----- pause ------+---- broken --------+            */
enum state {
    AWAY,
    GREETING,
    UP
};

/* One command that must be answered once. It stands in the pending list in the order of sending (Redis answers in that
 * order), or in the late list while its failure waits to be told from the loop. */
struct command {
    struct command *next, *previous;
    struct store *store;
    store_reply_fn *done;
    void *argument;
    uint64_t deadline_ns;
    enum err failure; // of a late one
    struct store_script *script;
    bool whole; // the script's text was sent, not its SHA-1
    size_t key_count,
        count; // of a script's words, kept to send it whole when Redis has forgotten it
    char **words;
    size_t *sizes;
};

struct store_script {
    const char *text;
    char sha1[41]; // "" until Redis has told it
    struct store_script *next;
};

struct store {
    struct event_base *base;
    char *host;
    uint16_t port;
    char *password;
    uint32_t timeout_ms;
    enum state state;
    redisAsyncContext *redis;
    struct event *reconnect, *tick, *tell;
    uint64_t greeting_until_ns; // a connection that is not UP by then is dropped
    uint32_t pause_ms;
    struct command pending, late; // list heads
    size_t pending_count;
    struct store_script *scripts;
    bool closing;
};

// ---- lists of commands -------------------------------------------------------------------------

static void list_init(struct command *head)
{
    head->next = head->previous = head;
}

static void list_add(struct command *head, struct command *command)
{
    command->previous = head->previous;
    command->next = head;
    head->previous->next = command;
    head->previous = command;
}

static void list_remove(struct command *command)
{
    command->previous->next = command->next;
    command->next->previous = command->previous;
}

static struct command *command_new(struct store *store, store_reply_fn *done, void *argument)
{
    struct command *command = mem_new(1, sizeof *command);
    command->store = store;
    command->done = done;
    command->argument = argument;
    command->deadline_ns = clock_now_ns() + store->timeout_ms * CLOCK_MS;
    return command;
}

static void command_free(struct command *command)
{
    for (size_t i = 0; i < command->count; i++)
        mem_free(command->words[i]);
    mem_free(command->words);
    mem_free(command->sizes);
    mem_free(command);
}

static void answer(struct command *command, enum err err, const redisReply *reply)
{
    store_reply_fn *done = command->done;
    void *argument = command->argument;
    command_free(command);
    if (done) done(argument, err, reply);
}

/* Fail a command from the loop, never from inside the caller's own call. */
static void answer_later(struct command *command, enum err failure)
{
    command->failure = failure;
    list_add(&command->store->late, command);
    event_active(command->store->tell, EV_TIMEOUT, 0);
}

static void tell_late(evutil_socket_t unused, short events, void *argument)
{
    (void)unused, (void)events;
    struct store *store = argument;
    while (store->late.next != &store->late) {
        struct command *command = store->late.next;
        list_remove(command);
        if (command->failure == ERR_OK)
            ; // store_later()
        else if (command->failure == ERR_TIMEOUT)
            (void)err_note(ERR_TIMEOUT, "Redis did not answer within %" PRIu32 " ms",
                           store->timeout_ms);
        else
            (void)err_note(command->failure, "Redis cannot be reached");
        answer(command, command->failure, NULL);
    }
}

// ---- the connection ----------------------------------------------------------------------------

static void schedule_reconnect(struct store *store)
{
    struct timeval pause = {.tv_sec = store->pause_ms / 1000,
                            .tv_usec = (store->pause_ms % 1000) * 1000};
    store->pause_ms = store->pause_ms * 2 < PAUSE_MS_MOST ? store->pause_ms * 2 : PAUSE_MS_MOST;
    evtimer_add(store->reconnect, &pause);
}

/* The connection is gone (hiredis frees it): whoever waits is told, and we try again. */
static void connection_lost(struct store *store, const char *reason)
{
    if (store->state == UP) log_warn("store_down", "reason=%s", reason);
    store->redis = NULL;
    store->state = AWAY;
    if (!store->closing) schedule_reconnect(store);
}

static void on_disconnect(const redisAsyncContext *redis, int status)
{
    struct store *store = redis->data;
    if (store) connection_lost(store, status == REDIS_OK ? "closed" : redis->errstr);
}

static void drop_connection(struct store *store, const char *reason)
{
    redisAsyncContext *redis = store->redis;
    if (!redis) return;
    redis->data = NULL; // on_disconnect shall not run the reconnect twice
    connection_lost(store, reason);
    redisAsyncFree(redis); // answers what is pending with a NULL reply
}

static void on_loaded(redisAsyncContext *redis, void *answer_of, void *argument)
{
    (void)redis;
    const redisReply *reply = answer_of;
    struct store_script *script = argument;
    if (reply && reply->type == REDIS_REPLY_STRING && reply->len == sizeof script->sha1 - 1)
        memcpy(script->sha1, reply->str, sizeof script->sha1);
}

static void on_greeted(redisAsyncContext *redis, void *answer_of, void *argument)
{
    const redisReply *reply = answer_of;
    struct store *store = argument;
    if (!reply || store->redis != redis) return; // the connection broke: told elsewhere
    if (reply->type == REDIS_REPLY_ERROR) {
        log_warn("store_refused", "reason=%s", reply->str);
        redisAsyncDisconnect(redis);
        return;
    }
    store->state = UP;
    store->pause_ms = PAUSE_MS_LEAST;
    log_info("store_up", "host=%s port=%u", store->host, store->port);
    for (struct store_script *script = store->scripts; script; script = script->next)
        redisAsyncCommand(redis, on_loaded, script, "SCRIPT LOAD %s", script->text);
}

static void on_connect(const redisAsyncContext *redis, int status)
{
    struct store *store = redis->data;
    if (!store || status == REDIS_OK) return;
    connection_lost(store, redis->errstr); // hiredis frees it after this
}

static void connect_now(struct store *store)
{
    redisAsyncContext *redis = store->host[0] == '/' ? redisAsyncConnectUnix(store->host)
                                                     : redisAsyncConnect(store->host, store->port);
    if (!redis || redis->err) {
        if (redis) redisAsyncFree(redis);
        schedule_reconnect(store);
        return;
    }
    redis->data = store;
    store->redis = redis;
    store->state = GREETING;
    store->greeting_until_ns = clock_now_ns() + store->timeout_ms * CLOCK_MS;
    redisLibeventAttach(redis, store->base);
    redisAsyncSetConnectCallback(redis, on_connect);
    redisAsyncSetDisconnectCallback(redis, on_disconnect);
    if (store->password && *store->password)
        redisAsyncCommand(redis, NULL, NULL, "AUTH %s", store->password);
    redisAsyncCommand(redis, on_greeted, store, "PING");
}

static void on_reconnect(evutil_socket_t unused, short events, void *argument)
{
    (void)unused, (void)events;
    connect_now(argument);
}

/* Redis answers in order: when the oldest command is late, the connection is of no use any more. */
static void on_tick(evutil_socket_t unused, short events, void *argument)
{
    (void)unused, (void)events;
    struct store *store = argument;
    uint64_t now_ns = clock_now_ns();
    if (store->state == GREETING && store->greeting_until_ns <= now_ns) {
        drop_connection(store, "no greeting");
        return;
    }
    struct command *oldest = store->pending.next;
    if (oldest == &store->pending || oldest->deadline_ns > now_ns) return;
    for (struct command *at = oldest; at != &store->pending; at = at->next)
        at->failure = at->deadline_ns <= now_ns ? ERR_TIMEOUT : ERR_STORE_AWAY;
    drop_connection(store, "timeout");
}

// ---- birth and death ---------------------------------------------------------------------------

struct store *store_new(struct event_base *base, const struct store_options *options)
{
    signal(SIGPIPE,
           SIG_IGN); // hiredis writes with write(2): a dead Redis shall be an error, not a death
    struct store *store = mem_new(1, sizeof *store);
    store->base = base;
    store->host = mem_copy_text(options->host);
    store->port = options->port;
    store->password = mem_copy_text(options->password);
    store->timeout_ms = options->timeout_ms;
    store->pause_ms = PAUSE_MS_LEAST;
    list_init(&store->pending);
    list_init(&store->late);
    store->reconnect = evtimer_new(base, on_reconnect, store);
    store->tell = evtimer_new(base, tell_late, store);
    store->tick = event_new(base, -1, EV_PERSIST, on_tick, store);
    must(store->reconnect && store->tell && store->tick);
    struct timeval every = {.tv_usec = TICK_MS * 1000};
    event_add(store->tick, &every);
    connect_now(store);
    return store;
}

void store_free(struct store *store)
{
    if (!store) return;
    store->closing = true;
    if (store->state == UP) redisAsyncHandleWrite(store->redis); // what was asked last still leaves
    drop_connection(store, "closing");
    tell_late(-1, 0, store);
    event_free(store->reconnect);
    event_free(store->tell);
    event_free(store->tick);
    while (store->scripts) {
        struct store_script *script = store->scripts;
        store->scripts = script->next;
        mem_free(script);
    }
    mem_free(store->host);
    mem_free(store->password);
    mem_free(store);
}

bool store_is_up(const struct store *store)
{
    return store->state == UP;
}

struct store_script *store_add_script(struct store *store, const char *text)
{
    for (struct store_script *script = store->scripts; script; script = script->next)
        if (script->text == text) return script;
    struct store_script *script = mem_new(1, sizeof *script);
    *script = (struct store_script){.text = text, .next = store->scripts};
    store->scripts = script;
    if (store->state == UP)
        redisAsyncCommand(store->redis, on_loaded, script, "SCRIPT LOAD %s", script->text);
    return script;
}

// ---- commands ----------------------------------------------------------------------------------

static bool send_script_whole(struct command *command);

static void on_reply(redisAsyncContext *redis, void *answer_of, void *argument)
{
    (void)redis;
    struct command *command = argument;
    struct store *store = command->store;
    const redisReply *reply = answer_of;
    list_remove(command);
    store->pending_count--;
    if (!reply) {
        answer_later(command, command->failure ? command->failure : ERR_STORE_AWAY);
        return;
    }
    if (reply->type == REDIS_REPLY_ERROR) {
        if (command->script && strncmp(reply->str, "NOSCRIPT", 8) == 0 &&
            send_script_whole(command))
            return;
        answer(command, err_note(ERR_INTERNAL, "Redis: %s", reply->str), NULL);
        return;
    }
    answer(command, ERR_OK, reply);
}

static void submit(struct command *command, size_t count, const char **words, const size_t *sizes)
{
    struct store *store = command->store;
    if (store->state != UP || store->pending_count >= STORE_PENDING_MAX) {
        answer_later(command, ERR_STORE_AWAY);
        return;
    }
    // Before the call: should hiredis fail and answer inside, the lists are right.
    list_add(&store->pending, command);
    store->pending_count++;
    if (redisAsyncCommandArgv(store->redis, on_reply, command, (int)count, words, sizes) !=
        REDIS_OK) {
        list_remove(command);
        store->pending_count--;
        answer_later(command, ERR_STORE_AWAY);
    }
}

void store_command(struct store *store, store_reply_fn *done, void *argument, size_t count,
                   const char *const *words, const size_t *sizes)
{
    must(count > 0 && count <= WORDS_MAX);
    const char *copy[WORDS_MAX]; // hiredis asks for an unconst array and changes nothing
    memcpy(copy, words, count * sizeof *words);
    submit(command_new(store, done, argument), count, copy, sizes);
}

void store_later(struct store *store, store_reply_fn *done, void *argument)
{
    answer_later(command_new(store, done, argument), ERR_OK);
}

/* `head` words, then the key count, then the script's own words. */
static void submit_script(struct command *command, const char *verb, const char *what)
{
    const char *words[WORDS_MAX + 3];
    size_t sizes[WORDS_MAX + 3];
    char keys[24];
    snprintf(keys, sizeof keys, "%zu", command->key_count);
    const char *const head[] = {verb, what, keys};
    for (size_t i = 0; i < 3; i++) {
        words[i] = head[i];
        sizes[i] = strlen(head[i]);
    }
    for (size_t i = 0; i < command->count; i++) {
        words[3 + i] = command->words[i];
        sizes[3 + i] = command->sizes[i];
    }
    submit(command, 3 + command->count, words, sizes);
}

static bool send_script_whole(struct command *command)
{
    if (command->whole) return false;
    command->whole = true; // EVAL teaches Redis the script again: its SHA-1 goes on being used
    submit_script(command, "EVAL", command->script->text);
    return true;
}

void store_eval(struct store *store, struct store_script *script, store_reply_fn *done,
                void *argument, size_t key_count, size_t count, const char *const *words,
                const size_t *sizes)
{
    must(count > 0 && count <= WORDS_MAX && key_count <= count);
    struct command *command = command_new(store, done, argument);
    command->script = script;
    command->key_count = key_count;
    command->count = count;
    command->words = mem_new(count, sizeof *command->words);
    command->sizes = mem_new(count, sizeof *command->sizes);
    for (size_t i = 0; i < count; i++) {
        command->sizes[i] = sizes ? sizes[i] : strlen(words[i]);
        command->words[i] = mem_text(words[i], command->sizes[i]);
    }
    command->whole = !script->sha1[0];
    submit_script(command, command->whole ? "EVAL" : "EVALSHA",
                  command->whole ? script->text : script->sha1);
}
