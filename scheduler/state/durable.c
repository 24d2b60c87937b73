#include "scheduler/state/durable.h"

#include "base/mem.h"
#include "base/must.h"

#include <hiredis/hiredis.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    WORDS_MAX = 16,
    NUMBER_SIZE = 24
};

enum state {
    IDLE,
    WRITING,
    WAITING
};

struct write {
    struct write *next;
    struct durables *durables;
    const char *text;
    durable_written_fn *written;
    durable_waited_fn *waited;
    void *argument;
    size_t key_count, count;
    char *words[WORDS_MAX];
    size_t sizes[WORDS_MAX];
};

struct durables {
    struct durable_options options;
    enum state state;
    struct write *queue, **queue_end; // the next groups
    size_t queued;
    struct write *group; // those that wait for the replicas now
    size_t unanswered;   // of the group that is being written
    bool broken;         // the connection may be another one since: a WAIT would say nothing
    bool closing;
};

struct durables *durables_new(const struct durable_options *options)
{
    struct durables *durables = mem_new(1, sizeof *durables);
    durables->options = *options;
    durables->queue_end = &durables->queue;
    return durables;
}

static void write_free(struct write *write)
{
    for (size_t i = 0; i < write->count; i++)
        mem_free(write->words[i]);
    mem_free(write);
}

static void send_group(struct durables *durables);

/* Tell everyone of the group, and go on with those that came meanwhile. */
static void end_group(struct durables *durables, enum err err, uint64_t replicas)
{
    struct write *group = durables->group;
    durables->group = NULL;
    durables->state = IDLE;
    send_group(durables);
    while (group) {
        struct write *write = group;
        group = write->next;
        if (err)
            err_note(ERR_NOT_REPLICATED,
                     "it is stored, but %" PRIu64 " of %" PRIu32 " replicas had it within %" PRIu32
                     " ms",
                     replicas, durables->options.replicas, durables->options.wait_ms);
        write->waited(write->argument, err);
        write_free(write);
    }
}

static void on_waited(void *argument, enum err err, const redisReply *reply)
{
    uint64_t replicas = 0;
    if (!err && reply->type == REDIS_REPLY_INTEGER && reply->integer > 0)
        replicas = (uint64_t)reply->integer;
    struct durables *durables = argument;
    end_group(durables, replicas < durables->options.replicas ? ERR_NOT_REPLICATED : ERR_OK,
              replicas);
}

static void wait_for_replicas(struct durables *durables)
{
    if (!durables->group || durables->broken) {
        end_group(durables, ERR_NOT_REPLICATED, 0);
        return;
    }
    char replicas[NUMBER_SIZE], wait[NUMBER_SIZE];
    snprintf(replicas, sizeof replicas, "%" PRIu32, durables->options.replicas);
    snprintf(wait, sizeof wait, "%" PRIu32, durables->options.wait_ms);
    const char *const words[] = {"WAIT", replicas, wait};
    const size_t sizes[] = {4, strlen(replicas), strlen(wait)};
    durables->state = WAITING;
    store_command(durables->options.store, on_waited, durables, 3, words, sizes);
}

static void on_written(void *argument, enum err err, const redisReply *reply)
{
    struct write *write = argument;
    struct durables *durables = write->durables;
    if (err == ERR_STORE_AWAY || err == ERR_TIMEOUT) durables->broken = true;
    durables->unanswered--;
    if (write->written(write->argument, err, reply)) {
        write->next = durables->group;
        durables->group = write;
    } else {
        write_free(write);
    }
    if (durables->unanswered == 0) wait_for_replicas(durables);
}

/* Each write of the group is sent at once; the WAIT follows when all of them were answered, as a script that Redis has
 * forgotten is sent twice. */
static void send_group(struct durables *durables)
{
    struct write *first = durables->queue, *write = first;
    size_t count = 0;
    if (durables->state != IDLE || !first || durables->closing) return;
    durables->state = WRITING;
    durables->broken = false;
    for (; write && count < DURABLE_GROUP_MAX; write = write->next)
        count++;
    durables->queue = write;
    if (!write) durables->queue_end = &durables->queue;
    durables->queued -= count;
    durables->unanswered = count;
    for (size_t i = 0; i < count; i++) {
        struct write *next = first->next;
        struct store_script *script = store_add_script(durables->options.store, first->text);
        store_eval(durables->options.store, script, on_written, first, first->key_count,
                   first->count, (const char *const *)first->words, first->sizes);
        first = next;
    }
}

static void on_refused(void *argument, enum err err, const redisReply *reply)
{
    (void)err, (void)reply;
    struct write *write = argument;
    bool waits = write->written(
        write->argument, err_note(ERR_STORE_AWAY, "too many writes wait for replicas"), NULL);
    must(!waits);
    write_free(write);
}

void durable_eval(struct durables *durables, const char *text, durable_written_fn *written,
                  durable_waited_fn *waited, void *argument, size_t key_count, size_t count,
                  const char *const *words, const size_t *sizes)
{
    must(count <= WORDS_MAX);
    struct write *write = mem_new(1, sizeof *write);
    *write = (struct write){.durables = durables,
                            .text = text,
                            .written = written,
                            .waited = waited,
                            .argument = argument,
                            .key_count = key_count,
                            .count = count};
    for (size_t i = 0; i < count; i++) {
        write->words[i] = mem_text(words[i], sizes[i]);
        write->sizes[i] = sizes[i];
    }
    if (durables->queued >= DURABLE_QUEUE_MAX) {
        store_later(durables->options.store, on_refused, write);
        return;
    }
    *durables->queue_end = write;
    durables->queue_end = &write->next;
    durables->queued++;
    send_group(durables);
}

void durables_free(struct durables *durables)
{
    if (!durables) return;
    durables->closing = true;
    store_free(durables->options.store); // answers what was sent
    while (durables->queue) {
        struct write *write = durables->queue;
        durables->queue = write->next;
        on_refused(write, ERR_OK, NULL);
    }
    mem_free(durables);
}
