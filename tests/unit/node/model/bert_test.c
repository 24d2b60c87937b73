#include "node/model/bert.h"
#include "tests/support/tiny_bert.h"
#include "tests/unit/text/text_test.h"

#include "kernels/cpu.h"
#include "kernels/ops.h"
#include "kernels/select.h"
#include "kernels/team.h"

#include "base/mem.h"
#include "base/rand.h"

#include <jansson.h>

#include <math.h>
#include <unistd.h>

enum {
    TEXTS = 64,
    ROWS = 8192
};

struct encoder {
    struct ops ops;
    struct team *team;
    struct bert *bert;
    struct bert_run *run;
};

static void encoder_open(struct encoder *e, const char *path, uint32_t threads, uint32_t features)
{
    ops_select(&e->ops, features);
    assert_int_equal(team_new(&e->team, threads), ERR_OK);
    struct bert_options options = {.ops = &e->ops, .team = e->team};
    if (bert_load(&e->bert, path, &options) != ERR_OK) fail_msg("%s", err_text());
    struct bert_limits limits = {.rows_max = ROWS, .texts_max = TEXTS};
    assert_int_equal(bert_run_new(&e->run, e->bert, e->team, &limits), ERR_OK);
}

static void encoder_close(struct encoder *e)
{
    bert_run_free(e->run);
    bert_free(e->bert);
    team_free(e->team);
}

static void encoder_tiny(struct encoder *e, const struct tiny_bert *options, uint32_t threads,
                         uint32_t features)
{
    char path[TINY_MODEL_PATH_MAX];
    tiny_bert_file(path, options);
    encoder_open(e, path, threads, features);
    unlink(path);
}

static int32_t ids[TEXTS][TINY_BERT_CONTEXT];

/* Texts of every length; every third is a pair. */
static void given_texts(struct bert_text texts[TEXTS], bool scores)
{
    struct rand rand;
    rand_init(&rand, 3);
    for (uint32_t i = 0; i < TEXTS; i++) {
        uint32_t count = i == 0 ? TINY_BERT_CONTEXT : 1 + (uint32_t)rand_below(&rand, 60);
        for (uint32_t at = 0; at < count; at++)
            ids[i][at] = (int32_t)rand_below(&rand, TINY_BERT_VOCAB);
        texts[i] = (struct bert_text){.ids = ids[i],
                                      .count = count,
                                      .segment = i % 3 == 0 && count > 2 ? count / 2 : 0,
                                      .scores = scores && i % 2 == 0};
    }
}

static void then_company_changes_nothing(const struct tiny_bert *options, bool scores)
{
    struct bert_text texts[TEXTS];
    float(*alone)[TINY_BERT_DIM] = mem_new(TEXTS, sizeof *alone);
    struct encoder e;
    given_texts(texts, scores);
    encoder_tiny(&e, options, 1, 0);
    for (size_t i = 0; i < TEXTS; i++) {
        bert_step(e.run, &texts[i], 1);
        memcpy(alone[i], bert_answer(e.run, 0), sizeof *alone);
    }
    encoder_close(&e);
    uint32_t features = cpu_features();
    for (uint32_t threads = 1; threads <= 2; threads++) {
        encoder_tiny(&e, options, threads, features);
        bert_step(e.run, texts, TEXTS);
        for (size_t i = 0; i < TEXTS; i++) {
            size_t count = texts[i].scores ? 1 : TINY_BERT_DIM;
            assert_memory_equal(alone[i], bert_answer(e.run, i), count * sizeof(float));
        }
        encoder_close(&e);
    }
    mem_free(alone);
}

static void a_vector_has_the_same_bits_alone_and_in_company_on_any_rung(void **state)
{
    (void)state;
    then_company_changes_nothing(&(struct tiny_bert){.type = GGUF_TENSOR_F32}, false);
    then_company_changes_nothing(&(struct tiny_bert){.type = GGUF_TENSOR_Q8_0}, false);
    then_company_changes_nothing(&(struct tiny_bert){.pooling = BERT_POOL_FIRST, .head = true},
                                 true);
}

static void a_vector_is_of_unit_length(void **state)
{
    (void)state;
    struct bert_text texts[TEXTS];
    struct encoder e;
    given_texts(texts, false);
    encoder_tiny(&e, &(struct tiny_bert){0}, 1, cpu_features());
    bert_step(e.run, texts, TEXTS);
    for (size_t i = 0; i < TEXTS; i++) {
        double squares = 0;
        for (size_t d = 0; d < TINY_BERT_DIM; d++)
            squares += pow((double)bert_answer(e.run, i)[d], 2);
        assert_true(fabs(squares - 1) < 1e-6);
    }
    encoder_close(&e);
}

static void where_the_second_text_begins_matters(void **state)
{
    (void)state;
    struct encoder e;
    struct bert_text texts[3];
    encoder_tiny(&e, &(struct tiny_bert){.pooling = BERT_POOL_RANK, .head = true}, 1,
                 cpu_features());
    for (uint32_t i = 0; i < 3; i++)
        texts[i] =
            (struct bert_text){.ids = ids[1], .count = 9, .segment = i < 2 ? 4 : 6, .scores = true};
    bert_step(e.run, texts, 3);
    assert_true(bert_answer(e.run, 0)[0] == bert_answer(e.run, 1)[0]);
    assert_true(bert_answer(e.run, 0)[0] != bert_answer(e.run, 2)[0]);
    assert_true(isfinite(bert_answer(e.run, 0)[0]));
    encoder_close(&e);
}

static void what_is_missing_or_unknown_is_refused_by_name(void **state)
{
    (void)state;

    static const struct {
        struct tiny_bert options;
        enum err err;
        const char *word;
    } cases[] = {
        {{.without = "blk.1.ffn_up.bias"}, ERR_FORMAT, "blk.1.ffn_up.bias"},
        {{.without = "token_embd.weight"}, ERR_FORMAT, "token_embd.weight"},
        {{.head = true, .without = "cls.bias"}, ERR_FORMAT, "cls.bias"},
        {{.pooling = 4}, ERR_FORMAT, "cls.output.weight"},
        {{.pooling = 3}, ERR_UNSUPPORTED, "pooling_type is 3"},
    };

    struct ops ops;
    struct team *team;
    ops_select(&ops, 0);
    assert_int_equal(team_new(&team, 1), ERR_OK);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char path[TINY_MODEL_PATH_MAX];
        struct bert *bert;
        tiny_bert_file(path, &cases[i].options);
        struct bert_options options = {.ops = &ops, .team = team};
        assert_int_equal(bert_load(&bert, path, &options), cases[i].err);
        if (!strstr(err_text(), cases[i].word)) fail_msg("'%s'", err_text());
        unlink(path);
    }
    team_free(team);
}

static double cosine(const float *a, const float *b, size_t n)
{
    double dot = 0, aa = 0, bb = 0;
    for (size_t i = 0; i < n; i++) {
        dot += (double)a[i] * (double)b[i];
        aa += (double)a[i] * (double)a[i];
        bb += (double)b[i] * (double)b[i];
    }
    return dot / sqrt(aa * bb);
}

/* A published sentence encoder, from its text on. */
static void minilm_gives_its_reference(void **state)
{
    (void)state;
    struct buf json = {0};
    float reference[6][384];
    const char *path = test_shared("models/all-minilm-l6-v2-f16.reference.f32");
    if (!path) skip();
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    assert_int_equal(fread(reference, sizeof *reference, 6, file), 6);
    fclose(file);
    json_t *root =
        json_loads(given_shared_text("models/all-minilm-l6-v2-f16.reference.json", &json), 0, NULL);
    assert_int_equal(json_array_size(root), 6);
    struct tokenizer *tokenizer = given_shared_tokenizer("models/all-minilm-l6-v2-f16.gguf");
    struct token_ids framed[6] = {0};
    struct bert_text texts[6];
    for (size_t i = 0; i < 6; i++) {
        const json_t *one = json_array_get(root, i);
        const json_t *want = json_object_get(one, "ids");
        const char *text = json_string_value(json_object_get(one, "text"));
        struct token_ids plain = when_encoded(tokenizer, text, strlen(text), 0);
        uint32_t segment;
        tokenizer_frame(tokenizer, &plain, NULL, &framed[i], &segment);
        assert_int_equal(framed[i].count, json_array_size(want));
        for (size_t at = 0; at < framed[i].count; at++)
            assert_int_equal(framed[i].ids[at], json_integer_value(json_array_get(want, at)));
        texts[i] = (struct bert_text){.ids = framed[i].ids, .count = (uint32_t)framed[i].count};
        token_ids_fini(&plain);
    }
    struct encoder e;
    encoder_open(&e, test_shared("models/all-minilm-l6-v2-f16.gguf"), 2, cpu_features());
    bert_step(e.run, texts, 6);
    double worst = 1;
    for (size_t i = 0; i < 6; i++)
        worst = fmin(worst, cosine(bert_answer(e.run, i), reference[i], 384));
    print_message("worst cosine %.8f\n", worst);
    assert_true(worst >= 0.9999);
    encoder_close(&e);
    for (size_t i = 0; i < 6; i++)
        token_ids_fini(&framed[i]);
    tokenizer_free(tokenizer);
    json_decref(root);
    buf_fini(&json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_vector_has_the_same_bits_alone_and_in_company_on_any_rung),
        cmocka_unit_test(a_vector_is_of_unit_length),
        cmocka_unit_test(where_the_second_text_begins_matters),
        cmocka_unit_test(what_is_missing_or_unknown_is_refused_by_name),
        cmocka_unit_test(minilm_gives_its_reference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
