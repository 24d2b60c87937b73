/* text/merge.h -- the one merging algorithm of byte pairs and of SentencePiece.
 *
 * Symbols stand in a row; of all neighbours that have a merge, the pair of the lowest rank goes
 * first, among equal ranks the leftmost; its merged symbol takes their place; until none is left.
 * Short rows are scanned, long ones go through a heap: O(n log n) whatever the text is.
 *
 * Thread: a table is immutable after the last merge_table_add(); a scratch has one owner. */
#ifndef TEXT_MERGE_H
#define TEXT_MERGE_H

#include <stddef.h>
#include <stdint.h>

struct merge_slot {
    uint64_t key; // left << 32 | right; UINT64_MAX: free
    uint32_t rank;
    int32_t merged;
};

struct merge_table {
    struct merge_slot *slots; // [mask + 1]
    uint64_t mask;
    uint64_t salt;
    size_t count;
};

/* Room for `count` merges. */
void merge_table_init(struct merge_table *table, size_t count);
void merge_table_fini(struct merge_table *table);
/* Symbols are >= 0 (a negative one never merges); rank < UINT32_MAX. The first of equal pairs
 * stays. */
void merge_table_add(struct merge_table *table, int32_t left, int32_t right, uint32_t rank,
                     int32_t merged);

/* Working memory of merge_run(), kept between runs; a zeroed struct is empty. */
struct merge_scratch {
    void *memory;
    size_t size;
};

void merge_scratch_fini(struct merge_scratch *scratch);

/* Merge `symbols` [count] in place, count < UINT32_MAX; returns how many are left. */
size_t merge_run(const struct merge_table *table, struct merge_scratch *scratch, int32_t *symbols,
                 size_t count);

#endif
