#include "node/model/packing.h"

#include "node/model/bind.h"

#include "kernels/team.h"

#include "base/gguf.h"
#include "base/mem.h"
#include "base/must.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
    WINDOW_BYTES = 8 << 20, // of the file, resident beside what is packed
    PART_TILES = 4
};

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
    const struct packing_options *options;
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
    const struct packing_options *options = pass->options;
    if (options->progress)
        options->progress(options->progress_argument, pass->digested, pass->size);
}

/* The matrix of a binding over `area`, by windows. */
static void pack_matrix(struct pass *pass, const struct binding *binding, void *area)
{
    const struct gguf_tensor *tensor = binding->tensor;
    struct packed *matrix = binding->matrix;
    size_t rows = (size_t)tensor->dims[1];
    packed_init(matrix, packed_kind_of(tensor->type, pass->options->float_gemm), rows,
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

/* One pass over the file: everything packed into image->memory, the digest in image->digest. */
static void pack_all(struct packed_file *image, const struct gguf *gguf,
                     const struct binding *bindings, size_t count,
                     const struct packing_options *options)
{
    struct pass pass = {.options = options, .digester = digester_new()};
    pass.bytes = gguf_bytes(gguf, &pass.size);
    unsigned char *area = image->memory;
    for (size_t i = 0; i < count; i++) {
        if (bindings[i].vector)
            pack_vector(&bindings[i], area);
        else
            pack_matrix(&pass, &bindings[i], area);
        area += room_of(&bindings[i], options->float_gemm);
    }
    struct window rest = {.end = pass.size};
    run_window(&pass, &rest);
    image->digest = digester_end(pass.digester);
}

enum err packed_file_new(struct packed_file *out, const struct gguf *gguf, struct binding *bindings,
                         size_t count, const struct packing_options *options)
{
    must(options->team);
    qsort(bindings, count, sizeof *bindings, by_place);
    size_t size =
        0; // at most 2^55: whoever bound the tensors has bounds for rows, columns and layers
    for (size_t i = 0; i < count; i++)
        size += room_of(&bindings[i], options->float_gemm);
    out->memory = mem_map(size);
    if (!out->memory) {
        return err_note(ERR_NO_MEMORY, "model: the system refused %zu bytes for the packed weights",
                        size);
    }
    out->size = size;
    pack_all(out, gguf, bindings, count, options);
    return ERR_OK;
}

void packed_file_free(struct packed_file *image)
{
    mem_unmap(image->memory, image->size);
}
