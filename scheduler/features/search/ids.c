#include "scheduler/features/search/ids.h"

#include "base/mem.h"
#include "base/must.h"
#include "base/rand.h"

#include <sodium.h>

#include <string.h>

enum {
    BUCKETS_FIRST = 256, // a power of two
    SIZE_MAX_ID = 255
};

struct place {
    unsigned char *text; // its size, then its bytes; NULL: free
    uint32_t next;       // in its bucket, or among the free
};

struct ids {
    struct place *places;
    uint32_t end, capacity, spare; // spare: the first free place below `end`
    uint32_t *buckets;
    size_t bucket_count, count;
    unsigned char key[crypto_shorthash_KEYBYTES]; // strangers choose the ids
};

static void empty_buckets(struct ids *ids, size_t count)
{
    mem_free(ids->buckets);
    ids->buckets = mem_new(count, sizeof *ids->buckets);
    ids->bucket_count = count;
    for (size_t i = 0; i < count; i++)
        ids->buckets[i] = IDS_NONE;
}

struct ids *ids_new(void)
{
    struct ids *ids = mem_new(1, sizeof *ids);
    for (size_t i = 0; i < sizeof ids->key; i += 8) {
        uint64_t bits = rand_entropy();
        memcpy(ids->key + i, &bits, 8);
    }
    ids->spare = IDS_NONE;
    empty_buckets(ids, BUCKETS_FIRST);
    return ids;
}

void ids_clear(struct ids *ids)
{
    for (uint32_t i = 0; i < ids->end; i++)
        mem_free(ids->places[i].text);
    mem_free(ids->places);
    ids->places = NULL;
    ids->end = ids->capacity = 0;
    ids->count = 0;
    ids->spare = IDS_NONE;
    empty_buckets(ids, BUCKETS_FIRST);
}

void ids_free(struct ids *ids)
{
    if (!ids) return;
    ids_clear(ids);
    mem_free(ids->buckets);
    mem_free(ids);
}

size_t ids_count(const struct ids *ids)
{
    return ids->count;
}

uint32_t ids_end(const struct ids *ids)
{
    return ids->end;
}

static size_t bucket_of(const struct ids *ids, const void *id, size_t size)
{
    uint64_t hash;
    unsigned char bytes[crypto_shorthash_BYTES];
    crypto_shorthash(bytes, id, size, ids->key);
    memcpy(&hash, bytes, sizeof hash);
    return hash & (ids->bucket_count - 1);
}

uint32_t ids_find(const struct ids *ids, const char *id, size_t size)
{
    if (size == 0 || size > SIZE_MAX_ID) return IDS_NONE;
    uint32_t at = ids->buckets[bucket_of(ids, id, size)];
    while (at != IDS_NONE) {
        const unsigned char *text = ids->places[at].text;
        if (text[0] == size && memcmp(text + 1, id, size) == 0) return at;
        at = ids->places[at].next;
    }
    return IDS_NONE;
}

static void enter(struct ids *ids, uint32_t place)
{
    const unsigned char *text = ids->places[place].text;
    size_t bucket = bucket_of(ids, text + 1, text[0]);
    ids->places[place].next = ids->buckets[bucket];
    ids->buckets[bucket] = place;
}

static void grow_buckets(struct ids *ids)
{
    if (ids->count <= ids->bucket_count) return;
    empty_buckets(ids, 2 * ids->bucket_count);
    for (uint32_t i = 0; i < ids->end; i++)
        if (ids->places[i].text) enter(ids, i);
}

static uint32_t take_place(struct ids *ids)
{
    uint32_t place = ids->spare;
    if (place != IDS_NONE) {
        ids->spare = ids->places[place].next;
        return place;
    }
    if (ids->end == ids->capacity) {
        ids->capacity = ids->capacity ? 2 * ids->capacity : 64;
        ids->places = mem_resize(ids->places, ids->capacity, sizeof *ids->places);
    }
    must(ids->end < IDS_NONE);
    return ids->end++;
}

uint32_t ids_add(struct ids *ids, const char *id, size_t size)
{
    uint32_t place = ids_find(ids, id, size);
    must(size > 0 && size <= SIZE_MAX_ID);
    if (place != IDS_NONE) return place;
    place = take_place(ids);
    unsigned char *text = mem_new(size + 1, 1);
    text[0] = (unsigned char)size;
    memcpy(text + 1, id, size);
    ids->places[place].text = text;
    ids->count++;
    enter(ids, place);
    grow_buckets(ids);
    return place;
}

void ids_remove(struct ids *ids, uint32_t place)
{
    must(place < ids->end && ids->places[place].text);
    struct place *gone = &ids->places[place];
    uint32_t *at = &ids->buckets[bucket_of(ids, gone->text + 1, gone->text[0])];
    while (*at != place)
        at = &ids->places[*at].next;
    *at = gone->next;
    mem_free(gone->text);
    *gone = (struct place){.next = ids->spare};
    ids->spare = place;
    ids->count--;
}

const char *ids_at(const struct ids *ids, uint32_t place, size_t *size)
{
    const unsigned char *text = place < ids->end ? ids->places[place].text : NULL;
    *size = text ? text[0] : 0;
    return text ? (const char *)text + 1 : NULL;
}
