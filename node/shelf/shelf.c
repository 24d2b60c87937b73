#include "node/shelf/shelf.h"

#include "node/shelf/slabs.h"

#include "kernels/scan.h"

#include "base/mem.h"
#include "base/must.h"

#include <inttypes.h>
#include <string.h>

enum {
    BUCKETS = 1024 // a power of 2
};

/* A shard, and what is known about it. */
struct entry {
    uint64_t id;
    uint64_t version; // 0: not whole
    uint64_t link;    // who fills it while it is not whole
    struct shelf_shard *shard;
    struct entry *next; // of its bucket
};

struct shelf {
    uint64_t memory;
    struct slabs slabs; // the rows of all blocks
    uint64_t small;     // bytes of blocks and shards beside their rows
    uint64_t refused;
    uint64_t changes;
    struct entry *buckets[BUCKETS];
    size_t count;
    struct wire_shard *list; // [WIRE_SHARDS_MAX], of the latest shelf_state()
};

struct shelf *shelf_new(uint64_t memory)
{
    struct shelf *shelf = mem_new(1, sizeof *shelf);
    shelf->memory = memory;
    shelf->list = mem_new(WIRE_SHARDS_MAX, sizeof *shelf->list);
    return shelf;
}

static uint64_t used(const struct shelf *shelf)
{
    return shelf->slabs.bytes + shelf->small;
}

/* Blocks. */

static size_t rows_size(const struct shelf_shard *shard)
{
    return (size_t)SHELF_BLOCK * shard->width;
}

/* NULL: the system refused. */
static struct shelf_block *new_block(struct shelf *shelf, const struct shelf_shard *shard)
{
    struct slab *slab;
    int8_t *rows = slabs_take(&shelf->slabs, rows_size(shard), &slab);
    if (!rows) return NULL;
    struct shelf_block *block = mem_new(1, sizeof *block);
    block->rows = rows;
    block->slab = slab;
    block->holders = 1;
    shelf->small += sizeof *block;
    return block;
}

static void release_block(struct shelf *shelf, struct shelf_block *block)
{
    must(block->holders > 0);
    if (--block->holders > 0) return;
    slabs_give(&shelf->slabs, block->slab, block->rows);
    shelf->small -= sizeof *block;
    mem_free(block);
}

/* Shards. */

static struct shelf_shard *new_shard(struct shelf *shelf, uint32_t dims)
{
    struct shelf_shard *shard = mem_new(1, sizeof *shard);
    shard->holders = 1;
    shard->dims = dims;
    shard->width = (uint32_t)scan_width(dims);
    shard->first = -1;
    shelf->small += sizeof *shard;
    return shard;
}

static void release_shard(struct shelf *shelf, struct shelf_shard *shard)
{
    must(shard->holders > 0);
    if (--shard->holders > 0) return;
    for (size_t i = 0; i < SHELF_BLOCKS; i++)
        if (shard->blocks[i]) release_block(shelf, shard->blocks[i]);
    shelf->small -= sizeof *shard;
    mem_free(shard);
}

static struct entry **place_of(struct shelf *shelf, uint64_t id)
{
    struct entry **at = &shelf->buckets[id & (BUCKETS - 1)]; // ids are digests
    while (*at && (*at)->id != id)
        at = &(*at)->next;
    return at;
}

static void forget(struct shelf *shelf, struct entry **at)
{
    struct entry *entry = *at;
    *at = entry->next;
    release_shard(shelf, entry->shard);
    mem_free(entry);
    shelf->count--;
    shelf->changes++;
}

void shelf_free(struct shelf *shelf)
{
    if (!shelf) return;
    for (size_t i = 0; i < BUCKETS; i++)
        while (shelf->buckets[i])
            forget(shelf, &shelf->buckets[i]);
    must(used(shelf) == 0);
    mem_free(shelf->list);
    mem_free(shelf);
}

/* Rows. */

/* Is there room for `size` bytes, below the limit or, for a copy, a little above it? */
static enum err make_room(const struct shelf *shelf, size_t size, bool is_copy)
{
    uint64_t most = shelf->memory + (is_copy ? shelf->memory / SHELF_SPARE : 0);
    if (used(shelf) <= most && size <= most - used(shelf)) return ERR_OK;
    return err_note(ERR_TOO_LARGE, "shard: %zu bytes more, of %" PRIu64 " are %" PRIu64 " in use",
                    size, shelf->memory, used(shelf));
}

/* Make the shard of an entry one that nobody else holds. */
static enum err own_shard(struct shelf *shelf, struct entry *entry)
{
    struct shelf_shard *old = entry->shard;
    if (old->holders == 1) return ERR_OK;
    TRY(make_room(shelf, sizeof *old, true));
    struct shelf_shard *shard = new_shard(shelf, old->dims);
    *shard = *old;
    shard->holders = 1;
    for (size_t i = 0; i < SHELF_BLOCKS; i++)
        if (shard->blocks[i]) shard->blocks[i]->holders++;
    release_shard(shelf, old);
    entry->shard = shard;
    return ERR_OK;
}

/* A block of a shard that is our own, which no other shard has; made if it is missing. */
static enum err own_block(struct shelf *shelf, struct shelf_shard *shard, size_t index)
{
    struct shelf_block *old = shard->blocks[index];
    if (old && old->holders == 1) return ERR_OK;
    size_t size = sizeof *old + slabs_cost(&shelf->slabs, rows_size(shard));
    TRY(make_room(shelf, size, old != NULL));
    struct shelf_block *block = new_block(shelf, shard);
    if (!block) return err_note(ERR_TOO_LARGE, "shard: the system refused %zu bytes", size);
    if (old) {
        block->count = old->count;
        memcpy(block->present, old->present, sizeof block->present);
        memcpy(block->scales, old->scales, sizeof block->scales);
        memcpy(block->rows, old->rows, rows_size(shard));
        release_block(shelf, old);
    }
    shard->blocks[index] = block;
    return ERR_OK;
}

static bool is_present(const struct shelf_block *block, size_t place)
{
    return block && (block->present[place / 64] >> (place % 64) & 1);
}

static enum err put_row(struct shelf *shelf, struct shelf_shard *shard, size_t at, float scale,
                        const uint8_t *row)
{
    size_t place = at % SHELF_BLOCK;
    TRY(own_block(shelf, shard, at / SHELF_BLOCK));
    struct shelf_block *block = shard->blocks[at / SHELF_BLOCK];
    if (!is_present(block, place)) {
        block->present[place / 64] |= UINT64_C(1) << (place % 64);
        block->count++;
        shard->rows++;
    }
    block->scales[place] = scale;
    int8_t *bytes = block->rows + place * shard->width;
    memcpy(bytes, row, shard->dims);
    memset(bytes + shard->dims, 0, shard->width - shard->dims);
    return ERR_OK;
}

static enum err drop_row(struct shelf *shelf, struct shelf_shard *shard, size_t at)
{
    size_t place = at % SHELF_BLOCK;
    if (!is_present(shard->blocks[at / SHELF_BLOCK], place)) return ERR_OK;
    TRY(own_block(shelf, shard, at / SHELF_BLOCK));
    struct shelf_block *block = shard->blocks[at / SHELF_BLOCK];
    block->present[place / 64] &= ~(UINT64_C(1) << (place % 64));
    shard->rows--;
    if (--block->count > 0) return ERR_OK;
    release_block(shelf, block);
    shard->blocks[at / SHELF_BLOCK] = NULL;
    return ERR_OK;
}

/* Do these numbers lie in the span of the shard? The first one that is put says which it is. */
static enum err check_numbers(const struct shelf_shard *shard, const int32_t *numbers, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (numbers[i] / WIRE_SHARD_NUMBERS * WIRE_SHARD_NUMBERS == shard->first) continue;
        return err_note(ERR_INVALID, "shard: number %" PRId32 ", its numbers are %" PRId32 " to %d",
                        numbers[i], shard->first, shard->first + (WIRE_SHARD_NUMBERS - 1));
    }
    return ERR_OK;
}

static enum err change(struct shelf *shelf, struct entry *entry, const struct wire_shard_put *put)
{
    if (put->dims != entry->shard->dims)
        return err_note(ERR_INVALID, "shard: rows of %" PRIu32 ", it has rows of %" PRIu32,
                        put->dims, entry->shard->dims);
    if (put->row_count + put->dropped_count == 0) return ERR_OK;
    TRY(own_shard(shelf, entry));
    struct shelf_shard *shard = entry->shard;
    int32_t any = put->row_count > 0 ? put->numbers[0] : put->dropped[0];
    if (shard->first < 0) shard->first = any / WIRE_SHARD_NUMBERS * WIRE_SHARD_NUMBERS;
    TRY(check_numbers(shard, put->numbers, put->row_count));
    TRY(check_numbers(shard, put->dropped, put->dropped_count));
    for (size_t i = 0; i < put->dropped_count; i++)
        TRY(drop_row(shelf, shard, (size_t)(put->dropped[i] - shard->first)));
    for (size_t i = 0; i < put->row_count; i++)
        TRY(put_row(shelf, shard, (size_t)(put->numbers[i] - shard->first), put->scales[i],
                    put->rows + i * put->dims));
    return ERR_OK;
}

static enum err begin(struct shelf *shelf, struct entry **at, uint64_t link,
                      const struct wire_shard_put *put)
{
    if (*at) forget(shelf, at);
    if (shelf->count == WIRE_SHARDS_MAX)
        return err_note(ERR_TOO_LARGE, "shard: %d are here, which is the limit", WIRE_SHARDS_MAX);
    TRY(make_room(shelf, sizeof(struct shelf_shard), false));
    struct entry *entry = mem_new(1, sizeof *entry);
    *entry = (struct entry){
        .id = put->shard, .link = link, .shard = new_shard(shelf, put->dims), .next = *at};
    *at = entry;
    shelf->count++;
    return ERR_OK;
}

static bool is_passed_over(const struct entry *entry, uint64_t link,
                           const struct wire_shard_put *put)
{
    if (!entry) return true;
    return entry->version > 0 ? put->version < entry->version : link != entry->link;
}

enum err shelf_put(struct shelf *shelf, uint64_t link, const struct wire_shard_put *put)
{
    enum err err = ERR_OK;
    struct entry **at = place_of(shelf, put->shard);
    if (put->reset) {
        err = begin(shelf, at, link, put);
        at = place_of(shelf, put->shard);
    }
    if (!err && is_passed_over(*at, link, put)) return ERR_OK;
    if (!err) err = change(shelf, *at, put);
    shelf->changes++;
    if (!err) {
        if (put->complete) (*at)->version = put->version;
        return ERR_OK;
    }
    shelf->refused++;
    if (*at) forget(shelf, at);
    return err;
}

void shelf_drop(struct shelf *shelf, uint64_t shard)
{
    struct entry **at = place_of(shelf, shard);
    if (*at) forget(shelf, at);
}

void shelf_link_down(struct shelf *shelf, uint64_t link)
{
    for (size_t i = 0; i < BUCKETS; i++) {
        for (struct entry **at = &shelf->buckets[i]; *at;) {
            if ((*at)->version == 0 && (*at)->link == link)
                forget(shelf, at);
            else
                at = &(*at)->next;
        }
    }
}

enum err shelf_hold(struct shelf *shelf, uint64_t shard, size_t dims,
                    const struct shelf_shard **out)
{
    struct entry *entry = *place_of(shelf, shard);
    if (!entry || entry->version == 0) return err_note(ERR_NOT_FOUND, "shard");
    if (entry->shard->dims != dims)
        return err_note(ERR_INVALID,
                        "submit: a query of %zu numbers, the shard's rows have %" PRIu32, dims,
                        entry->shard->dims);
    entry->shard->holders++;
    *out = entry->shard;
    return ERR_OK;
}

void shelf_let_go(struct shelf *shelf, const struct shelf_shard *shard)
{
    release_shard(shelf, (struct shelf_shard *)(uintptr_t)shard);
}

uint64_t shelf_changes(const struct shelf *shelf)
{
    return shelf->changes;
}

bool shelf_is_empty(const struct shelf *shelf)
{
    return shelf->count == 0;
}

struct wire_shard_state shelf_state(struct shelf *shelf)
{
    size_t count = 0;
    for (size_t i = 0; i < BUCKETS; i++)
        for (const struct entry *entry = shelf->buckets[i]; entry; entry = entry->next)
            shelf->list[count++] = (struct wire_shard){.shard = entry->id,
                                                       .version = entry->version,
                                                       .rows = entry->shard->rows,
                                                       .dims = entry->shard->dims};
    return (struct wire_shard_state){.shards = shelf->list,
                                     .shard_count = count,
                                     .memory = shelf->memory,
                                     .used = used(shelf),
                                     .refused = shelf->refused};
}
