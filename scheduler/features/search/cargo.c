#include "scheduler/features/search/cargo.h"

#include "scheduler/core/shards.h"
#include "scheduler/features/search/vector.h"

#include "wire/message.h"

#include "base/mem.h"

#include <string.h>

static void clear_part(struct cargo *cargo)
{
    buf_clear(&cargo->numbers);
    buf_clear(&cargo->scales);
    buf_clear(&cargo->rows);
    buf_clear(&cargo->dropped);
}

static void release_part(struct cargo *cargo)
{
    buf_fini(&cargo->numbers);
    buf_fini(&cargo->scales);
    buf_fini(&cargo->rows);
    buf_fini(&cargo->dropped);
}

void cargo_free(struct cargo *cargo)
{
    release_part(cargo);
    mem_free(cargo->told);
    mem_free(cargo);
}

void cargo_begin(struct cargo *cargo, bool reset, uint64_t version)
{
    clear_part(cargo);
    mem_free(cargo->told);
    cargo->told = mem_new(SHARD_NUMBERS / 8, 1);
    cargo->reset = reset;
    cargo->refreshes = !reset;
    cargo->version = version;
    cargo->state = CARGO_FILLING;
}

void cargo_stop(struct cargo *cargo)
{
    clear_part(cargo);
    mem_free(cargo->told);
    cargo->told = NULL;
    cargo->state = CARGO_WAITING;
}

static size_t count_of(const struct buf *numbers)
{
    return numbers->size / sizeof(int32_t);
}

static void send(struct cargo *cargo, bool complete)
{
    struct wire_message message = {
        .type = WIRE_SHARD_PUT,
        .shard_put = {.shard = cargo->shard,
                      .dims = cargo->size,
                      .version = cargo->version,
                      .reset = cargo->reset,
                      .complete = complete,
                      .numbers = (const int32_t *)(const void *)cargo->numbers.data,
                      .row_count = count_of(&cargo->numbers),
                      .scales = (const float *)(const void *)cargo->scales.data,
                      .rows = (const uint8_t *)cargo->rows.data,
                      .rows_size = cargo->rows.size,
                      .dropped = (const int32_t *)(const void *)cargo->dropped.data,
                      .dropped_count = count_of(&cargo->dropped)}};
    if (!cargo->broken && cargo->road.send(cargo->road.owner, cargo->link, &message, false))
        cargo->broken = true;
    cargo->bytes += cargo->rows.size;
    cargo->reset = false;
    clear_part(cargo);
}

static void mark(struct cargo *cargo, uint32_t number, bool on)
{
    if (!cargo->told) return;
    uint8_t *byte = &cargo->told[number % SHARD_NUMBERS / 8];
    uint8_t bit = (uint8_t)(1u << number % 8);
    *byte = on ? *byte | bit : (uint8_t)(*byte & ~bit);
}

void cargo_put(struct cargo *cargo, const struct vector *vector)
{
    if (cargo->state == CARGO_WAITING || vector->size != cargo->size) return;
    if (cargo->rows.size + vector->size > WIRE_PART_MAX ||
        count_of(&cargo->numbers) == WIRE_SHARD_PUT_MAX)
        send(cargo, false);
    buf_add(&cargo->numbers, &vector->number, sizeof vector->number);
    buf_add(&cargo->scales, &vector->scale, sizeof vector->scale);
    buf_add(&cargo->rows, vector->values, vector->size);
    mark(cargo, vector->number, true);
}

void cargo_drop(struct cargo *cargo, uint32_t number)
{
    if (cargo->state == CARGO_WAITING) return;
    // Of a number in both lists the row would stay.
    if (cargo->rows.size > 0 || count_of(&cargo->dropped) == WIRE_SHARD_PUT_MAX) send(cargo, false);
    buf_add(&cargo->dropped, &number, sizeof number);
    mark(cargo, number, false);
}

/* What the node may have from before, and was not told now. */
static void drop_untold(struct cargo *cargo)
{
    uint32_t first = cargo->index * SHARD_NUMBERS;
    if (cargo->rows.size > 0) send(cargo, false);
    buf_clear(&cargo->dropped);
    for (uint32_t i = 0; i < SHARD_NUMBERS; i++)
        if (!(cargo->told[i / 8] & 1u << i % 8)) cargo_drop(cargo, first + i);
}

void cargo_complete(struct cargo *cargo, uint64_t version)
{
    if (cargo->state == CARGO_WAITING) return;
    bool fills = cargo->state == CARGO_FILLING;
    if (!fills && cargo->numbers.size == 0 && cargo->dropped.size == 0) return;
    if (version > cargo->version) cargo->version = version;
    if (fills && cargo->refreshes) drop_untold(cargo);
    send(cargo, true);
    release_part(cargo);
    mem_free(cargo->told);
    cargo->told = NULL;
    cargo->state = CARGO_SETTLED;
}
