#include "scheduler/features/search/numbers.h"

#include "scheduler/core/shards.h"
#include "scheduler/features/search/ids.h"
#include "scheduler/features/search/vector.h"

#include "base/mem.h"
#include "base/must.h"

#include <string.h>

/* What is known of the document at a place of `ids`. */
struct numbered {
    uint64_t digest;
    uint32_t number;
};

/* The documents of a shard. */
struct page {
    uint32_t places[SHARD_NUMBERS]; // IDS_NONE: nobody
    uint32_t count;
};

struct numbers {
    struct ids *ids;
    struct numbered *documents; // [capacity], by place
    uint32_t capacity;
    struct page **pages; // [page_count]; NULL: the shard is empty
    uint32_t page_count;
};

struct numbers *numbers_new(void)
{
    struct numbers *numbers = mem_new(1, sizeof *numbers);
    numbers->ids = ids_new();
    return numbers;
}

void numbers_clear(struct numbers *numbers)
{
    ids_clear(numbers->ids);
    for (uint32_t i = 0; i < numbers->page_count; i++)
        mem_free(numbers->pages[i]);
    mem_free(numbers->pages);
    mem_free(numbers->documents);
    *numbers = (struct numbers){.ids = numbers->ids};
}

void numbers_free(struct numbers *numbers)
{
    if (!numbers) return;
    numbers_clear(numbers);
    ids_free(numbers->ids);
    mem_free(numbers);
}

static struct page *page_of(struct numbers *numbers, uint32_t shard)
{
    if (shard >= numbers->page_count) {
        numbers->pages = mem_resize(numbers->pages, shard + 1, sizeof(struct page *));
        while (numbers->page_count <= shard)
            numbers->pages[numbers->page_count++] = NULL;
    }
    if (!numbers->pages[shard]) {
        struct page *page = mem_new(1, sizeof *page);
        for (size_t i = 0; i < SHARD_NUMBERS; i++)
            page->places[i] = IDS_NONE;
        numbers->pages[shard] = page;
    }
    return numbers->pages[shard];
}

static void leave_page(struct numbers *numbers, uint32_t number)
{
    struct page *page = numbers->pages[number / SHARD_NUMBERS];
    page->places[number % SHARD_NUMBERS] = IDS_NONE;
    if (--page->count > 0) return;
    mem_free(page);
    numbers->pages[number / SHARD_NUMBERS] = NULL;
    while (numbers->page_count > 0 && !numbers->pages[numbers->page_count - 1])
        numbers->page_count--;
}

static void forget(struct numbers *numbers, uint32_t place)
{
    leave_page(numbers, numbers->documents[place].number);
    ids_remove(numbers->ids, place);
}

static uint32_t place_of(const struct numbers *numbers, uint32_t number)
{
    uint32_t shard = number / SHARD_NUMBERS;
    if (shard >= numbers->page_count || !numbers->pages[shard]) return IDS_NONE;
    return numbers->pages[shard]->places[number % SHARD_NUMBERS];
}

uint32_t numbers_put(struct numbers *numbers, const char *id, size_t size, uint32_t number,
                     uint64_t digest)
{
    must(number < VECTOR_NUMBERS_MAX);
    uint32_t place = ids_find(numbers->ids, id, size), before = NUMBERS_NONE;
    uint32_t holder = place_of(numbers, number);
    if (place != IDS_NONE && numbers->documents[place].number == number) {
        numbers->documents[place].digest = digest;
        return NUMBERS_NONE;
    }
    if (place != IDS_NONE) {
        before = numbers->documents[place].number;
        forget(numbers, place);
    }
    if (holder != IDS_NONE) forget(numbers, holder);
    place = ids_add(numbers->ids, id, size);
    if (place >= numbers->capacity) {
        numbers->capacity = numbers->capacity ? 2 * numbers->capacity : 64;
        numbers->documents =
            mem_resize(numbers->documents, numbers->capacity, sizeof *numbers->documents);
    }
    numbers->documents[place] = (struct numbered){.digest = digest, .number = number};
    struct page *page = page_of(numbers, number / SHARD_NUMBERS);
    page->places[number % SHARD_NUMBERS] = place;
    page->count++;
    return before;
}

uint32_t numbers_drop(struct numbers *numbers, const char *id, size_t size)
{
    uint32_t place = ids_find(numbers->ids, id, size);
    if (place == IDS_NONE) return NUMBERS_NONE;
    uint32_t number = numbers->documents[place].number;
    forget(numbers, place);
    return number;
}

size_t numbers_count(const struct numbers *numbers)
{
    return ids_count(numbers->ids);
}

uint32_t numbers_end(const struct numbers *numbers)
{
    return numbers->page_count * SHARD_NUMBERS;
}

uint32_t numbers_shards(const struct numbers *numbers)
{
    return numbers->page_count;
}

uint32_t numbers_in_shard(const struct numbers *numbers, uint32_t shard)
{
    return shard < numbers->page_count && numbers->pages[shard] ? numbers->pages[shard]->count : 0;
}

uint32_t numbers_find(const struct numbers *numbers, const char *id, size_t size, uint64_t *digest)
{
    uint32_t place = ids_find(numbers->ids, id, size);
    *digest = place == IDS_NONE ? 0 : numbers->documents[place].digest;
    return place == IDS_NONE ? NUMBERS_NONE : numbers->documents[place].number;
}

const char *numbers_id(const struct numbers *numbers, uint32_t number, size_t *size)
{
    uint32_t place = place_of(numbers, number);
    *size = 0;
    return place == IDS_NONE ? NULL : ids_at(numbers->ids, place, size);
}
