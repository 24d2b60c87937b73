#include "scheduler/features/search/redisearch_link.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/must.h"

#include <hiredis/hiredis.h>

#include <errno.h>
#include <stdbool.h>
#include <string.h>

struct redisearch_link {
    const struct redisearch_place *place;
    redisContext *context; // NULL: it is not connected
    uint64_t again_ns;     // not before
};

static struct timeval time_of(uint64_t ms)
{
    return (struct timeval){(time_t)(ms / 1000), (suseconds_t)(ms % 1000 * 1000)};
}

const struct redisearch_place *redisearch_find(const struct redisearch_places *places,
                                               const char *collection)
{
    for (size_t i = 0; i < places->count; i++)
        if (strcmp(places->items[i].collection, collection) == 0) return &places->items[i];
    return NULL;
}

struct redisearch_link *redisearch_link_new(const struct redisearch_place *place)
{
    struct redisearch_link *link = mem_new(1, sizeof *link);
    link->place = place;
    return link;
}

void redisearch_link_reset(struct redisearch_link *link)
{
    if (link->context) redisFree(link->context);
    link->context = NULL;
}

void redisearch_link_free(struct redisearch_link *link)
{
    if (!link) return;
    redisearch_link_reset(link);
    mem_free(link);
}

static enum err close_link(struct redisearch_link *link)
{
    redisearch_link_reset(link);
    link->again_ns = clock_now_ns() + REDISEARCH_PAUSE_MS * CLOCK_MS;
    return err_note(ERR_STORE_AWAY, "the RediSearch that holds this index does not answer");
}

static enum err greet(struct redisearch_link *link)
{
    const char *const words[] = {"AUTH", link->place->password};
    redisReply *reply;
    if (!link->place->password || !*link->place->password) return ERR_OK;
    TRY(redisearch_link_call(link, &reply, 2, words, NULL));
    freeReplyObject(reply);
    return ERR_OK;
}

enum err redisearch_link_open(struct redisearch_link *link, uint64_t timeout_ms)
{
    if (!link->place)
        return err_note(ERR_STORE_AWAY,
                        "this scheduler does not know the RediSearch of this index: "
                        "its search_redisearch does not name it");
    const struct store_address *address = &link->place->address;
    struct timeval connect = time_of(REDISEARCH_CONNECT_MS), answer = time_of(timeout_ms + 1);
    if (link->context) {
        redisSetTimeout(link->context, answer);
        return ERR_OK;
    }
    if (clock_now_ns() < link->again_ns)
        return err_note(ERR_STORE_AWAY, "the RediSearch that holds this index is away");
    link->context = address->host[0] == '/'
                        ? redisConnectUnixWithTimeout(address->host, connect)
                        : redisConnectWithTimeout(address->host, address->port, connect);
    must(link->context != NULL);
    if (link->context->err) return close_link(link);
    redisSetTimeout(link->context, answer);
    enum err err = greet(link);
    if (err && link->context) (void)close_link(link);
    return err;
}

void redisearch_link_add(struct redisearch_link *link, size_t count, const char *const *words,
                         const size_t *sizes)
{
    if (!link->context) return; // the answer will say so
    must(redisAppendCommandArgv(link->context, (int)count, (const char **)(uintptr_t)words,
                                sizes) == REDIS_OK);
}

enum err redisearch_link_take(struct redisearch_link *link, redisReply **out)
{
    void *reply = NULL;
    if (!link->context)
        return err_note(ERR_STORE_AWAY, "the RediSearch that holds this index is away");
    if (redisGetReply(link->context, &reply) != REDIS_OK) {
        bool is_late = link->context->err == REDIS_ERR_IO && errno == EAGAIN;
        if (!is_late) return close_link(link);
        redisearch_link_reset(link);
        return err_note(ERR_TIMEOUT, "RediSearch took longer than the deadline");
    }
    redisReply *answer = reply;
    if (answer->type == REDIS_REPLY_ERROR) {
        (err_note)(ERR_INTERNAL, "RediSearch: %.200s", answer->str);
        freeReplyObject(answer);
        return ERR_INTERNAL;
    }
    *out = answer;
    return ERR_OK;
}

enum err redisearch_link_call(struct redisearch_link *link, redisReply **out, size_t count,
                              const char *const *words, const size_t *sizes)
{
    redisearch_link_add(link, count, words, sizes);
    return redisearch_link_take(link, out);
}

// ---- commands that are made word by word -------------------------------------------------------

struct buf *redisearch_word(struct redisearch_command *command)
{
    if (command->count == command->capacity) {
        command->capacity = command->capacity ? 2 * command->capacity : 32;
        command->words = mem_resize(command->words, command->capacity, sizeof *command->words);
    }
    struct buf *word = &command->words[command->count++];
    *word = (struct buf){0};
    return word;
}

void redisearch_say(struct redisearch_command *command, const char *text)
{
    buf_add_text(redisearch_word(command), text);
}

void redisearch_say_all(struct redisearch_command *command, const char *const *texts)
{
    for (size_t i = 0; texts[i]; i++)
        redisearch_say(command, texts[i]);
}

void redisearch_send(struct redisearch_link *link, struct redisearch_command *command)
{
    const char **words = mem_new(command->count + 1, sizeof *words);
    size_t *sizes = mem_new(command->count + 1, sizeof *sizes);
    for (size_t i = 0; i < command->count; i++) {
        words[i] = buf_text(&command->words[i]);
        sizes[i] = command->words[i].size;
    }
    redisearch_link_add(link, command->count, words, sizes);
    mem_free(words);
    mem_free(sizes);
    for (size_t i = 0; i < command->count; i++)
        buf_fini(&command->words[i]);
    mem_free(command->words);
    *command = (struct redisearch_command){0};
}

enum err redisearch_ask(struct redisearch_link *link, struct redisearch_command *command,
                        redisReply **out)
{
    redisearch_send(link, command);
    return redisearch_link_take(link, out);
}
