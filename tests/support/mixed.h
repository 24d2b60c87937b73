/* tests/support/mixed.h -- requests of every kind through an engine, and what came of them.
 *
 * Prompts and answers of all lengths; greedy and sampled, with and without penalties, biases and log-probabilities;
 * three priorities. The same seed gives the same requests. A sequence's link is the request's index. Failures are
 * CMocka's. */
#ifndef TESTS_SUPPORT_MIXED_H
#define TESTS_SUPPORT_MIXED_H

#include "node/engine/sampler.h"

#include "wire/message.h"

#include "base/digest.h"
#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

struct engine;

enum {
    MIXED_PROMPT_MAX = 110,
    MIXED_ANSWER_MAX = 60,
    MIXED_VECTOR = 8
};

/* A request, and what came of it. */
struct mixed {
    int32_t prompt[MIXED_PROMPT_MAX + MIXED_ANSWER_MAX];
    int32_t stop_ids[2];
    struct wire_submit submit;
    struct wire_bias bias;
    struct wire_salt salt;
    struct sampler_pick picks[MIXED_ANSWER_MAX];
    size_t pick_count;
    float vector[MIXED_VECTOR]; // of what was answered at once
    size_t vector_size;
    uint32_t first_position;
    size_t ends;
    enum wire_finish finish;
    enum err err;
    uint32_t admissions;
    uint32_t cached_tokens;
};

void mixed_given(struct mixed *requests, size_t count, uint32_t vocab_size);
/* Make them relatives: of three, the second begins as the first does and the third is the second's twin (another choice
 * of the same prompt); every other three belong to another tenant. What they ask stays without a salt. */
void mixed_relate(struct mixed *requests, size_t count);
/* Every `nth` of them asks for its vector instead of an answer. */
void mixed_embed(struct mixed *requests, size_t count, size_t nth);
/* Let them share blocks within each tenant. */
void mixed_salt(struct mixed *requests, size_t count);
void mixed_submit(struct engine *engine, struct mixed *requests, size_t index, uint32_t context);
/* Read what came, and check its order; how many ended. */
size_t mixed_collect(struct engine *engine, struct mixed *requests);
/* Submit all and turn the engine, which no thread runs, until all have ended. */
void mixed_run(struct engine *engine, struct mixed *requests, size_t count, uint32_t context);
/* Ids, log-probabilities, vectors and ends, bit for bit. */
void mixed_assert_same(const struct mixed *a, const struct mixed *b, size_t count);
struct digest mixed_digest(const struct mixed *requests, size_t count);

#endif
