/* tests/kernels/check.h -- every rung against the scalar column, bit for bit; and the clock on the same list.
 *
 * A check draws inputs from a seeded generator, runs one kernel of the scalar column and the same of the rung,
 * and compares the outputs' bits (a NaN equals a NaN). Every buffer ends at a page that cannot be touched, as
 * closely as its alignment allows, begins after another, and the slack between is watched; so a kernel that
 * reads or writes outside of its contract stops the test. */
#ifndef TESTS_KERNELS_CHECK_H
#define TESTS_KERNELS_CHECK_H

#include "kernels/ops.h"

#include "base/rand.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct packed;

enum {
    CHECK_BUFFERS_MAX = 512
};

struct check_buffer {
    unsigned char *map;
    size_t map_size;
    unsigned char *bytes;
    size_t size;
};

struct check {
    const struct ops *want; // the scalar column
    const struct ops *got;  // the rung
    const char *kernel;     // its name in the list
    uint64_t seed;
    struct rand rand;
    size_t cases;
    size_t failures;
    struct check_buffer buffers[CHECK_BUFFERS_MAX];
    size_t buffer_count;
};

/* Zeroed memory of `size` bytes, at a multiple of `align` (1..4096), until check_release(). */
void *check_memory(struct check *check, size_t size, size_t align);
/* The end of a case: gives all memory back, after looking that no slack was written. */
void check_release(struct check *check);

/* Floats drawn by one of several recipes. */
enum check_recipe {
    CHECK_PLAIN,    // about -2..2
    CHECK_WIDE,     // any exponent, both signs, zeros and denormals among them
    CHECK_DENORMAL, // denormals and zeros alone
    CHECK_ZERO,
    CHECK_PEAK,   // +-127 throughout
    CHECK_BROKEN, // plain, with a NaN or an infinity here and there
    CHECK_RECIPES
};

const char *check_recipe_name(enum check_recipe recipe);
float check_float(struct check *check, enum check_recipe recipe);
float *check_floats(struct check *check, size_t count, enum check_recipe recipe);
/* Uniform in [0, bound). */
size_t check_below(struct check *check, size_t bound);

/* Equal bits, or NaN in both; `format` says which case this is. Counts the case. */
void check_same_floats(struct check *check, const float *want, const float *got, size_t count,
                       const char *format, ...) __attribute__((format(printf, 5, 6)));
void check_same_bytes(struct check *check, const void *want, const void *got, size_t size,
                      const char *format, ...) __attribute__((format(printf, 5, 6)));

/* A packed matrix of `rows` x `cols` from drawn weights of a GGUF type. `peak`: the weights of the largest magnitude
 * (floats: +-127). */
struct packed *check_packed(struct check *check, uint32_t type, size_t rows, size_t cols,
                            bool peak);

/* A timing in the making: fill what one call works on, then check_time(). */
struct check_bench {
    struct check check; // memory, chance, and the two columns
    const char *rung;
    size_t threads; // of the products that run over a team
};

/* Run `call(argument)` for a while and print its time with `bytes` and `operations` of one call as rates. */
void check_time(struct check_bench *bench, const char *shape, void (*call)(void *argument),
                void *argument, double bytes, double operations);

struct check_entry {
    const char *kernel;
    void (*check)(struct check *check);       // NULL: a baseline, only timed
    void (*bench)(struct check_bench *bench); // NULL: not timed
};

extern const struct check_entry check_gemms[];
extern const struct check_entry check_rows[];
extern const struct check_entry check_attentions[];
extern const struct check_entry check_scans[];

/* The whole list, for a rung by name or for every usable one (NULL). `kernel`: only those whose name begins so,
 * or NULL. Returns the number of failures. */
size_t check_run(const char *rung, const char *kernel, uint64_t seed);
void check_run_bench(const char *rung, const char *kernel, size_t threads);

#endif
