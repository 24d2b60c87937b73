#include "node/model/scratch.h"

#include "node/engine/kv.h"
#include "node/model/weights.h"

#include "kernels/mathf.h"

#include "base/mem.h"
#include "base/must.h"

enum {
    SCRATCH_ALIGN = 64
};

/* Memory is laid out twice by the same lines: over nothing, to learn its size, then for good. */
struct carver {
    unsigned char *base; // NULL the first time
    size_t used;
    size_t most; // that was ever used: a group may begin again where another began
};

static void *carve(struct carver *carver, size_t count, size_t size)
{
    void *at = carver->base ? carver->base + carver->used : NULL;
    carver->used += (count * size + SCRATCH_ALIGN - 1) / SCRATCH_ALIGN * SCRATCH_ALIGN;
    if (carver->used > carver->most) carver->most = carver->used;
    return at;
}

static size_t input_width(const struct forward *f)
{
    size_t dim = f->model->shape.dim;
    return dim > f->q_dim ? dim : f->q_dim;
}

/* Every product stays below 2^50: the model's bounds are those of weights.h, the limits' are checked by
 * forward_new(). Returns the size. */
static size_t lay_out(struct forward *f, unsigned char *base)
{
    const struct model_shape *shape = &f->model->shape;
    size_t rows = f->limits.rows_max;
    size_t blocks = kv_blocks_for(f->limits.context_max);
    size_t pairs = shape->rope_dim / 2;
    struct carver carver = {.base = base};
    struct scratch *s = &f->s;
    s->rows = carve(&carver, rows, sizeof(struct row));
    s->spans = carve(&carver, rows, sizeof(struct span));
    s->blocks = carve(&carver, rows * blocks, sizeof(void *));
    s->x = carve(&carver, rows * shape->dim, sizeof(float));
    s->norm = carve(&carver, rows * shape->dim, sizeof(float));
    s->cosines = carve(&carver, rows * pairs, sizeof(float));
    s->sines = carve(&carver, rows * pairs, sizeof(float));
    s->acts = carve(&carver, matmul_acts_size(rows * input_width(f)), 1);
    s->gated_acts = carve(&carver, matmul_acts_size(rows * shape->ffn_dim), 1);

    size_t shared = carver.used;
    s->q = carve(&carver, rows * f->q_dim, sizeof(float));
    s->k = carve(&carver, rows * f->kv_dim, sizeof(float));
    s->v = carve(&carver, rows * f->kv_dim, sizeof(float));
    s->mixed = carve(&carver, rows * f->q_dim, sizeof(float));
    carver.used = shared;
    s->gate = carve(&carver, rows * shape->ffn_dim, sizeof(float));
    s->up = carve(&carver, rows * shape->ffn_dim, sizeof(float));
    carver.used = shared;
    s->logits = carve(&carver, (size_t)f->limits.logits_max * shape->vocab_size, sizeof(float));
    return carver.most;
}

/* The angle of a position is position * base^(-2i / rope_dim) / factor, in double. */
static void fill_frequencies(struct forward *f)
{
    const struct model *model = f->model;
    for (uint32_t i = 0; i < model->shape.rope_dim / 2; i++) {
        double exponent = -2.0 * i / model->shape.rope_dim;
        double factor = model->rope_factors ? (double)model->rope_factors[i] : 1;
        f->rope_frequencies[i] = mathd_pow((double)model->shape.rope_base, exponent) / factor;
    }
}

enum err forward_new(struct forward **out, const struct model *model, struct kv_pool *pool,
                     struct team *team, const struct forward_limits *limits)
{
    must(limits->rows_max > 0 && limits->logits_max <= MODEL_VOCAB_MAX);
    must(limits->context_max > 0 && limits->context_max <= MODEL_CONTEXT_MAX);
    if (limits->rows_max > FORWARD_ROWS_MAX) {
        return err_note(ERR_INVALID, "forward: steps of %u tokens, at most %d", limits->rows_max,
                        FORWARD_ROWS_MAX);
    }
    struct forward *f = mem_new(1, sizeof *f);
    f->model = model;
    f->ops = model->ops;
    f->pool = pool;
    f->team = team;
    f->limits = *limits;
    f->q_dim = (size_t)model->shape.head_count * model->shape.head_dim;
    f->kv_dim = (size_t)model->shape.kv_head_count * model->shape.head_dim;
    f->memory_size = lay_out(f, NULL);
    f->memory = mem_map(f->memory_size);
    if (!f->memory) {
        size_t size = f->memory_size;
        forward_free(f);
        return err_note(ERR_NO_MEMORY,
                        "forward: the system refused %zu bytes for %u rows and %u positions", size,
                        limits->rows_max, limits->context_max);
    }
    lay_out(f, f->memory);
    matmul_acts_init(&f->acts, limits->rows_max * input_width(f), f->s.acts);
    matmul_acts_init(&f->gated, (size_t)limits->rows_max * model->shape.ffn_dim, f->s.gated_acts);
    fill_frequencies(f);
    *out = f;
    return ERR_OK;
}

void forward_free(struct forward *forward)
{
    if (!forward) return;
    mem_unmap(forward->memory, forward->memory_size);
    mem_free(forward);
}
