/* node/probe/encoder.h -- an encoder and all that runs it, in the caller's thread and without an engine.
 *
 * Thread: one owner, who leads the team. */
#ifndef NODE_PROBE_ENCODER_H
#define NODE_PROBE_ENCODER_H

#include "node/model/bert.h"

#include "kernels/ops.h"

#include "base/err.h"

struct probe_conf;
struct team;

struct encoder {
    struct ops ops;
    struct team *team;
    struct bert *bert;
    struct bert_run *run;
    struct bert_limits limits;
};

enum {
    ENCODER_TEXTS = 64,
    ENCODER_ROWS = 1024 // of a step, or the context if that is more
};

/* Is it a file that encoder_open() takes? ERR_IO, ERR_FORMAT. */
enum err encoder_is(const char *path, bool *out);
/* By --model, --cpu, --threads, --float-gemm, --context. On failure there is nothing to close. */
enum err encoder_open(struct encoder *out, const struct probe_conf *conf);
void encoder_close(struct encoder *encoder);
/* Texts in as many steps as it takes; each answer's `width` floats go to out + index * width. ERR_TOO_LONG. */
enum err encoder_run(struct encoder *encoder, const struct bert_text *texts, size_t count,
                     size_t width, float *out);

#endif
