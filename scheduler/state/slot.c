#include "scheduler/state/slot.h"

#include <hiredis/hiredis.h>

#include <stdlib.h>
#include <string.h>

// ---- keys --------------------------------------------------------------------------------------

/* The CRC of four bits at a time: entry i is what i in the highest four bits leaves. */
static const uint16_t crc_table[16] = {0x0000, 0x1021, 0x2042, 0x3063, 0x4084, 0x50a5,
                                       0x60c6, 0x70e7, 0x8108, 0x9129, 0xa14a, 0xb16b,
                                       0xc18c, 0xd1ad, 0xe1ce, 0xf1ef};

uint16_t slot_crc16(const void *bytes, size_t size)
{
    const unsigned char *at = bytes;
    unsigned crc = 0;
    for (size_t i = 0; i < size; i++) {
        crc = ((crc << 4) ^ crc_table[((crc >> 12) ^ (at[i] >> 4)) & 15]) & 0xffff;
        crc = ((crc << 4) ^ crc_table[((crc >> 12) ^ at[i]) & 15]) & 0xffff;
    }
    return (uint16_t)crc;
}

unsigned slot_of(const char *key, size_t size)
{
    const char *open = memchr(key, '{', size);
    if (open) {
        size_t rest = size - (size_t)(open + 1 - key);
        const char *close = memchr(open + 1, '}', rest);
        if (close && close > open + 1) {
            key = open + 1;
            size = (size_t)(close - key);
        }
    }
    return slot_crc16(key, size) % SLOT_COUNT;
}

// ---- addresses ---------------------------------------------------------------------------------

/* An empty host stands for the one that was asked. */
static bool set_address(struct store_address *address, const char *host, size_t size,
                        long long port, const char *asked)
{
    if (size == 0) {
        host = asked;
        size = strlen(asked);
    }
    if (size == 0 || size >= STORE_HOST_MAX || memchr(host, '\0', size) || host[0] == '?')
        return false;
    if (port < 1 || port > UINT16_MAX) return false;
    memset(address->host, 0, sizeof address->host);
    memcpy(address->host, host, size);
    address->port = (uint16_t)port;
    return true;
}

// ---- the map -----------------------------------------------------------------------------------

static enum err unknown_answer(const char *what)
{
    return err_note(ERR_FORMAT, "CLUSTER SLOTS: %s", what);
}

/* The index of the master at `address`; -1: there are too many. */
static int find_master(struct slot_map *map, const struct store_address *address)
{
    for (size_t i = 0; i < map->master_count; i++) {
        const struct store_address *one = &map->masters[i];
        if (one->port == address->port && strcmp(one->host, address->host) == 0) return (int)i;
    }
    if (map->master_count == SLOT_MASTERS_MAX) return -1;
    map->masters[map->master_count] = *address;
    return (int)map->master_count++;
}

/* [first slot, last slot, [host, port, id, ...] of the master, replicas...] */
static enum err read_range(struct slot_map *map, const redisReply *range, const char *asked)
{
    if (range->type != REDIS_REPLY_ARRAY || range->elements < 3)
        return unknown_answer("a range of slots is no array of three");
    const redisReply *first = range->element[0], *last = range->element[1];
    const redisReply *node = range->element[2];
    if (first->type != REDIS_REPLY_INTEGER || last->type != REDIS_REPLY_INTEGER ||
        first->integer < 0 || last->integer < first->integer || last->integer >= SLOT_COUNT)
        return unknown_answer("a range of slots is out of range");
    if (node->type != REDIS_REPLY_ARRAY || node->elements < 2 ||
        node->element[1]->type != REDIS_REPLY_INTEGER)
        return unknown_answer("a master has no host and port");
    const redisReply *host = node->element[0];
    bool named = host->type == REDIS_REPLY_STRING;
    if (!named && host->type != REDIS_REPLY_NIL) return unknown_answer("a host is no text");
    struct store_address address;
    if (!set_address(&address, named ? host->str : "", named ? host->len : 0,
                     node->element[1]->integer, asked))
        return unknown_answer("a master's address cannot be used");
    int index = find_master(map, &address);
    if (index < 0) return unknown_answer("too many masters");
    for (long long slot = first->integer; slot <= last->integer; slot++)
        map->owner[slot] = (int16_t)index;
    return ERR_OK;
}

enum err slot_map_read(struct slot_map *map, const redisReply *reply, const char *asked)
{
    map->master_count = 0;
    memset(map->owner, -1, sizeof map->owner);
    if (reply->type != REDIS_REPLY_ARRAY) return unknown_answer("the reply is no array");
    if (reply->elements == 0) return unknown_answer("no master has any slot");
    if (reply->elements > SLOT_COUNT) return unknown_answer("too many ranges");
    for (size_t i = 0; i < reply->elements; i++)
        TRY(read_range(map, reply->element[i], asked));
    return ERR_OK;
}

// ---- redirects: "MOVED 3999 127.0.0.1:6381", "ASK 3999 ::1:6381" --------------------------------

bool slot_redirect_read(struct slot_redirect *redirect, const char *text, const char *asked)
{
    bool moved = strncmp(text, "MOVED ", 6) == 0, ask = strncmp(text, "ASK ", 4) == 0;
    if (!moved && !ask) return false;
    char *end;
    unsigned long slot = strtoul(text + (moved ? 6 : 4), &end, 10);
    if (slot >= SLOT_COUNT || *end != ' ') return false;
    const char *host = end + 1, *colon = strrchr(host, ':'); // an IPv6 host has colons of its own
    if (!colon) return false;
    long port = strtol(colon + 1, &end, 10);
    if (end == colon + 1 || *end) return false;
    redirect->ask = ask;
    redirect->slot = (unsigned)slot;
    return set_address(&redirect->to, host, (size_t)(colon - host), port, asked);
}
