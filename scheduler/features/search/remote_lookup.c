/* Documents of an index that a RediSearch keeps (remote.h): a number for each that was found, and their records, read when they are wanted.
 *
 * Numbers are this scheduler's own, and last until REMOTE_IDS_MAX documents were found or the generation has changed; what a search kept of
 * them over that has gone then (`serial`). */
#include "scheduler/features/filter.h"
#include "scheduler/features/search/remote.h"

#include "base/mem.h"

#include <hiredis/hiredis.h>

#include <stdlib.h>
#include <string.h>

enum {
    FETCH_MS = 5000
};

struct ranked remote_number(struct remote *remote, const char *id, size_t size)
{
    if (ids_count(remote->ids) >= REMOTE_IDS_MAX && ids_find(remote->ids, id, size) == IDS_NONE) {
        ids_clear(remote->ids);
        remote_forget_records(remote);
        remote->serial++;
    }
    return (struct ranked){.number = ids_add(remote->ids, id, size), .serial = remote->serial};
}

/* It is believed: one that has gone has no record when it is wanted. */
bool remote_find(const struct corpus *corpus, const char *id, size_t size, struct ranked *out)
{
    *out = remote_number(corpus->remote, id, size);
    return true;
}

const char *remote_id(const struct corpus *corpus, const struct ranked *item, size_t *size)
{
    const struct remote *remote = corpus->remote;
    return item->serial == remote->serial ? ids_at(remote->ids, item->number, size) : NULL;
}

void remote_forget_records(struct remote *remote)
{
    for (size_t i = 0; i < remote->record_count; i++)
        mem_free(remote->records[i].text);
    mem_free(remote->records);
    remote->records = NULL;
    remote->record_count = 0;
}

static int by_number(const void *left, const void *right)
{
    const struct remote_record *a = left, *b = right;
    return (a->number > b->number) - (a->number < b->number);
}

static void send_keys(struct remote *remote, const struct corpus *corpus,
                      const struct ranked *items, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        size_t size;
        const char *id = remote_id(corpus, &items[i], &size);
        struct redisearch_command command = {0};
        if (!id) continue;
        redisearch_say(&command, "HGET");
        remote_key(redisearch_word(&command), remote->head.generation, id, size);
        redisearch_say(&command, "r");
        redisearch_send(remote->link, &command);
        remote->records[remote->record_count++].number = items[i].number;
    }
}

static enum err take_records(struct remote *remote)
{
    for (size_t i = 0; i < remote->record_count; i++) {
        redisReply *reply;
        TRY(redisearch_link_take(remote->link, &reply));
        if (reply->type == REDIS_REPLY_STRING) {
            remote->records[i].text = mem_text(reply->str, reply->len);
            remote->records[i].size = reply->len;
        }
        freeReplyObject(reply);
    }
    return ERR_OK;
}

/* What cannot be read is as good as gone. */
static void fetch(const struct corpus *corpus, const struct ranked *items, size_t count)
{
    struct remote *remote = corpus->remote;
    remote_forget_records(remote);
    if (redisearch_link_open(remote->link, FETCH_MS)) return;
    remote->records = mem_new(count + 1, sizeof *remote->records);
    send_keys(remote, corpus, items, count);
    if (take_records(remote)) redisearch_link_reset(remote->link);
    qsort(remote->records, remote->record_count, sizeof *remote->records, by_number);
}

void remote_fetch(struct corpus *corpus, const struct ranked *items, size_t count)
{
    fetch(corpus, items, count);
}

static const struct remote_record *find(const struct remote *remote, uint32_t number)
{
    const struct remote_record wanted = {.number = number};
    if (remote->record_count == 0) return NULL;
    return bsearch(&wanted, remote->records, remote->record_count, sizeof wanted, by_number);
}

const char *remote_record(const struct corpus *corpus, const struct ranked *item, size_t *size)
{
    const struct remote *remote = corpus->remote;
    if (item->serial != remote->serial) return NULL;
    const struct remote_record *record = find(remote, item->number);
    if (!record) {
        fetch(corpus, item, 1);
        record = find(remote, item->number);
    }
    if (!record || !record->text) return NULL;
    *size = record->size;
    return record->text;
}

// ---- what passes a filter ----------------------------------------------------------------------

enum err remote_pass(struct corpus *corpus, const struct corpus_search *search, size_t *count)
{
    struct remote *remote = corpus->remote;
    remote->passing = search->filter;
    TRY(remote_each_id(corpus, search->filter, NULL, NULL, 1, &remote->passing_count));
    *count = remote->passing_count;
    return ERR_OK;
}

bool remote_passes(const struct corpus *corpus, const struct ranked *item)
{
    size_t size;
    const char *record = remote_record(corpus, item, &size);
    json_t *document = record ? corpus_parse(record, size) : NULL;
    if (!document) return false;
    json_t *facts = corpus_read_facts(corpus->half->settings, document);
    bool passes = filter_holds(corpus->remote->passing, facts);
    json_decref(facts);
    json_decref(document);
    return passes;
}

void remote_each(const struct corpus *corpus, corpus_each_fn *each, struct buf *out)
{
    struct remote *remote = corpus->remote;
    size_t count;
    (void)remote_each_id(corpus, remote->passing, each, out, remote->passing_count, &count);
}
