#include "scheduler/features/sold.h"

#include "scheduler/features/catalogue.h"

#include "text/rows.h"

#include "base/mem.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

struct kept {
    const struct catalogue *catalogue; // NULL: free
    char region[SOLD_REGION_MAX + 1];
    struct digest model;
    uint64_t changes;
    uint64_t used; // turn of the latest use
    struct sold sold;
    uint8_t *bits;
};

struct solds {
    struct kept kept[SOLD_KEPT];
    uint64_t turn;
};

struct solds *solds_new(void)
{
    return mem_new(1, sizeof(struct solds));
}

void solds_free(struct solds *solds)
{
    if (!solds) return;
    for (size_t i = 0; i < SOLD_KEPT; i++)
        mem_free(solds->kept[i].bits);
    mem_free(solds);
}

static bool is_sold(struct catalogue *catalogue, const char *region, const char *id, size_t size)
{
    char text[CATALOGUE_ID_MAX + 1];
    struct catalogue_item item;
    if (size == 0 || size > CATALOGUE_ID_MAX) return false;
    memcpy(text, id, size);
    text[size] = '\0';
    uint32_t row = catalogue_find(catalogue, text);
    return row != CATALOGUE_NONE && catalogue_item(catalogue, row, &item) &&
           catalogue_is_sold(&item, region);
}

static void make(struct kept *kept, struct catalogue *catalogue, const struct rows *rows,
                 uint32_t row_count)
{
    size_t size = (row_count + 7) / 8;
    mem_free(kept->bits);
    kept->bits = mem_new(size ? size : 1, 1);
    for (uint32_t row = 0; row < row_count; row++) {
        char number[ROWS_NUMBER_SIZE];
        size_t id_size;
        const char *id = rows_id(rows, (int32_t)row, number, &id_size);
        if (is_sold(catalogue, kept->region, id, id_size))
            kept->bits[row / 8] |= (uint8_t)(1u << row % 8);
    }
    kept->sold =
        (struct sold){.bits = kept->bits, .size = size, .digest = digest_of(kept->bits, size)};
}

struct sold solds_of(struct solds *solds, struct catalogue *catalogue, const char *region,
                     const struct digest *model, const struct rows *rows, uint32_t row_count)
{
    struct kept *oldest = &solds->kept[0];
    uint64_t changes = catalogue_changes(catalogue);
    for (size_t i = 0; i < SOLD_KEPT; i++) {
        struct kept *kept = &solds->kept[i];
        if (kept->used < oldest->used) oldest = kept;
        if (kept->catalogue != catalogue || strcmp(kept->region, region) != 0 ||
            !digest_equal(&kept->model, model))
            continue;
        oldest = kept; // the same, if only it is still good
        break;
    }
    if (oldest->catalogue != catalogue || strcmp(oldest->region, region) != 0 ||
        !digest_equal(&oldest->model, model) || oldest->changes != changes) {
        oldest->catalogue = catalogue;
        snprintf(oldest->region, sizeof oldest->region, "%s", region);
        oldest->model = *model;
        oldest->changes = changes;
        make(oldest, catalogue, rows, row_count);
    }
    oldest->used = ++solds->turn;
    return oldest->sold;
}
