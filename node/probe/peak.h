/* node/probe/peak.h -- what this machine can do at best: bytes read from memory and products in registers.
 *
 * A speed is a fraction of one of these: decode at batch 1 reads every weight for one token and is held by the memory,
 * prefill and large batches by the products. Each figure is the best of several short runs, because whatever disturbs
 * a run can only make it slower.
 *
 *      read    bytes per second of a sum over a buffer that no cache holds, with small or huge pages
 *      others  operations per second, a product and its addition counted as two, operands in registers
 *
 * Thread: one, who leads a team of its own. */
#ifndef NODE_PROBE_PEAK_H
#define NODE_PROBE_PEAK_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

enum peak_kind {
    PEAK_READ,
    PEAK_INT8,
    PEAK_BF16,
    PEAK_F32,
    PEAK_KIND_COUNT
};

enum {
    PEAK_WAYS_MAX = 16
};

/* One way of doing a kind of work on this machine. */
struct peak_way {
    enum peak_kind kind;
    const char *name; // "avx512-vnni", "amx", "huge pages", ...
    double per_second;
};

struct peaks {
    uint32_t threads;
    struct peak_way ways[PEAK_WAYS_MAX]; // the usable ones
    size_t way_count;
    double best[PEAK_KIND_COUNT]; // 0: none
};

struct peak_options {
    uint32_t threads;    // 0: one for each core that this process may use
    uint64_t read_bytes; // of the buffer; 0: 1 GiB, or an eighth of the memory where that is less
    uint32_t run_ms;     // of one run; 0: 60
    uint32_t runs;       // 0: 5
};

/* ERR_NO_MEMORY: the buffer; ERR_IO, ERR_INVALID: the team. */
enum err peak_measure(struct peaks *out, const struct peak_options *options);

const char *peak_kind_name(enum peak_kind kind);

#endif
