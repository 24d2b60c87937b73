#include "scheduler/features/search/words.h"

#include "scheduler/features/search/edit.h"
#include "scheduler/features/search/sorted.h"

#include "text/pinyin.h"

#include "base/mem.h"
#include "base/must.h"

#include <string.h>

enum {
    BUCKETS_FIRST = 1 << 10,
    BLOCK_SIZE = 64 << 10, // of texts
    FRESH_MAX = 4096,      // words that wait to be sorted in
    NONE = UINT32_MAX
};

struct word {
    const char *text;
    uint32_t size, count;
    uint32_t next; // in its bucket
};

/* English words of one size. */
struct peers {
    struct peer {
        uint32_t letters; // edit_letters()
        uint32_t item;
    } * peers;

    size_t count, capacity;
};

struct block {
    struct block *next;
    size_t used;
    char bytes[BLOCK_SIZE];
};

struct words {
    struct pinyin *pinyin;
    struct word *words;
    size_t count, capacity;
    uint32_t *buckets;
    size_t bucket_count; // a power of two
    struct block *blocks;
    struct sorted texts, sounds; // entries' items are words
    struct peers peers[EDIT_SIZE_MAX + 1];
};

struct words *words_new(struct pinyin *pinyin)
{
    struct words *words = mem_new(1, sizeof *words);
    words->pinyin = pinyin;
    words->bucket_count = BUCKETS_FIRST;
    words->buckets = mem_new(BUCKETS_FIRST, sizeof *words->buckets);
    memset(words->buckets, 0xFF, BUCKETS_FIRST * sizeof *words->buckets);
    return words;
}

void words_free(struct words *words)
{
    if (!words) return;
    while (words->blocks) {
        struct block *block = words->blocks;
        words->blocks = block->next;
        mem_free(block);
    }
    sorted_fini(&words->texts);
    sorted_fini(&words->sounds);
    for (size_t i = 0; i <= EDIT_SIZE_MAX; i++)
        mem_free(words->peers[i].peers);
    mem_free(words->buckets);
    mem_free(words->words);
    mem_free(words);
}

// ---- the table ---------------------------------------------------------------------------------

static uint64_t hash_of(const char *text, size_t size)
{
    uint64_t hash = UINT64_C(14695981039346656037); // FNV-1a
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ (unsigned char)text[i]) * UINT64_C(1099511628211);
    return hash ^ hash >> 29;
}

static uint32_t find(const struct words *words, const char *text, size_t size)
{
    uint32_t at = words->buckets[hash_of(text, size) & (words->bucket_count - 1)];
    for (; at != NONE; at = words->words[at].next) {
        const struct word *word = &words->words[at];
        if (word->size == size && memcmp(word->text, text, size) == 0) return at;
    }
    return NONE;
}

static void grow(struct words *words)
{
    size_t count = 2 * words->bucket_count;
    words->buckets = mem_resize(words->buckets, count, sizeof *words->buckets);
    words->bucket_count = count;
    memset(words->buckets, 0xFF, count * sizeof *words->buckets);
    for (size_t i = 0; i < words->count; i++) {
        struct word *word = &words->words[i];
        size_t bucket = hash_of(word->text, word->size) & (count - 1);
        word->next = words->buckets[bucket];
        words->buckets[bucket] = (uint32_t)i;
    }
}

static const char *keep(struct words *words, const char *text, size_t size)
{
    if (!words->blocks || words->blocks->used + size > BLOCK_SIZE) {
        struct block *block = mem_new(1, sizeof *block);
        block->next = words->blocks;
        words->blocks = block;
    }
    char *kept = words->blocks->bytes + words->blocks->used;
    memcpy(kept, text, size);
    words->blocks->used += size;
    return kept;
}

static bool is_english(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (text[i] < 'a' || text[i] > 'z') return false;
    return true;
}

static void add_peer(struct words *words, const struct word *word, uint32_t item)
{
    struct peers *peers = &words->peers[word->size];
    if (peers->count == peers->capacity) {
        peers->capacity = peers->capacity ? 2 * peers->capacity : 64;
        peers->peers = mem_resize(peers->peers, peers->capacity, sizeof *peers->peers);
    }
    peers->peers[peers->count++] = (struct peer){edit_letters(word->text, word->size), item};
}

static void add_sounds(struct words *words, const struct word *word, uint32_t item)
{
    char spellings[PINYIN_SPELLINGS_MAX][PINYIN_TEXT_MAX];
    size_t count = pinyin_spell(words->pinyin, word->text, word->size, spellings);
    for (size_t i = 0; i < count; i++) {
        size_t size = strlen(spellings[i]);
        sorted_add(&words->sounds, keep(words, spellings[i], size), size, item);
    }
}

static void add_new(struct words *words, const char *text, size_t size, uint32_t count)
{
    if (words->count == WORDS_MAX) return;
    if (words->count == words->capacity) {
        words->capacity = words->capacity ? 2 * words->capacity : BUCKETS_FIRST;
        words->words = mem_resize(words->words, words->capacity, sizeof *words->words);
    }
    if (words->count >= words->bucket_count) grow(words);
    size_t bucket = hash_of(text, size) & (words->bucket_count - 1);
    uint32_t item = (uint32_t)words->count++;
    struct word *word = &words->words[item];
    *word = (struct word){keep(words, text, size), (uint32_t)size, count, words->buckets[bucket]};
    words->buckets[bucket] = item;
    if (size <= EDIT_SIZE_MAX && is_english(text, size)) add_peer(words, word, item);
    sorted_add(&words->texts, word->text, size, item);
    if (words->pinyin && (unsigned char)text[0] >= 0xE3) add_sounds(words, word, item);
    // A part at a time, so that the first question behind many writes does not wait for all of it.
    if (words->texts.count - words->texts.sorted_count >= FRESH_MAX) {
        sorted_merge(&words->texts);
        sorted_merge(&words->sounds);
    }
}

void words_add_many(struct words *words, const char *text, size_t size, uint32_t count)
{
    if (size == 0 || size > WORDS_TEXT_MAX) return;
    uint32_t at = find(words, text, size);
    if (at == NONE)
        add_new(words, text, size, count);
    else
        words->words[at].count += count;
}

void words_add(struct words *words, const char *text, size_t size)
{
    words_add_many(words, text, size, 1);
}

void words_remove(struct words *words, const char *text, size_t size)
{
    uint32_t at = find(words, text, size);
    if (at != NONE && words->words[at].count > 0) words->words[at].count--;
}

uint32_t words_count(const struct words *words, const char *text, size_t size)
{
    uint32_t at = find(words, text, size);
    return at == NONE ? 0 : words->words[at].count;
}

// ---- questions ---------------------------------------------------------------------------------

static bool is_better(const struct words_hit *a, const struct words_hit *b)
{
    if (a->distance != b->distance) return a->distance < b->distance;
    if (a->count != b->count) return a->count > b->count;
    int order = memcmp(a->text, b->text, a->size < b->size ? a->size : b->size);
    return order < 0 || (order == 0 && a->size < b->size);
}

/* Put it among the best `max`; how many there are. */
static size_t offer(struct words_hit *hits, size_t count, size_t max, const struct word *word,
                    uint32_t distance)
{
    struct words_hit hit = {word->text, word->size, word->count, distance};
    for (size_t i = 0; i < count; i++)
        if (hits[i].text == hit.text) return count; // by another of its sounds
    if (count == max && (max == 0 || !is_better(&hit, &hits[max - 1]))) return count;
    size_t at = count < max ? count++ : max - 1;
    for (; at > 0 && is_better(&hit, &hits[at - 1]); at--)
        hits[at] = hits[at - 1];
    hits[at] = hit;
    return count;
}

static size_t beginning(const struct words *words, const struct sorted *list, const char *text,
                        size_t size, bool exactly, struct words_hit *hits, size_t max)
{
    size_t count = 0;
    for (size_t i = sorted_find(list, text, size); i < list->count; i++) {
        const struct sorted_entry *entry = &list->entries[i];
        if (entry->size < size || memcmp(entry->key, text, size) != 0) break;
        if (exactly && entry->size != size) break; // longer ones come behind
        const struct word *word = &words->words[entry->item];
        if (word->count > 0) count = offer(hits, count, max, word, 0);
    }
    return count;
}

size_t words_beginning(struct words *words, const char *text, size_t size, struct words_hit *hits,
                       size_t max)
{
    sorted_merge(&words->texts);
    return beginning(words, &words->texts, text, size, false, hits, max);
}

size_t words_sounding(struct words *words, const char *text, size_t size, bool is_beginning,
                      struct words_hit *hits, size_t max)
{
    sorted_merge(&words->sounds);
    return beginning(words, &words->sounds, text, size, !is_beginning, hits, max);
}

size_t words_near(struct words *words, const char *text, size_t size, uint32_t distance,
                  struct words_hit *hits, size_t max)
{
    must(distance >= 1 && distance <= 2);
    if (size == 0 || size > EDIT_SIZE_MAX || !is_english(text, size)) return 0;
    uint32_t letters = edit_letters(text, size);
    size_t count = 0, shortest = size > distance ? size - distance : 1;
    for (size_t other = shortest; other <= size + distance && other <= EDIT_SIZE_MAX; other++) {
        const struct peers *peers = &words->peers[other];
        for (size_t i = 0; i < peers->count; i++) {
            uint32_t apart = (uint32_t)__builtin_popcount(peers->peers[i].letters ^ letters);
            if (apart > 2 * distance) continue;
            const struct word *word = &words->words[peers->peers[i].item];
            if (word->count == 0) continue;
            uint32_t found = edit_distance(text, size, word->text, word->size, distance);
            if (found >= 1 && found <= distance) count = offer(hits, count, max, word, found);
        }
    }
    return count;
}
