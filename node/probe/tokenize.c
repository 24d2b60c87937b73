/* qiao-probe tokenize: each line of stdin becomes a line of ids, separated by spaces; no BOS. The line's end is
 * no part of its text. */
#include "node/probe/probe.h"

#include "text/tokenizer.h"

#include "base/gguf.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void print_ids(const struct token_ids *list)
{
    for (size_t i = 0; i < list->count; i++)
        printf("%s%" PRId32, i ? " " : "", list->ids[i]);
    putchar('\n');
}

static enum err tokenize_lines(const struct tokenizer *tokenizer)
{
    struct token_ids list = {0};
    char *line = NULL;
    size_t room = 0;
    ssize_t size;
    enum err err = ERR_OK;
    while (!err && (size = getline(&line, &room, stdin)) >= 0) {
        if (size > 0 && line[size - 1] == '\n') size--;
        list.count = 0;
        err = tokenizer_encode(tokenizer, line, (size_t)size, 0, &list);
        if (!err) print_ids(&list);
    }
    if (!err && ferror(stdin)) err = err_note(ERR_IO, "stdin: %s", strerror(errno));
    if (!err && fflush(stdout) != 0) err = err_note(ERR_IO, "stdout: %s", strerror(errno));
    free(line);
    token_ids_fini(&list);
    return err;
}

enum err probe_tokenize(const struct probe_conf *conf)
{
    if (!*conf->model) return err_note(ERR_INVALID, "--model FILE is missing: which GGUF file?");
    struct gguf *gguf;
    TRY(gguf_open(&gguf, conf->model));
    struct tokenizer *tokenizer;
    enum err err = tokenizer_new(&tokenizer, gguf);
    gguf_close(gguf);
    if (err) return err;
    err = tokenize_lines(tokenizer);
    tokenizer_free(tokenizer);
    return err;
}
