#include "scheduler/features/search/counts.h"

#include "base/mem.h"
#include "base/must.h"

#include <string.h>

enum {
    SLOTS_MIN = 64, // a power of two; at most half of the slots are taken
    SLOTS_MAX = 2 * COUNTS_MAX
};

struct slot {
    char *text; // owned; NULL: free
    size_t size;
    uint64_t count;
    uint64_t document; // the latest that was counted
    bool is_prefix, is_phrase;
};

struct counts {
    struct slot *slots;
    size_t slot_count, used;
    uint64_t document; // of the writes, from 1
};

struct counts *counts_new(void)
{
    struct counts *counts = mem_new(1, sizeof *counts);
    counts->slot_count = SLOTS_MIN;
    counts->slots = mem_new(counts->slot_count, sizeof *counts->slots);
    return counts;
}

void counts_forget(struct counts *counts)
{
    for (size_t i = 0; i < counts->slot_count; i++)
        mem_free(counts->slots[i].text);
    memset(counts->slots, 0, counts->slot_count * sizeof *counts->slots);
    counts->used = 0;
}

void counts_free(struct counts *counts)
{
    if (!counts) return;
    counts_forget(counts);
    mem_free(counts->slots);
    mem_free(counts);
}

static uint64_t hash_of(const char *text, size_t size, bool is_prefix)
{
    uint64_t hash = is_prefix ? 0x9E3779B97F4A7C15 : 0xCBF29CE484222325; // FNV-1a
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ (unsigned char)text[i]) * 0x100000001B3;
    return hash ^ hash >> 32;
}

/* The term's slot, or the free one where it belongs. */
static struct slot *slot_of(const struct counts *counts, const char *text, size_t size,
                            bool is_prefix)
{
    size_t mask = counts->slot_count - 1, at = hash_of(text, size, is_prefix) & mask;
    for (;; at = (at + 1) & mask) {
        struct slot *slot = &counts->slots[at];
        if (!slot->text) return slot;
        if (slot->size == size && slot->is_prefix == is_prefix &&
            memcmp(slot->text, text, size) == 0)
            return slot;
    }
}

bool counts_find(const struct counts *counts, const struct lexical_term *term, uint64_t *count)
{
    const struct slot *slot = slot_of(counts, term->text, term->size, term->is_prefix);
    if (!slot->text) return false;
    if ((slot->is_prefix || slot->is_phrase) && slot->document != counts->document) return false;
    *count = slot->count;
    return true;
}

static void grow(struct counts *counts)
{
    struct slot *old = counts->slots;
    size_t old_count = counts->slot_count;
    counts->slot_count *= 2;
    counts->slots = mem_new(counts->slot_count, sizeof *counts->slots);
    for (size_t i = 0; i < old_count; i++)
        if (old[i].text) *slot_of(counts, old[i].text, old[i].size, old[i].is_prefix) = old[i];
    mem_free(old);
}

void counts_keep(struct counts *counts, const struct lexical_term *term, uint64_t count)
{
    if (counts->used == COUNTS_MAX) counts_forget(counts);
    if (2 * (counts->used + 1) > counts->slot_count && counts->slot_count < SLOTS_MAX) grow(counts);
    struct slot *slot = slot_of(counts, term->text, term->size, term->is_prefix);
    if (!slot->text) {
        slot->text = mem_new(term->size + 1, 1);
        memcpy(slot->text, term->text, term->size);
        slot->size = term->size;
        slot->is_prefix = term->is_prefix;
        slot->is_phrase = memchr(term->text, LEXICAL_PHRASE_PART, term->size) != NULL;
        counts->used++;
    }
    slot->count = count;
    slot->document = counts->document;
}

void counts_document(struct counts *counts)
{
    counts->document++;
}

void counts_word(struct counts *counts, const char *text, size_t size, int sign)
{
    if (counts->used == 0) return;
    struct slot *slot = slot_of(counts, text, size, false);
    if (!slot->text || slot->is_phrase || slot->document == counts->document) return;
    must(sign > 0 || slot->count > 0);
    slot->count += sign > 0 ? 1 : UINT64_MAX;
    slot->document = counts->document;
}
