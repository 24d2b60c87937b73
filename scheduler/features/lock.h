/* scheduler/features/lock.h -- work that one scheduler alone does: who has the lock.
 *
 * The lock is a key of Redis with a random word of its holder, which is gone LOCK_LIFE_MS after the holder's last sign of life.
 * A holder believes in it for LOCK_HELD_MS since it asked: less, so that two never believe at once as long as Redis keeps its
 * memory. After a failover that loses the key they may, for that long: what is done under a lock must be harmless when it is done
 * twice. Thread: the loop's. */
#ifndef SCHEDULER_FEATURES_LOCK_H
#define SCHEDULER_FEATURES_LOCK_H

#include <stdbool.h>
#include <stdint.h>

struct lock;
struct store;

enum {
    LOCK_LIFE_MS = 5000,
    LOCK_HELD_MS = 4000,
    LOCK_ASK_MS = 1000, // between two tries, or signs of life
    LOCK_KEY_MAX = 255
};

/* `key` is copied. */
struct lock *lock_new(struct store *store, const char *key);
/* Give it back, so that another may have it at once. Before the store is freed. */
void lock_free(struct lock *lock);
/* Ask for it, or keep it; at least every LOCK_ASK_MS. */
void lock_tick(struct lock *lock, uint64_t now_ns);
bool lock_is_held(const struct lock *lock, uint64_t now_ns);

#endif
