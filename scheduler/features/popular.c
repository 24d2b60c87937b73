#include "scheduler/features/popular.h"

#include "scheduler/features/pack.h"
#include "scheduler/state/store.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/must.h"

#include <hiredis/hiredis.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

/*      KEYS  the region's set, that of all
 *      ARGV  items to keep, '1' with a region, [item, weight, …] in msgpack */
static const char add_text[] = "local entries = cmsgpack.unpack(ARGV[3])\n"
                               "for k = ARGV[2] == '1' and 1 or 2, 2 do\n"
                               "  for n = 1, #entries, 2 do\n"
                               "    redis.call('ZINCRBY', KEYS[k], entries[n + 1], entries[n])\n"
                               "  end\n"
                               "  redis.call('ZREMRANGEBYRANK', KEYS[k], 0, -1 - ARGV[1])\n"
                               "end\n"
                               "return 1\n";

struct popular {
    struct store *store;
    struct store_script *script;
};

struct popular_ticket {
    popular_fn *done; // NULL: nobody asks any more
    void *argument;
};

struct popular *popular_new(struct store *store)
{
    struct popular *popular = mem_new(1, sizeof *popular);
    *popular = (struct popular){store, store_add_script(store, add_text)};
    return popular;
}

void popular_free(struct popular *popular)
{
    mem_free(popular);
}

double popular_weight(enum event_type type, int64_t time_ms)
{
    static const double weights[EVENT_TYPES] = {[EVENT_VIEW] = 1,
                                                [EVENT_CART] = 4,
                                                [EVENT_FAVOURITE] = 4,
                                                [EVENT_PURCHASE] = 8,
                                                [EVENT_SEARCH] = 0};
    return weights[type] *
           exp2((double)(time_ms - POPULAR_EPOCH_MS) / (double)POPULAR_HALF_LIFE_MS);
}

static void write_key(struct buf *out, const char *tenant, const char *region)
{
    buf_addf(out, "qiao:{c:items:%s}:popular:%s", tenant, *region ? region : "*");
}

void popular_add(struct popular *popular, const char *tenant, const char *region,
                 const struct event *const *events, size_t count)
{
    struct buf entries = {0}, list = {0}, own = {0}, all = {0};
    char kept[16], weight[32];
    size_t added = 0;
    for (size_t i = 0; i < count; i++) {
        double worth = popular_weight(events[i]->type, events[i]->time_ms);
        if (!events[i]->item || !(worth > 0)) continue;
        snprintf(weight, sizeof weight, "%.17g", worth);
        pack_text(&entries, events[i]->item);
        pack_text(&entries, weight);
        added++;
    }
    if (added > 0) {
        pack_list(&list, 2 * added);
        buf_add(&list, entries.data, entries.size);
        write_key(&own, tenant, region);
        write_key(&all, tenant, "");
        snprintf(kept, sizeof kept, "%d", POPULAR_KEPT);
        const char *const words[] = {own.data, all.data, kept, *region ? "1" : "0", list.data};
        const size_t sizes[] = {own.size, all.size, strlen(kept), 1, list.size};
        store_eval(popular->store, popular->script, NULL, NULL, 2, 5, words, sizes);
    }
    buf_fini(&entries);
    buf_fini(&list);
    buf_fini(&own);
    buf_fini(&all);
}

static void on_read(void *argument, enum err err, const redisReply *reply)
{
    struct popular_ticket *ticket = argument;
    const char **items = mem_new(POPULAR_LIST_MAX, sizeof *items);
    size_t count = 0;
    if (!err && reply->type != REDIS_REPLY_ARRAY)
        err = err_note(ERR_INTERNAL, "the popular items are no list");
    for (size_t i = 0; !err && i < reply->elements && count < POPULAR_LIST_MAX; i++)
        if (reply->element[i]->type == REDIS_REPLY_STRING) items[count++] = reply->element[i]->str;
    if (ticket->done) ticket->done(ticket->argument, err, items, count);
    mem_free(items);
    mem_free(ticket);
}

struct popular_ticket *popular_read(struct popular *popular, const char *tenant, const char *region,
                                    size_t most, popular_fn *done, void *argument)
{
    struct popular_ticket *ticket = mem_new(1, sizeof *ticket);
    struct buf key = {0};
    char last[24];
    must(most > 0 && most <= POPULAR_LIST_MAX);
    *ticket = (struct popular_ticket){done, argument};
    write_key(&key, tenant, region);
    snprintf(last, sizeof last, "%zu", most - 1);
    const char *const words[] = {"ZREVRANGE", key.data, "0", last};
    store_command(popular->store, on_read, ticket, 4, words, NULL);
    buf_fini(&key);
    return ticket;
}

void popular_drop(struct popular_ticket *ticket)
{
    ticket->done = NULL;
}
