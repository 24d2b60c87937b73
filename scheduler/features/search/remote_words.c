/* The vocabulary of an index that a RediSearch keeps (remote.h): a copy, read a part at a time, and anew when the index has changed. Reading it
 * takes at most a WORDS_SHARE-th of the worker's time; meanwhile the copy of before is asked. */
#include "scheduler/features/search/remote.h"

#include "base/clock.h"

#include <hiredis/hiredis.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    WORDS_PART = 2000, // about so many at once
    WORDS_SHARE = 20
};

void remote_forget_words(struct remote *remote)
{
    words_free(remote->coming);
    remote->coming = NULL;
}

static bool is_due(const struct remote *remote, uint64_t now_ns)
{
    return remote->head.version > 0 && remote->words_version != remote->head.version &&
           now_ns >= remote->words_next_ns;
}

static void take_part(struct remote *remote, const redisReply *pairs)
{
    for (size_t i = 0; i + 1 < pairs->elements; i += 2) {
        const redisReply *word = pairs->element[i], *count = pairs->element[i + 1];
        long many = count->type == REDIS_REPLY_STRING ? strtol(count->str, NULL, 10) : 0;
        // The scan may tell a word twice: the later count is as good.
        uint32_t known = words_count(remote->coming, word->str, word->len);
        if (many > 0 && known == 0)
            words_add_many(remote->coming, word->str, word->len, (uint32_t)many);
    }
}

static void end_reading(struct corpus *corpus, uint64_t now_ns)
{
    struct remote *remote = corpus->remote;
    words_free(corpus->half->words);
    corpus->half->words = remote->coming;
    remote->coming = NULL;
    remote->words_version = remote->words_coming;
    remote->words_next_ns = now_ns + WORDS_SHARE * remote->words_spent_ns;
}

enum err remote_read_words(struct corpus *corpus)
{
    struct remote *remote = corpus->remote;
    uint64_t begin_ns = clock_now_ns();
    char key[64], count[16];
    redisReply *reply;
    if (!remote->coming && !is_due(remote, begin_ns)) return ERR_OK;
    if (!remote->coming) {
        remote->coming = words_new(corpus->tools.pinyin);
        remote->words_coming = remote->head.version;
        remote->words_spent_ns = 0;
        snprintf(remote->cursor, sizeof remote->cursor, "0");
    }
    snprintf(key, sizeof key, REMOTE_HEAD ":%" PRIu64 ":words", remote->head.generation);
    snprintf(count, sizeof count, "%d", WORDS_PART);
    const char *const words[] = {"HSCAN", key, remote->cursor, "COUNT", count};
    TRY(redisearch_link_call(remote->link, &reply, 5, words, NULL));
    bool fits = reply->type == REDIS_REPLY_ARRAY && reply->elements == 2 &&
                reply->element[0]->len < sizeof remote->cursor;
    if (fits) {
        take_part(remote, reply->element[1]);
        snprintf(remote->cursor, sizeof remote->cursor, "%s", reply->element[0]->str);
    }
    freeReplyObject(reply);
    uint64_t now_ns = clock_now_ns();
    remote->words_spent_ns += now_ns - begin_ns;
    if (!fits)
        remote_forget_words(remote);
    else if (strcmp(remote->cursor, "0") == 0)
        end_reading(corpus, now_ns);
    return ERR_OK;
}
