/* The way of a file into memory: open, digest, shape, bind, one mapping for everything, pack matrix by matrix
 * over the team, each one's source pages let go as soon as it is packed, so that the file and its packed form
 * are never resident both in full. */
#include "node/model/weights.h"

#include "kernels/matmul.h"
#include "kernels/numerics.h"

#include "base/gguf.h"
#include "base/mem.h"
#include "base/must.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

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

/* A model without a name is called by its file: "a/b/tiny-Q8_0.gguf" is "tiny-Q8_0". */
static void name_by_path(struct model_shape *shape, const char *path)
{
    if (shape->name[0]) return;
    const char *slash = strrchr(path, '/');
    const char *stem = slash ? slash + 1 : path;
    size_t size = strlen(stem);
    if (size > 5 && strcmp(stem + size - 5, ".gguf") == 0) size -= 5;
    if (size >= sizeof shape->name) size = sizeof shape->name - 1;
    memcpy(shape->name, stem, size);
}

static size_t padded(size_t size)
{
    return (size + PACK_ALIGN - 1) / PACK_ALIGN * PACK_ALIGN;
}

static size_t room_of(const struct binding *binding, enum float_gemm float_gemm)
{
    const struct gguf_tensor *tensor = binding->tensor;
    if (binding->vector) return padded((size_t)tensor->size);
    return padded(packed_size(packed_kind_of(tensor->type, float_gemm), (size_t)tensor->dims[1],
                              (size_t)tensor->dims[0]));
}

/* The pages that lie wholly in the tensor will not be read again. */
static void release_pages(const struct gguf_tensor *tensor)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t begin = ((uintptr_t)tensor->data + page - 1) / page * page;
    uintptr_t end = ((uintptr_t)tensor->data + (uintptr_t)tensor->size) / page * page;
    if (begin < end)
        madvise((void *)begin, end - begin, MADV_DONTNEED); // advice: failing costs memory
}

static void pack_binding(const struct binding *binding, void *area,
                         const struct model_options *options)
{
    const struct gguf_tensor *tensor = binding->tensor;
    if (binding->vector) {
        memcpy(area, tensor->data, (size_t)tensor->size);
        *binding->vector = area;
    } else {
        enum packed_kind kind = packed_kind_of(tensor->type, float_gemm_of(options));
        packed_init(binding->matrix, kind, (size_t)tensor->dims[1], (size_t)tensor->dims[0], area);
        matmul_pack(options->team, binding->matrix, tensor->type, tensor->data);
    }
    release_pages(tensor);
}

static enum err pack_all(struct model *model, const struct binding *bindings, size_t count,
                         const struct model_options *options)
{
    size_t size = 0; // at most 2^55: model_read_shape() bounds rows, columns and layers
    for (size_t i = 0; i < count; i++)
        size += room_of(&bindings[i], float_gemm_of(options));
    model->memory = mem_map(size);
    if (!model->memory) {
        return err_note(ERR_NO_MEMORY, "model: the system refused %zu bytes for the packed weights",
                        size);
    }
    model->memory_size = size;
    unsigned char *area = model->memory;
    for (size_t i = 0; i < count; i++) {
        pack_binding(&bindings[i], area, options);
        area += room_of(&bindings[i], float_gemm_of(options));
    }
    if (model->shape.tied) model->head = model->embedding;
    return ERR_OK;
}

static enum err load(struct model *model, const struct gguf *gguf, const char *path,
                     const struct model_options *options)
{
    TRY(model_read_shape(&model->shape, gguf, options->context_max));
    name_by_path(&model->shape, path);
    struct binding *bindings;
    size_t count;
    TRY(model_bind(model, gguf, &bindings, &count));
    size_t size;
    const void *bytes = gguf_bytes(gguf, &size);
    model->digest = digest_of(bytes, size); // reads the whole file once, before any page is let go
    enum err err = gguf_write_pack(gguf, &model->pack);
    if (!err) err = pack_all(model, bindings, count, options);
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
    mem_unmap(model->memory, model->memory_size);
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
    return &model->digest;
}

const struct digest *model_numerics(const struct model *model)
{
    return &model->numerics;
}

const struct buf *model_pack(const struct model *model)
{
    return &model->pack;
}
