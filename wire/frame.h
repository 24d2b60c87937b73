/* wire/frame.h -- the envelope of everything that crosses between scheduler and node.
 *
 * A link is a stream of bytes in each direction; a frame is a header of 20 bytes and its body, and
 * frames follow one another with nothing between. All integers are little-endian, no padding.
 *
 *      offset  bytes  field
 *           0      4  magic     "QIAO"
 *           4      1  version   1; a receiver refuses any other
 *           5      1  type      enum wire_type; a receiver refuses one that it does not know
 *           6      2  flags     0 in version 1; a receiver ignores bits that it does not know
 *           8      4  size      of the body, at most wire_body_max(type)
 *          12      8  sequence  0 for a link's first frame in this direction, then one more each:
 *                               a gap or a repetition closes the link
 *
 * The body is one msgpack map (wire/message.h). The golden bytes of every message stand in
 * tests/data/wire/; a change there is a new version. Fields that were added since stand in NAME.grown.hex. Thread: pure functions, any thread. */
#ifndef WIRE_FRAME_H
#define WIRE_FRAME_H

#include "wire/message.h"

#include "base/err.h"

#include <stdint.h>

enum {
    FRAME_HEADER_SIZE = 20,
    FRAME_VERSION = 1
};

struct frame {
    enum wire_type type;
    uint16_t flags;
    uint32_t size; // of the body
    uint64_t sequence;
};

void frame_write(uint8_t header[FRAME_HEADER_SIZE], const struct frame *frame);
/* Give a written header its sequence number, which is known only when it leaves. */
void frame_number(uint8_t header[FRAME_HEADER_SIZE], uint64_t sequence);

/* Read a header that a stranger sent. ERR_FORMAT, naming the field, its value and what would be
 * right. The sequence number is the link's to judge. */
enum err frame_parse(struct frame *out, const uint8_t header[FRAME_HEADER_SIZE]);

#endif
