#include "text/merge.h"

#include "base/mem.h"
#include "base/must.h"
#include "base/rand.h"

#include <stdbool.h>
#include <string.h>

enum {
    SHORT_MAX = 48 // symbols of a row that is scanned
};

#define NO_RANK UINT32_MAX
#define NO_LINK UINT32_MAX
#define NO_KEY  UINT64_MAX

void merge_table_init(struct merge_table *table, size_t count)
{
    uint64_t room = 64;
    while (room < count * 2)
        room *= 2;
    *table = (struct merge_table){
        .slots = mem_new(room, sizeof *table->slots), .mask = room - 1, .salt = rand_entropy() | 1};
    for (uint64_t i = 0; i < room; i++)
        table->slots[i].key = NO_KEY;
}

void merge_table_fini(struct merge_table *table)
{
    mem_free(table->slots);
    *table = (struct merge_table){0};
}

static struct merge_slot *slot_of(const struct merge_table *table, uint64_t key)
{
    uint64_t hash = (key ^ table->salt) * UINT64_C(0x9E3779B97F4A7C15);
    hash = (hash ^ hash >> 32) * UINT64_C(0xBF58476D1CE4E5B9);
    uint64_t at = (hash ^ hash >> 29) & table->mask;
    while (table->slots[at].key != key && table->slots[at].key != NO_KEY)
        at = (at + 1) & table->mask;
    return &table->slots[at];
}

static uint64_t key_of(int32_t left, int32_t right)
{
    return (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
}

void merge_table_add(struct merge_table *table, int32_t left, int32_t right, uint32_t rank,
                     int32_t merged)
{
    must(left >= 0 && right >= 0 && rank < NO_RANK && table->count < table->mask);
    struct merge_slot *slot = slot_of(table, key_of(left, right));
    if (slot->key != NO_KEY) return;
    *slot = (struct merge_slot){.key = key_of(left, right), .rank = rank, .merged = merged};
    table->count++;
}

void merge_scratch_fini(struct merge_scratch *scratch)
{
    mem_free(scratch->memory);
    *scratch = (struct merge_scratch){0};
}

/* The rank of a pair, NO_RANK when it has none, and what it merges into. */
static uint32_t look_up(const struct merge_table *table, int32_t left, int32_t right,
                        int32_t *merged)
{
    if (left < 0 || right < 0) return NO_RANK;
    const struct merge_slot *slot = slot_of(table, key_of(left, right));
    if (slot->key == NO_KEY) return NO_RANK;
    *merged = slot->merged;
    return slot->rank;
}

static size_t run_short(const struct merge_table *table, int32_t *symbols, size_t count)
{
    uint32_t ranks[SHORT_MAX]; // of the pair (i, i + 1)
    int32_t merged[SHORT_MAX];
    for (size_t i = 0; i + 1 < count; i++)
        ranks[i] = look_up(table, symbols[i], symbols[i + 1], &merged[i]);
    while (count > 1) {
        size_t best = 0;
        for (size_t i = 1; i + 1 < count; i++)
            if (ranks[i] < ranks[best]) best = i;
        if (ranks[best] == NO_RANK) break;
        symbols[best] = merged[best];
        count--;
        for (size_t i = best + 1; i < count; i++) {
            symbols[i] = symbols[i + 1];
            ranks[i] = ranks[i + 1]; // the last one moved is stale, and past the last pair
            merged[i] = merged[i + 1];
        }
        if (best > 0)
            ranks[best - 1] = look_up(table, symbols[best - 1], symbols[best], &merged[best - 1]);
        if (best + 1 < count)
            ranks[best] = look_up(table, symbols[best], symbols[best + 1], &merged[best]);
    }
    return count;
}

/* A long row: a doubly linked list over the symbols' places, and a heap of (rank, place) in one
 * number each. An entry is stale when the pair at its place has changed since: its rank no longer
 * matches. */
struct row {
    const struct merge_table *table;
    int32_t *symbols;
    int32_t *merged; // of the pair that begins here
    uint32_t *ranks;
    uint32_t *next, *previous;
    uint64_t *heap;
    size_t heap_count;
};

static void heap_push(struct row *row, uint64_t entry)
{
    size_t at = row->heap_count++;
    while (at > 0 && row->heap[(at - 1) / 2] > entry) {
        row->heap[at] = row->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    row->heap[at] = entry;
}

static uint64_t heap_pop(struct row *row)
{
    uint64_t top = row->heap[0];
    uint64_t last = row->heap[--row->heap_count];
    size_t at = 0;
    while (true) {
        size_t child = 2 * at + 1;
        if (child >= row->heap_count) break;
        if (child + 1 < row->heap_count && row->heap[child + 1] < row->heap[child]) child++;
        if (row->heap[child] >= last) break;
        row->heap[at] = row->heap[child];
        at = child;
    }
    row->heap[at] = last;
    return top;
}

static void rank_pair(struct row *row, uint32_t place)
{
    uint32_t right = row->next[place];
    uint32_t rank = NO_RANK;
    if (right != NO_LINK)
        rank = look_up(row->table, row->symbols[place], row->symbols[right], &row->merged[place]);
    row->ranks[place] = rank;
    if (rank != NO_RANK) heap_push(row, (uint64_t)rank << 32 | place);
}

/* Each merge removes a symbol and pushes at most two entries: 3 per symbol bounds the heap. */
static void row_carve(struct row *row, struct merge_scratch *scratch, size_t count)
{
    size_t need = count * (3 * sizeof *row->heap + 4 * sizeof(uint32_t));
    if (scratch->size < need) {
        mem_free(scratch->memory);
        scratch->memory = mem_new(need, 1);
        scratch->size = need;
    }
    row->heap = scratch->memory;
    row->ranks = (uint32_t *)(row->heap + 3 * count);
    row->next = row->ranks + count;
    row->previous = row->next + count;
    row->merged = (int32_t *)(row->previous + count);
}

static size_t run_long(const struct merge_table *table, struct merge_scratch *scratch,
                       int32_t *symbols, size_t count)
{
    struct row row = {.table = table, .symbols = symbols};
    row_carve(&row, scratch, count);
    for (size_t i = 0; i < count; i++) {
        row.next[i] = i + 1 < count ? (uint32_t)(i + 1) : NO_LINK;
        row.previous[i] = i > 0 ? (uint32_t)(i - 1) : NO_LINK;
    }
    for (size_t i = 0; i < count; i++)
        rank_pair(&row, (uint32_t)i);
    while (row.heap_count > 0) {
        uint64_t entry = heap_pop(&row);
        uint32_t place = (uint32_t)entry;
        if (row.ranks[place] != entry >> 32) continue;
        uint32_t right = row.next[place];
        symbols[place] = row.merged[place];
        row.ranks[right] = NO_RANK;
        row.next[place] = row.next[right];
        if (row.next[place] != NO_LINK) row.previous[row.next[place]] = place;
        rank_pair(&row, place);
        if (row.previous[place] != NO_LINK) rank_pair(&row, row.previous[place]);
    }
    size_t left = 0;
    for (uint32_t i = 0; i != NO_LINK; i = row.next[i])
        symbols[left++] = symbols[i];
    return left;
}

size_t merge_run(const struct merge_table *table, struct merge_scratch *scratch, int32_t *symbols,
                 size_t count)
{
    must(count < UINT32_MAX);
    if (count < 2) return count;
    if (count <= SHORT_MAX) return run_short(table, symbols, count);
    return run_long(table, scratch, symbols, count);
}
