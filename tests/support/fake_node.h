/* tests/support/fake_node.h -- a node that a test plays: a real link, the tiny model's text pack,
 * answers by rote.
 *
 * It has a thread of its own. Every submit is answered with the ids of a fixed text, one a
 * message, then the end id; with the vector (count of ids, second id, 0, 0) where a vector is asked for; with a number where
 * a score is (how many ids the second text has, marks included, less FAKE_NODE_ZERO); with the first rows of its slice where a list is; or, while it is told to hang, with nothing, or to halt, with its beginning. It
 * obeys CANCEL. */
#ifndef TESTS_SUPPORT_FAKE_NODE_H
#define TESTS_SUPPORT_FAKE_NODE_H

#include "wire/message.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fake_node;

enum {
    FAKE_NODE_SILENCE_MS = 60000, // of a peer that lives and has no time
    FAKE_NODE_VECTOR = 4,         // numbers of a vector
    FAKE_NODE_ZERO = 5,
    FAKE_NODE_ROWS_MAX = 128, // of a list
    FAKE_NODE_BEST = 1000     // score of row 0, one less each
};

struct fake_node_options {
    const char *url;      // of the scheduler
    const char *name;     // its own; NULL: "fake"
    const char *region;   // where it says that it is; NULL: ""
    const char *model;    // what its model's digest is of; NULL: "fake"
    const char *answer;   // what it always says
    uint32_t credits;     // 0: 16
    uint32_t kinds;       // as in a HELLO; 0: GENERATE and EMBED
    uint32_t vector_size; // what it says that its vectors have; 0: FAKE_NODE_VECTOR
    uint32_t busy;        // so many of its first submits are answered BUSY
    uint32_t pause_ms;    // between two ids
    uint32_t context;     // tokens; 0: as its text pack says
    uint32_t die_after;   // ids of its first answer, then the link is cut; 0: never
};

struct fake_node *fake_node_start(const struct fake_node_options *options);
void fake_node_stop(struct fake_node *node);
/* Take submits and say nothing. */
void fake_node_hang(struct fake_node *node, bool on);
/* Say no more than so many ids of each answer, until it is called with 0. */
void fake_node_halt(struct fake_node *node, unsigned ids);
/* What its latest HELLO called this life of it; 0: there was none. */
uint64_t fake_node_instance(struct fake_node *node);
unsigned fake_node_submits(struct fake_node *node);
unsigned fake_node_cancels(struct fake_node *node);
/* Whether these bytes stood in anything that schedulers have sent it. */
bool fake_node_heard(struct fake_node *node, const char *bytes);
/* Under which salts the latest submit may be cached, and for how long; how many salts. */
size_t fake_node_salts(struct fake_node *node, struct wire_salt salts[2], uint32_t *cache_ms);
/* The salt that it was last told to forget; 0: none. A node that hangs does not answer. */
uint64_t fake_node_evicted(struct fake_node *node);
/* The latest prompt, its control pieces as their names; mem_free() it. */
char *fake_node_prompt(struct fake_node *node);

#endif
