/* The fields with which a node swaps its model: an order of the scheduler's, and whom a HELLO replaces. */
#include "tests/test.h"

#include "wire/message.h"

#include "base/arena.h"
#include "base/buf.h"

#include <string.h>

static _Alignas(max_align_t) unsigned char memory[4096];

static struct wire_message round_trip(const struct wire_message *message, struct buf *body)
{
    static struct arena arena;
    struct wire_message out;
    arena_init(&arena, memory, sizeof memory);
    message_encode(message, body);
    if (message_decode(&out, message->type, (const uint8_t *)body->data, body->size, &arena))
        fail_msg("%s", err_text());
    return out;
}

static void an_order_to_reload_has_its_bytes(void **state)
{
    (void)state;
    static const char golden[] = "\x82\x01\xc2\x02\xc3";
    struct buf body = {0};
    struct wire_message order = {.type = WIRE_DRAIN, .drain = {.on = false, .reload = true}};
    assert_true(round_trip(&order, &body).drain.reload);
    assert_int_equal(body.size, sizeof golden - 1);
    assert_memory_equal(body.data, golden, body.size);
    buf_fini(&body);
}

static void a_drain_without_it_is_as_it_always_was(void **state)
{
    (void)state;
    struct buf body = {0};
    struct wire_message order = {.type = WIRE_DRAIN, .drain.on = true};
    assert_false(round_trip(&order, &body).drain.reload);
    assert_int_equal(body.size, 3);
    assert_memory_equal(body.data, "\x81\x01\xc3", 3);
    buf_fini(&body);
}

static void a_hello_says_whom_it_replaces(void **state)
{
    (void)state;
    const struct wire_model model = {
        .name = {"m", 1}, .kinds = 2, .context_length = 9, .vocab_size = 5};
    struct wire_message hello = {.type = WIRE_HELLO,
                                 .hello = {.protocol = WIRE_PROTOCOL,
                                           .node = {"n", 1},
                                           .instance = 7,
                                           .models = &model,
                                           .model_count = 1,
                                           .block_tokens = 32,
                                           .threads = 1}};
    struct buf before = {0}, after = {0};
    assert_int_equal(round_trip(&hello, &before).hello.replaces, 0);
    hello.hello.replaces = 0xfeedfacecafebeef;
    assert_true(round_trip(&hello, &after).hello.replaces == 0xfeedfacecafebeef);
    // one pair more, and nothing else: the map's size, then key 10 and 9 bytes at the end
    assert_int_equal(after.size, before.size + 10);
    assert_memory_equal(after.data + before.size, "\x0a\xcf\xfe\xed\xfa\xce\xca\xfe\xbe\xef", 10);
    buf_fini(&before);
    buf_fini(&after);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_order_to_reload_has_its_bytes),
        cmocka_unit_test(a_drain_without_it_is_as_it_always_was),
        cmocka_unit_test(a_hello_says_whom_it_replaces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
