#include "wire/frame.h"

#include "base/must.h"

#include <inttypes.h>
#include <string.h>

static const uint8_t magic[4] = {'Q', 'I', 'A', 'O'};

static void put(uint8_t *bytes, size_t size, uint64_t value)
{
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(value >> (8 * i));
}

static uint64_t get(const uint8_t *bytes, size_t size)
{
    uint64_t value = 0;
    for (size_t i = size; i-- > 0;)
        value = value << 8 | bytes[i];
    return value;
}

void frame_write(uint8_t header[FRAME_HEADER_SIZE], const struct frame *frame)
{
    must(frame->type > 0 && frame->type < WIRE_TYPE_COUNT);
    must(frame->size <= wire_body_max(frame->type));
    memcpy(header, magic, sizeof magic);
    header[4] = FRAME_VERSION;
    header[5] = (uint8_t)frame->type;
    put(header + 6, 2, frame->flags);
    put(header + 8, 4, frame->size);
    frame_number(header, frame->sequence);
}

void frame_number(uint8_t header[FRAME_HEADER_SIZE], uint64_t sequence)
{
    put(header + 12, 8, sequence);
}

enum err frame_parse(struct frame *out, const uint8_t header[FRAME_HEADER_SIZE])
{
    if (memcmp(header, magic, sizeof magic) != 0)
        return err_note(ERR_FORMAT, "a frame begins with %02x%02x%02x%02x, not with \"QIAO\"",
                        header[0], header[1], header[2], header[3]);
    if (header[4] != FRAME_VERSION)
        return err_note(ERR_FORMAT, "frame version %u; this side speaks %d", header[4],
                        FRAME_VERSION);
    if (header[5] == 0 || header[5] >= WIRE_TYPE_COUNT)
        return err_note(ERR_FORMAT, "frame type %u; known are 1 to %d", header[5],
                        WIRE_TYPE_COUNT - 1);
    struct frame frame = {.type = (enum wire_type)header[5],
                          .flags = (uint16_t)get(header + 6, 2),
                          .size = (uint32_t)get(header + 8, 4),
                          .sequence = get(header + 12, 8)};
    if (frame.size > wire_body_max(frame.type))
        return err_note(ERR_FORMAT, "a %s of %" PRIu32 " bytes; at most %zu are allowed",
                        wire_type_name(frame.type), frame.size, wire_body_max(frame.type));
    *out = frame;
    return ERR_OK;
}
