#include "node/model/sasrec.h"
#include "tests/support/tiny_sasrec.h"
#include "tests/test.h"

#include "kernels/cpu.h"
#include "kernels/ops.h"
#include "kernels/select.h"
#include "kernels/team.h"

#include "base/buf.h"
#include "base/gguf.h"
#include "base/mem.h"
#include "base/rand.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

enum {
    ITEMS = 1500,
    DIM = 48,
    CONTEXT = 20,
    FFN = 80,
    HEADS = 3,
    TOP = 25,
    USERS = 64
};

static struct ops ops;
static struct team *team;
static char path[TINY_MODEL_PATH_MAX];

static int make_model(void **state)
{
    (void)state;
    ops_select(&ops, cpu_features());
    struct tiny_sasrec options = {.items = ITEMS,
                                  .dim = DIM,
                                  .context = CONTEXT,
                                  .blocks = 2,
                                  .ffn = FFN,
                                  .heads = HEADS,
                                  .seed = 3,
                                  .item_ids = true};
    tiny_sasrec_file(path, &options);
    return team_new(&team, 2);
}

static int end_model(void **state)
{
    (void)state;
    unlink(path);
    team_free(team);
    return 0;
}

/* Users with histories of every length, some beyond the context. */
struct users {
    int32_t ids[USERS][2 * CONTEXT];
    struct sasrec_request requests[USERS];
};

static void draw_users(struct users *users)
{
    struct rand chance;
    rand_init(&chance, 5);
    for (size_t i = 0; i < USERS; i++) {
        uint32_t count = 1 + (uint32_t)rand_below(&chance, 2 * CONTEXT);
        for (uint32_t k = 0; k < count; k++)
            users->ids[i][k] = (int32_t)rand_below(&chance, ITEMS);
        users->requests[i] = (struct sasrec_request){.ids = users->ids[i],
                                                     .id_count = count,
                                                     .query = {.top_count = 1 + (uint32_t)i % TOP},
                                                     .explain = i % 3 == 0};
    }
}

struct stand {
    struct sasrec *model;
    struct sasrec_runner *runner;
};

static struct stand stand_of(const struct ops *rung, struct team *threads)
{
    struct stand stand;
    assert_int_equal(sasrec_load(&stand.model, path, rung, threads), ERR_OK);
    struct sasrec_limits limits = {.requests_max = USERS, .top_max = TOP, .ids_max = 2 * CONTEXT};
    assert_int_equal(sasrec_runner_new(&stand.runner, stand.model, threads, &limits), ERR_OK);
    return stand;
}

static void end_stand(struct stand *stand)
{
    sasrec_runner_free(stand->runner);
    sasrec_free(stand->model);
}

/* Everything that the answers say, as bytes. */
static void answers_of(struct stand *stand, const struct users *users, size_t batch,
                       struct buf *out)
{
    for (size_t first = 0; first < USERS; first += batch) {
        size_t count = USERS - first < batch ? USERS - first : batch;
        sasrec_run(stand->runner, users->requests + first, count);
        for (size_t i = 0; i < count; i++) {
            const struct sasrec_answer *answer = sasrec_answer(stand->runner, i);
            const struct sasrec_request *request = &users->requests[first + i];
            assert_false(answer->broken);
            assert_int_equal(answer->hit_count, request->query.top_count);
            assert_true(request->explain == (answer->weights != NULL));
            buf_add(out, answer->hits, answer->hit_count * sizeof *answer->hits);
            buf_add(out, answer->vector, DIM * sizeof *answer->vector);
            if (answer->weights)
                buf_add(out, answer->weights, request->id_count * sizeof *answer->weights);
        }
    }
}

static void answers_are_the_same_bytes_at_any_batch_size_on_any_rung(void **state)
{
    (void)state;
    struct users *users = mem_new(1, sizeof *users);
    draw_users(users);
    struct stand stand = stand_of(&ops, team);
    struct buf want = {0};
    answers_of(&stand, users, 1, &want);
    static const size_t batches[] = {8, 64, 7};
    for (size_t i = 0; i < sizeof batches / sizeof *batches; i++) {
        struct buf got = {0};
        answers_of(&stand, users, batches[i], &got);
        assert_int_equal(got.size, want.size);
        assert_memory_equal(got.data, want.data, want.size);
        buf_fini(&got);
    }
    end_stand(&stand);
    struct team *alone;
    assert_int_equal(team_new(&alone, 1), ERR_OK);
    for (size_t i = 0; i < cpu_rung_count(); i++) {
        const struct cpu_rung *rung = cpu_rung_at(i);
        if (!cpu_rung_usable(rung)) continue;
        struct ops lower;
        ops_select(&lower, rung->features);
        stand = stand_of(&lower, alone);
        struct buf got = {0};
        answers_of(&stand, users, 64, &got);
        assert_int_equal(got.size, want.size);
        assert_memory_equal(got.data, want.data, want.size);
        buf_fini(&got);
        end_stand(&stand);
    }
    team_free(alone);
    buf_fini(&want);
    mem_free(users);
}

/* The paper in double, row by row, straight from the file. */

struct reference {
    struct gguf *gguf;
    double x[CONTEXT][DIM];
};

static const float *tensor(const struct gguf *gguf, int block, const char *part, const char *what)
{
    char name[64];
    if (block < 0)
        snprintf(name, sizeof name, "%s.%s", part, what);
    else
        snprintf(name, sizeof name, "blk.%d.%s.%s", block, part, what);
    const struct gguf_tensor *found = gguf_find_tensor(gguf, name);
    assert_non_null(found);
    return found->data;
}

static void linear(const struct gguf *gguf, int block, const char *part, const double *x,
                   size_t columns, size_t rows, double *out)
{
    const float *weight = tensor(gguf, block, part, "weight");
    const float *bias = tensor(gguf, block, part, "bias");
    for (size_t r = 0; r < rows; r++) {
        out[r] = (double)bias[r];
        for (size_t c = 0; c < columns; c++)
            out[r] += (double)weight[r * columns + c] * x[c];
    }
}

static void norm(const struct gguf *gguf, int block, const char *part, double *x)
{
    const float *weight = tensor(gguf, block, part, "weight");
    const float *bias = tensor(gguf, block, part, "bias");
    double mean = 0;
    double variance = 0;
    for (size_t i = 0; i < DIM; i++)
        mean += x[i] / DIM;
    for (size_t i = 0; i < DIM; i++)
        variance += (x[i] - mean) * (x[i] - mean) / DIM;
    for (size_t i = 0; i < DIM; i++)
        x[i] = (x[i] - mean) / sqrt(variance + 1e-12) * (double)weight[i] + (double)bias[i];
}

static void attend(const double *q, double k[][DIM], double v[][DIM], size_t count, double *out)
{
    enum {
        HEAD = DIM / HEADS
    };

    for (size_t at = 0; at < DIM; at += HEAD) {
        double scores[CONTEXT];
        double sum = 0;
        for (size_t i = 0; i < count; i++) {
            double dot = 0;
            for (size_t d = 0; d < HEAD; d++)
                dot += q[at + d] * k[i][at + d];
            scores[i] = exp(dot / sqrt((double)HEAD));
            sum += scores[i];
        }
        for (size_t d = 0; d < HEAD; d++) {
            out[at + d] = 0;
            for (size_t i = 0; i < count; i++)
                out[at + d] += scores[i] / sum * v[i][at + d];
        }
    }
}

static void block_of(struct reference *r, int block, size_t rows)
{
    double q[CONTEXT][DIM];
    double k[CONTEXT][DIM];
    double v[CONTEXT][DIM];
    for (size_t i = 0; i < rows; i++) {
        linear(r->gguf, block, "attn_q", r->x[i], DIM, DIM, q[i]);
        linear(r->gguf, block, "attn_k", r->x[i], DIM, DIM, k[i]);
        linear(r->gguf, block, "attn_v", r->x[i], DIM, DIM, v[i]);
    }
    for (size_t i = 0; i < rows; i++) {
        double mixed[DIM];
        double more[DIM];
        double up[FFN];
        attend(q[i], k, v, i + 1, mixed);
        linear(r->gguf, block, "attn_output", mixed, DIM, DIM, more);
        for (size_t d = 0; d < DIM; d++)
            r->x[i][d] += more[d];
        norm(r->gguf, block, "attn_output_norm", r->x[i]);
        linear(r->gguf, block, "ffn_up", r->x[i], DIM, FFN, up);
        for (size_t d = 0; d < FFN; d++)
            up[d] = up[d] / 2 * (1 + erf(up[d] / sqrt(2.0)));
        linear(r->gguf, block, "ffn_down", up, FFN, DIM, more);
        for (size_t d = 0; d < DIM; d++)
            r->x[i][d] += more[d];
        norm(r->gguf, block, "layer_output_norm", r->x[i]);
    }
}

/* The user's vector, of the newest ids that fit; `without`: leave out that index of them. */
static void reference_vector(struct reference *r, const int32_t *ids, size_t count, double *out)
{
    if (count > CONTEXT) {
        ids += count - CONTEXT;
        count = CONTEXT;
    }
    const float *items = tensor(r->gguf, -1, "item_embd", "weight");
    const float *positions = tensor(r->gguf, -1, "position_embd", "weight");
    for (size_t i = 0; i < count; i++) {
        for (size_t d = 0; d < DIM; d++)
            r->x[i][d] = (double)items[(size_t)ids[i] * DIM + d] +
                         (double)positions[(CONTEXT - count + i) * DIM + d];
        norm(r->gguf, -1, "embd_norm", r->x[i]);
    }
    for (int block = 0; block < 2; block++)
        block_of(r, block, count);
    memcpy(out, r->x[count - 1], DIM * sizeof *out);
}

static double mean_score(const struct reference *r, const struct sasrec_answer *answer,
                         const double *vector)
{
    const float *items = tensor(r->gguf, -1, "item_embd", "weight");
    double sum = 0;
    for (uint32_t i = 0; i < answer->hit_count; i++)
        for (size_t d = 0; d < DIM; d++)
            sum += vector[d] * (double)items[(size_t)answer->hits[i].row * DIM + d];
    return sum / answer->hit_count;
}

static void check_weights(struct reference *r, const struct sasrec_request *request,
                          const struct sasrec_answer *answer, double mean)
{
    uint32_t old = request->id_count > CONTEXT ? request->id_count - CONTEXT : 0;
    for (uint32_t i = 0; i < request->id_count; i++) {
        if (i < old) {
            assert_true(answer->weights[i] == 0);
            continue;
        }
        int32_t others[CONTEXT];
        size_t count = 0;
        for (uint32_t k = old; k < request->id_count; k++)
            if (k != i) others[count++] = request->ids[k];
        double vector[DIM] = {0};
        if (count > 0) reference_vector(r, others, count, vector);
        double want = mean - mean_score(r, answer, vector);
        assert_true(fabs((double)answer->weights[i] - want) < 1e-4);
    }
}

static void vectors_scores_and_weights_are_those_of_the_paper_in_double(void **state)
{
    (void)state;
    struct users *users = mem_new(1, sizeof *users);
    struct reference *r = mem_new(1, sizeof *r);
    draw_users(users);
    assert_int_equal(gguf_open(&r->gguf, path), ERR_OK);
    struct stand stand = stand_of(&ops, team);
    sasrec_run(stand.runner, users->requests, USERS);
    for (size_t i = 0; i < USERS; i++) {
        const struct sasrec_answer *answer = sasrec_answer(stand.runner, i);
        double vector[DIM];
        reference_vector(r, users->ids[i], users->requests[i].id_count, vector);
        for (size_t d = 0; d < DIM; d++)
            assert_true(fabs((double)answer->vector[d] - vector[d]) < 1e-4);
        double score = 0;
        for (uint32_t k = 0; k < answer->hit_count; k++)
            score += (double)answer->hits[k].score / answer->hit_count;
        double mean = mean_score(r, answer, vector);
        assert_true(fabs(score - mean) < 1e-4);
        if (answer->weights) check_weights(r, &users->requests[i], answer, mean);
    }
    end_stand(&stand);
    gguf_close(r->gguf);
    mem_free(r);
    mem_free(users);
}

static void only_the_vector_is_made_when_no_list_is_wanted(void **state)
{
    (void)state;
    struct stand stand = stand_of(&ops, team);
    int32_t ids[] = {1, 2, 3};
    struct sasrec_request request = {.ids = ids, .id_count = 3};
    sasrec_run(stand.runner, &request, 1);
    assert_int_equal(sasrec_answer(stand.runner, 0)->hit_count, 0);
    assert_int_equal(sasrec_scored(stand.runner), 0);
    end_stand(&stand);
}

static void the_text_pack_names_the_rows(void **state)
{
    (void)state;
    struct stand stand = stand_of(&ops, team);
    const struct sasrec_shape *shape = sasrec_shape(stand.model);
    assert_int_equal(shape->item_count, ITEMS);
    assert_string_equal(shape->name, "tiny sasrec");
    assert_true(sasrec_is(path));
    const struct buf *pack = sasrec_pack(stand.model);
    struct gguf *gguf;
    assert_int_equal(gguf_parse(&gguf, pack->data, pack->size), ERR_OK);
    struct gguf_string *names = mem_new(ITEMS, sizeof *names);
    assert_int_equal(gguf_get_strings(gguf, "sasrec.item_ids", names, ITEMS), ERR_OK);
    assert_memory_equal(names[ITEMS - 1].text, "item-1499", 9);
    mem_free(names);
    gguf_close(gguf);
    end_stand(&stand);
}

/* The file with `size` bytes of `value` at `offset` behind the first occurrence of `name`. */
static enum err load_damaged(const char *name, size_t offset, const void *value, size_t size)
{
    struct buf image = {0};
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    while (!feof(file)) {
        size_t got = fread(buf_grow(&image, 65536), 1, 65536, file);
        image.size -= 65536 - got;
    }
    fclose(file);
    char *found = memmem(image.data, image.size, name, strlen(name));
    assert_non_null(found);
    memcpy(found + strlen(name) + offset, value, size);
    char damaged[TINY_MODEL_PATH_MAX];
    tiny_model_file_bytes(damaged, image.data, image.size);
    struct sasrec *model;
    enum err err = sasrec_load(&model, damaged, &ops, team);
    if (!err) sasrec_free(model);
    unlink(damaged);
    buf_fini(&image);
    return err;
}

static void a_broken_file_is_refused_by_what_is_wrong(void **state)
{
    (void)state;
    uint32_t value = 0;
    assert_int_equal(load_damaged("sasrec.block_count", 4, &value, 4), ERR_FORMAT);
    assert_non_null(strstr(err_text(), "sasrec.block_count is 0"));
    value = 3;
    assert_int_equal(load_damaged("sasrec.block_count", 4, &value, 4), ERR_FORMAT);
    assert_non_null(strstr(err_text(), "'blk.2.attn_q.weight' is missing"));
    value = 5;
    assert_int_equal(load_damaged("sasrec.attention.head_count", 4, &value, 4), ERR_FORMAT);
    assert_non_null(strstr(err_text(), "does not divide"));
    value = 21;
    assert_int_equal(load_damaged("sasrec.context_length", 4, &value, 4), ERR_FORMAT);
    assert_non_null(strstr(err_text(), "'position_embd.weight' is 48 x 20, not 48 x 21"));
    float epsilon = -1;
    assert_int_equal(load_damaged("layer_norm_epsilon", 4, &epsilon, 4), ERR_FORMAT);
    assert_non_null(strstr(err_text(), "layer_norm_epsilon is -1"));
    assert_int_equal(load_damaged("general.architecture", 12, "gptrec", 6), ERR_UNSUPPORTED);
    uint64_t rows = ITEMS - 1;
    assert_int_equal(load_damaged("item_embd.weight", 12, &rows, 8), ERR_FORMAT);
    assert_non_null(strstr(err_text(), "sasrec.item_ids"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_are_the_same_bytes_at_any_batch_size_on_any_rung),
        cmocka_unit_test(vectors_scores_and_weights_are_those_of_the_paper_in_double),
        cmocka_unit_test(only_the_vector_is_made_when_no_list_is_wanted),
        cmocka_unit_test(the_text_pack_names_the_rows),
        cmocka_unit_test(a_broken_file_is_refused_by_what_is_wrong),
    };
    return cmocka_run_group_tests(tests, make_model, end_model);
}
