#include "node/model/hyper.h"
#include "node/model/weights.h"

#include "kernels/numerics.h"

#include "base/gguf.h"
#include "base/mem.h"
#include "base/must.h"

#include <stdio.h>
#include <string.h>

static enum float_gemm float_gemm_of(const struct model_options *options)
{
    return options->float_gemm == MODEL_FLOAT_BLAS ? FLOAT_GEMM_BLAS : FLOAT_GEMM_EXACT;
}

/* What decides the bits of this model's results beside its own bytes. Two nodes may continue one another's
 * streams only when this is equal; the rung and the number of threads are not in it (design promise 1). */
static struct digest digest_numerics(enum float_gemm float_gemm, enum kv_kind kv)
{
    char text[96];
    int size = snprintf(text, sizeof text, "qiao numerics version=%d float_gemm=%s kv=%s",
                        NUMERICS_VERSION, float_gemm == FLOAT_GEMM_BLAS ? "blas" : "exact",
                        kv == KV_INT8 ? "int8" : "f16");
    return digest_of(text, (size_t)size);
}

static enum err load(struct model *model, const struct gguf *gguf, const char *path,
                     const struct model_options *options)
{
    TRY(model_read_shape(&model->shape, gguf, options->context_max));
    hyper_name_by_path(model->shape.name, path);
    struct binding *bindings;
    size_t count;
    TRY(model_bind(model, gguf, &bindings, &count));
    enum err err = gguf_write_pack(gguf, &model->pack);
    struct packing_options packing = {.team = options->team,
                                      .float_gemm = float_gemm_of(options),
                                      .progress = options->progress,
                                      .progress_argument = options->progress_argument};
    if (!err) err = packed_file_new(&model->file, gguf, bindings, count, &packing);
    if (model->shape.tied) model->head = model->embedding;
    mem_free(bindings);
    return err;
}

enum err model_load(struct model **out, const char *path, const struct model_options *options)
{
    must(options->ops && options->team);
    struct gguf *gguf;
    TRY(gguf_open(&gguf, path));
    struct model *model = mem_new(1, sizeof *model);
    model->ops = options->ops;
    model->numerics = digest_numerics(float_gemm_of(options), options->kv);
    model->kv = options->kv;
    enum err err = load(model, gguf, path, options);
    gguf_close(gguf);
    if (err) {
        model_free(model);
        return err;
    }
    *out = model;
    return ERR_OK;
}

void model_free(struct model *model)
{
    if (!model) return;
    packed_file_free(&model->file);
    mem_free(model->layers);
    buf_fini(&model->pack);
    mem_free(model);
}

const struct model_shape *model_shape(const struct model *model)
{
    return &model->shape;
}

enum kv_kind model_kv(const struct model *model)
{
    return model->kv;
}

const struct digest *model_digest(const struct model *model)
{
    return &model->file.digest;
}

const struct digest *model_numerics(const struct model *model)
{
    return &model->numerics;
}

const struct buf *model_pack(const struct model *model)
{
    return &model->pack;
}
