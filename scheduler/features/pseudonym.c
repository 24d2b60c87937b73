#include "scheduler/features/pseudonym.h"

#include "scheduler/features/consent.h"
#include "scheduler/state/store.h"

#include "base/mem.h"

#include <hiredis/hiredis.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/*      KEYS  the token's   ARGV  OWNER, seconds that it may still be shown
 *      gives 1, or 0 when it is another's */
static const char use_text[] = "local by = redis.call('GET', KEYS[1])\n"
                               "if by then return by == ARGV[1] and 1 or 0 end\n"
                               "redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])\n"
                               "return 1\n";

enum {
    LINK_KEY_HEAD = 8 // bytes of "qiao:{p:"
};

struct pseudonyms {
    struct store *store;
    const struct consents *consents;
    struct store_script *use;
};

/* One question for many names. */
struct search {
    pseudonyms_fn *done;
    void *argument;
    char (*owners)[OWNER_TEXT_SIZE]; // [count]
    size_t waits;
    enum err err;
};

struct name {
    struct search *search;
    size_t index;
};

struct use {
    pseudonyms_used_fn *done;
    void *argument;
};

struct pseudonyms *pseudonyms_new(struct store *store, const struct consents *consents)
{
    struct pseudonyms *pseudonyms = mem_new(1, sizeof *pseudonyms);
    *pseudonyms = (struct pseudonyms){store, consents, store_add_script(store, use_text)};
    return pseudonyms;
}

void pseudonyms_free(struct pseudonyms *pseudonyms)
{
    mem_free(pseudonyms);
}

static enum err away(enum err err)
{
    if (err != ERR_STORE_AWAY && err != ERR_TIMEOUT) return err;
    return err_note(ERR_STORE_AWAY, "partners' links cannot be read: Redis is away");
}

static void on_owner(void *argument, enum err err, const redisReply *reply)
{
    struct name name = *(struct name *)argument;
    struct search *search = name.search;
    mem_free(argument);
    if (err)
        search->err = away(err);
    else if (reply->type == REDIS_REPLY_STRING && reply->len == OWNER_TEXT_SIZE - 1)
        memcpy(search->owners[name.index], reply->str, OWNER_TEXT_SIZE - 1);
    if (--search->waits > 0) return;
    search->done(search->argument, search->err, search->owners);
    mem_free(search->owners);
    mem_free(search);
}

void pseudonyms_find(struct pseudonyms *pseudonyms, const char *tenant, const char *source,
                     const char *const *names, size_t count, pseudonyms_fn *done, void *argument)
{
    struct search *search = mem_new(1, sizeof *search);
    *search =
        (struct search){done, argument, mem_new(count, sizeof *search->owners), count, ERR_OK};
    for (size_t i = 0; i < count; i++) {
        char key[CONSENT_KEY_SIZE];
        struct name *name = mem_new(1, sizeof *name);
        *name = (struct name){search, i};
        consent_link_key(pseudonyms->consents, tenant, source, names[i], key);
        const char *const words[] = {"GET", key};
        store_command(pseudonyms->store, on_owner, name, 2, words, NULL);
    }
}

static void on_used(void *argument, enum err err, const redisReply *reply)
{
    struct use use = *(struct use *)argument;
    mem_free(argument);
    if (err)
        err = away(err);
    else if (reply->type != REDIS_REPLY_INTEGER || reply->integer != 1)
        err = err_note(ERR_CONFLICT, "the token was used by somebody else; ask the partner for a "
                                     "new one");
    use.done(use.argument, err);
}

void pseudonyms_use(struct pseudonyms *pseudonyms, const char *tenant, const char *source,
                    const char *id, const char *owner, uint32_t ttl_seconds,
                    pseudonyms_used_fn *done, void *argument)
{
    struct use *use = mem_new(1, sizeof *use);
    char key[CONSENT_KEY_SIZE], own[CONSENT_KEY_SIZE], ttl[16];
    *use = (struct use){done, argument};
    consent_link_key(pseudonyms->consents, tenant, source, id, key);
    snprintf(own, sizeof own, "qiao:{j:%s", key + LINK_KEY_HEAD);
    snprintf(ttl, sizeof ttl, "%" PRIu32, ttl_seconds);
    const char *const words[] = {own, owner, ttl};
    store_eval(pseudonyms->store, pseudonyms->use, on_used, use, 1, 3, words, NULL);
}
