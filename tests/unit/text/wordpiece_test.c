#include "tests/unit/text/text_test.h"

#include "text/pack.h"
#include "text/tokenizer.h"

#include "base/mem.h"

enum {
    PAD,
    UNK,
    CLS,
    SEP,
    HELLO,
    HE,
    LLO,
    O,
    BANG,
    ZHONG,
    WEN,
    CAFE,
    BRACKET,
    PIECES
};

/* "#" stands for U+2581 here. */
static const char *const words[PIECES] = {
    "[PAD]", "[UNK]", "[CLS]",         "[SEP]",         "#hello", "#he", "llo",
    "o",     "#!",    "#\xE4\xB8\xAD", "#\xE6\x96\x87", "#cafe",  "#["};

static void given_image(struct buf *out, const char *missing)
{
    char pieces[PIECES][16];
    const char *texts[PIECES];
    size_t sizes[PIECES];
    int32_t types[PIECES];
    for (int i = 0; i < PIECES; i++) {
        bool begins = words[i][0] == '#';
        snprintf(pieces[i], sizeof pieces[i], "%s%s", begins ? "\xE2\x96\x81" : "",
                 words[i] + begins);
        if (missing && strcmp(words[i], missing) == 0) pieces[i][1] = '?';
        texts[i] = pieces[i];
        sizes[i] = strlen(pieces[i]);
        types[i] = i <= SEP ? 3 : 1;
    }
    struct gguf_writer *writer = gguf_writer_new();
    gguf_write_string(writer, "general.architecture", "bert");
    gguf_write_u32(writer, "bert.context_length", 64);
    gguf_write_string(writer, "tokenizer.ggml.model", "bert");
    gguf_write_strings(writer, "tokenizer.ggml.tokens", texts, sizes, PIECES);
    gguf_write_ints(writer, "tokenizer.ggml.token_type", types, PIECES);
    gguf_writer_finish(writer, out);
    gguf_writer_free(writer);
}

static struct text_pack *given_pack(void)
{
    struct buf image = {0};
    struct text_pack *pack;
    given_image(&image, NULL);
    enum err err = text_pack_open(&pack, image.data, image.size);
    if (err) fail_msg("%s", err_text());
    buf_fini(&image);
    return pack;
}

static void then_text_is(const char *text, size_t size, const int32_t *want, size_t count)
{
    struct text_pack *pack = given_pack();
    struct token_ids ids = when_encoded(pack->tokenizer, text, size, 0);
    then_ids_equal(&ids, want, count);
    token_ids_fini(&ids);
    text_pack_close(pack);
}

#define THEN(text, ...)                                                  \
    then_text_is(text, sizeof(text) - 1, (const int32_t[]){__VA_ARGS__}, \
                 sizeof((const int32_t[]){__VA_ARGS__}) / sizeof(int32_t))

static void every_case_of_bert_bge_gives_its_ids(void **state)
{
    (void)state;
    then_cases_give_their_ids("bert-bge");
}

static void a_word_is_the_longest_pieces_from_the_left(void **state)
{
    (void)state;
    THEN("hello", HELLO);
    THEN("helloo", HELLO, O);
    THEN("hellollo", HELLO, LLO);
    THEN("heo he", HE, O, HE);
}

static void a_word_that_pieces_cannot_make_is_unknown_once(void **state)
{
    (void)state;
    THEN("hellox hello", UNK, HELLO);
    THEN("xyz", UNK);
    THEN("llo", UNK); // it goes on in a word, it begins none
}

static void marks_and_chinese_characters_are_words(void **state)
{
    (void)state;
    THEN("hello!hello", HELLO, BANG, HELLO);
    THEN("hello\xE4\xB8\xAD\xE6\x96\x87he", HELLO, ZHONG, WEN, HE);
}

static void case_and_accents_are_folded(void **state)
{
    (void)state;
    THEN("HELLO", HELLO);
    THEN("Caf\xC3\xA9", CAFE);  // composed
    THEN("cafe\xCC\x81", CAFE); // decomposed
    THEN("\xCC\x81 he", HE);    // an accent alone is no word
}

static void what_is_no_character_leaves_no_trace(void **state)
{
    (void)state;
    THEN("he\xFFllo", HELLO);
    THEN("he\0llo", HELLO);
    THEN("he\xE2\x80\x8Dllo\x07", HELLO);        // a joiner, a bell
    THEN("he\xEF\xBF\xBDllo\xE4", HELLO);        // U+FFFD, a character cut off
    THEN("he\xE3\x80\x80llo\t!", HE, UNK, BANG); // the ideographic space parts
}

static void a_text_without_words_has_no_ids(void **state)
{
    (void)state;
    then_text_is(" \n\t", 3, NULL, 0);
    then_text_is("", 0, NULL, 0);
}

static void a_word_beyond_the_limit_is_unknown(void **state)
{
    (void)state;
    char text[2 + 101];
    memset(text, 'o', sizeof text);
    memcpy(text, "he", 2);
    struct text_pack *pack = given_pack();
    struct token_ids whole = when_encoded(pack->tokenizer, text, 100, 0);
    assert_int_equal(whole.count, 99); // "he", and 98 letters
    struct token_ids beyond = when_encoded(pack->tokenizer, text, 101, 0);
    then_ids_equal(&beyond, (const int32_t[]){UNK}, 1);
    token_ids_fini(&whole);
    token_ids_fini(&beyond);
    text_pack_close(pack);
}

static void a_megabyte_of_anything_is_no_trouble(void **state)
{
    (void)state;
    static const char *const units[] = {"a", " ", "o ", "he!", "\xE4\xB8\xAD", "\xFF"};
    size_t large = 1 << 20;
    char *text = mem_new(large, 1);
    struct text_pack *pack = given_pack();
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        for (size_t j = 0; j < large; j++)
            text[j] = units[i][j % strlen(units[i])];
        struct token_ids ids = when_encoded(pack->tokenizer, text, large, 0);
        assert_true(ids.count <= large);
        token_ids_fini(&ids);
    }
    text_pack_close(pack);
    mem_free(text);
}

static void a_users_text_cannot_forge_a_mark(void **state)
{
    (void)state;
    struct text_pack *pack = given_pack();
    static const char text[] = "[SEP]hello[CLS]";
    struct token_ids ids = when_encoded(pack->tokenizer, text, sizeof text - 1, 0);
    for (size_t i = 0; i < ids.count; i++)
        assert_true(ids.ids[i] != SEP && ids.ids[i] != CLS);
    assert_int_equal(ids.ids[0], BRACKET);
    token_ids_fini(&ids);
    text_pack_close(pack);
}

static void one_text_and_a_pair_are_framed(void **state)
{
    (void)state;
    struct text_pack *pack = given_pack();
    struct token_ids first = when_encoded(pack->tokenizer, "hello", 5, 0);
    struct token_ids second = when_encoded(pack->tokenizer, "he!", 3, 0);
    struct token_ids out = {0};
    uint32_t segment = 7;
    tokenizer_frame(pack->tokenizer, &first, NULL, &out, &segment);
    then_ids_equal(&out, (const int32_t[]){CLS, HELLO, SEP}, 3);
    assert_int_equal(segment, 0);
    assert_int_equal(tokenizer_frame_size(pack->tokenizer, false), 2);
    out.count = 0;
    tokenizer_frame(pack->tokenizer, &first, &second, &out, &segment);
    then_ids_equal(&out, (const int32_t[]){CLS, HELLO, SEP, HE, BANG, SEP}, 6);
    assert_int_equal(segment, 3);
    assert_int_equal(tokenizer_frame_size(pack->tokenizer, true), 3);
    token_ids_fini(&first);
    token_ids_fini(&second);
    token_ids_fini(&out);
    text_pack_close(pack);
}

static void a_decoders_text_ends_with_its_end_id(void **state)
{
    (void)state;
    struct tokenizer *tokenizer = given_tiny_tokenizer();
    struct token_ids ids = when_encoded(tokenizer, "ab", 2, 0);
    struct token_ids out = {0};
    uint32_t segment;
    tokenizer_frame(tokenizer, &ids, NULL, &out, &segment);
    assert_int_equal(out.count, ids.count + tokenizer_frame_size(tokenizer, false));
    assert_int_equal(out.ids[out.count - 1], tokenizer_eos(tokenizer));
    token_ids_fini(&ids);
    token_ids_fini(&out);
    tokenizer_free(tokenizer);
}

static void a_vocabulary_without_its_marks_is_refused_by_name(void **state)
{
    (void)state;
    static const char *const marks[] = {"[UNK]", "[CLS]", "[SEP]"};
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++) {
        struct buf image = {0};
        struct text_pack *pack;
        given_image(&image, marks[i]);
        assert_int_equal(text_pack_open(&pack, image.data, image.size), ERR_FORMAT);
        assert_non_null(strstr(err_text(), marks[i]));
        buf_fini(&image);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_case_of_bert_bge_gives_its_ids),
        cmocka_unit_test(a_word_is_the_longest_pieces_from_the_left),
        cmocka_unit_test(a_word_that_pieces_cannot_make_is_unknown_once),
        cmocka_unit_test(marks_and_chinese_characters_are_words),
        cmocka_unit_test(case_and_accents_are_folded),
        cmocka_unit_test(what_is_no_character_leaves_no_trace),
        cmocka_unit_test(a_text_without_words_has_no_ids),
        cmocka_unit_test(a_word_beyond_the_limit_is_unknown),
        cmocka_unit_test(a_megabyte_of_anything_is_no_trouble),
        cmocka_unit_test(a_users_text_cannot_forge_a_mark),
        cmocka_unit_test(one_text_and_a_pair_are_framed),
        cmocka_unit_test(a_decoders_text_ends_with_its_end_id),
        cmocka_unit_test(a_vocabulary_without_its_marks_is_refused_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
