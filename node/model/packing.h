/* node/model/packing.h -- the way of a file's tensors into memory: one mapping for everything, then one pass.
 *
 *      file     head | tensor      | tensor | ...                    in the file's order
 *      windows  [======][======][==][=======]                        at most 8 MiB of a tensor each
 *
 * A window is one job of the team: one part digests what the file has up to its end, the others pack its tiles.
 * Then its pages are let go, so that the file and its packed form are never resident both. Thread: the team's
 * leader. */
#ifndef NODE_MODEL_PACKING_H
#define NODE_MODEL_PACKING_H

#include "kernels/pack.h"

#include "base/digest.h"
#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

struct binding;
struct gguf;
struct team;

struct packing_options {
    struct team *team;
    enum float_gemm float_gemm;
    /* NULL, or told now and then, by the loading thread, how many of the file's bytes are done. */
    void (*progress)(void *argument, uint64_t done, uint64_t total);
    void *progress_argument;
};

/* All packed matrices and vectors of a file, and the digest of all its bytes. A zeroed one is empty. */
struct packed_file {
    void *memory;
    size_t size;
    struct digest digest;
};

/* Fill the places of all bindings, which it sorts. ERR_NO_MEMORY. */
enum err packed_file_new(struct packed_file *out, const struct gguf *gguf, struct binding *bindings,
                         size_t count, const struct packing_options *options);
void packed_file_free(struct packed_file *image);

#endif
