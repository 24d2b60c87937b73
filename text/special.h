/* text/special.h -- finding control and user-defined pieces in a text: a trie over their bytes.
 * Thread: immutable after special_init(). */
#ifndef TEXT_SPECIAL_H
#define TEXT_SPECIAL_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vocab;

enum {
    SPECIAL_NODES_MAX = 1 << 20
};

struct special_node {
    int32_t user, control;   // the piece that ends here, of either kind; -1
    uint32_t child, sibling; // 0: none
    uint8_t byte;
};

struct special {
    struct special_node *nodes; // [count]; node 0 is free: 0 means none
    size_t count, capacity;
    uint32_t roots[256];
};

/* ERR_TOO_LARGE when the pieces need more than SPECIAL_NODES_MAX nodes; nothing is held then. */
enum err special_init(struct special *out, const struct vocab *vocab);
void special_fini(struct special *special);

/* The longest piece at the start of `text`: a control piece within its first `control_size` bytes,
 * or a user-defined one within `size`. Its bytes, and its id; 0 when there is none. */
size_t special_match(const struct special *special, const char *text, size_t size,
                     size_t control_size, int32_t *id);

#endif
