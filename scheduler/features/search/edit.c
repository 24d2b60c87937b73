#include "scheduler/features/search/edit.h"

#include "base/must.h"

#include <string.h>

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* Row by row: before[j] is the distance of a's first i - 1 bytes to b's first j. */
uint32_t edit_distance(const char *a, size_t a_size, const char *b, size_t b_size, uint32_t most)
{
    uint8_t rows[3][EDIT_SIZE_MAX + 1];
    uint8_t *older = rows[0], *before = rows[1], *row = rows[2];
    must(a_size <= EDIT_SIZE_MAX && b_size <= EDIT_SIZE_MAX && most <= 3);
    if (a_size > b_size + most || b_size > a_size + most) return most + 1;
    for (size_t j = 0; j <= b_size; j++)
        before[j] = (uint8_t)j;
    for (size_t i = 1; i <= a_size; i++) {
        uint32_t best = row[0] = (uint8_t)i;
        for (size_t j = 1; j <= b_size; j++) {
            uint32_t cost = a[i - 1] == b[j - 1] ? 0 : 1;
            uint32_t found = least(before[j - 1] + cost, least(before[j], row[j - 1]) + 1u);
            bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
            if (swapped) found = least(found, older[j - 2] + 1u);
            row[j] = (uint8_t)found;
            best = least(best, found);
        }
        if (best > most) return most + 1;
        uint8_t *free_row = older;
        older = before;
        before = row;
        row = free_row;
    }
    return least(before[b_size], most + 1);
}

uint32_t edit_letters(const char *word, size_t size)
{
    uint32_t letters = 0;
    for (size_t i = 0; i < size; i++)
        letters |= UINT32_C(1) << ((unsigned char)word[i] & 31);
    return letters;
}
