#include "scheduler/state/peers.h"

#include "scheduler/state/store.h"

#include "base/mem.h"
#include "base/must.h"

#include <event2/event.h>
#include <hiredis/hiredis.h>

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define KEY "qiao:{schedulers}"

/* Renew our entry, drop those that are over, and read who is there. */
static const char renew_text[] =
    "local t = redis.call('TIME')\n"
    "local now = t[1] * 1000 + math.floor(t[2] / 1000)\n"
    "redis.call('ZADD', KEYS[1], now + tonumber(ARGV[2]), ARGV[1])\n"
    "redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)\n"
    "redis.call('PEXPIRE', KEYS[1], ARGV[2])\n"
    "return redis.call('ZRANGEBYSCORE', KEYS[1], now, '+inf', 'LIMIT', 0, ARGV[3])\n";

struct peers {
    struct store *store;
    struct store_script *renew;
    struct event *timer;
    char url[PEERS_URL_MAX];
    char others[PEERS_MAX][PEERS_URL_MAX];
    size_t count;
    uint64_t news;
};

/* Another scheduler's URL: not ours, and one that can be told on the wire. */
static bool is_other(const struct peers *peers, const redisReply *one)
{
    return one->type == REDIS_REPLY_STRING && one->len > 0 && one->len < PEERS_URL_MAX &&
           !memchr(one->str, '\0', one->len) && strcmp(one->str, peers->url) != 0;
}

static bool is_listed(const struct peers *peers, const char *url)
{
    for (size_t i = 0; i < peers->count; i++)
        if (strcmp(peers->others[i], url) == 0) return true;
    return false;
}

static void on_reply(void *argument, enum err err, const redisReply *reply)
{
    struct peers *peers = argument;
    if (err || !reply || reply->type != REDIS_REPLY_ARRAY) return;
    bool news = false;
    for (size_t i = 0; i < reply->elements; i++)
        news |= is_other(peers, reply->element[i]) && !is_listed(peers, reply->element[i]->str);
    peers->news += news;
    peers->count = 0;
    for (size_t i = 0; i < reply->elements && peers->count < PEERS_MAX; i++) {
        const redisReply *one = reply->element[i];
        if (!is_other(peers, one)) continue;
        memcpy(peers->others[peers->count], one->str, one->len);
        peers->others[peers->count++][one->len] = '\0';
    }
}

static void on_timer(evutil_socket_t fd, short what, void *argument)
{
    struct peers *peers = argument;
    char ttl[16], most[16];
    (void)fd;
    (void)what;
    if (!store_is_up(peers->store)) return;
    snprintf(ttl, sizeof ttl, "%d", PEERS_TTL_MS);
    snprintf(most, sizeof most, "%d", PEERS_MAX);
    const char *words[] = {KEY, peers->url, ttl, most};
    store_eval(peers->store, peers->renew, on_reply, peers, 1, 4, words, NULL);
}

struct peers *peers_new(struct event_base *base, struct store *store, const char *url)
{
    struct peers *peers = mem_new(1, sizeof *peers);
    struct timeval period = {.tv_sec = PEERS_RENEW_MS / 1000};
    peers->store = store;
    peers->renew = store_add_script(store, renew_text);
    snprintf(peers->url, sizeof peers->url, "%s", url);
    peers->timer = event_new(base, -1, EV_PERSIST, on_timer, peers);
    must(peers->timer && event_add(peers->timer, &period) == 0);
    return peers;
}

void peers_leave(struct peers *peers)
{
    const char *words[] = {"ZREM", KEY, peers->url};
    if (!event_pending(peers->timer, EV_TIMEOUT, NULL)) return; // it has left
    event_del(peers->timer);
    if (store_is_up(peers->store)) store_command(peers->store, NULL, NULL, 3, words, NULL);
}

void peers_free(struct peers *peers)
{
    if (!peers) return;
    peers_leave(peers);
    event_free(peers->timer);
    mem_free(peers);
}

const char *peers_own(const struct peers *peers)
{
    return peers->url;
}

size_t peers_list(const struct peers *peers, const char *out[PEERS_MAX])
{
    for (size_t i = 0; i < peers->count; i++)
        out[i] = peers->others[i];
    return peers->count;
}

uint64_t peers_news(const struct peers *peers)
{
    return peers->news;
}
