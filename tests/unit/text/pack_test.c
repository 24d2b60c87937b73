#include "tests/unit/text/text_test.h"

#include "text/pack.h"

#include "base/rand.h"

static void given_pack(struct buf *out)
{
    struct buf image = {0};
    struct gguf *gguf;
    tiny_model_write(&image, &(struct tiny_model){.name = "tiny-one", .seed = 3});
    assert_int_equal(gguf_parse(&gguf, image.data, image.size), ERR_OK);
    assert_int_equal(gguf_write_pack(gguf, out), ERR_OK);
    gguf_close(gguf);
    buf_fini(&image);
}

static void a_pack_holds_all_that_a_scheduler_needs(void **state)
{
    (void)state;
    struct buf bytes = {0};
    struct text_pack *pack;
    given_pack(&bytes);
    assert_int_equal(text_pack_open(&pack, bytes.data, bytes.size), ERR_OK);
    struct digest digest = digest_of(bytes.data, bytes.size);
    buf_fini(&bytes);
    assert_string_equal(pack->name, "tiny-one");
    assert_string_equal(pack->architecture, "qwen3");
    assert_int_equal(pack->context_length, TINY_MODEL_CONTEXT);
    assert_int_equal(pack->template.kind, TEMPLATE_CHATML);
    assert_true(digest_equal(&pack->digest, &digest));
    struct token_ids ids = when_encoded(pack->tokenizer, "hello", 5, 0);
    assert_true(ids.count > 0);
    token_ids_fini(&ids);
    text_pack_close(pack);
}

static void a_models_file_and_its_pack_have_one_digest(void **state)
{
    (void)state;
    struct buf image = {0}, bytes = {0};
    struct gguf *gguf;
    struct text_pack *from_file, *from_pack;
    given_pack(&bytes);
    tiny_model_write(&image, &(struct tiny_model){.name = "tiny-one", .seed = 3});
    assert_int_equal(gguf_parse(&gguf, image.data, image.size), ERR_OK);
    assert_int_equal(text_pack_from_gguf(&from_file, gguf), ERR_OK);
    assert_int_equal(text_pack_open(&from_pack, bytes.data, bytes.size), ERR_OK);
    assert_true(digest_equal(&from_file->digest, &from_pack->digest));
    text_pack_close(from_file);
    text_pack_close(from_pack);
    gguf_close(gguf);
    buf_fini(&image);
    buf_fini(&bytes);
}

static void a_cut_or_changed_pack_harms_nobody(void **state)
{
    (void)state;
    struct buf bytes = {0};
    struct text_pack *pack;
    struct rand rand;
    rand_init(&rand, 17);
    given_pack(&bytes);
    for (size_t size = 0; size < bytes.size; size += 1 + rand_below(&rand, 64))
        assert_int_not_equal(text_pack_open(&pack, bytes.data, size), ERR_OK);
    for (int i = 0; i < 500; i++) {
        size_t at = rand_below(&rand, bytes.size);
        char old = bytes.data[at];
        bytes.data[at] = (char)rand_next(&rand);
        if (text_pack_open(&pack, bytes.data, bytes.size) == ERR_OK) {
            struct token_ids ids = when_encoded(pack->tokenizer, "a \xE4\xB8\xAD<|im_end|>", 15,
                                                TOKENIZER_PARSE_SPECIAL);
            token_ids_fini(&ids);
            text_pack_close(pack);
        }
        bytes.data[at] = old;
    }
    assert_int_equal(text_pack_open(&pack, bytes.data, (size_t)GGUF_PACK_MAX + 1), ERR_TOO_LARGE);
    buf_fini(&bytes);
}

static void shared_models_open_as_packs(void **state)
{
    (void)state;
    const char *path = test_shared("models/stories260K.gguf");
    if (!path) skip();
    struct gguf *gguf;
    struct text_pack *pack;
    assert_int_equal(gguf_open(&gguf, path), ERR_OK);
    assert_int_equal(text_pack_from_gguf(&pack, gguf), ERR_OK);
    assert_string_equal(pack->name, "stories260K");
    assert_int_equal(pack->context_length, 512);
    assert_int_equal(pack->template.kind, TEMPLATE_NONE);
    text_pack_close(pack);
    gguf_close(gguf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pack_holds_all_that_a_scheduler_needs),
        cmocka_unit_test(a_models_file_and_its_pack_have_one_digest),
        cmocka_unit_test(a_cut_or_changed_pack_harms_nobody),
        cmocka_unit_test(shared_models_open_as_packs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
