/* scheduler/policy/schema_take.h -- a rule's value out of JSON, one function for each form that a value has (schema.h).
 *
 * Pure. Thread: any. */
#ifndef SCHEDULER_POLICY_SCHEMA_TAKE_H
#define SCHEDULER_POLICY_SCHEMA_TAKE_H

#include "scheduler/policy/schema.h"

#include "base/err.h"

#include <jansson.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SCHEMA_NOWHERE SIZE_MAX

/* Where a value stands, for notes. */
struct schema_place {
    char path[SCHEMA_PATH_MAX];
};

struct schema_row;
/* `base` is the section's struct. */
typedef enum err schema_take_fn(const struct schema_row *row, const struct schema_place *place,
                                const json_t *value, char *base);

struct schema_row {
    unsigned group; // the table's own
    const char *name;
    schema_take_fn *take;
    size_t at;                // of the value, in the section's struct
    size_t count_at;          // of a list's size_t
    bool has_any;             // "any" may stand for the list
    size_t any_at;            // of its bool; SCHEMA_NOWHERE: an empty list says it
    long long min, max;       // of a number; `max` entries of a list
    const char *const *words; // NULL at the end
};

/* "true", a whole number into uint32_t or size_t, a name, 27 letters and digits, a provider's name, one of the words, any of the words as bits. */
schema_take_fn schema_take_flag, schema_take_count, schema_take_size, schema_take_name,
    schema_take_code, schema_take_provider, schema_take_word, schema_take_bits;
/* Lists of names or of digests; objects of texts by language, of actions by category; approvers. */
schema_take_fn schema_take_names, schema_take_digests, schema_take_text, schema_take_categories,
    schema_take_approvers;

extern const char *const schema_audit_classes[]; // NULL at the end

/* A list of {"law", "article", "note"}; the law is needed. */
enum err schema_check_provision(const struct schema_place *place, const json_t *value);
/* ERR_INVALID: "<path>: <format>". */
enum err schema_wrong(const struct schema_place *place, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
