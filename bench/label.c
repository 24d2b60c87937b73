/* bench/label.c -- what a label costs an answer: the open signature, the hash of its text piece by piece, the seal; and a check.
 *
 *      bench-label [BYTES]      of an answer's text; 2,000 when not said
 *
 * The medians of five rounds, on one core. */
#include "base/aigc.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/must.h"

#include <sodium.h>

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    PIECE = 3, // bytes: what a token has
    ROUNDS = 5,
    ANSWERS = 2000
};

struct times {
    uint64_t open_ns, hash_ns, seal_ns, check_ns; // of all answers
};

static int compare(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static double median_us(const struct times *times, size_t offset)
{
    uint64_t list[ROUNDS];
    for (size_t i = 0; i < ROUNDS; i++)
        memcpy(&list[i], (const char *)&times[i] + offset, sizeof list[i]);
    qsort(list, ROUNDS, sizeof *list, compare);
    return (double)list[ROUNDS / 2] / ANSWERS / 1000;
}

/* One answer; the time of each part is added. */
static void label(const struct sign_secret *secret, const struct sign_keys *keys, const char *text,
                  size_t size, struct times *times)
{
    struct aigc aigc = {.label = "1",
                        .producer = "001191110000000000000E10001",
                        .produce_id = "chatcmpl-0123456789abcdef01234567"};
    struct aigc_hash visible = aigc_hash_label("AI\n\n", "");
    struct aigc_code code;
    uint64_t at[5] = {clock_now_ns()};
    aigc_sign(&aigc, secret, NULL, &visible);
    at[1] = clock_now_ns();
    struct aigc_hasher *hasher = aigc_hasher_new();
    for (size_t i = 0; i < size; i += PIECE)
        aigc_hasher_add(hasher, text + i, size - i < PIECE ? size - i : PIECE);
    struct aigc_hash hash = aigc_hasher_hash(hasher), content = aigc_hash_list(&hash, 1);
    aigc_hasher_free(hasher);
    at[2] = clock_now_ns();
    aigc_sign(&aigc, secret, &content, &visible);
    at[3] = clock_now_ns();
    must(aigc_check(&aigc, keys, &code) == AIGC_VALID);
    at[4] = clock_now_ns();
    times->open_ns += at[1] - at[0];
    times->hash_ns += at[2] - at[1];
    times->seal_ns += at[3] - at[2];
    times->check_ns += at[4] - at[3];
}

int main(int argc, char **argv)
{
    long size = argc > 1 ? strtol(argv[1], NULL, 10) : 2000;
    struct sign_secret secret;
    struct sign_keys keys = {.count = 1};
    struct times times[ROUNDS] = {0};
    if (size < 1 || size > 1 << 24) return 2;
    must(sodium_init() >= 0 && sign_make_key(&secret, "labels-1") == ERR_OK);
    sign_public_of(&keys.keys[0], &secret);
    char *text = mem_new((size_t)size, 1);
    memset(text, 'a', (size_t)size);
    for (size_t round = 0; round < ROUNDS; round++) {
        for (size_t i = 0; i < ANSWERS; i++)
            label(&secret, &keys, text, (size_t)size, &times[round]);
    }
    double hash_us = median_us(times, offsetof(struct times, hash_ns));
    printf("of an answer of %ld bytes, in us: open %.1f, hash %.1f (%.1f ns a byte), seal %.1f; a "
           "check %.1f\n",
           size, median_us(times, offsetof(struct times, open_ns)), hash_us,
           hash_us * 1000 / (double)size, median_us(times, offsetof(struct times, seal_ns)),
           median_us(times, offsetof(struct times, check_ns)));
    mem_free(text);
    sign_fini(&secret);
    return 0;
}
