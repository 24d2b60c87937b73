#include "scheduler/state/store.h"

#include "scheduler/state/command.h"
#include "scheduler/state/slot.h"
#include "scheduler/state/store_cluster.h"
#include "scheduler/state/store_link.h"
#include "scheduler/state/store_sentinel.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/must.h"

#include <event2/event.h>
#include <hiredis/hiredis.h>

#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <string.h>

enum {
    TICK_MS = 50
};

struct store {
    char *password, *master;
    uint32_t timeout_ms;
    struct store_link *link;         // NULL with a Cluster
    struct store_sentinel *sentinel; // NULL: the link's address stands
    struct store_cluster *cluster;
    struct event *tick, *tell;
    struct command late; // whose failure, or nothing at all, waits to be told
    uint64_t times_up;
    size_t pending_count; // commands that wait for their reply, wherever they are
    struct store_script *scripts;
    bool closing;
};

// ---- what is told from the loop -----------------------------------------------------------------

/* Fail a command from the loop, never from inside the caller's own call. */
static void answer_later(struct store *store, struct command *command, enum err failure)
{
    command->failure = failure;
    command_list_add(&store->late, command);
    event_active(store->tell, EV_TIMEOUT, 0);
}

static void tell_late(evutil_socket_t unused, short events, void *argument)
{
    (void)unused, (void)events;
    struct store *store = argument;
    struct command *command;
    while ((command = command_list_take(&store->late))) {
        enum err failure = command->failure; // ERR_OK: store_later()
        if (failure == ERR_TIMEOUT)
            (void)err_note(ERR_TIMEOUT, "Redis did not answer within %" PRIu32 " ms",
                           store->timeout_ms);
        else if (failure)
            (void)err_note(failure, "Redis cannot be reached");
        command_answer(command, failure, NULL);
    }
}

// ---- sending and answers -----------------------------------------------------------------------

/* The command is on its way, or waits for one: it counts already. */
static void send_command(struct store *store, struct command *command)
{
    if (store->cluster)
        store_cluster_send(store->cluster, command);
    else if (!store_link_send(store->link, command, false)) {
        store->pending_count--;
        answer_later(store, command, ERR_STORE_AWAY);
    }
}

static void submit(struct store *store, struct command *command)
{
    command->deadline_ns = clock_now_ns() + store->timeout_ms * CLOCK_MS;
    if (store->closing || store->pending_count >= STORE_PENDING_MAX) {
        answer_later(store, command, ERR_STORE_AWAY);
        return;
    }
    store->pending_count++;
    send_command(store, command);
}

/* An error reply with which Redis says that it cannot serve at present: it is as good as away. */
static bool is_away(const char *text)
{
    static const char *const words[] = {"READONLY ",   "LOADING ",     "MASTERDOWN ",
                                        "NOREPLICAS ", "CLUSTERDOWN ", "TRYAGAIN ",
                                        "MOVED ",      "ASK ",         "UNBLOCKED "};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strncmp(text, words[i], strlen(words[i])) == 0) return true;
    return false;
}

static void on_answered(void *owner, struct store_link *link, struct command *command,
                        const redisReply *reply)
{
    struct store *store = owner;
    const char *text = reply && reply->type == REDIS_REPLY_ERROR ? reply->str : NULL;
    if (text && command->script && !command->whole && strncmp(text, "NOSCRIPT", 8) == 0) {
        command->whole = true; // EVAL teaches Redis the script again: its SHA-1 goes on being used
        send_command(store, command);
        return;
    }
    store->pending_count--;
    if (command->settles) store_link_settle(link);
    if (!reply)
        answer_later(store, command, command->failure);
    else if (!text)
        command_answer(command, ERR_OK, reply);
    else if (is_away(text))
        command_answer(command, err_note(ERR_STORE_AWAY, "Redis does not take it now: %s", text),
                       NULL);
    else
        command_answer(command, err_note(ERR_INTERNAL, "Redis: %s", text), NULL);
}

/* The same, for the one link: who says that it is no master any more is left, and the master looked for. */
static void on_link_answered(void *owner, struct store_link *link, struct command *command,
                             const redisReply *reply)
{
    bool demoted =
        reply && reply->type == REDIS_REPLY_ERROR && strncmp(reply->str, "READONLY ", 9) == 0;
    on_answered(owner, link, command, reply);
    if (demoted) store_link_break(link, "not a master any more");
}

static void on_up(void *owner, struct store_link *link)
{
    struct store *store = owner;
    store->times_up++;
    for (struct store_script *script = store->scripts; script; script = script->next)
        store_link_load(link, script);
}

static void on_down(void *owner, struct store_link *link)
{
    (void)owner, (void)link; // the link tries again, the Sentinels' tick sees it
}

static void on_moved(void *owner, const struct store_address *address)
{
    const struct store *store = owner;
    store_link_aim(store->link, address);
}

static void on_tick(evutil_socket_t unused, short events, void *argument)
{
    (void)unused, (void)events;
    struct store *store = argument;
    uint64_t now_ns = clock_now_ns();
    if (store->link) store_link_tick(store->link, now_ns);
    if (store->sentinel)
        store_sentinel_tick(store->sentinel, now_ns, store_link_state(store->link));
    if (store->cluster) store_cluster_tick(store->cluster, now_ns);
}

// ---- birth and death ---------------------------------------------------------------------------

static void connect_link(struct store *store, struct event_base *base,
                         const struct store_options *options)
{
    static const struct store_link_seams seams = {on_up, on_down, on_link_answered};
    store->link = store_link_new(&(struct store_link_options){.base = base,
                                                              .password = store->password,
                                                              .timeout_ms = store->timeout_ms,
                                                              .what = "redis",
                                                              .master = options->sentinel_count > 0,
                                                              .seams = &seams,
                                                              .owner = store});
    if (options->sentinel_count > 0) {
        store->sentinel =
            store_sentinel_new(&(struct store_sentinel_options){.base = base,
                                                                .addresses = options->sentinels,
                                                                .count = options->sentinel_count,
                                                                .master = store->master,
                                                                .password = store->password,
                                                                .timeout_ms = store->timeout_ms,
                                                                .moved = on_moved,
                                                                .owner = store});
        return;
    }
    struct store_address address = {.port = options->port};
    size_t size = strlen(options->host);
    must(size < sizeof address.host);
    memcpy(address.host, options->host, size);
    store_link_aim(store->link, &address);
}

static void connect_cluster(struct store *store, struct event_base *base,
                            const struct store_options *options)
{
    static const struct store_cluster_seams seams = {on_up, on_answered};
    store->cluster =
        store_cluster_new(&(struct store_cluster_options){.base = base,
                                                          .seeds = options->seeds,
                                                          .seed_count = options->seed_count,
                                                          .password = store->password,
                                                          .timeout_ms = store->timeout_ms,
                                                          .seams = &seams,
                                                          .owner = store});
}

struct store *store_new(struct event_base *base, const struct store_options *options)
{
    // hiredis writes with write(2): a dead Redis shall be an error, not a death
    signal(SIGPIPE, SIG_IGN);
    must(!options->sentinel_count || !options->seed_count);
    struct store *store = mem_new(1, sizeof *store);
    store->password = mem_copy_text(options->password);
    store->master = mem_copy_text(options->master);
    store->timeout_ms = options->timeout_ms;
    command_list_init(&store->late);
    store->tell = evtimer_new(base, tell_late, store);
    store->tick = event_new(base, -1, EV_PERSIST, on_tick, store);
    must(store->tell && store->tick);
    struct timeval every = {.tv_usec = TICK_MS * 1000};
    event_add(store->tick, &every);
    if (options->seed_count > 0)
        connect_cluster(store, base, options);
    else
        connect_link(store, base, options);
    return store;
}

/* The connections, for index 0, 1, …: NULL at the end. */
static struct store_link *link_at(struct store *store, size_t index)
{
    if (store->cluster) return store_cluster_link(store->cluster, index);
    return index == 0 ? store->link : NULL;
}

void store_free(struct store *store)
{
    if (!store) return;
    struct store_link *link;
    for (size_t i = 0; (link = link_at(store, i)); i++)
        store_link_flush(link); // what was asked last still leaves
    store->closing = true;
    store_sentinel_free(store->sentinel);
    store_cluster_free(store->cluster);
    store_link_free(store->link);
    store->cluster = NULL;
    store->link = NULL;
    tell_late(-1, 0, store);
    event_free(store->tell);
    event_free(store->tick);
    while (store->scripts) {
        struct store_script *script = store->scripts;
        store->scripts = script->next;
        mem_free(script);
    }
    mem_free(store->password);
    mem_free(store->master);
    mem_free(store);
}

bool store_is_up(const struct store *store)
{
    if (store->closing) return false;
    if (store->cluster) return store_cluster_is_up(store->cluster);
    return store_link_state(store->link) == STORE_LINK_UP;
}

uint64_t store_times_up(const struct store *store)
{
    return store->times_up;
}

struct store_script *store_add_script(struct store *store, const char *text)
{
    for (struct store_script *script = store->scripts; script; script = script->next)
        if (script->text == text) return script;
    struct store_script *script = mem_new(1, sizeof *script);
    *script = (struct store_script){.text = text, .next = store->scripts};
    store->scripts = script;
    struct store_link *link;
    for (size_t i = 0; (link = link_at(store, i)); i++)
        store_link_load(link, script);
    return script;
}

// ---- WAIT --------------------------------------------------------------------------------------

/* One WAIT, asked at each connection that it is about. */
struct gather {
    struct command *command; // the asker's
    size_t unanswered;
    long long least; // replicas; -1: a connection broke
};

static void on_part(void *argument, enum err err, const redisReply *reply)
{
    struct gather *gather = argument;
    long long replicas = !err && reply->type == REDIS_REPLY_INTEGER ? reply->integer : -1;
    if (replicas < gather->least) gather->least = replicas;
    if (--gather->unanswered > 0) return;
    redisReply least = {.type = REDIS_REPLY_INTEGER, .integer = gather->least};
    if (gather->least < 0)
        command_answer(gather->command,
                       err_note(ERR_STORE_AWAY, "a connection broke while it waited for replicas"),
                       NULL);
    else
        command_answer(gather->command, ERR_OK, &least);
    mem_free(gather);
}

static void ask_part(struct store *store, struct gather *gather, struct store_link *link)
{
    const struct command *asked = gather->command;
    struct command *part = command_new(on_part, gather, asked->count, asked->words, asked->sizes);
    part->settles = true;
    gather->unanswered++;
    store->pending_count++;
    if (store_link_send(link, part, false)) return;
    store->pending_count--;
    answer_later(store, part, ERR_STORE_AWAY);
}

static void submit_wait(struct store *store, struct command *command)
{
    struct store_link *link, *some = NULL;
    bool lost = false, unsettled = false;
    for (size_t i = 0; (link = link_at(store, i)); i++) {
        if (store_link_state(link) == STORE_LINK_UP) some = link;
        if (store_link_is_unsettled(link)) unsettled = true;
        if (!store_link_has_lost(link)) continue;
        lost = true;
        store_link_settle(link); // it is told now
    }
    if (lost || !some) {
        answer_later(store, command, ERR_STORE_AWAY);
        return;
    }
    struct gather *gather = mem_new(1, sizeof *gather);
    *gather = (struct gather){.command = command, .least = LLONG_MAX};
    for (size_t i = 0; (link = link_at(store, i)); i++)
        if (unsettled ? store_link_is_unsettled(link) : link == some) ask_part(store, gather, link);
}

// ---- commands ----------------------------------------------------------------------------------

void store_command(struct store *store, store_reply_fn *done, void *argument, size_t count,
                   const char *const *words, const size_t *sizes)
{
    must(count > 0);
    struct command *command = command_new(done, argument, count, words, sizes);
    bool is_wait = strcmp(command->words[0], "WAIT") == 0;
    if (is_wait && !store->closing) {
        submit_wait(store, command);
        return;
    }
    if (count > 1) command->slot = (int)slot_of(command->words[1], command->sizes[1]);
    submit(store, command);
}

void store_later(struct store *store, store_reply_fn *done, void *argument)
{
    answer_later(store, command_new(done, argument, 0, NULL, NULL), ERR_OK);
}

void store_eval(struct store *store, struct store_script *script, store_reply_fn *done,
                void *argument, size_t key_count, size_t count, const char *const *words,
                const size_t *sizes)
{
    must(key_count > 0 && key_count <= count);
    struct command *command = command_new(done, argument, count, words, sizes);
    command->script = script;
    command->key_count = key_count;
    command->whole = !script->sha1[0];
    command->slot = (int)slot_of(command->words[0], command->sizes[0]);
    for (size_t i = 1; i < key_count; i++)
        must(slot_of(command->words[i], command->sizes[i]) == (unsigned)command->slot);
    submit(store, command);
}
