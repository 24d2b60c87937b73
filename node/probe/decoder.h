/* node/probe/decoder.h -- a model and all that runs it, in the caller's thread and without an engine: for
 * qiao-probe, tests and benches.
 *
 * Thread: one owner, who leads the team. */
#ifndef NODE_PROBE_DECODER_H
#define NODE_PROBE_DECODER_H

#include "node/model/forward.h"
#include "node/model/model.h"

#include "kernels/ops.h"

#include "base/err.h"

#include <stdint.h>

struct kv_pool;
struct kv_table;
struct team;

struct decoder {
    struct ops ops;
    struct team *team;
    struct model *model;
    struct kv_pool *pool;
    struct forward *forward;
    struct forward_limits limits;
};

struct decoder_options {
    const char *model; // path of a GGUF file
    const char *rung;  // NULL or "": QIAO_CPU's, or the highest
    uint32_t threads;  // 0: one for each core that this process may use
    enum model_float_gemm float_gemm;
    enum kv_kind kv;
    uint32_t context_max;   // 0: as trained; a smaller one limits it
    uint32_t rows_max;      // of a step; 0: 512
    uint32_t sequences_max; // whole contexts that the pool has room for; 0: one
    void (*progress)(void *argument, uint64_t done, uint64_t total); // of loading; NULL: silence
};

enum err decoder_new(struct decoder **out, const struct decoder_options *options);
void decoder_free(struct decoder *decoder);

/* Run `count` > 0 further tokens of the sequence in `table`, in steps of at most `chunk` rows (0: rows_max); the
 * logits of the last one are forward_logits(decoder->forward, 0). ERR_INVALID names an id that the model does
 * not have, ERR_TOO_LONG a sequence beyond the context, ERR_NO_MEMORY an empty pool. */
enum err decoder_extend(struct decoder *decoder, struct kv_table *table, const int32_t *ids,
                        uint32_t count, uint32_t chunk);

#endif
