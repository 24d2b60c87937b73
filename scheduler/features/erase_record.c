#include "scheduler/features/erase_record.h"

#include <hiredis/hiredis.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_texts(const redisReply *list)
{
    bool good = list->type == REDIS_REPLY_ARRAY && list->elements % 2 == 0;
    for (size_t i = 0; good && i < list->elements; i++)
        good = list->element[i]->type == REDIS_REPLY_STRING;
    return good;
}

/* The value of `head` + `name`, "" when there is none. */
static const char *find(const redisReply *list, const char *head, const char *name)
{
    size_t size = strlen(head);
    for (size_t i = 0; i + 1 < list->elements; i += 2) {
        const char *field = list->element[i]->str;
        if (strncmp(field, head, size) == 0 && strcmp(field + size, name) == 0)
            return list->element[i + 1]->str;
    }
    return "";
}

static uint64_t number(const redisReply *list, const char *head, const char *name)
{
    return strtoull(find(list, head, name), NULL, 10);
}

static void read_redis(struct erasure_redis *out, const redisReply *list, const char *head)
{
    snprintf(out->run, sizeof out->run, "%s", find(list, head, "run_id"));
    out->append = (struct erasure_file){
        .enabled = number(list, head, "aof_enabled") == 1,
        .begun = number(list, head, "aof_rewrites"),
        .busy = number(list, head, "aof_rewrite_in_progress") == 1,
        .good = strcmp(find(list, head, "aof_last_bgrewrite_status"), "ok") == 0};
    out->snapshot = (struct erasure_file){
        .enabled = true, // whether one is made by itself is not in INFO
        .begun = number(list, head, "rdb_saves"),
        .busy = number(list, head, "rdb_bgsave_in_progress") == 1,
        .good = strcmp(find(list, head, "rdb_last_bgsave_status"), "ok") == 0};
    out->replicas = number(list, head, "connected_slaves");
}

static void read_keys(struct erasure *erasure, const struct keyring *ring, const char *text)
{
    char *end;
    erasure->key_count = erasure->keys_left = 0;
    for (; *text && erasure->key_count < KEYRING_KEYS_MAX; text = end + strspn(end, " ")) {
        uint32_t id = (uint32_t)strtoul(text, &end, 10);
        if (end == text) return;
        erasure->keys[erasure->key_count++] = id;
        for (size_t i = 0; i < ring->count; i++)
            erasure->keys_left += ring->keys[i].id == id;
    }
}

enum err erase_record_read(struct erasure *erasure, const struct keyring *keys,
                           const redisReply *reply, const char **left)
{
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 || !is_texts(reply->element[0]) ||
        !is_texts(reply->element[1]))
        return err_note(ERR_INTERNAL, "the erasure's script gave an unknown answer");
    const redisReply *receipt = reply->element[0];
    if (receipt->elements == 0)
        return err_note(ERR_NOT_FOUND,
                        "there is no such erasure of this user, or it is more than "
                        "%d days ago",
                        ERASURE_KEPT_SECONDS / 86400);
    erasure->at_ms = (int64_t)number(receipt, "", "at");
    erasure->sessions = number(receipt, "", "sessions");
    erasure->events = number(receipt, "", "events");
    erasure->consents = number(receipt, "", "consents");
    erasure->links = number(receipt, "", "links");
    erasure->tags = number(receipt, "", "tags");
    erasure->unlisted = number(receipt, "", "unlisted") == 1;
    erasure->caches_ms = (int64_t)number(receipt, "", "caches_at");
    erasure->replicated_ms = (int64_t)number(receipt, "", "replicated_at");
    erasure->append_ms = (int64_t)number(receipt, "", "append_at");
    erasure->snapshot_ms = (int64_t)number(receipt, "", "snapshot_at");
    read_keys(erasure, keys, find(receipt, "", "keys"));
    read_redis(&erasure->then, receipt, "then_");
    read_redis(&erasure->now, reply->element[1], "");
    *left = find(receipt, "", "left");
    return ERR_OK;
}

/* INFO counts how often a rewrite has begun in the life of the process; whatever began after the erasure holds none of what was erased,
 * and so does all that another process has begun, which came later. */
enum erasure_state erasure_file_state(const struct erasure *erasure, bool snapshot)
{
    const struct erasure_file *then = snapshot ? &erasure->then.snapshot : &erasure->then.append;
    const struct erasure_file *now = snapshot ? &erasure->now.snapshot : &erasure->now.append;
    if ((snapshot ? erasure->snapshot_ms : erasure->append_ms) > 0) return ERASURE_COMPLETE;
    if (!then->enabled && !now->enabled) return ERASURE_NONE;
    bool same = strcmp(erasure->then.run, erasure->now.run) == 0;
    if (same && now->begun < then->begun) return ERASURE_PENDING; // CONFIG RESETSTAT
    uint64_t begun = same ? now->begun - then->begun : now->begun;
    return now->good && begun > (now->busy ? 1 : 0) ? ERASURE_COMPLETE : ERASURE_PENDING;
}
