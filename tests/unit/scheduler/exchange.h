/* tests/unit/scheduler/exchange.h -- one request to a scheduler under test, and what came back.
 *
 * All functions fail the test when something does not go as it must. */
#ifndef TESTS_UNIT_SCHEDULER_EXCHANGE_H
#define TESTS_UNIT_SCHEDULER_EXCHANGE_H

#include <stdint.h>

struct buf;

/* Connect to the port on loopback, which may be silent for a minute, and send the text, which is freed; the connection. */
int exchange_begin(uint16_t port, struct buf *text);
/* Read until the text `until` has come, or to the end when it is NULL; the caller mem_free()s what came. The other one closes, too. */
char *exchange_read(int connection, const char *until);
char *exchange_finish(int connection, const char *until);
/* The number behind `mark` in the answer. */
long number_behind(const char *answer, const char *mark);
/* Every part stands in the answer, in this order, NULL at the end; frees the answer. */
void assert_parts(char *answer, ...);

#endif
