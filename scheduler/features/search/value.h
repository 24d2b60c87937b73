/* scheduler/features/search/value.h -- the values of a column: each once, under a small number.
 *
 * A value lives as long as documents hold it; its number is used again then. Numbers are doubles, as filters compare them.
 *
 * Thread: one owner. */
#ifndef SCHEDULER_FEATURES_SEARCH_VALUE_H
#define SCHEDULER_FEATURES_SEARCH_VALUE_H

#include <jansson.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct filter_term;
struct value;

#define VALUES_NONE UINT32_MAX

struct values {
    struct value *values;
    size_t end, capacity, used;
    uint32_t spare;
    uint32_t *buckets;
    size_t bucket_count; // a power of two
};

void values_init(struct values *values);
void values_fini(struct values *values);

/* The number of a leaf, which one more holds; VALUES_NONE: it is no number, text or truth. */
uint32_t values_take(struct values *values, const json_t *leaf);
/* One holds it less. */
void values_give(struct values *values, uint32_t id);
/* Ids are below this. */
size_t values_end(const struct values *values);

/* Set truths[id] where the condition (one about values) holds, which are 0; whether there is any. */
bool values_judge(const struct values *values, const struct filter_term *term, uint8_t *truths);
/* Numbers, then texts, then truths, in either direction: less than 0: `left` stands before. */
int values_compare(const struct values *values, uint32_t left, uint32_t right, bool descending);
bool values_number(const struct values *values, uint32_t id, double *out);
/* Bytes of a text; a number's is short. */
size_t values_text_size(const struct values *values, uint32_t id);
/* As people write it. */
void values_write_number(double number, char *out, size_t size);
void values_write(const struct values *values, uint32_t id, char *out, size_t size);

#endif
