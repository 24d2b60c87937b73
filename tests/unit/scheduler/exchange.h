/* tests/unit/scheduler/exchange.h -- one request to a scheduler under test, and what came back.
 *
 * All functions fail the test when something does not go as it must. */
#ifndef TESTS_UNIT_SCHEDULER_EXCHANGE_H
#define TESTS_UNIT_SCHEDULER_EXCHANGE_H

#include <stdint.h>

struct buf;

/* Connect to the port on loopback, which may be silent for 20 s, and send the text, which is freed; the connection. */
int exchange_begin(uint16_t port, struct buf *text);
/* Read until the text `until` has come, or to the end when it is NULL; closes. The caller mem_free()s what came. */
char *exchange_finish(int connection, const char *until);
/* Every part stands in the answer, in this order, NULL at the end; frees the answer. */
void assert_parts(char *answer, ...);

#endif
