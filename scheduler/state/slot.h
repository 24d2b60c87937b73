/* scheduler/state/slot.h -- which of a Redis Cluster's hash slots a key lives in, and which master has which slot.
 *
 * The rule is the one that the Redis Cluster Specification publishes: a key's slot is its CRC-16 (XMODEM: polynomial
 * 0x1021, from 0, not reflected) mod 16384. Where the key has a '{', and a '}' after it with something between the two,
 * only what is between the first such pair counts: keys with equal tags share a slot.
 *
 * Pure. Thread: any. */
#ifndef SCHEDULER_STATE_SLOT_H
#define SCHEDULER_STATE_SLOT_H

#include "scheduler/state/store.h"

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct redisReply;

enum {
    SLOT_COUNT = 16384,
    SLOT_MASTERS_MAX = 128 // of one Cluster
};

uint16_t slot_crc16(const void *bytes, size_t size);
unsigned slot_of(const char *key, size_t size);

/* What CLUSTER SLOTS says. */
struct slot_map {
    struct store_address masters[SLOT_MASTERS_MAX];
    size_t master_count;
    int16_t owner[SLOT_COUNT]; // index of the master; -1: nobody has the slot
};

/* `asked`: the host that gave the reply, which is meant where it names none. ERR_FORMAT says what is wrong in it. */
enum err slot_map_read(struct slot_map *map, const struct redisReply *reply, const char *asked);

/* An error reply that names another master. */
struct slot_redirect {
    bool ask; // ASK: this once, after ASKING; else MOVED: for good
    unsigned slot;
    struct store_address to;
};

/* False when `text` is no MOVED and no ASK, or one that cannot be read. */
bool slot_redirect_read(struct slot_redirect *redirect, const char *text, const char *asked);

#endif
