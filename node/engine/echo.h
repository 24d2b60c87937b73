/* node/engine/echo.h -- an engine backend without a model: the answer repeats the question.
 *
 * For trying and testing everything around the engine: it has a byte-level vocabulary and a ChatML template of
 * its own, and its logits point so strongly at one id that no ordinary sampling parameter changes it. Of a
 * ChatML prompt the last turn that was ended comes back, of any other the whole prompt; then <|im_end|>. Each
 * step takes the delay that it is given, so an answer can be as slow as a test wants.
 *
 * EMBED is a vector of unit length that texts with the same bytes have in common, SCORE the part of the second text's
 * ids that the first has too.
 *
 * Thread: the engine's, after echo_new(). */
#ifndef NODE_ENGINE_ECHO_H
#define NODE_ENGINE_ECHO_H

#include "node/engine/engine.h"

#include <stdint.h>

struct buf;

enum {
    ECHO_CONTEXT = 8192, // most ids of prompt and answer
    ECHO_VECTOR = 32,
    ECHO_DELAY_MS_MAX = 60000
};

struct echo;

/* Rows of logits for `sequences_max` sequences a step. */
struct echo *echo_new(uint32_t sequences_max, uint32_t delay_ms);
void echo_free(struct echo *echo);
struct engine_backend echo_backend(struct echo *echo);

/* Append the text pack's bytes (base/gguf.h): always the same. */
void echo_write_pack(struct buf *out);

#endif
