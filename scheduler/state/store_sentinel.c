#include "scheduler/state/store_sentinel.h"

#include "scheduler/state/command.h"
#include "scheduler/state/store_link.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/must.h"

#include <hiredis/hiredis.h>

#include <stdlib.h>
#include <string.h>

enum {
    CALM_MS = 200, // between two questions
    TROUBLE_MS = 100,
    ANSWER_MS = 3000, // an answer counts for so long
    RIVAL_MS = 2500   // and a majority must last for so long to unseat a master that is well
};

/* One Sentinel. */
struct watcher {
    struct store_sentinel *sentinel;
    struct store_link *link;
    struct store_address answer;
    uint64_t asked_ns, answered_ns; // 0: never
    bool asking, unknown;
};

struct store_sentinel {
    struct store_sentinel_options options;
    struct watcher watchers[STORE_ADDRESSES_MAX];
    struct store_address present; // "": none yet
    enum store_link_state master;
    struct store_address rival; // "": none
    uint64_t rival_since_ns;
};

// ---- the choice --------------------------------------------------------------------------------

static bool same(const struct store_address *one, const struct store_address *other)
{
    return one->port == other->port && strcmp(one->host, other->host) == 0;
}

static size_t count_votes(const struct store_sentinel_vote *votes, size_t count,
                          const struct store_address *address)
{
    size_t votes_for = 0;
    for (size_t i = 0; i < count; i++)
        if (votes[i].counts && same(&votes[i].address, address)) votes_for++;
    return votes_for;
}

const struct store_address *store_sentinel_choose(const struct store_sentinel_vote *votes,
                                                  size_t count, const struct store_address *present,
                                                  bool trouble)
{
    const struct store_address *best = NULL;
    size_t most = present && !trouble ? count_votes(votes, count, present) : 0;
    for (size_t i = 0; i < count; i++) {
        if (!votes[i].counts || (present && same(&votes[i].address, present))) continue;
        size_t votes_for = count_votes(votes, count, &votes[i].address);
        if (votes_for <= most) continue;
        most = votes_for;
        best = &votes[i].address;
    }
    return best;
}

static void move_to(struct store_sentinel *sentinel, const struct store_address *address)
{
    sentinel->present = *address;
    sentinel->rival.host[0] = '\0';
    sentinel->master = STORE_LINK_GREETING; // the next tick says how the attempt goes
    log_info("store_master", "name=%s host=%s port=%u", sentinel->options.master, address->host,
             address->port);
    sentinel->options.moved(sentinel->options.owner, &sentinel->present);
}

/* `news`: a Sentinel has named another address than before. */
static void choose(struct store_sentinel *sentinel, uint64_t now_ns,
                   const struct store_address *news)
{
    struct store_sentinel_vote votes[STORE_ADDRESSES_MAX];
    size_t count = sentinel->options.count;
    for (size_t i = 0; i < count; i++) {
        const struct watcher *watcher = &sentinel->watchers[i];
        votes[i].address = watcher->answer;
        votes[i].counts =
            watcher->answered_ns > 0 && now_ns - watcher->answered_ns < ANSWER_MS * CLOCK_MS;
    }
    const struct store_address *present = sentinel->present.host[0] ? &sentinel->present : NULL;
    bool trouble = sentinel->master == STORE_LINK_AWAY;
    if (present && sentinel->master == STORE_LINK_GREETING) return;
    const struct store_address *next = store_sentinel_choose(votes, count, present, trouble);
    if (present && !trouble && news && !same(news, present)) {
        move_to(sentinel, news);
    } else if (next && (!present || trouble)) {
        move_to(sentinel, next);
    } else if (!next) {
        sentinel->rival.host[0] = '\0';
    } else if (!same(next, &sentinel->rival)) {
        sentinel->rival = *next;
        sentinel->rival_since_ns = now_ns;
    } else if (now_ns - sentinel->rival_since_ns >= RIVAL_MS * CLOCK_MS) {
        move_to(sentinel, next);
    }
}

// ---- questions and answers ---------------------------------------------------------------------

static bool read_address(struct store_address *address, const redisReply *reply)
{
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2) return false;
    const redisReply *host = reply->element[0], *port = reply->element[1];
    if (host->type != REDIS_REPLY_STRING || port->type != REDIS_REPLY_STRING) return false;
    if (host->len == 0 || host->len >= STORE_HOST_MAX || memchr(host->str, '\0', host->len))
        return false;
    char *end;
    long number = strtol(port->str, &end, 10);
    if (end == port->str || *end || number < 1 || number > UINT16_MAX) return false;
    *address = (struct store_address){.port = (uint16_t)number};
    memcpy(address->host, host->str, host->len);
    return true;
}

static void on_answered(void *owner, struct store_link *link, struct command *command,
                        const redisReply *reply)
{
    (void)link;
    struct watcher *watcher = owner;
    struct store_sentinel *sentinel = watcher->sentinel;
    command_free(command);
    watcher->asking = false;
    if (!reply) return; // the link tries again
    struct store_address address;
    bool known = read_address(&address, reply);
    if (!known && !watcher->unknown)
        log_warn("sentinel_unknown_master", "name=%s host=%s port=%u reason=%s",
                 sentinel->options.master, store_link_address(link)->host,
                 store_link_address(link)->port,
                 reply->type == REDIS_REPLY_ERROR ? reply->str : "no such name");
    watcher->unknown = !known;
    if (!known) return;
    bool changed = watcher->answered_ns > 0 && !same(&watcher->answer, &address);
    watcher->answer = address;
    watcher->answered_ns = clock_now_ns();
    choose(sentinel, watcher->answered_ns, changed ? &address : NULL);
}

static void ask(struct watcher *watcher, uint64_t now_ns)
{
    const struct store_sentinel *sentinel = watcher->sentinel;
    uint64_t period_ms = sentinel->master == STORE_LINK_UP ? CALM_MS : TROUBLE_MS;
    if (watcher->asking || store_link_state(watcher->link) != STORE_LINK_UP) return;
    if (watcher->asked_ns > 0 && now_ns - watcher->asked_ns < period_ms * CLOCK_MS) return;
    const char *const words[] = {"SENTINEL", "get-master-addr-by-name", sentinel->options.master};
    struct command *command = command_new(NULL, NULL, 3, words, NULL);
    watcher->asking = store_link_send(watcher->link, command, false);
    watcher->asked_ns = now_ns;
    if (!watcher->asking) command_free(command);
}

static void on_up(void *owner, struct store_link *link)
{
    (void)link;
    struct watcher *watcher = owner;
    watcher->asked_ns = 0; // at once
    ask(watcher, clock_now_ns());
}

static void on_down(void *owner, struct store_link *link)
{
    (void)owner, (void)link;
}

static const struct store_link_seams seams = {on_up, on_down, on_answered};

void store_sentinel_tick(struct store_sentinel *sentinel, uint64_t now_ns,
                         enum store_link_state master)
{
    sentinel->master = master;
    for (size_t i = 0; i < sentinel->options.count; i++) {
        store_link_tick(sentinel->watchers[i].link, now_ns);
        ask(&sentinel->watchers[i], now_ns);
    }
}

struct store_sentinel *store_sentinel_new(const struct store_sentinel_options *options)
{
    must(options->count > 0 && options->count <= STORE_ADDRESSES_MAX);
    struct store_sentinel *sentinel = mem_new(1, sizeof *sentinel);
    sentinel->options = *options;
    for (size_t i = 0; i < options->count; i++) {
        struct watcher *watcher = &sentinel->watchers[i];
        watcher->sentinel = sentinel;
        watcher->link =
            store_link_new(&(struct store_link_options){.base = options->base,
                                                        .password = options->password,
                                                        .timeout_ms = options->timeout_ms,
                                                        .what = "sentinel",
                                                        .seams = &seams,
                                                        .owner = watcher});
        store_link_aim(watcher->link, &options->addresses[i]);
    }
    sentinel->options.addresses = NULL; // each link has its own
    return sentinel;
}

void store_sentinel_free(struct store_sentinel *sentinel)
{
    if (!sentinel) return;
    for (size_t i = 0; i < sentinel->options.count; i++)
        store_link_free(sentinel->watchers[i].link);
    mem_free(sentinel);
}
