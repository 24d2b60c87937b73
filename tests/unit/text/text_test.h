/* tests/unit/text/text_test.h -- vocabularies for the tests of the text rooms. */
#ifndef TESTS_UNIT_TEXT_TEXT_TEST_H
#define TESTS_UNIT_TEXT_TEXT_TEST_H

#include "tests/support/tiny_model.h"
#include "tests/test.h"

#include "text/tokenizer.h"

#include "base/buf.h"
#include "base/gguf.h"

#include <string.h>

/* The tokenizer of a shared GGUF file; NULL, after saying so, where the data is absent. */
static inline struct tokenizer *given_shared_tokenizer(const char *name)
{
    const char *path = test_shared(name);
    if (!path) return NULL;
    struct gguf *gguf;
    struct tokenizer *tokenizer;
    assert_int_equal(gguf_open(&gguf, path), ERR_OK);
    enum err err = tokenizer_new(&tokenizer, gguf);
    if (err != ERR_OK) fail_msg("%s: %s", name, err_text());
    gguf_close(gguf);
    return tokenizer;
}

static inline struct tokenizer *given_vocabulary(const char *name)
{
    char path[128];
    snprintf(path, sizeof path, "tokenizers/ggml-vocab-%s.gguf", name);
    return given_shared_tokenizer(path);
}

/* A byte-level vocabulary that is always there. */
static inline struct tokenizer *given_tiny_tokenizer(void)
{
    struct buf image = {0};
    struct gguf *gguf;
    struct tokenizer *tokenizer;
    tiny_model_write(&image, &(struct tiny_model){.vocab_only = true});
    assert_int_equal(gguf_parse(&gguf, image.data, image.size), ERR_OK);
    assert_int_equal(tokenizer_new(&tokenizer, gguf), ERR_OK);
    gguf_close(gguf);
    buf_fini(&image);
    return tokenizer;
}

/* Every byte has an id of its own: a text can be fed in any pieces, down to single bytes. */
static inline int32_t id_of_byte(const struct tokenizer *tokenizer, char byte)
{
    for (int32_t id = 0; id < tokenizer_size(tokenizer); id++) {
        size_t size;
        const char *piece = tokenizer_piece(tokenizer, id, &size);
        if (size == 1 && piece[0] == byte && !tokenizer_is_control(tokenizer, id)) return id;
    }
    fail_msg("no piece for a byte");
    return -1;
}

static inline struct token_ids given_bytes(const struct tokenizer *tokenizer, const char *text,
                                           size_t size)
{
    struct token_ids ids = {0};
    for (size_t i = 0; i < size; i++)
        token_ids_add(&ids, id_of_byte(tokenizer, text[i]));
    return ids;
}

/* A whole file of the shared data, NUL-terminated; NULL where it is absent. Free the buffer. */
static inline const char *given_shared_text(const char *name, struct buf *out)
{
    const char *path = test_shared(name);
    if (!path) return NULL;
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    char chunk[4096];
    size_t count;
    while ((count = fread(chunk, 1, sizeof chunk, file)) > 0)
        buf_add(out, chunk, count);
    fclose(file);
    return buf_text(out);
}

static inline struct token_ids when_encoded(const struct tokenizer *tokenizer, const char *text,
                                            size_t size, unsigned flags)
{
    struct token_ids ids = {0};
    assert_int_equal(tokenizer_encode(tokenizer, text, size, flags, &ids), ERR_OK);
    return ids;
}

static inline void then_ids_equal(const struct token_ids *ids, const int32_t *want, size_t count)
{
    assert_int_equal(ids->count, count);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(ids->ids[i], want[i]);
}

/* One line of expected ids; returns what is behind it. */
static inline const char *parse_line(const char *line, struct token_ids *out)
{
    while (*line && *line != '\n') {
        char *end;
        long id = *line == ' ' ? 0 : strtol(line, &end, 10);
        if (*line == ' ') {
            line++;
            continue;
        }
        assert_true(end > line);
        token_ids_add(out, (int32_t)id);
        line = end;
    }
    return *line ? line + 1 : line;
}

/* Every case of a shared vocabulary against its line of ids. */
static inline void then_cases_give_their_ids(const char *name)
{
    static const char mark[] = "\n__ggml_vocab_test__\n";
    char path[128];
    struct buf texts = {0}, answers = {0};
    struct tokenizer *tokenizer = given_vocabulary(name);
    if (!tokenizer) skip();
    snprintf(path, sizeof path, "tokenizers/ggml-vocab-%s.gguf.inp", name);
    const char *text = given_shared_text(path, &texts);
    snprintf(path, sizeof path, "tokenizers/ggml-vocab-%s.gguf.out", name);
    const char *line = given_shared_text(path, &answers);
    size_t cases = 0;
    for (const char *end; (end = strstr(text, mark)) != NULL; text = end + sizeof mark - 1) {
        struct token_ids want = {0}, got = when_encoded(tokenizer, text, (size_t)(end - text), 0);
        line = parse_line(line, &want);
        if (got.count != want.count ||
            (want.count > 0 && memcmp(got.ids, want.ids, want.count * sizeof *want.ids) != 0)) {
            for (size_t i = 0; i < got.count; i++)
                print_message(" %d", got.ids[i]);
            fail_msg("%s, case %zu: '%.*s'", name, cases, (int)(end - text), text);
        }
        token_ids_fini(&want);
        token_ids_fini(&got);
        cases++;
    }
    assert_int_equal(cases, 46);
    buf_fini(&texts);
    buf_fini(&answers);
    tokenizer_free(tokenizer);
}

#endif
