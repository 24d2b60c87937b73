/* A trained model through the whole path, tokenizer, prefill, decode, text: the greedy text of stories260K, exactly,
 * on every rung. The file holds the prompt, 196 tokens, and a line end that is not the model's. */
#include "node/engine/kv.h"
#include "node/probe/decoder.h"
#include "tests/test.h"

#include "kernels/cpu.h"
#include "text/tokenizer.h"

#include "base/buf.h"
#include "base/gguf.h"

#include <string.h>

enum {
    TOKENS = 196,
    TEXT_MAX = 4096
};

static int32_t greedy(const float *logits, uint32_t vocab_size)
{
    uint32_t best = 0;
    for (uint32_t i = 1; i < vocab_size; i++) {
        if (logits[i] > logits[best]) best = i;
    }
    return (int32_t)best;
}

static void write_story(const char *model, const char *rung, struct token_ids *ids)
{
    struct decoder_options options = {.model = model, .rung = rung, .threads = 2};
    struct decoder *d;
    if (decoder_new(&d, &options) != ERR_OK) fail_msg("%s", err_text());
    struct kv_table table;
    kv_table_init(&table, d->limits.context_max);
    assert_int_equal(decoder_extend(d, &table, ids->ids, (uint32_t)ids->count, 0), ERR_OK);
    for (int i = 0; i < TOKENS; i++) {
        int32_t id = greedy(forward_logits(d->forward, 0), model_shape(d->model)->vocab_size);
        token_ids_add(ids, id);
        assert_int_equal(decoder_extend(d, &table, &id, 1, 0), ERR_OK);
    }
    kv_table_fini(d->pool, &table);
    decoder_free(d);
}

static void given_story(char text[TEXT_MAX])
{
    FILE *file = fopen(test_shared("models/stories260K.greedy.txt"), "rb");
    assert_non_null(file);
    size_t size = fread(text, 1, TEXT_MAX - 1, file);
    fclose(file);
    assert_true(size > 0 && text[size - 1] == '\n');
    text[size - 1] = 0;
}

static void stories260k_tells_its_greedy_story(void **state)
{
    (void)state;
    const char *shared = test_shared("models/stories260K.gguf");
    if (!shared) skip();
    char model[1024];
    snprintf(model, sizeof model, "%s", shared);
    char want[TEXT_MAX];
    given_story(want);
    struct gguf *gguf;
    struct tokenizer *tokenizer;
    assert_int_equal(gguf_open(&gguf, model), ERR_OK);
    assert_int_equal(tokenizer_new(&tokenizer, gguf), ERR_OK);
    gguf_close(gguf);
    for (size_t i = 0; i < cpu_rung_count(); i++) {
        if (!cpu_rung_usable(cpu_rung_at(i))) continue;
        static const char prompt[] = "Once upon a time";
        struct token_ids ids = {0};
        struct buf got = {0};
        assert_int_equal(
            tokenizer_encode(tokenizer, prompt, sizeof prompt - 1, TOKENIZER_ADD_BOS, &ids),
            ERR_OK);
        write_story(model, cpu_rung_at(i)->name, &ids);
        tokenizer_decode(tokenizer, ids.ids, ids.count, true, &got);
        assert_string_equal(buf_text(&got), want);
        buf_fini(&got);
        token_ids_fini(&ids);
    }
    tokenizer_free(tokenizer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(stories260k_tells_its_greedy_story)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
