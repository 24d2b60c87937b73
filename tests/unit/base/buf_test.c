#include "tests/test.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/mem.h"

#include <string.h>

static void a_buffer_grows_and_stays_a_string(void **state)
{
    (void)state;
    struct buf buf = {0};
    assert_string_equal(buf_text(&buf), "");
    for (int i = 0; i < 1000; i++)
        buf_addf(&buf, "%d,", i);
    assert_int_equal(strlen(buf.data), buf.size);
    char long_text[600];
    memset(long_text, 'y', sizeof long_text - 1);
    long_text[sizeof long_text - 1] = '\0';
    buf_clear(&buf);
    buf_addf(&buf, "<%s>", long_text);
    assert_int_equal(buf.size, 601);
    buf_consume(&buf, 600);
    assert_string_equal(buf_text(&buf), ">");
    char *taken = buf_take(&buf);
    assert_string_equal(taken, ">");
    mem_free(taken);
    assert_int_equal(buf.size, 0);
}

static void a_limited_buffer_refuses_and_remembers(void **state)
{
    (void)state;
    struct buf buf = {.limit = 10};
    buf_add_text(&buf, "12345678");
    buf_add_text(&buf, "90x");
    assert_true(buf.overflow);
    buf_add_text(&buf, "z");
    assert_string_equal(buf_text(&buf), "12345678");
    buf_clear(&buf);
    buf_add_text(&buf, "1234567890");
    assert_false(buf.overflow);
    buf_fini(&buf);
}

static void an_arena_aligns_and_ends(void **state)
{
    (void)state;
    _Alignas(64) unsigned char bytes[256];
    memset(bytes, 0xAA, sizeof bytes);
    struct arena arena;
    arena_init(&arena, bytes, sizeof bytes);
    assert_non_null(arena_take(&arena, 3, 1));
    unsigned char *aligned = arena_take(&arena, 100, 64);
    assert_non_null(aligned);
    assert_int_equal((uintptr_t)aligned % 64, 0);
    assert_int_equal(aligned[99], 0);
    assert_null(arena_take(&arena, 100, 1));
    assert_null(arena_take(&arena, SIZE_MAX, 64));
    arena_reset(&arena);
    assert_non_null(arena_take(&arena, 256, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_buffer_grows_and_stays_a_string),
        cmocka_unit_test(a_limited_buffer_refuses_and_remembers),
        cmocka_unit_test(an_arena_aligns_and_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
