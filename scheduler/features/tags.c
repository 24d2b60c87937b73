#include "scheduler/features/tags.h"

#include "scheduler/features/catalogue.h"
#include "scheduler/features/consent.h"
#include "scheduler/features/seal.h"
#include "scheduler/state/store.h"

#include "text/utf8.h"

#include "base/buf.h"
#include "base/mem.h"

#include <hiredis/hiredis.h>
#include <sodium.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Written only over what was read.
 *      KEYS  tags, tags_key   ARGV  what was read, what is to stand there ('' nothing), its wrapped key
 *      gives 1, or 0 when something else stands there */
static const char write_text[] =
    "if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end\n"
    "if ARGV[2] == '' then\n"
    "  redis.call('DEL', KEYS[1], KEYS[2])\n"
    "else\n"
    "  redis.call('MSET', KEYS[1], ARGV[2], KEYS[2], ARGV[3])\n"
    "end\n"
    "return 1\n";

enum {
    TRIES_MAX = 8
};

struct tags {
    struct store *store;
    struct owner_key key;
    const struct keyring *keys;
    struct store_script *write;
};

/* A change, until it stands. */
struct job {
    struct tags *tags;
    tags_fn *done;
    void *argument;
    char owner[OWNER_TEXT_SIZE], values[CONSENT_KEY_SIZE], wrapped[CONSENT_KEY_SIZE];
    char tag[TAGS_TEXT_MAX + 1];
    bool hide;
    unsigned tries;
};

struct tags *tags_new(struct store *store, const struct owner_key *key, const struct keyring *keys)
{
    struct tags *tags = mem_new(1, sizeof *tags);
    *tags = (struct tags){store, *key, keys, store_add_script(store, write_text)};
    return tags;
}

void tags_free(struct tags *tags)
{
    mem_free(tags);
}

enum err tags_check(const char *text, size_t size)
{
    bool good = size > 0 && size <= TAGS_TEXT_MAX && utf8_valid(text, size);
    for (size_t i = 0; good && i < size; i++)
        good = (unsigned char)text[i] >= ' ' && text[i] != 0x7F;
    if (good) return ERR_OK;
    return err_note(ERR_INVALID,
                    "a tag is 1 to %d bytes of UTF-8 without control characters, as the path has "
                    "it encoded",
                    TAGS_TEXT_MAX);
}

// ---- what is stored ----------------------------------------------------------------------------

enum err tags_open(json_t **hidden, const struct keyring *keys, const char *owner,
                   const char *sealed, size_t size, const char *wrapped, size_t wrapped_size)
{
    struct seal seal;
    struct buf text = {0};
    *hidden = NULL;
    if (size == 0) return ERR_OK;
    TRY(seal_unwrap(&seal, keys, owner, TAGS_SOURCE, wrapped, wrapped_size));
    enum err err = seal_open(&seal, sealed, size, &text);
    seal_fini(&seal);
    if (!err) {
        json_t *root = json_loadb(buf_text(&text), text.size, 0, NULL);
        json_t *list = json_object_get(root, "hidden");
        if (json_is_array(list)) *hidden = json_incref(list);
        json_decref(root);
        sodium_memzero(text.data, text.size);
    }
    buf_fini(&text);
    return err;
}

static size_t find(const json_t *hidden, const char *tag)
{
    size_t i = 0;
    while (i < json_array_size(hidden) &&
           strcmp(json_string_value(json_array_get(hidden, i)), tag) != 0)
        i++;
    return i;
}

static void finish(struct job *job, enum err err)
{
    if (err == ERR_TIMEOUT || err == ERR_STORE_AWAY)
        err = err_note(ERR_STORE_AWAY, "tags cannot be changed: Redis is away");
    job->done(job->argument, err);
    sodium_memzero(job->tag, sizeof job->tag);
    mem_free(job);
}

static void begin(struct job *job);

static void on_written(void *argument, enum err err, const redisReply *reply)
{
    struct job *job = argument;
    bool other = !err && (reply->type != REDIS_REPLY_INTEGER || reply->integer != 1);
    if (other && job->tries < TRIES_MAX)
        begin(job);
    else
        finish(job, other ? err_note(ERR_CONFLICT, "the tags are being changed by others") : err);
}

static void write_list(struct job *job, json_t *list, const redisReply *before)
{
    struct seal seal;
    struct buf sealed = {0};
    unsigned char wrapped[KEYRING_WRAPPED_SIZE] = {0};
    if (json_array_size(list) > 0) {
        json_t *root = json_pack("{sO}", "hidden", list);
        char *text = json_dumps(root, JSON_COMPACT);
        seal_draw(&seal, job->owner, TAGS_SOURCE);
        seal_close(&seal, text, strlen(text), &sealed);
        seal_wrap(&seal, job->tags->keys, wrapped);
        seal_fini(&seal);
        sodium_memzero(text, strlen(text));
        free(text); // jansson's
        json_decref(root);
    }
    const char *old = before->type == REDIS_REPLY_STRING ? before->str : "";
    size_t old_size = before->type == REDIS_REPLY_STRING ? before->len : 0;
    const char *const words[] = {job->values, job->wrapped, old, buf_text(&sealed),
                                 (const char *)wrapped};
    const size_t sizes[] = {strlen(job->values), strlen(job->wrapped), old_size, sealed.size,
                            sizeof wrapped};
    store_eval(job->tags->store, job->tags->write, on_written, job, 2, 5, words, sizes);
    buf_fini(&sealed);
}

static void change(struct job *job, json_t *list, const redisReply *before)
{
    size_t at = find(list, job->tag);
    bool is_there = at < json_array_size(list);
    if (is_there == job->hide) {
        finish(job, ERR_OK);
    } else if (job->hide && at >= TAGS_HIDDEN_MAX) {
        finish(job, err_note(ERR_TOO_LARGE, "at most %d tags are taken away", TAGS_HIDDEN_MAX));
    } else {
        if (job->hide)
            json_array_append_new(list, json_string(job->tag));
        else
            json_array_remove(list, at);
        write_list(job, list, before);
    }
}

static void on_read(void *argument, enum err err, const redisReply *reply)
{
    struct job *job = argument;
    json_t *list = NULL;
    if (!err && (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2))
        err = err_note(ERR_INTERNAL, "Redis gave no tags");
    if (!err && reply->element[0]->type == REDIS_REPLY_STRING) {
        const redisReply *sealed = reply->element[0], *wrapped = reply->element[1];
        bool has_key = wrapped->type == REDIS_REPLY_STRING;
        err = tags_open(&list, job->tags->keys, job->owner, sealed->str, sealed->len,
                        has_key ? wrapped->str : "", has_key ? wrapped->len : 0);
    }
    if (err) {
        finish(job, err);
        return;
    }
    if (!list) list = json_array();
    change(job, list, reply->element[0]);
    json_decref(list);
}

static void begin(struct job *job)
{
    const char *const words[] = {"MGET", job->values, job->wrapped};
    job->tries++;
    store_command(job->tags->store, on_read, job, 3, words, NULL);
}

void tags_change(struct tags *tags, const char *tenant, const char *user, const char *tag,
                 bool hide, tags_fn *done, void *argument)
{
    struct job *job = mem_new(1, sizeof *job);
    *job = (struct job){.tags = tags, .done = done, .argument = argument, .hide = hide};
    owner_write(job->owner, &tags->key, tenant, user);
    snprintf(job->values, sizeof job->values, "qiao:{u:%s}:tags", job->owner);
    snprintf(job->wrapped, sizeof job->wrapped, "qiao:{u:%s}:tags_key", job->owner);
    snprintf(job->tag, sizeof job->tag, "%s", tag);
    begin(job);
}
