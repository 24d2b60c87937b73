/* What was freed is looked for in this process's own memory, by a pattern that stands nowhere but in the freed blocks: it is made of
 * bytes that are each turned over first. Under a sanitizer nothing is wiped, and there is nothing to see. */
#include "base/wipe.h"
#include "tests/test.h"

#include "base/arena.h"
#include "base/mem.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    PATTERN = 48,
    WINDOW = 1 << 16
};

static const unsigned char turned[PATTERN] = {0x9e, 0x37, 0x79, 0xb9, 0x7f, 0x4a, 0x7c, 0x15, 0xf3,
                                              0x9c, 0xc0, 0x60, 0x5c, 0xed, 0xc8, 0x34, 0x10, 0x27};

/* Byte by byte, so that no register, and no place where registers are kept, holds it as well. */
static void write_pattern(unsigned char *out)
{
    volatile unsigned char *to = out;
    for (size_t i = 0; i < PATTERN; i++)
        to[i] = (unsigned char)(turned[i] ^ 0xa5 ^ i);
}

/* Without a copy of the pattern on the stack. */
static bool is_pattern(const unsigned char *at)
{
    for (size_t i = 0; i < PATTERN; i++)
        if (at[i] != (unsigned char)(turned[i] ^ 0xa5 ^ i)) return false;
    return true;
}

static size_t count_in(const unsigned char *from, const unsigned char *end)
{
    size_t count = 0;
    for (; end - from >= PATTERN; from++)
        count += is_pattern(from);
    return count;
}

static unsigned char window[WINDOW];

static size_t count_between(FILE *memory, unsigned long at, unsigned long end)
{
    size_t count = 0;
    for (; at < end; at += WINDOW - PATTERN + 1) {
        size_t want = end - at < WINDOW ? end - at : WINDOW;
        if (fseek(memory, (long)at, SEEK_SET) != 0) break;
        size_t got = fread(window, 1, want, memory);
        count += count_in(window, window + got);
        memset(window, 0, sizeof window);
    }
    return count;
}

/* How often it stands in writable memory, what is free included, but for the window that is read into. */
static size_t count_everywhere(void)
{
    unsigned long own = (unsigned long)window, own_end = own + WINDOW;
    char line[512];
    size_t count = 0;
    FILE *maps = fopen("/proc/self/maps", "re"), *memory = fopen("/proc/self/mem", "re");
    assert_non_null(maps);
    assert_non_null(memory);
    setvbuf(memory, NULL, _IONBF, 0);
    while (fgets(line, sizeof line, maps)) {
        unsigned long begin, end;
        char mode[5];
        if (sscanf(line, "%lx-%lx %4s", &begin, &end, mode) != 3 || strncmp(mode, "rw", 2) != 0)
            continue;
        bool has_own = begin <= own && own_end <= end;
        count += count_between(memory, begin, has_own ? own : end);
        if (has_own) count += count_between(memory, own_end, end);
    }
    fclose(memory);
    fclose(maps);
    return count;
}

static void fill(unsigned char *block, size_t size)
{
    for (size_t at = 0; at + PATTERN <= size; at += PATTERN)
        write_pattern(block + at);
}

static void what_was_freed_is_nowhere(void **state)
{
    static const size_t sizes[] = {48, 64, 200, 1000, 5000, 100000, 300000};
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        unsigned char *block = mem_new(sizes[i], 1);
        fill(block, sizes[i]);
        assert_int_equal(count_everywhere(), sizes[i] / PATTERN);
        mem_free(block);
        assert_int_equal(count_everywhere(), 0);
    }
}

static void what_grew_out_of_its_place_left_nothing_there(void **state)
{
    (void)state;
    unsigned char *block = mem_new(PATTERN, 1), *behind = mem_new(PATTERN, 1);
    write_pattern(block);
    for (size_t size = 100; size < 400000; size *= 3) {
        block = mem_resize(block, size, 1);
        assert_true(is_pattern(block));
        assert_int_equal(count_everywhere(), 1);
    }
    fill(block, 200000);
    block = mem_resize(block, PATTERN, 1); // and shrank
    assert_true(is_pattern(block));
    assert_int_equal(count_everywhere(), 1);
    block = mem_resize(block, PATTERN / 2, 1);
    mem_free(block);
    mem_free(behind);
    assert_int_equal(count_everywhere(), 0);
}

static void an_arena_is_empty_when_it_is_reset(void **state)
{
    (void)state;
    static unsigned char bytes[1000];
    struct arena arena;
    arena_init(&arena, bytes, sizeof bytes);
    for (int i = 0; i < 3; i++)
        write_pattern(arena_take(&arena, PATTERN, 8));
    assert_int_equal(count_everywhere(), 3);
    arena_reset(&arena);
    assert_int_equal(count_everywhere(), 0);
}

static __attribute__((noinline)) void write_deep(void)
{
    volatile unsigned char deep[WIPE_STACK / 2];
    unsigned char *at = (unsigned char *)(size_t)deep;
    write_pattern(at);
    assert_true(is_pattern(at));
}

static void what_a_call_left_on_the_stack_is_wiped(void **state)
{
    (void)state;
    write_deep();
    assert_int_equal(count_everywhere(), 1);
    wipe_stack();
    assert_int_equal(count_everywhere(), 0);
}

int main(void)
{
#if defined(QIAO_SANITIZED)
    return 0;
#endif
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_freed_is_nowhere),
        cmocka_unit_test(what_grew_out_of_its_place_left_nothing_there),
        cmocka_unit_test(an_arena_is_empty_when_it_is_reset),
        cmocka_unit_test(what_a_call_left_on_the_stack_is_wiped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
