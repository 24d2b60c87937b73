/* The way of a file into memory: open, shape, bind, one mapping for everything, then one pass over the file.
 *
 *      file     head | tensor      | tensor | ...                    in the file's order
 *      windows  [======][======][==][=======]                        at most WINDOW_BYTES of a tensor each
 *
 * A window is one job of the team: one part digests what the file has up to its end, the others pack its tiles.
 * Then its pages are let go, so that the file and its packed form are never resident both. */
#include "node/model/weights.h"

#include "kernels/numerics.h"
#include "kernels/pack.h"
#include "kernels/team.h"

#include "base/gguf.h"
#include "base/mem.h"
#include "base/must.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
    WINDOW_BYTES = 8 << 20, // of the file, resident beside what is packed
    PART_TILES = 4
};

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

/* The pass over the file. `digested` is how far it has come; all before `released` is let go. */
struct pass {
    const struct model_options *options;
    const unsigned char *bytes; // the file
    size_t size;
    size_t digested;
    size_t released;
    struct digester *digester;
};

struct window {
    const struct pass *pass;
    size_t end; // digest up to here
    struct packed *matrix;
    const struct gguf_tensor *tensor;
    size_t tile_begin, tile_end;
};

static void window_part(void *argument, size_t part, size_t lane)
{
    (void)lane;
    const struct window *window = argument;
    const struct pass *pass = window->pass;
    if (part == 0) { // the longest: first
        digester_add(pass->digester, pass->bytes + pass->digested, window->end - pass->digested);
        return;
    }
    size_t begin = window->tile_begin + (part - 1) * PART_TILES;
    size_t end = begin + PART_TILES;
    pack_rows(window->matrix, window->tensor->type, window->tensor->data, begin,
              end < window->tile_end ? end : window->tile_end);
}

/* Whole pages before `end` will not be read again (if they are after all, they come back from the file). */
static void release_pages(struct pass *pass, size_t end)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    end = end / page * page;
    if (end <= pass->released) return;
    // A mapping starts at a page; advice that fails costs memory and nothing else.
    madvise((void *)(uintptr_t)(pass->bytes + pass->released), end - pass->released, MADV_DONTNEED);
    pass->released = end;
}

/* Let the system read ahead what comes after a window. */
static void fetch_next(const struct pass *pass, size_t begin)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    begin = begin / page * page;
    size_t left = pass->size - begin;
    madvise((void *)(uintptr_t)(pass->bytes + begin), left < WINDOW_BYTES ? left : WINDOW_BYTES,
            MADV_WILLNEED);
}

static void run_window(struct pass *pass, struct window *window)
{
    // A tensor that lies within another of a strange file has been digested with it.
    if (window->end < pass->digested) window->end = pass->digested;
    window->pass = pass;
    fetch_next(pass, window->end);
    size_t tiles = window->tile_end - window->tile_begin;
    team_run(pass->options->team, 1 + (tiles + PART_TILES - 1) / PART_TILES, window_part, window);
    pass->digested = window->end;
    release_pages(pass, pass->digested);
    const struct model_options *options = pass->options;
    if (options->progress)
        options->progress(options->progress_argument, pass->digested, pass->size);
}

/* The matrix of a binding over `area`, by windows. */
static void pack_matrix(struct pass *pass, const struct binding *binding, void *area)
{
    const struct gguf_tensor *tensor = binding->tensor;
    struct packed *matrix = binding->matrix;
    size_t rows = (size_t)tensor->dims[1];
    packed_init(matrix, packed_kind_of(tensor->type, float_gemm_of(pass->options)), rows,
                (size_t)tensor->dims[0], area);
    size_t offset = (size_t)((const unsigned char *)tensor->data - pass->bytes);
    size_t row_size = (size_t)tensor->size / rows;
    size_t tiles = WINDOW_BYTES / (row_size * PACK_TILE);
    if (tiles == 0) tiles = 1;
    for (size_t tile = 0; tile < packed_tiles(matrix); tile += tiles) {
        size_t end = tile + tiles;
        if (end > packed_tiles(matrix)) end = packed_tiles(matrix);
        size_t end_row = end * PACK_TILE < rows ? end * PACK_TILE : rows;
        struct window window = {
            .matrix = matrix,
            .tensor = tensor,
            .tile_begin = tile,
            .tile_end = end,
            .end = offset + end_row * row_size,
        };
        run_window(pass, &window);
    }
}

static void pack_vector(const struct binding *binding, void *area)
{
    memcpy(area, binding->tensor->data, (size_t)binding->tensor->size);
    *binding->vector = area;
}

static int by_place(const void *left, const void *right)
{
    const struct binding *a = left;
    const struct binding *b = right;
    uintptr_t first = (uintptr_t)a->tensor->data;
    uintptr_t second = (uintptr_t)b->tensor->data;
    return first < second ? -1 : first > second;
}

/* One pass over the file: everything packed into model->memory, the digest in model->digest. */
static void pack_all(struct model *model, const struct gguf *gguf, const struct binding *bindings,
                     size_t count, const struct model_options *options)
{
    struct pass pass = {.options = options, .digester = digester_new()};
    pass.bytes = gguf_bytes(gguf, &pass.size);
    unsigned char *area = model->memory;
    for (size_t i = 0; i < count; i++) {
        if (bindings[i].vector)
            pack_vector(&bindings[i], area);
        else
            pack_matrix(&pass, &bindings[i], area);
        area += room_of(&bindings[i], float_gemm_of(options));
    }
    struct window rest = {.end = pass.size};
    run_window(&pass, &rest);
    model->digest = digester_end(pass.digester);
    if (model->shape.tied) model->head = model->embedding;
}

static enum err take_room(struct model *model, const struct binding *bindings, size_t count,
                          enum float_gemm float_gemm)
{
    size_t size = 0; // at most 2^55: model_read_shape() bounds rows, columns and layers
    for (size_t i = 0; i < count; i++)
        size += room_of(&bindings[i], float_gemm);
    model->memory = mem_map(size);
    if (!model->memory) {
        return err_note(ERR_NO_MEMORY, "model: the system refused %zu bytes for the packed weights",
                        size);
    }
    model->memory_size = size;
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
    qsort(bindings, count, sizeof *bindings, by_place);
    enum err err = gguf_write_pack(gguf, &model->pack);
    if (!err) err = take_room(model, bindings, count, float_gemm_of(options));
    if (!err) pack_all(model, gguf, bindings, count, options);
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
