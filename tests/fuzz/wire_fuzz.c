/* Any bytes as a frame: the header, then the body of the type that it names. What is accepted must
 * encode again, and decode to the same. Built with libFuzzer, or with tests/fuzz/wire_corpus.c. */
#include "wire/frame.h"
#include "wire/message.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/must.h"

#include <string.h>

enum {
    MEMORY_SIZE = 1 << 20
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void round_trip(enum wire_type type, const uint8_t *body, size_t size)
{
    static _Alignas(max_align_t) unsigned char memory[2][MEMORY_SIZE];
    struct arena arena;
    struct wire_message message, again;
    arena_init(&arena, memory[0], MEMORY_SIZE);
    if (message_decode(&message, type, body, size, &arena) != ERR_OK) return;
    struct buf first = {0}, second = {0};
    message_encode(&message, &first);
    arena_init(&arena, memory[1], MEMORY_SIZE);
    must(message_decode(&again, type, (const uint8_t *)first.data, first.size, &arena) == ERR_OK);
    message_encode(&again, &second);
    must(first.size == second.size && memcmp(first.data, second.data, first.size) == 0);
    buf_fini(&first);
    buf_fini(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct frame frame;
    if (size < FRAME_HEADER_SIZE) return 0;
    (void)frame_parse(&frame, data);
    // The body is tried under every type whose number the header's byte gives, magic or not.
    round_trip((enum wire_type)(1 + data[5] % (WIRE_TYPE_COUNT - 1)), data + FRAME_HEADER_SIZE,
               size - FRAME_HEADER_SIZE);
    return 0;
}
