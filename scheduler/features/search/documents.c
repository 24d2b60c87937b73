#include "scheduler/features/search/documents.h"

#include "base/mem.h"
#include "base/must.h"

#include <string.h>

enum {
    NONE = UINT32_MAX,
    BUCKETS_FIRST = 1024
};

struct documents {
    struct document **slots; // [end], by number; NULL: free
    uint32_t end, capacity;
    uint32_t *spare; // numbers that are free, below `end`
    size_t spare_count, spare_capacity;
    uint32_t *buckets;
    size_t bucket_count; // a power of two
    size_t count;
    uint64_t serial;
};

struct documents *documents_new(void)
{
    struct documents *documents = mem_new(1, sizeof *documents);
    documents->bucket_count = BUCKETS_FIRST;
    documents->buckets = mem_new(BUCKETS_FIRST, sizeof *documents->buckets);
    memset(documents->buckets, 0xFF, BUCKETS_FIRST * sizeof *documents->buckets);
    return documents;
}

static void free_document(struct document *document)
{
    if (!document) return;
    mem_free(document->id);
    mem_free(document->record);
    mem_free(document);
}

bool documents_shed(struct documents *documents, size_t count)
{
    for (; documents->end > 0 && count > 0; count--)
        free_document(documents->slots[--documents->end]);
    return documents->end > 0;
}

void documents_free(struct documents *documents)
{
    if (!documents) return;
    while (documents_shed(documents, SIZE_MAX))
        continue;
    mem_free(documents->slots);
    mem_free(documents->spare);
    mem_free(documents->buckets);
    mem_free(documents);
}

size_t documents_count(const struct documents *documents)
{
    return documents->count;
}

uint32_t documents_end(const struct documents *documents)
{
    return documents->end;
}

static uint64_t hash_of(const char *text, size_t size)
{
    uint64_t hash = UINT64_C(14695981039346656037); // FNV-1a
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ (unsigned char)text[i]) * UINT64_C(1099511628211);
    return hash ^ hash >> 29;
}

static uint32_t *bucket_of(const struct documents *documents, const char *id, size_t size)
{
    return &documents->buckets[hash_of(id, size) & (documents->bucket_count - 1)];
}

struct document *documents_at(const struct documents *documents, uint32_t number)
{
    return number < documents->end ? documents->slots[number] : NULL;
}

struct document *documents_find(const struct documents *documents, const char *id, size_t size)
{
    uint32_t at = *bucket_of(documents, id, size);
    while (at != NONE) {
        struct document *document = documents->slots[at];
        if (document->id_size == size && memcmp(document->id, id, size) == 0) return document;
        at = document->next;
    }
    return NULL;
}

static void link_document(struct documents *documents, struct document *document)
{
    uint32_t *bucket = bucket_of(documents, document->id, document->id_size);
    document->next = *bucket;
    *bucket = document->number;
}

static void grow(struct documents *documents)
{
    size_t count = 2 * documents->bucket_count;
    documents->buckets = mem_resize(documents->buckets, count, sizeof *documents->buckets);
    documents->bucket_count = count;
    memset(documents->buckets, 0xFF, count * sizeof *documents->buckets);
    for (uint32_t i = 0; i < documents->end; i++)
        if (documents->slots[i]) link_document(documents, documents->slots[i]);
}

static uint32_t take_number(struct documents *documents)
{
    if (documents->spare_count > 0) return documents->spare[--documents->spare_count];
    if (documents->end == documents->capacity) {
        documents->capacity = documents->capacity ? 2 * documents->capacity : BUCKETS_FIRST;
        documents->slots =
            mem_resize(documents->slots, documents->capacity, sizeof *documents->slots);
    }
    return documents->end++;
}

struct document *documents_add(struct documents *documents, const char *id, size_t id_size,
                               const char *record, size_t record_size)
{
    if (documents->count == DOCUMENTS_MAX) return NULL;
    if (documents->count >= documents->bucket_count) grow(documents);
    struct document *document = mem_new(1, sizeof *document);
    *document = (struct document){.id = mem_text(id, id_size),
                                  .id_size = id_size,
                                  .record = mem_text(record, record_size),
                                  .record_size = record_size,
                                  .serial = ++documents->serial,
                                  .number = take_number(documents)};
    documents->slots[document->number] = document;
    documents->count++;
    link_document(documents, document);
    return document;
}

void documents_remove(struct documents *documents, struct document *document)
{
    uint32_t *at = bucket_of(documents, document->id, document->id_size);
    while (*at != document->number) {
        must(*at != NONE);
        at = &documents->slots[*at]->next;
    }
    *at = document->next;
    if (documents->spare_count == documents->spare_capacity) {
        documents->spare_capacity = documents->spare_capacity ? 2 * documents->spare_capacity : 64;
        documents->spare =
            mem_resize(documents->spare, documents->spare_capacity, sizeof *documents->spare);
    }
    documents->spare[documents->spare_count++] = document->number;
    documents->slots[document->number] = NULL;
    documents->count--;
    free_document(document);
}
