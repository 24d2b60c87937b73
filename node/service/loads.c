#include "node/service/loads.h"

#include "node/engine/engine.h"

bool loads_differ(const struct engine_load *a, const struct engine_load *b)
{
    return a->running != b->running || a->waiting != b->waiting ||
           a->waiting_tokens != b->waiting_tokens || a->kv.held != b->kv.held ||
           a->kv.cached != b->kv.cached || a->step_us != b->step_us;
}

struct wire_load loads_message(const struct engine_load *load, uint32_t kv_blocks)
{
    return (struct wire_load){.running = load->running,
                              .waiting = load->waiting,
                              .waiting_tokens = load->waiting_tokens,
                              .kv_blocks_used = load->kv.held,
                              .kv_blocks = kv_blocks,
                              .step_us = load->step_us,
                              .prefill_rate = load->prefill_rate,
                              .decode_rate = load->decode_rate,
                              .kv_blocks_cached = load->kv.cached,
                              .kv_evictions = load->kv.evicted,
                              .prefix_hit_tokens = load->batch.hit_tokens,
                              .prefill_tokens = load->batch.miss_tokens,
                              .preemptions = load->batch.preemptions};
}
