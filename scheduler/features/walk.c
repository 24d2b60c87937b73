#include "scheduler/features/walk.h"

#include "scheduler/features/consent.h"
#include "scheduler/features/home.h"
#include "scheduler/state/store.h"

#include "base/buf.h"
#include "base/mem.h"

#include <hiredis/hiredis.h>

#include <stdio.h>
#include <string.h>

/* A source's lists of all homes.
 *      KEYS  events, event_ids, event_key, event_homes   ARGV  the source
 *      gives how many keys there were */
static const char unlink_text[] =
    HOMES_LUA "local count = 0\n"
              "for _, tail in ipairs(homes_of(KEYS[4], ':' .. ARGV[1])) do\n"
              "  for k = 1, 3 do count = count + redis.call('UNLINK', KEYS[k] .. tail) end\n"
              "  redis.call('HDEL', KEYS[4], tail)\n"
              "end\n"
              "return count\n";

enum {
    KEYS_COUNT = 4
};

/* A page that is asked for. */
struct page {
    walk_fn *done;
    void *argument;
};

/* A page whose histories are being deleted. */
struct sweep {
    struct store *store;
    char source[CONSENT_SOURCE_MAX + 1], cursor[WALK_CURSOR_MAX + 1];
    size_t waits, count;
    enum err err;
    walk_forget_fn *done;
    void *argument;
};

bool walk_is_cursor(const char *text)
{
    size_t size = strlen(text);
    return size > 0 && size <= WALK_CURSOR_MAX && strspn(text, "0123456789") == size;
}

static enum err away(enum err err)
{
    if (err != ERR_STORE_AWAY && err != ERR_TIMEOUT) return err;
    return err_note(ERR_STORE_AWAY, "the users with events cannot be listed: Redis is away");
}

static bool is_page(const redisReply *reply)
{
    return reply->type == REDIS_REPLY_ARRAY && reply->elements == 2 &&
           reply->element[0]->type == REDIS_REPLY_STRING &&
           walk_is_cursor(reply->element[0]->str) && reply->element[1]->type == REDIS_REPLY_ARRAY;
}

static void on_page(void *argument, enum err err, const redisReply *reply)
{
    struct page page = *(struct page *)argument;
    mem_free(argument);
    if (!err && !is_page(reply)) err = err_note(ERR_INTERNAL, "the users with events are no set");
    if (err) {
        page.done(page.argument, away(err), "0", NULL, 0);
        return;
    }
    const redisReply *list = reply->element[1];
    const char **owners = mem_new(list->elements + 1, sizeof *owners);
    size_t count = 0;
    for (size_t i = 0; i < list->elements && count < WALK_PAGE_MAX; i++)
        if (list->element[i]->type == REDIS_REPLY_STRING &&
            list->element[i]->len == OWNER_TEXT_SIZE - 1)
            owners[count++] = list->element[i]->str;
    page.done(page.argument, ERR_OK, reply->element[0]->str, owners, count);
    mem_free(owners);
}

void walk_owners(struct store *store, const char *tenant, const char *cursor, walk_fn *done,
                 void *argument)
{
    struct page *page = mem_new(1, sizeof *page);
    struct buf key = {0};
    char count[16];
    *page = (struct page){done, argument};
    buf_addf(&key, "qiao:{c:items:%s}:owners", tenant);
    snprintf(count, sizeof count, "%d", WALK_PAGE);
    const char *const words[] = {"SSCAN", buf_text(&key), cursor, "COUNT", count};
    store_command(store, on_page, page, 5, words, NULL);
    buf_fini(&key);
}

// ---- forgetting --------------------------------------------------------------------------------

static void end_one(struct sweep *sweep)
{
    if (--sweep->waits > 0) return;
    sweep->done(sweep->argument, sweep->err, sweep->cursor, sweep->count);
    mem_free(sweep);
}

static void on_unlinked(void *argument, enum err err, const redisReply *reply)
{
    struct sweep *sweep = argument;
    if (err)
        sweep->err = away(err);
    else if (reply->type == REDIS_REPLY_INTEGER && reply->integer > 0)
        sweep->count++;
    end_one(sweep);
}

static void unlink_one(struct sweep *sweep, const char *owner)
{
    static const char *const kinds[KEYS_COUNT] = {"events", "event_ids", "event_key",
                                                  "event_homes"};
    char keys[KEYS_COUNT][CONSENT_KEY_SIZE];
    const char *words[KEYS_COUNT + 1];
    for (size_t i = 0; i < KEYS_COUNT; i++) {
        snprintf(keys[i], sizeof keys[i], "qiao:{u:%s}:%s", owner, kinds[i]);
        words[i] = keys[i];
    }
    words[KEYS_COUNT] = sweep->source;
    sweep->waits++;
    store_eval(sweep->store, store_add_script(sweep->store, unlink_text), on_unlinked, sweep,
               KEYS_COUNT, KEYS_COUNT + 1, words, NULL);
}

static void on_sweep(void *argument, enum err err, const char *cursor, const char *const *owners,
                     size_t count)
{
    struct sweep *sweep = argument;
    sweep->err = err;
    snprintf(sweep->cursor, sizeof sweep->cursor, "%s", cursor);
    for (size_t i = 0; i < count; i++)
        unlink_one(sweep, owners[i]);
    end_one(sweep);
}

void walk_forget(struct store *store, const char *tenant, const char *source, const char *owner,
                 const char *cursor, walk_forget_fn *done, void *argument)
{
    struct sweep *sweep = mem_new(1, sizeof *sweep);
    *sweep = (struct sweep){.store = store, .cursor = "0", .done = done, .argument = argument};
    snprintf(sweep->source, sizeof sweep->source, "%s", source);
    if (owner) {
        unlink_one(sweep, owner);
    } else {
        sweep->waits = 1; // the page itself
        walk_owners(store, tenant, cursor, on_sweep, sweep);
    }
}
