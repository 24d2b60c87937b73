#include "tests/unit/text/text_test.h"

#include "text/tokenizer.h"
#include "text/utf8.h"

#include "base/mem.h"
#include "base/rand.h"

static const char *const vocabularies[] = {"qwen2", "llama-bpe", "llama-spm"};

enum {
    VOCABULARIES = sizeof vocabularies / sizeof *vocabularies,
    LARGE = 1 << 20
};

/* Run a check over the tiny vocabulary and over every shared one. */
static void check_each(void (*check)(const struct tokenizer *tokenizer))
{
    struct tokenizer *tokenizer = given_tiny_tokenizer();
    check(tokenizer);
    tokenizer_free(tokenizer);
    for (size_t i = 0; i < VOCABULARIES; i++) {
        tokenizer = given_vocabulary(vocabularies[i]);
        if (!tokenizer) continue;
        check(tokenizer);
        tokenizer_free(tokenizer);
    }
}

static void every_case_of_qwen2_gives_its_ids(void **state)
{
    (void)state;
    then_cases_give_their_ids("qwen2");
}

static void every_case_of_llama_bpe_gives_its_ids(void **state)
{
    (void)state;
    then_cases_give_their_ids("llama-bpe");
}

static void every_case_of_llama_spm_gives_its_ids(void **state)
{
    (void)state;
    then_cases_give_their_ids("llama-spm");
}

static void then_it_comes_back(const struct tokenizer *tokenizer, const char *text, size_t size)
{
    struct token_ids ids = when_encoded(tokenizer, text, size, 0);
    struct buf back = {0};
    tokenizer_decode(tokenizer, ids.ids, ids.count, true, &back);
    assert_int_equal(back.size, size);
    assert_memory_equal(buf_text(&back), text, size);
    buf_fini(&back);
    token_ids_fini(&ids);
}

/* Characters from everywhere, with a taste for the ones that rules speak of. U+2581 is left out: it
 * is SentencePiece's own sign for a space and comes back as one. */
static size_t random_text(struct rand *rand, char *out, size_t characters)
{
    static const char common[] = "  \n\r\t'sStTrReEvVlLdDmM019abcxyz.,!?-_/<|>";
    size_t size = 0;
    for (size_t i = 0; i < characters; i++) {
        int32_t code;
        switch (rand_below(rand, 6)) {
        case 0: code = (int32_t)rand_below(rand, 0x80); break;
        case 1: code = (int32_t)rand_below(rand, 0x3000); break;
        case 2: code = 0x4E00 + (int32_t)rand_below(rand, 0x5000); break;
        case 3: code = (int32_t)rand_below(rand, 0x110000); break;
        default: code = common[rand_below(rand, sizeof common - 1)]; break;
        }
        if (code == 0x2581 || (code >= 0xD800 && code <= 0xDFFF)) code = 0x1F600;
        size += utf8_write(out + size, code);
    }
    return size;
}

static void check_round_trips(const struct tokenizer *tokenizer)
{
    char text[4 * 64];
    struct rand rand;
    rand_init(&rand, 1);
    for (int i = 0; i < 2000; i++)
        then_it_comes_back(tokenizer, text, random_text(&rand, text, rand_below(&rand, 64)));
    for (int i = 0; i < 2000; i++) {
        size_t size = rand_below(&rand, sizeof text);
        for (size_t j = 0; j < size; j++)
            text[j] = (char)rand_next(&rand);
        then_it_comes_back(tokenizer, text, size);
    }
}

static void any_bytes_come_back_from_their_ids(void **state)
{
    (void)state;
    check_each(check_round_trips);
}

/* Quadratic work on any of these would take hours. */
static void check_large(const struct tokenizer *tokenizer)
{
    static const char *const units[] = {"a", " ",   "1", "\n",  "\xE4\xB8\xAD",
                                        "<", "ab ", "'", "\xFF"};
    char *text = mem_new(LARGE, 1);
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        size_t unit = strlen(units[i]);
        for (size_t j = 0; j < LARGE; j++)
            text[j] = units[i][j % unit];
        then_it_comes_back(tokenizer, text, LARGE - LARGE % unit);
    }
    mem_free(text);
}

static void a_megabyte_of_one_letter_is_no_trouble(void **state)
{
    (void)state;
    check_each(check_large);
}

static void a_text_beyond_the_limit_is_refused(void **state)
{
    (void)state;
    struct tokenizer *tokenizer = given_tiny_tokenizer();
    char *text = mem_new(TOKENIZER_TEXT_MAX + 1, 1);
    struct token_ids ids = {0};
    assert_int_equal(tokenizer_encode(tokenizer, text, TOKENIZER_TEXT_MAX + 1, 0, &ids),
                     ERR_TOO_LARGE);
    struct token_part parts[] = {{text, TOKENIZER_TEXT_MAX, false}, {text, 1, true}};
    assert_int_equal(tokenizer_encode_parts(tokenizer, parts, 2, true, &ids), ERR_TOO_LARGE);
    assert_int_equal(ids.count, 0);
    mem_free(text);
    tokenizer_free(tokenizer);
}

static void control_pieces_are_found_only_where_they_may_be(void **state)
{
    (void)state;
    struct tokenizer *tokenizer = given_tiny_tokenizer();
    int32_t start = tokenizer_find(tokenizer, "<|im_start|>");
    int32_t end = tokenizer_find(tokenizer, "<|im_end|>");
    assert_true(start >= 0 && end >= 0 && start != end);
    assert_int_equal(tokenizer_find(tokenizer, "<|im_e"), TOKENIZER_NONE);
    assert_int_equal(tokenizer_find(tokenizer, ""), TOKENIZER_NONE);
    assert_true(tokenizer_is_control(tokenizer, start));
    assert_true(tokenizer_is_end(tokenizer, end));
    assert_false(tokenizer_is_end(tokenizer, start));
    static const char text[] = "<|im_start|>a<|im_end|>";
    struct token_ids parsed =
        when_encoded(tokenizer, text, sizeof text - 1, TOKENIZER_PARSE_SPECIAL);
    assert_int_equal(parsed.count, 3);
    assert_int_equal(parsed.ids[0], start);
    assert_int_equal(parsed.ids[2], end);
    struct token_ids plain = when_encoded(tokenizer, text, sizeof text - 1, 0);
    for (size_t i = 0; i < plain.count; i++)
        assert_false(tokenizer_is_control(tokenizer, plain.ids[i]));
    then_it_comes_back(tokenizer, text, sizeof text - 1);
    token_ids_fini(&parsed);
    token_ids_fini(&plain);
    tokenizer_free(tokenizer);
}

static void check_parts(const struct tokenizer *tokenizer)
{
    static const char text[] = "user\nIt's 12345  \n\n \xE4\xB8\xAD\xE6\x96\x87 <think> said...";
    size_t size = sizeof text - 1;
    struct token_ids whole = when_encoded(tokenizer, text, size, TOKENIZER_PARSE_SPECIAL);
    for (size_t cut = 0; cut <= size; cut++) {
        struct token_part parts[] = {{text, cut, true}, {text + cut, size - cut, false}};
        struct token_ids ids = {0};
        assert_int_equal(tokenizer_encode_parts(tokenizer, parts, 2, false, &ids), ERR_OK);
        then_ids_equal(&ids, whole.ids, whole.count);
        token_ids_fini(&ids);
    }
    token_ids_fini(&whole);
}

static void borders_between_parts_leave_no_trace(void **state)
{
    (void)state;
    check_each(check_parts);
}

/* A control piece half in the template's words and half in the user's is none. */
static void a_control_piece_across_a_border_is_text(void **state)
{
    (void)state;
    struct tokenizer *tokenizer = given_tiny_tokenizer();
    static const char mark[] = "<|im_end|>";
    for (size_t cut = 1; cut < sizeof mark - 1; cut++) {
        for (int first = 0; first < 2; first++) {
            struct token_part parts[] = {{mark, cut, first == 0},
                                         {mark + cut, sizeof mark - 1 - cut, first == 1}};
            struct token_ids ids = {0};
            assert_int_equal(tokenizer_encode_parts(tokenizer, parts, 2, false, &ids), ERR_OK);
            for (size_t i = 0; i < ids.count; i++)
                assert_false(tokenizer_is_control(tokenizer, ids.ids[i]));
            token_ids_fini(&ids);
        }
    }
    tokenizer_free(tokenizer);
}

static void the_bos_comes_where_the_model_wants_it(void **state)
{
    (void)state;
    struct tokenizer *spm = given_vocabulary("llama-spm");
    if (!spm) skip();
    struct token_ids ids = when_encoded(spm, "a", 1, TOKENIZER_ADD_BOS);
    assert_int_equal(ids.ids[0], tokenizer_bos(spm));
    token_ids_fini(&ids);
    ids = when_encoded(spm, "", 0, TOKENIZER_ADD_BOS);
    assert_int_equal(ids.count, 1);
    token_ids_fini(&ids);
    tokenizer_free(spm);
    struct tokenizer *qwen = given_vocabulary("qwen2");
    ids = when_encoded(qwen, "a", 1, TOKENIZER_ADD_BOS);
    assert_int_equal(ids.count, 1);
    assert_false(tokenizer_adds_bos(qwen));
    size_t ends;
    const int32_t *end = tokenizer_ends(qwen, &ends);
    assert_int_equal(ends, 2); // <|endoftext|>, <|im_end|>
    assert_true(end[0] == 151643 && end[1] == 151645);
    token_ids_fini(&ids);
    tokenizer_free(qwen);
}

/* A vocabulary of four pieces with one thing wrong. */
struct bad {
    const char *model, *pre;
    const int32_t *types;
    size_t type_count;
    uint32_t bos;
};

static enum err when_read(const struct bad *bad)
{
    static const char *const pieces[] = {"a", "b", "ab", "<s>"};
    static const size_t sizes[] = {1, 1, 2, 3};
    static const char *const merges[] = {"a b"};
    static const size_t merge_sizes[] = {3};
    struct gguf_writer *writer = gguf_writer_new();
    struct buf image = {0};
    struct gguf *gguf;
    struct tokenizer *tokenizer;
    if (bad->model) gguf_write_string(writer, "tokenizer.ggml.model", bad->model);
    if (bad->pre) gguf_write_string(writer, "tokenizer.ggml.pre", bad->pre);
    gguf_write_strings(writer, "tokenizer.ggml.tokens", pieces, sizes, 4);
    if (bad->types)
        gguf_write_ints(writer, "tokenizer.ggml.token_type", bad->types, bad->type_count);
    gguf_write_strings(writer, "tokenizer.ggml.merges", merges, merge_sizes, 1);
    gguf_write_u32(writer, "tokenizer.ggml.bos_token_id", bad->bos);
    gguf_writer_finish(writer, &image);
    gguf_writer_free(writer);
    assert_int_equal(gguf_parse(&gguf, image.data, image.size), ERR_OK);
    enum err err = tokenizer_new(&tokenizer, gguf);
    gguf_close(gguf);
    buf_fini(&image);
    return err;
}

static void a_bad_vocabulary_is_refused_by_name(void **state)
{
    (void)state;
    static const int32_t types[] = {1, 1, 1, 3, 9};

    static const struct {
        struct bad bad;
        enum err err;
        const char *note;
    } cases[] = {
        {{NULL, NULL, types, 4, 3}, ERR_FORMAT, "tokenizer.ggml.model"},
        {{"t5", NULL, types, 4, 3}, ERR_UNSUPPORTED, "'t5'"},
        {{"bert", NULL, types, 4, 3}, ERR_FORMAT, "[SEP]"},
        {{"gpt2", "strange", types, 4, 3}, ERR_UNSUPPORTED, "'strange'"},
        {{"gpt2", "qwen2", NULL, 0, 3}, ERR_FORMAT, "tokenizer.ggml.token_type"},
        {{"gpt2", "qwen2", types, 5, 3}, ERR_FORMAT, "5 entries for 4 pieces"},
        {{"gpt2", "qwen2", types + 1, 4, 3}, ERR_FORMAT, "token_type[3] is 9"},
        {{"gpt2", "qwen2", types, 4, 4}, ERR_FORMAT, "bos_token_id is 4"},
        {{"gpt2", "qwen2", types, 4, 3}, ERR_FORMAT, "no piece for the byte 0x00"},
        {{"llama", NULL, types, 4, 3}, ERR_FORMAT, "no piece for the byte 0x00"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(when_read(&cases[i].bad), cases[i].err);
        if (!strstr(err_text(), cases[i].note)) fail_msg("case %zu: %s", i, err_text());
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_case_of_qwen2_gives_its_ids),
        cmocka_unit_test(every_case_of_llama_bpe_gives_its_ids),
        cmocka_unit_test(every_case_of_llama_spm_gives_its_ids),
        cmocka_unit_test(any_bytes_come_back_from_their_ids),
        cmocka_unit_test(a_megabyte_of_one_letter_is_no_trouble),
        cmocka_unit_test(a_text_beyond_the_limit_is_refused),
        cmocka_unit_test(control_pieces_are_found_only_where_they_may_be),
        cmocka_unit_test(borders_between_parts_leave_no_trace),
        cmocka_unit_test(a_control_piece_across_a_border_is_text),
        cmocka_unit_test(the_bos_comes_where_the_model_wants_it),
        cmocka_unit_test(a_bad_vocabulary_is_refused_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
