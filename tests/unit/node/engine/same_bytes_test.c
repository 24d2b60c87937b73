/* Promise 1 with a real decoder: 50 mixed requests, among them twins and others that begin alike, give the same bytes
 * alone, in a batch of 16, in chunks of any size, after preemptions, on cached and shared blocks, on any number of threads, on every rung, and on a machine of which glibc thinks that it
 * has neither AVX2 nor FMA (this program starts itself as one, and compares digests). */
#include "node/engine/engine.h"
#include "node/engine/kv.h"
#include "node/model/forward.h"
#include "node/model/model.h"
#include "tests/support/mixed.h"
#include "tests/support/tiny_model.h"
#include "tests/test.h"

#include "kernels/cpu.h"
#include "kernels/ops.h"
#include "kernels/select.h"
#include "kernels/team.h"

#include "base/gguf.h"

#include <string.h>

enum {
    REQUESTS = 50,
    CONTEXT = 192
};

/* A way of running that must not matter. */
struct way {
    uint32_t features; // of the rung
    uint32_t threads;
    struct batch_limits limits;
    uint32_t blocks;
    bool shares; // blocks, in each tenant; and all is asked twice, so that the second time is warm
    enum kv_kind kv;
};

static uint32_t best_features(void)
{
    uint32_t features;
    assert_int_equal(cpu_choose(NULL, &features), ERR_OK);
    return features;
}

static struct way alone(uint32_t features)
{
    return (struct way){
        .features = features,
        .threads = 1,
        .limits = {.batch_tokens = 512, .sequences = 1, .waiting_max = REQUESTS},
        .blocks = CONTEXT / KV_BLOCK_TOKENS,
    };
}

static struct way together(uint32_t features, uint32_t threads, uint32_t batch_tokens)
{
    return (struct way){
        .features = features,
        .threads = threads,
        .limits = {.batch_tokens = batch_tokens, .sequences = 16, .waiting_max = REQUESTS},
        .blocks = 16 * CONTEXT / KV_BLOCK_TOKENS,
    };
}

static void step(void *self, const struct forward_slice *slices, struct seq *const *seqs,
                 size_t count)
{
    (void)seqs;
    forward_step(self, slices, count);
}

static float *logits(void *self, size_t index)
{
    return forward_logits(self, index);
}

/* What happened on the way. */
struct tally {
    size_t preempted;
    uint64_t cached_tokens;
};

static struct tally ask(struct engine *engine, const struct way *way, uint32_t vocab_size,
                        struct mixed *requests)
{
    struct tally tally = {0};
    mixed_given(requests, REQUESTS, vocab_size);
    mixed_relate(requests, REQUESTS);
    if (way->shares) mixed_salt(requests, REQUESTS);
    mixed_run(engine, requests, REQUESTS, CONTEXT);
    for (size_t i = 0; i < REQUESTS; i++) {
        tally.preempted += requests[i].admissions > 1;
        tally.cached_tokens += requests[i].cached_tokens;
    }
    return tally;
}

static struct tally answer(const char *path, const struct way *way, struct mixed *requests)
{
    struct ops ops;
    struct team *team;
    struct model *model;
    struct kv_pool *pool;
    struct forward *forward;
    ops_select(&ops, way->features);
    assert_int_equal(team_new(&team, way->threads), ERR_OK);
    struct model_options model_options = {
        .ops = &ops, .team = team, .float_gemm = MODEL_FLOAT_EXACT, .kv = way->kv};
    if (model_load(&model, path, &model_options) != ERR_OK) fail_msg("%s", err_text());
    const struct model_shape *shape = model_shape(model);
    struct kv_shape kv_shape = {.layer_count = shape->layer_count,
                                .kv_head_count = shape->kv_head_count,
                                .head_dim = shape->head_dim,
                                .block_count = way->blocks,
                                .kind = way->kv};
    assert_int_equal(kv_pool_new(&pool, &kv_shape), ERR_OK);
    struct forward_limits limits = {.rows_max = way->limits.batch_tokens,
                                    .logits_max = way->limits.logits_max ? way->limits.logits_max
                                                                         : way->limits.sequences,
                                    .context_max = CONTEXT};
    assert_int_equal(forward_new(&forward, model, pool, team, &limits), ERR_OK);
    struct engine_options options = {.backend = {.self = forward,
                                                 .vocab_size = shape->vocab_size,
                                                 .step = step,
                                                 .logits = logits},
                                     .ops = &ops,
                                     .pool = pool,
                                     .limits = way->limits,
                                     .orders_max = REQUESTS};
    struct engine *engine = engine_new(&options);

    struct tally tally = ask(engine, way, shape->vocab_size, requests);
    if (way->shares) {
        static struct mixed cold[REQUESTS];
        memcpy(cold, requests, sizeof cold);
        struct tally warm = ask(engine, way, shape->vocab_size, requests);
        tally.preempted += warm.preempted;
        tally.cached_tokens += warm.cached_tokens;
        mixed_assert_same(cold, requests, REQUESTS);
    }

    engine_free(engine);
    forward_free(forward);
    kv_pool_free(pool);
    model_free(model);
    team_free(team);
    return tally;
}

static struct mixed wanted[REQUESTS];
static struct mixed got[REQUESTS];
static size_t shared_preempted; // over all tests

static void check_way(const char *path, const struct way *way, bool scarce)
{
    struct tally tally = answer(path, way, got);
    mixed_assert_same(wanted, got, REQUESTS);
    if (scarce && !way->shares) assert_true(tally.preempted > 0);
    if (way->shares) shared_preempted += tally.preempted;
    if (way->shares && !scarce) assert_true(tally.cached_tokens > 1000);
    if (!way->shares) assert_int_equal(tally.cached_tokens, 0);
}

enum ways {
    WAYS_FEW, // each thing that must not matter, once
    WAYS_ALL
};

/* Sanitizers make the scalar rung very slow. */
#ifdef QIAO_SANITIZED
static const enum ways most_ways = WAYS_FEW;
#else
static const enum ways most_ways = WAYS_ALL;
#endif

static void check_rung(const char *path, uint32_t features, enum kv_kind kv, enum ways ways)
{
    struct pace pace;
    pace_init(&pace, &(struct pace_options){.stretch_percent = 170});
    struct way way = together(features, 2, 64);
    way.shares = true;
    way.kv = kv;
    check_way(path, &way, false);
    way.blocks = CONTEXT / KV_BLOCK_TOKENS + 3;
    if (ways == WAYS_ALL) check_way(path, &way, true);
    way.limits.drafts_max = 4;
    way.limits.logits_max = 40;
    check_way(path, &way, true);
    way.shares = false;
    if (ways == WAYS_ALL) check_way(path, &way, true);
    way.limits.pace = &pace; // the clock cuts the prompts and chooses the drafts
    check_way(path, &way, true);
    if (ways == WAYS_FEW) return;
    way = alone(features);
    way.kv = kv;
    check_way(path, &way, false);
    way = together(features, 1, 16);
    way.shares = true;
    way.kv = kv;
    check_way(path, &way, false);
    way = together(features, 1, 512);
    way.kv = kv;
    check_way(path, &way, false);
}

static void check_model(const struct tiny_model *tiny, enum kv_kind kv, enum ways ways)
{
    char path[TINY_MODEL_PATH_MAX];
    tiny_model_file(path, tiny);
    struct way way = alone(0);
    way.kv = kv;
    answer(path, &way, wanted);
    size_t ids = 0;
    for (size_t i = 0; i < REQUESTS; i++)
        ids += wanted[i].pick_count;
    assert_true(ids > 10 * REQUESTS);

    for (size_t i = 0; i < cpu_rung_count(); i++) {
        const struct cpu_rung *rung = cpu_rung_at(i);
        if (!cpu_rung_usable(rung)) {
            print_message("skipped: no rung %s here\n", rung->name);
            continue;
        }
        check_rung(path, rung->features, kv, ways);
    }
    unlink(path);
}

static void a_quantised_qwen3_gives_the_same_bytes_in_any_company(void **state)
{
    (void)state;
    check_model(&(struct tiny_model){.architecture = "qwen3", .type = GGUF_TENSOR_Q8_0, .seed = 1},
                KV_F16, most_ways);
}

static void a_half_precision_llama_gives_the_same_bytes_in_any_company(void **state)
{
    (void)state;
    check_model(
        &(struct tiny_model){
            .architecture = "llama", .type = GGUF_TENSOR_F16, .seed = 2, .rope_freqs = true},
        KV_F16, WAYS_FEW);
}

static void a_float_qwen2_gives_the_same_bytes_in_any_company(void **state)
{
    (void)state;
    check_model(&(struct tiny_model){.architecture = "qwen2", .type = GGUF_TENSOR_F32, .seed = 3},
                KV_F16, WAYS_FEW);
}

static void eight_bit_keys_and_values_give_the_same_bytes_in_any_company(void **state)
{
    (void)state;
    check_model(&(struct tiny_model){.architecture = "qwen2", .type = GGUF_TENSOR_Q8_0, .seed = 4},
                KV_INT8, WAYS_FEW);
}

/* Of the tests before it; whether one model's answers fill a pool is chance. */
static void some_that_shared_blocks_were_preempted(void **state)
{
    (void)state;
    assert_true(shared_preempted > 0);
}

static void answer_digest(char text[DIGEST_TEXT_SIZE])
{
    char path[TINY_MODEL_PATH_MAX];
    struct tiny_model tiny = {.architecture = "qwen3", .type = GGUF_TENSOR_Q8_0, .seed = 1};
    tiny_model_file(path, &tiny);
    struct way way = together(best_features(), 2, 64);
    answer(path, &way, got);
    unlink(path);
    struct digest digest = mixed_digest(got, REQUESTS);
    digest_text(&digest, text);
}

static void glibc_without_avx2_and_fma_gives_the_same_bytes(void **state)
{
    (void)state;
    char here[DIGEST_TEXT_SIZE];
    char there[DIGEST_TEXT_SIZE] = "";
    char self[512] = "";
    char command[1024];
    answer_digest(here);
    assert_true(readlink("/proc/self/exe", self, sizeof self - 1) > 0);
    snprintf(command, sizeof command,
             "GLIBC_TUNABLES=glibc.cpu.hwcaps=-AVX2,-FMA,-AVX512F '%s' --digest", self);
    FILE *child = popen(command, "r");
    assert_non_null(child);
    assert_non_null(fgets(there, sizeof there, child));
    assert_int_equal(pclose(child), 0);
    assert_string_equal(here, there);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--digest") == 0) {
        char text[DIGEST_TEXT_SIZE];
        answer_digest(text);
        puts(text);
        return 0;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_quantised_qwen3_gives_the_same_bytes_in_any_company),
        cmocka_unit_test(a_half_precision_llama_gives_the_same_bytes_in_any_company),
        cmocka_unit_test(a_float_qwen2_gives_the_same_bytes_in_any_company),
        cmocka_unit_test(some_that_shared_blocks_were_preempted),
        cmocka_unit_test(eight_bit_keys_and_values_give_the_same_bytes_in_any_company),
        cmocka_unit_test(glibc_without_avx2_and_fma_gives_the_same_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
