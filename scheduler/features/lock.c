#include "scheduler/features/lock.h"

#include "scheduler/state/store.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/must.h"
#include "base/rand.h"

#include <hiredis/hiredis.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/*      KEYS  the lock
 *      ARGV  the holder's word, ms
 *      gives 1: it has it; 0: another one has */
static const char take_text[] = "local has = redis.call('GET', KEYS[1])\n"
                                "if has and has ~= ARGV[1] then return 0 end\n"
                                "redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])\n"
                                "return 1\n";

static const char give_text[] =
    "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end\n"
    "return 1\n";

struct lock {
    struct store *store;
    struct store_script *take, *give;
    char key[LOCK_KEY_MAX + 1];
    char word[24];
    bool asked, closing;
    uint64_t asked_ns;
    uint64_t until_ns; // it is held
};

struct lock *lock_new(struct store *store, const char *key)
{
    struct lock *lock = mem_new(1, sizeof *lock);
    must(strlen(key) <= LOCK_KEY_MAX);
    lock->store = store;
    lock->take = store_add_script(store, take_text);
    lock->give = store_add_script(store, give_text);
    snprintf(lock->key, sizeof lock->key, "%s", key);
    snprintf(lock->word, sizeof lock->word, "%016" PRIx64, rand_entropy());
    return lock;
}

void lock_free(struct lock *lock)
{
    if (!lock) return;
    const char *const words[] = {lock->key, lock->word};
    if (lock->until_ns > 0 || lock->asked)
        store_eval(lock->store, lock->give, NULL, NULL, 1, 2, words, NULL);
    lock->closing = true;
    if (!lock->asked) mem_free(lock);
}

static void on_answer(void *argument, enum err err, const redisReply *reply)
{
    struct lock *lock = argument;
    lock->asked = false;
    if (lock->closing) {
        mem_free(lock);
        return;
    }
    if (err) return; // what is believed is over soon
    bool taken = reply->type == REDIS_REPLY_INTEGER && reply->integer == 1;
    lock->until_ns = taken ? lock->asked_ns + LOCK_HELD_MS * CLOCK_MS : 0;
}

void lock_tick(struct lock *lock, uint64_t now_ns)
{
    char life[16];
    const char *const words[] = {lock->key, lock->word, life};
    if (lock->asked || now_ns - lock->asked_ns < LOCK_ASK_MS * CLOCK_MS) return;
    snprintf(life, sizeof life, "%d", LOCK_LIFE_MS);
    lock->asked = true;
    lock->asked_ns = now_ns;
    store_eval(lock->store, lock->take, on_answer, lock, 1, 3, words, NULL);
}

bool lock_is_held(const struct lock *lock, uint64_t now_ns)
{
    return now_ns < lock->until_ns;
}
