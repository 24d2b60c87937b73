/* tests/unit/node/engine/queue_seq.h -- requests of tenants, for the queue's tests. */
#ifndef TESTS_UNIT_NODE_ENGINE_QUEUE_SEQ_H
#define TESTS_UNIT_NODE_ENGINE_QUEUE_SEQ_H

#include "node/engine/seq.h"

#include "wire/message.h"

#include <stdint.h>

enum {
    ANN = 100, // tenants
    BEN,
    CAT
};

/* No two are the same. */
static inline uint64_t queue_seq_ticket(void)
{
    static uint64_t next_ticket = 1;
    return next_ticket++;
}

/* So many ids of prompt and of answer; seq_free() it. */
static inline struct seq *given_seq(uint64_t tenant, uint32_t weight, enum wire_priority priority,
                                    uint32_t prompt, uint32_t answer)
{
    static int32_t ids[4096];
    struct wire_submit submit = {
        .ids = ids,
        .id_count = prompt,
        .prompt_length = prompt,
        .next_position = prompt,
        .max_tokens = answer,
        .tenant = tenant,
        .tenant_weight = weight,
        .priority = priority,
        .deadline_ms = 10,
        .sampling = {.repetition_penalty = 1},
    };
    return seq_new(&submit, queue_seq_ticket(), 0, &(struct seq_room){.context_max = 4096}, 0);
}

#endif
