/* tests/unit/scheduler/core/sky.h -- flights over nodes that the test plays: what is sent to them stands in `sent`, what the
 * flight's owner sees in `seen`.
 *
 *      given_node --> start --> last(WIRE_SUBMIT) --> give, finish, lose --> assert_ended
 *
 * A test has sky_set_up() and sky_tear_down() around it: at its end no flight is left, and no node is charged with anything. */
#ifndef TESTS_UNIT_SCHEDULER_CORE_SKY_H
#define TESTS_UNIT_SCHEDULER_CORE_SKY_H

#include "scheduler/core/fleet.h"
#include "scheduler/core/flight.h"

#include "wire/message.h"

#include <stddef.h>
#include <stdint.h>

enum {
    SKY_IDS_MAX = 256,
    SKY_SENT_MAX = 64
};

/* What was sent to a node; arrays copied. */
struct sent {
    uint64_t link;
    enum wire_type type;
    struct wire_key key;
    int32_t ids[SKY_IDS_MAX];
    size_t id_count;
    struct wire_submit submit; // its pointers are dead
};

/* What the flight's owner saw. */
struct seen {
    int32_t ids[SKY_IDS_MAX];
    size_t count;
    size_t ends;
    size_t wholes; // answers that came whole
    float value;   // of the latest
    struct flight_end end;
    char note[512];
    uint64_t cancel_at; // flight to cancel from inside the ids event; 0: none
};

extern struct fleet *fleet;
extern struct flights *flights; // room for three
extern struct sent sent[SKY_SENT_MAX];
extern size_t sent_count;
extern uint64_t refusing_link; // takes nothing; 0: none
extern uint64_t quarantined;   // the latest link that was
extern struct seen seen;
/* They write a struct seen, their argument. */
extern const struct flight_events sky_events;
/* Ids 10, 11 … to give. */
extern const int32_t sky_answer[6];

int sky_set_up(void **state);
int sky_tear_down(void **state);
#define SKY_TEST(name) cmocka_unit_test_setup_teardown(name, sky_set_up, sky_tear_down)

/* A node that serves the model of given_order() says HELLO. */
void given_node(uint64_t link, const char *name, uint32_t credits);
/* Its link goes down. */
void lose(uint64_t link, uint64_t now_ns);
/* Three ids of prompt, five of answer at most, stop id 99. */
struct flight_order given_order(void);
/* It is dispatched at time 0, and seen in `seen`. */
uint64_t start(void);
/* The latest message that was sent, which is of this type. */
const struct sent *last(enum wire_type type);
/* The node of the attempt `to` gives ids from `position` on. */
void give(const struct sent *to, uint32_t position, const int32_t *ids, size_t count);
/* It ends, after `tokens` ids. */
void finish(const struct sent *to, enum wire_finish how, enum err err, uint32_t tokens);
/* Once, with so many ids seen. */
void assert_ended(enum err err, size_t ids);

#endif
