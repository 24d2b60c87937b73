#include "scheduler/state/command.h"

#include "base/mem.h"
#include "base/must.h"

#include <stdio.h>
#include <string.h>

/* One block: the command, its arrays, the bytes of its words. */
struct command *command_new(store_reply_fn *done, void *argument, size_t count,
                            const char *const *words, const size_t *sizes)
{
    must(count <= COMMAND_WORDS_MAX);
    size_t own[COMMAND_WORDS_MAX], total = 0;
    for (size_t i = 0; i < count; i++) {
        own[i] = sizes ? sizes[i] : strlen(words[i]);
        total += own[i] + 1;
    }
    struct command *command;
    size_t head = sizeof *command + count * (sizeof *command->words + sizeof *command->sizes);
    command = mem_new(1, head + total);
    command->done = done;
    command->argument = argument;
    command->slot = -1;
    command->count = count;
    command->words = (const char **)(command + 1);
    command->sizes = (size_t *)(command->words + count);
    char *at = (char *)(command->sizes + count);
    for (size_t i = 0; i < count; i++) {
        memcpy(at, words[i], own[i]);
        at[own[i]] = '\0';
        command->words[i] = at;
        command->sizes[i] = own[i];
        at += own[i] + 1;
    }
    return command;
}

void command_free(struct command *command)
{
    mem_free(command);
}

void command_answer(struct command *command, enum err err, const struct redisReply *reply)
{
    store_reply_fn *done = command->done;
    void *argument = command->argument;
    command_free(command);
    if (done) done(argument, err, reply);
}

size_t command_wire(const struct command *command, const char **words, size_t *sizes,
                    char number[COMMAND_NUMBER_SIZE])
{
    size_t head_count = 0;
    if (command->script) {
        const struct store_script *script = command->script;
        snprintf(number, COMMAND_NUMBER_SIZE, "%zu", command->key_count);
        words[0] = command->whole ? "EVAL" : "EVALSHA";
        words[1] = command->whole ? script->text : script->sha1;
        words[2] = number;
        for (; head_count < 3; head_count++)
            sizes[head_count] = strlen(words[head_count]);
    }
    memcpy(words + head_count, command->words, command->count * sizeof *words);
    memcpy(sizes + head_count, command->sizes, command->count * sizeof *sizes);
    return head_count + command->count;
}

// ---- lists -------------------------------------------------------------------------------------

void command_list_init(struct command *head)
{
    head->next = head->previous = head;
}

void command_list_add(struct command *head, struct command *command)
{
    command->previous = head->previous;
    command->next = head;
    head->previous->next = command;
    head->previous = command;
}

void command_list_remove(struct command *command)
{
    command->previous->next = command->next;
    command->next->previous = command->previous;
}

bool command_list_is_empty(const struct command *head)
{
    return head->next == head;
}

struct command *command_list_take(struct command *head)
{
    struct command *command = head->next;
    if (command == head) return NULL;
    command_list_remove(command);
    return command;
}
