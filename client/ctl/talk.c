/* Chat: one question from the command line, or a conversation line by line. */
#include "client/ctl/ctl.h"

#include "base/buf.h"
#include "base/mem.h"

#include <jansson.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    TURNS_MAX = 512
};

struct talk {
    const struct ctl_conf *conf;
    struct qiao *qiao;
    struct qiao_chat_options options;
    struct qiao_message messages[TURNS_MAX];
    size_t count;
    struct buf answer;
};

static void on_delta(void *argument, const char *text, size_t size)
{
    struct talk *talk = argument;
    buf_add(&talk->answer, text, size);
    if (talk->conf->json) return;
    fwrite(text, 1, size, stdout);
    fflush(stdout);
}

static void add_turn(struct talk *talk, const char *role, const char *content)
{
    talk->messages[talk->count].role = role;
    talk->messages[talk->count++].content = mem_copy_text(content);
}

static void forget_turns(struct talk *talk, size_t keep)
{
    while (talk->count > keep)
        mem_free((char *)(uintptr_t)talk->messages[--talk->count].content);
}

static void print_json(const struct talk *talk, const struct qiao_usage *usage)
{
    json_t *root = json_pack("{s:s, s:s, s:{s:i, s:i, s:i}}", "content", buf_text(&talk->answer),
                             "finish_reason", usage->finish_reason, "usage", "prompt_tokens",
                             (int)usage->prompt_tokens, "cached_tokens", (int)usage->cached_tokens,
                             "completion_tokens", (int)usage->completion_tokens);
    if (root) json_dumpf(root, stdout, JSON_COMPACT);
    putchar('\n');
    fflush(stdout);
    json_decref(root);
}

/* One question and its answer. Where the cluster keeps the session, only the new turn is sent. */
static enum ctl_exit ask(struct talk *talk, const char *text)
{
    if (talk->count + 2 > TURNS_MAX) {
        fprintf(stderr, "qiaoctl: the conversation has %zu turns, the most that are kept\n",
                talk->count);
        return CTL_FAILED;
    }
    struct qiao_usage usage = {0};
    add_turn(talk, "user", text);
    buf_clear(&talk->answer);
    enum qiao_status status =
        qiao_chat(talk->qiao, talk->messages, talk->count, &talk->options, on_delta, talk, &usage);
    if (!talk->conf->json && (status == QIAO_OK || talk->answer.size)) putchar('\n');
    if (status) {
        forget_turns(talk, talk->count - 1);
        return ctl_fail(talk->conf, talk->qiao);
    }
    if (talk->conf->json) print_json(talk, &usage);
    if (talk->options.session)
        forget_turns(talk, 0);
    else
        add_turn(talk, "assistant", buf_text(&talk->answer));
    return CTL_GOOD;
}

static enum ctl_exit converse(struct talk *talk)
{
    bool person = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
    enum ctl_exit code = CTL_GOOD;
    char *line = NULL;
    size_t capacity = 0;
    if (person) fputs("A line is a turn; Ctrl-D ends.\n", stdout);
    for (;;) {
        if (person) fputs("> ", stdout), fflush(stdout);
        ssize_t size = getline(&line, &capacity, stdin);
        if (size < 0) break;
        while (size > 0 && (line[size - 1] == '\n' || line[size - 1] == '\r'))
            line[--size] = '\0';
        if (size == 0) continue;
        enum ctl_exit one = ask(talk, line);
        if (one) code = one;
        if (one && !person) break;
    }
    free(line); // getline's
    if (person) putchar('\n');
    return code;
}

static bool read_seed(const struct ctl_conf *conf, struct qiao_chat_options *options)
{
    if (!*conf->seed) return true;
    char *end;
    options->seed = strtoull(conf->seed, &end, 10);
    options->has_seed = 1;
    return !*end && conf->seed[0] != '-';
}

enum ctl_exit ctl_chat(const struct ctl_conf *conf, struct qiao *qiao, const char *text)
{
    struct talk *talk = mem_new(1, sizeof *talk);
    talk->conf = conf;
    talk->qiao = qiao;
    talk->options = (struct qiao_chat_options){
        .model = *conf->model ? conf->model : NULL,
        .session = *conf->session ? conf->session : NULL,
        .max_tokens = (long)conf->max_tokens,
        .temperature = conf->temperature,
    };
    enum ctl_exit code = CTL_USAGE;
    if (!read_seed(conf, &talk->options)) {
        fprintf(stderr, "qiaoctl: --seed: '%s' is not right: must be a whole number\n", conf->seed);
    } else {
        if (*conf->system) add_turn(talk, "system", conf->system);
        code = text ? ask(talk, text) : converse(talk);
    }
    forget_turns(talk, 0);
    buf_fini(&talk->answer);
    mem_free(talk);
    return code;
}
