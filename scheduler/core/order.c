#include "scheduler/core/order.h"

#include "wire/block.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/must.h"

#include <inttypes.h>
#include <string.h>

enum err order_check(const struct flight_order *order, uint64_t now_ns)
{
    must(order->stop_id_count <= WIRE_STOP_IDS_MAX);
    must(order->sampling.bias_count <= WIRE_LOGIT_BIAS_MAX);
    must(!order_is_whole(order) || order->max_tokens == 0);
    must(order->top_count <= WIRE_RESULT_IDS_MAX && order->excluded_count <= WIRE_EXCLUDED_MAX);
    must(order->filter_size <= WIRE_FILTER_MAX && order->candidate_count <= WIRE_CANDIDATES_MAX);
    must(order->kind == WIRE_SCAN || order->shard_count == 0);
    must(order->shard_count <= WIRE_SCAN_SHARDS_MAX && order->query_size <= WIRE_VECTOR_MAX);
    if (order_is_late(order, now_ns))
        return err_note(ERR_TIMEOUT, "the deadline had passed before the request was sent");
    if (order->kind == WIRE_SCAN)
        return order->shard_count > 0 && order->query_size > 0
                   ? ERR_OK
                   : err_note(ERR_INVALID, "there is nothing to scan");
    if (order->id_count == 0) return err_note(ERR_INVALID, "the prompt is empty");
    if (order->id_count > WIRE_IDS_MAX || order->max_tokens > WIRE_IDS_MAX - order->id_count)
        return err_note(ERR_TOO_LONG, "%zu tokens of prompt and %" PRIu32 " of answer exceed %d",
                        order->id_count, order->max_tokens, WIRE_IDS_MAX);
    return ERR_OK;
}

static void *copy(const void *things, size_t count, size_t size)
{
    void *mine = mem_new(count ? count : 1, size);
    if (count) memcpy(mine, things, count * size);
    return mine;
}

void order_copy(struct flight_order *out, const struct flight_order *order)
{
    const struct wire_sampling *sampling = &order->sampling;
    *out = *order;
    out->ids = NULL;
    out->stop_ids = copy(order->stop_ids, order->stop_id_count, sizeof *order->stop_ids);
    out->excluded = copy(order->excluded, order->excluded_count, sizeof *order->excluded);
    out->candidates = copy(order->candidates, order->candidate_count, sizeof *order->candidates);
    out->filter_bits = copy(order->filter_bits, order->filter_size, 1);
    out->query = copy(order->query, order->query_size, sizeof *order->query);
    out->shards = copy(order->shards, order->shard_count, sizeof *order->shards);
    out->regions = copy(order->regions, order->region_count, sizeof *order->regions);
    out->sampling.bias = copy(sampling->bias, sampling->bias_count, sizeof *sampling->bias);
}

static void free_borrowed(const void *mine)
{
    void *memory;
    memcpy(&memory, &mine, sizeof memory);
    mem_free(memory);
}

void order_fini(struct flight_order *order)
{
    free_borrowed(order->stop_ids);
    free_borrowed(order->excluded);
    free_borrowed(order->candidates);
    free_borrowed(order->filter_bits);
    free_borrowed(order->query);
    free_borrowed(order->shards);
    free_borrowed(order->regions);
    free_borrowed(order->sampling.bias);
}

bool order_is_whole(const struct flight_order *order)
{
    return order->kind != 0 && order->kind != WIRE_GENERATE;
}

bool order_stops(const struct flight_order *order, int32_t id)
{
    for (size_t i = 0; i < order->stop_id_count; i++)
        if (id == order->stop_ids[i]) return true;
    return false;
}

bool order_is_late(const struct flight_order *order, uint64_t now_ns)
{
    return order->deadline_ns != 0 && now_ns >= order->deadline_ns;
}

/* Whole milliseconds to the deadline, at least 1; 0 when there is none. */
static uint32_t deadline_ms(const struct flight_order *order, uint64_t now_ns)
{
    if (order->deadline_ns == 0) return 0;
    uint64_t left = (order->deadline_ns - now_ns + CLOCK_MS - 1) / CLOCK_MS;
    return left < UINT32_MAX ? (uint32_t)left : UINT32_MAX;
}

static uint64_t salt_of(const struct flight_order *order, size_t block)
{
    return order->own_salt && block >= order->common_blocks ? order->own_salt : order->salt;
}

static size_t write_salts(const struct flight_order *order, struct wire_salt salts[ORDER_SALTS_MAX])
{
    if (order->salt == 0) return 0;
    salts[0] = (struct wire_salt){.first_block = 0, .salt = salt_of(order, 0)};
    if (order->own_salt == 0 || order->common_blocks == 0) return 1;
    salts[1] = (struct wire_salt){.first_block = order->common_blocks, .salt = order->own_salt};
    return 2;
}

void order_submit(const struct flight_order *order, const struct wire_key *key, const int32_t *ids,
                  size_t id_count, uint64_t now_ns, struct wire_salt salts[ORDER_SALTS_MAX],
                  struct wire_message *out)
{
    size_t salt_count = write_salts(order, salts);
    *out = (struct wire_message){.type = WIRE_SUBMIT,
                                 .submit = {.protocol = WIRE_PROTOCOL,
                                            .kind = order->kind ? order->kind : WIRE_GENERATE,
                                            .key = *key,
                                            .model = order->model,
                                            .adapter = order->adapter,
                                            .numerics = order->numerics,
                                            .ids = ids,
                                            .id_count = id_count,
                                            .prompt_length = (uint32_t)order->id_count,
                                            .next_position = (uint32_t)id_count,
                                            .max_tokens = order->max_tokens,
                                            .segment = order->segment,
                                            .top_count = order->top_count,
                                            .excluded = order->excluded,
                                            .excluded_count = order->excluded_count,
                                            .candidates = order->candidates,
                                            .candidate_count = order->candidate_count,
                                            .filter = order->filter,
                                            .filter_bits = order->filter_bits,
                                            .filter_size = order->filter_size,
                                            .row_begin = order->row_begin,
                                            .row_end = order->row_end,
                                            .explain = order->explain,
                                            .query = order->query,
                                            .query_size = order->query_size,
                                            .shards = order->shards,
                                            .shard_count = order->shard_count,
                                            .want_vector = order->want_vector,
                                            .stop_ids = order->stop_ids,
                                            .stop_id_count = order->stop_id_count,
                                            .sampling = order->sampling,
                                            .tenant = order->tenant,
                                            .tenant_weight = order->tenant_weight,
                                            .priority = order->priority,
                                            .deadline_ms = deadline_ms(order, now_ns),
                                            .salts = salt_count ? salts : NULL,
                                            .salt_count = salt_count,
                                            .cache_ms = order->cache_ms}};
    memcpy(out->submit.trace, order->trace, sizeof out->submit.trace);
}

size_t order_block_count(const struct flight_order *order, size_t id_count)
{
    return order->salt == 0 || id_count == 0 ? 0 : (id_count - 1) / WIRE_BLOCK_TOKENS;
}

void order_name_blocks(const struct flight_order *order, const int32_t *ids, size_t from,
                       size_t count, uint64_t *out)
{
    uint64_t hash = from > 0 ? out[from - 1] : block_root(&order->model, &order->adapter);
    for (size_t i = from; i < count; i++)
        out[i] = hash = block_hash(hash, salt_of(order, i), ids + i * WIRE_BLOCK_TOKENS);
}
