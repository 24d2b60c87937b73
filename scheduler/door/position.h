/* scheduler/door/position.h -- how far the reader of a stream has got: the `id` of each event, and what a retry says in
 * Last-Event-ID.
 *
 *      17-53           17 tokens, and the 53 bytes of text that could be sent of them
 *      17-53e          the same, and the chunk with the finish_reason
 *      17-53.0-0.      of three choices: the second has said its role, the third nothing yet
 *      17-53e.9-20eu   both choices have ended, and usage was sent
 *
 * Every event carries all the text that its choice's tokens allow, so the bytes follow from the tokens; where chunks
 * begin and end may differ from run to run, the position does not. Both are said because the end of an answer frees text
 * that was held back without another token, and because a position that contradicts itself is then found out.
 *
 * Pure. Thread: any. */
#ifndef SCHEDULER_DOOR_POSITION_H
#define SCHEDULER_DOOR_POSITION_H

#include "scheduler/door/ask.h"

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    POSITION_TEXT_MAX = 192 // of ASK_CHOICES_MAX choices, the NUL included
};

/* Of one choice. */
struct position_place {
    uint32_t tokens, bytes;
    bool began; // its first chunk was sent: of a chat, the role
    bool ended; // its finish_reason was sent; then it began
};

struct position {
    struct position_place places[ASK_CHOICES_MAX];
    bool usage; // the usage chunk was sent; then every choice has ended
};

/* Of `count` choices, into `text`, which is returned. */
const char *position_write(const struct position *position, uint32_t count,
                           char text[POSITION_TEXT_MAX]);
/* A client's text. ERR_INVALID names the header, and what would be right. */
enum err position_parse(struct position *out, const char *text, uint32_t count);

/* ERR_INVALID, with its note: the position is well said, but the answer has no such place. */
enum err position_wrong(void);

#endif
