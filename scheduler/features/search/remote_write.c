/* Documents into an index that a RediSearch keeps (remote.h), by the scheduler that has the index' lock.
 *
 * They go in by some dozens: what was there of them is read first (its words are counted out of the vocabulary), then all are
 * written. Doing it twice gives the same, so a writer that was cut off goes on from the version that the head says. The head is only changed
 * from what this writer has last seen there: where two believe to be the one, the later one is lost, and begins anew. */
#include "scheduler/features/search/remote.h"
#include "scheduler/features/search/remote_document.h"

#include "base/log.h"
#include "base/mem.h"

#include <hiredis/hiredis.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*      KEYS  the head
 *      ARGV  generation and version that are there ("" where a generation is put in their place); index, generation, version, token, settings
 *      gives the generation that was there before; -1: somebody else has written */
static const char commit_text[] =
    "local at = redis.call('HMGET', KEYS[1], 'generation', 'version')\n"
    "if ARGV[1] ~= '' and (at[1] ~= ARGV[1] or at[2] ~= ARGV[2]) then return -1 end\n"
    "redis.call('HMSET', KEYS[1], 'index', ARGV[3], 'generation', ARGV[4], 'version', ARGV[5],\n"
    "  'token', ARGV[6], 'settings', ARGV[7])\n"
    "return tonumber(at[1] or '0')\n";

static enum err lose(struct remote *remote, enum err err)
{
    if (remote->state != REMOTE_LOST)
        log_warn("search_store_lost", "index=%s reason=\"%s\"",
                 remote->place ? remote->place->collection : "?", err_text());
    remote->state = REMOTE_LOST;
    remote_forget_orders(remote);
    redisearch_link_reset(remote->link); // what was sent is not answered any more
    return err;
}

// ---- generations -------------------------------------------------------------------------------

static enum err call_number(struct remote *remote, const char *command, const char *key,
                            const char *value, long long *out)
{
    redisReply *reply;
    const char *const words[] = {command, key, value};
    TRY(redisearch_link_call(remote->link, &reply, value ? 3 : 2, words, NULL));
    *out = reply->type == REDIS_REPLY_INTEGER ? reply->integer : 0;
    freeReplyObject(reply);
    return ERR_OK;
}

/* All of a generation; one that is not there (any more) is no failure. */
static enum err drop_generation(struct remote *remote, uint64_t generation)
{
    char name[32], sums[64], vocabulary[64], terms[64], number[24];
    redisReply *reply;
    long long count;
    snprintf(number, sizeof number, "%" PRIu64, generation);
    snprintf(name, sizeof name, "q%s", number);
    snprintf(sums, sizeof sums, REMOTE_HEAD ":%s", number);
    snprintf(vocabulary, sizeof vocabulary, REMOTE_HEAD ":%s:words", number);
    const char *const words[] = {"FT.DROP", name};
    enum err err = redisearch_link_call(remote->link, &reply, 2, words, NULL);
    if (err && err != ERR_INTERNAL) return err;
    if (!err) freeReplyObject(reply);
    snprintf(terms, sizeof terms, REMOTE_HEAD ":%s:terms", number);
    TRY(call_number(remote, "DEL", sums, vocabulary, &count));
    TRY(call_number(remote, "DEL", terms, NULL, &count));
    return call_number(remote, "SREM", REMOTE_HEAD ":open", number, &count);
}

/* Generations that nobody has finished, or dropped. */
static enum err drop_strays(struct remote *remote)
{
    redisReply *open;
    const char *const words[] = {"SMEMBERS", REMOTE_HEAD ":open"};
    TRY(redisearch_link_call(remote->link, &open, 2, words, NULL));
    enum err err = ERR_OK;
    for (size_t i = 0; !err && i < open->elements; i++) {
        uint64_t generation = strtoull(open->element[i]->str, NULL, 10);
        if (generation != remote->head.generation) err = drop_generation(remote, generation);
    }
    freeReplyObject(open);
    return err;
}

static bool has_argument(const redisReply *arguments, const char *text)
{
    for (size_t i = 0; i < arguments->elements; i++)
        if (arguments->element[i]->str && strcmp(arguments->element[i]->str, text) == 0)
            return true;
    return false;
}

/* With the module's presets it finds less than there is, without a word (docs/redis.md). What MODULE LIST does not tell is believed. */
static enum err check_module(struct remote *remote)
{
    static const char *const wanted[] = {"MINPREFIX", "MAXEXPANSIONS", "MAXDOCTABLESIZE", "FAIL"};
    const char *const words[] = {"MODULE", "LIST"};
    redisReply *reply;
    TRY(redisearch_link_call(remote->link, &reply, 2, words, NULL));
    for (size_t i = 0; i < reply->elements; i++) {
        const redisReply *module = reply->element[i], *arguments = NULL;
        bool is_search = module->type == REDIS_REPLY_ARRAY && has_argument(module, "ft");
        for (size_t j = 0; is_search && j + 1 < module->elements; j += 2)
            if (strcmp(module->element[j]->str, "args") == 0) arguments = module->element[j + 1];
        for (size_t j = 0; arguments && j < sizeof wanted / sizeof *wanted; j++)
            if (!has_argument(arguments, wanted[j]))
                log_warn("search_store_preset", "index=%s missing=%s hint=\"docs/redis.md\"",
                         remote->place->collection, wanted[j]);
    }
    freeReplyObject(reply);
    return ERR_OK;
}

static enum err begin_generation(struct corpus *corpus)
{
    struct remote *remote = corpus->remote;
    struct redisearch_command create = {0};
    char number[24];
    long long made, added;
    redisReply *reply;
    TRY(remote_look(corpus, REMOTE_WRITE_MS));
    TRY(check_module(remote));
    TRY(drop_strays(remote));
    TRY(call_number(remote, "INCR", REMOTE_HEAD ":generations", NULL, &made));
    snprintf(number, sizeof number, "%lld", made);
    TRY(call_number(remote, "SADD", REMOTE_HEAD ":open", number, &added));
    remote_write_schema(&create, corpus->half->settings, (uint64_t)made);
    TRY(redisearch_ask(remote->link, &create, &reply));
    freeReplyObject(reply);
    remote->generation = (uint64_t)made;
    remote->extent = (struct remote_extent){0};
    remote->state = REMOTE_BUILDING;
    return ERR_OK;
}

/* Where what was told is to be written. */
static enum err begin_writing(struct corpus *corpus)
{
    struct remote *remote = corpus->remote;
    TRY(redisearch_link_open(remote->link, REMOTE_WRITE_MS));
    if (remote->state == REMOTE_FRESH) return begin_generation(corpus);
    if (remote->state != REMOTE_READING) return ERR_OK;
    remote->generation = remote->head.generation;
    remote->extent = (struct remote_extent){.documents = (double)remote->head.documents,
                                            .positions = (double)remote->head.positions};
    remote->state = REMOTE_WRITING;
    return ERR_OK;
}

// ---- words and terms ----------------------------------------------------------------------------

/* A word of a document that comes or goes. */
struct change {
    const char *text; // borrowed
    size_t size;
    long by;
};

struct changes {
    struct change *items;
    size_t count, capacity;
};

static void count_words(struct changes *changes, char part, const char *words, size_t size, long by)
{
    const char *end = words + size;
    while (words < end) {
        const char *begin = words + 1; // behind its part
        const char *next = memchr(begin, part, (size_t)(end - begin));
        words = next ? next : end;
        if (changes->count == changes->capacity) {
            changes->capacity = changes->capacity ? 2 * changes->capacity : 1024;
            changes->items = mem_resize(changes->items, changes->capacity, sizeof *changes->items);
        }
        changes->items[changes->count++] = (struct change){begin, (size_t)(words - begin), by};
    }
}

static int by_word(const void *left, const void *right)
{
    const struct change *a = left, *b = right;
    int order = memcmp(a->text, b->text, a->size < b->size ? a->size : b->size);
    return order ? order : (a->size > b->size) - (a->size < b->size);
}

/* Into `qiao:search:GEN:NAME`. How many commands were sent. */
static size_t send_changes(struct remote *remote, const char *name, struct changes *changes)
{
    size_t sent = 0;
    char key[64], by[24];
    snprintf(key, sizeof key, REMOTE_HEAD ":%" PRIu64 ":%s", remote->generation, name);
    if (changes->count > 0) qsort(changes->items, changes->count, sizeof *changes->items, by_word);
    for (size_t i = 0, next; i < changes->count; i = next) {
        const struct change *word = &changes->items[i];
        long sum = 0;
        for (next = i; next < changes->count && by_word(word, &changes->items[next]) == 0; next++)
            sum += changes->items[next].by;
        if (sum == 0) continue;
        snprintf(by, sizeof by, "%ld", sum);
        const char *const words[] = {"HINCRBY", key, word->text, by};
        const size_t sizes[] = {7, strlen(key), word->size, strlen(by)};
        redisearch_link_add(remote->link, 4, words, sizes);
        sent++;
    }
    return sent;
}

// ---- some documents ----------------------------------------------------------------------------

/* One flush: what was there of its documents, what comes. */
struct flush {
    redisReply *before[REMOTE_FLUSH_DOCUMENTS]; // w, k, r and l
    struct remote_words comes[REMOTE_FLUSH_DOCUMENTS];
    struct changes words, terms;
    long long documents, bytes, positions; // more than before
};

static void send_key(struct remote *remote, const char *const *before, size_t count,
                     const struct remote_order *order, const char *const *behind, size_t more)
{
    struct redisearch_command command = {0};
    for (size_t i = 0; i < count; i++)
        redisearch_say(&command, before[i]);
    remote_key(redisearch_word(&command), remote->generation, order->id, order->id_size);
    for (size_t i = 0; i < more; i++)
        redisearch_say(&command, behind[i]);
    redisearch_send(remote->link, &command);
}

static enum err read_before(struct remote *remote, struct flush *flush)
{
    for (size_t i = 0; i < remote->order_count; i++)
        send_key(remote, (const char *const[]){"HMGET"}, 1, &remote->orders[i],
                 (const char *const[]){"w", "k", "r", "l"}, 4);
    for (size_t i = 0; i < remote->order_count; i++) {
        TRY(redisearch_link_take(remote->link, &flush->before[i]));
        const redisReply *pair = flush->before[i];
        if (pair->type != REDIS_REPLY_ARRAY || pair->elements != 4 ||
            pair->element[2]->type != REDIS_REPLY_STRING)
            continue;
        long long length = strtoll(pair->element[3]->str, NULL, 10);
        flush->documents--;
        flush->positions -= length;
        remote->extent.documents--;
        remote->extent.positions -= (double)length;
        flush->bytes -= (long long)(remote->orders[i].id_size + pair->element[2]->len);
        count_words(&flush->words, *REMOTE_WORDS_PART, pair->element[0]->str, pair->element[0]->len,
                    -1);
        count_words(&flush->terms, *REMOTE_TERMS_PART, pair->element[1]->str, pair->element[1]->len,
                    -1);
    }
    return ERR_OK;
}

/* How many commands. */
static size_t send_order(struct corpus *corpus, struct flush *flush, size_t i)
{
    struct remote *remote = corpus->remote;
    const struct remote_order *order = &remote->orders[i];
    struct remote_write write = {.extent = &remote->extent};
    char name[32];
    snprintf(name, sizeof name, "q%" PRIu64, remote->generation);
    bool is_put = order->record &&
                  !remote_write_document(&write, corpus, remote->generation,
                                         (struct remote_text){order->id, order->id_size},
                                         (struct remote_text){order->record, order->record_size});
    flush->comes[i] = write.words;
    if (!is_put) {
        send_key(remote, (const char *const[]){"FT.DEL", name}, 2, order,
                 (const char *const[]){"DD"}, 1);
        return 1;
    }
    const struct remote_words *comes = &flush->comes[i];
    redisearch_send(remote->link, &write.add);
    redisearch_send(remote->link, &write.hash);
    flush->documents++;
    flush->positions += (long long)comes->length;
    flush->bytes += (long long)(order->id_size + order->record_size);
    count_words(&flush->words, *REMOTE_WORDS_PART, buf_text(&comes->words), comes->words.size, 1);
    count_words(&flush->terms, *REMOTE_TERMS_PART, buf_text(&comes->terms), comes->terms.size, 1);
    return 2;
}

static size_t send_sum(struct remote *remote, const char *name, long long by)
{
    char key[64], number[24];
    snprintf(key, sizeof key, REMOTE_HEAD ":%" PRIu64, remote->generation);
    snprintf(number, sizeof number, "%lld", by);
    const char *const words[] = {"HINCRBY", key, name, number};
    redisearch_link_add(remote->link, 4, words, NULL);
    return 1;
}

static enum err run_flush(struct corpus *corpus, struct flush *flush)
{
    struct remote *remote = corpus->remote;
    size_t sent = 0;
    TRY(begin_writing(corpus));
    TRY(read_before(remote, flush));
    for (size_t i = 0; i < remote->order_count; i++)
        sent += send_order(corpus, flush, i);
    sent += send_changes(remote, "words", &flush->words);
    sent += send_changes(remote, "terms", &flush->terms);
    sent += send_sum(remote, "documents", flush->documents);
    sent += send_sum(remote, "bytes", flush->bytes);
    sent += send_sum(remote, "positions", flush->positions);
    for (size_t i = 0; i < sent; i++) {
        redisReply *reply;
        TRY(redisearch_link_take(remote->link, &reply));
        freeReplyObject(reply);
    }
    return ERR_OK;
}

static enum err flush_orders(struct corpus *corpus)
{
    struct remote *remote = corpus->remote;
    if (remote->order_count == 0) return ERR_OK;
    struct flush *flush = mem_new(1, sizeof *flush);
    enum err err = run_flush(corpus, flush);
    for (size_t i = 0; i < remote->order_count; i++) {
        if (flush->before[i]) freeReplyObject(flush->before[i]);
        buf_fini(&flush->comes[i].words);
        buf_fini(&flush->comes[i].terms);
    }
    mem_free(flush->words.items);
    mem_free(flush->terms.items);
    mem_free(flush);
    if (err) return lose(remote, err);
    remote_forget_orders(remote);
    return ERR_OK;
}

void remote_forget_orders(struct remote *remote)
{
    for (size_t i = 0; i < remote->order_count; i++) {
        mem_free(remote->orders[i].id);
        mem_free(remote->orders[i].record);
    }
    remote->order_count = remote->order_bytes = 0;
}

static bool is_waiting(const struct remote *remote, const char *id, size_t size)
{
    for (size_t i = 0; i < remote->order_count; i++)
        if (remote->orders[i].id_size == size && memcmp(remote->orders[i].id, id, size) == 0)
            return true;
    return false;
}

enum err remote_put(struct corpus *corpus, const char *id, size_t id_size, const char *record,
                    size_t record_size)
{
    struct remote *remote = corpus->remote;
    if (remote->state == REMOTE_LOST) return ERR_STORE_AWAY;
    if (is_waiting(remote, id, id_size)) TRY(flush_orders(corpus));
    remote->orders[remote->order_count++] =
        (struct remote_order){.id = mem_text(id, id_size),
                              .id_size = id_size,
                              .record = record ? mem_text(record, record_size) : NULL,
                              .record_size = record_size};
    remote->order_bytes += id_size + record_size;
    if (remote->order_count < REMOTE_FLUSH_DOCUMENTS && remote->order_bytes < REMOTE_FLUSH_BYTES)
        return ERR_OK;
    return flush_orders(corpus);
}

enum err remote_drop(struct corpus *corpus, const char *id, size_t id_size)
{
    return remote_put(corpus, id, id_size, NULL, 0);
}

// ---- versions ----------------------------------------------------------------------------------

static enum err commit(struct corpus *corpus, uint64_t version, const char *token)
{
    struct remote *remote = corpus->remote;
    bool is_built = remote->state == REMOTE_BUILDING;
    char there[24] = "", at[24] = "", generation[24], number[24];
    if (!is_built) {
        snprintf(there, sizeof there, "%" PRIu64, remote->head.generation);
        snprintf(at, sizeof at, "%" PRIu64, remote->head.version);
    }
    snprintf(generation, sizeof generation, "%" PRIu64, remote->generation);
    snprintf(number, sizeof number, "%" PRIu64, version);
    const char *const words[] = {
        "EVAL",     commit_text, "1",   REMOTE_HEAD, there, at, remote->place->collection,
        generation, number,      token, remote->told};
    redisReply *reply;
    TRY(redisearch_link_call(remote->link, &reply, 11, words, NULL));
    long long before = reply->type == REDIS_REPLY_INTEGER ? reply->integer : -1;
    freeReplyObject(reply);
    if (before < 0) return err_note(ERR_CONFLICT, "another scheduler has written");
    remote->state = REMOTE_READING; // as the head is read; it is this one's still
    TRY(remote_look(corpus, REMOTE_WRITE_MS));
    remote->state = REMOTE_WRITING;
    if (is_built && before > 0) TRY(drop_generation(remote, (uint64_t)before));
    return ERR_OK;
}

static enum err write_mark(struct corpus *corpus, uint64_t version, const char *token)
{
    TRY(flush_orders(corpus));
    TRY(begin_writing(corpus));
    return commit(corpus, version, token);
}

void remote_mark(struct corpus *corpus, uint64_t version, const char *token)
{
    struct remote *remote = corpus->remote;
    if (remote->state == REMOTE_LOST) return;
    if (token) {
        enum err err = write_mark(corpus, version, token);
        if (err) (void)lose(remote, err);
        return;
    }
    if (remote->state == REMOTE_FRESH) remote->state = REMOTE_READING;
    (void)remote_look(corpus, REMOTE_HEAD_MS);
}

void remote_forget(struct corpus *corpus)
{
    struct remote *remote = corpus->remote;
    long long count;
    if (remote->state != REMOTE_WRITING) return;
    if (redisearch_link_open(remote->link, REMOTE_WRITE_MS)) return;
    if (call_number(remote, "DEL", REMOTE_HEAD, NULL, &count)) return;
    (void)drop_generation(remote, remote->generation);
    remote->state = REMOTE_LOST;
}
