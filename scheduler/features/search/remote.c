#include "scheduler/features/search/remote.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

#include <hiredis/hiredis.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- the head ----------------------------------------------------------------------------------

static uint64_t number_of(const redisReply *reply)
{
    return reply->type == REDIS_REPLY_STRING ? strtoull(reply->str, NULL, 10) : 0;
}

/* Analysis goes by the settings of the generation that is there. */
static void take_settings(struct corpus *corpus, const redisReply *text)
{
    struct search_settings *settings = NULL;
    char param[SEARCH_PARAM_MAX];
    enum err err;
    if (strcmp(corpus->half->settings->text, text->str) == 0) return;
    json_t *object = json_loadb(text->str, text->len, 0, NULL);
    if (object && !search_settings_read(&settings, object, param)) {
        struct corpus_half *half = corpus_new_half(corpus, settings, &err);
        if (half) {
            corpus_drop_half(corpus->half);
            corpus->half = half;
        }
    }
    json_decref(object);
}

/* A generation that was not asked so far: what was known of documents is of another one. */
static void take_generation(struct corpus *corpus, uint64_t generation, const redisReply *settings)
{
    struct remote *remote = corpus->remote;
    remote->head.generation = generation;
    remote_forget_records(remote);
    remote_forget_words(remote);
    ids_clear(remote->ids);
    remote->serial++;
    remote->words_version = 0;
    bool is_made_here = remote->state == REMOTE_FRESH || remote->state == REMOTE_BUILDING;
    if (settings->type == REDIS_REPLY_STRING && !is_made_here) take_settings(corpus, settings);
}

/* Somebody else has written, or what was written is gone. */
static bool is_ours(const struct remote *remote, uint64_t generation, uint64_t version)
{
    if (remote->state != REMOTE_WRITING) return true;
    return generation == remote->generation && version == remote->head.version;
}

static enum err take_head(struct corpus *corpus, const redisReply *reply)
{
    struct remote *remote = corpus->remote;
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 5)
        return err_note(ERR_UNAVAILABLE, "the RediSearch of this index holds something else");
    const redisReply *index = reply->element[0], *token = reply->element[3];
    bool is_foreign =
        index->type == REDIS_REPLY_STRING && strcmp(index->str, remote->place->collection) != 0;
    if (is_foreign && !remote->is_foreign)
        log_error("search_store_taken", "index=%s holds=%s", remote->place->collection, index->str);
    remote->is_foreign = is_foreign;
    if (is_foreign)
        return err_note(ERR_UNAVAILABLE, "the RediSearch of this index holds another one");
    uint64_t generation = number_of(reply->element[1]), version = number_of(reply->element[2]);
    if (!is_ours(remote, generation, version)) remote->state = REMOTE_LOST;
    if (generation != remote->head.generation)
        take_generation(corpus, generation, reply->element[4]);
    remote->head.version = corpus->version = version;
    snprintf(remote->head.token, sizeof remote->head.token, "%s",
             token->type == REDIS_REPLY_STRING ? token->str : "");
    return ERR_OK;
}

static enum err read_sums(struct remote *remote)
{
    char key[64];
    redisReply *reply;
    snprintf(key, sizeof key, REMOTE_HEAD ":%" PRIu64, remote->head.generation);
    const char *const words[] = {"HMGET", key, "documents", "bytes", "positions"};
    TRY(redisearch_link_call(remote->link, &reply, 5, words, NULL));
    if (reply->type == REDIS_REPLY_ARRAY && reply->elements == 3) {
        remote->head.documents = number_of(reply->element[0]);
        remote->head.bytes = number_of(reply->element[1]);
        remote->head.positions = number_of(reply->element[2]);
    }
    freeReplyObject(reply);
    return ERR_OK;
}

static enum err read_head(struct corpus *corpus)
{
    static const char *const words[] = {"HMGET",   REMOTE_HEAD, "index",   "generation",
                                        "version", "token",     "settings"};
    struct remote *remote = corpus->remote;
    redisReply *reply;
    TRY(redisearch_link_call(remote->link, &reply, 7, words, NULL));
    enum err err = take_head(corpus, reply);
    freeReplyObject(reply);
    return err ? err : read_sums(remote);
}

enum err remote_look(struct corpus *corpus, uint64_t timeout_ms)
{
    struct remote *remote = corpus->remote;
    remote->is_known = false;
    remote->looked_ns = clock_now_ns();
    TRY(redisearch_link_open(remote->link, timeout_ms));
    TRY(read_head(corpus));
    remote->is_known = true;
    return ERR_OK;
}

static void look(struct corpus *corpus)
{
    struct remote *remote = corpus->remote;
    if (clock_now_ns() - remote->looked_ns < REMOTE_LOOK_MS * CLOCK_MS) return;
    if (remote_look(corpus, REMOTE_HEAD_MS)) return;
    (void)remote_read_words(corpus);
}

bool remote_fits(const struct corpus *corpus)
{
    const struct remote *remote = corpus->remote;
    return remote->head.version > 0 && strcmp(corpus->half->settings->text, remote->told) == 0;
}

// ---- life --------------------------------------------------------------------------------------

static void free_remote(struct corpus *corpus)
{
    struct remote *remote = corpus->remote;
    remote_forget_orders(remote);
    remote_forget_records(remote);
    remote_forget_words(remote);
    ids_free(remote->ids);
    redisearch_link_free(remote->link);
    mem_free(remote->told);
    mem_free(remote);
}

static bool shed(struct corpus *corpus, size_t count)
{
    (void)corpus, (void)count;
    return false;
}

static size_t count_documents(const struct corpus *corpus)
{
    return corpus->remote->head.documents;
}

static size_t count_bytes(const struct corpus *corpus)
{
    return corpus->remote->head.bytes;
}

/* Whoever follows the collection begins anew with other settings (indexes.c), so it is not changed over in place. */
static enum err configure(struct corpus *corpus, struct search_settings *settings)
{
    corpus->remote->state = REMOTE_LOST;
    search_settings_free(settings);
    return ERR_OK;
}

static bool change(struct corpus *corpus, size_t count)
{
    (void)corpus, (void)count;
    return false;
}

static const struct corpus_backend backend = {
    .free = free_remote,
    .shed = shed,
    .count = count_documents,
    .bytes = count_bytes,
    .put = remote_put,
    .drop = remote_drop,
    .configure = configure,
    .change = change,
    .mark = remote_mark,
    .look = look,
    .forget = remote_forget,
    .rank = remote_rank,
    .find = remote_find,
    .id = remote_id,
    .record = remote_record,
    .fetch = remote_fetch,
    .pass = remote_pass,
    .passes = remote_passes,
    .each = remote_each,
    .has = remote_has,
};

enum err corpus_new_remote(struct corpus **out, const struct corpus_tools *tools,
                           const struct redisearch_place *place, struct search_settings *settings)
{
    struct corpus *corpus = corpus_open(tools, &backend);
    enum err err;
    corpus->remote = mem_new(1, sizeof *corpus->remote);
    *corpus->remote = (struct remote){.place = place,
                                      .link = redisearch_link_new(place),
                                      .ids = ids_new(),
                                      .serial = 1,
                                      .told = mem_copy_text(settings->text)};
    corpus->half = corpus_new_half(corpus, settings, &err);
    if (err)
        corpus_free(corpus);
    else
        *out = corpus;
    return err;
}

void corpus_status(const struct corpus *corpus, struct corpus_status *out)
{
    *out = (struct corpus_status){0};
    if (!corpus || !corpus->remote) return;
    const struct remote *remote = corpus->remote;
    *out = (struct corpus_status){.is_remote = true,
                                  .is_ready = remote->is_known && remote->state == REMOTE_READING,
                                  .is_lost = remote->state == REMOTE_LOST,
                                  .fits = remote_fits(corpus),
                                  .version = remote->head.version};
    snprintf(out->token, sizeof out->token, "%s", remote->head.token);
}
