/* tests/sim/tally.h -- the hashes in Redis that count what keys and users spend, and what one call does to them: written after the
 * contract of scheduler/state/meter.h, not after its script. Times are of Redis' clock. */
#ifndef TESTS_SIM_TALLY_H
#define TESTS_SIM_TALLY_H

#include "scheduler/state/meter.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    TALLY_FIELDS = 14 // of an answer, in the order of struct meter_answer
};

/* What a call says. */
struct tally_call {
    uint64_t turn, minute_slot_ms, day_slot_ms, stream_ms;
    uint64_t requests_max, minute_max, day_max, streams_max;
    int64_t streams_held;
    uint64_t streams_back;
    struct meter_span requests, tokens, streams;
    const char *backs; // "slot:requests:tokens ..."
};

void tally_do(const char *key, const char *who, const struct tally_call *call, uint64_t now_ms,
              uint64_t answer[TALLY_FIELDS]);

/* Under a name that a call has used: whether the slot in which a time lies is still counted, and the tokens of all that
 * are, of a minute and of a day. */
bool tally_counts_minute(const char *key, uint64_t at_ms, uint64_t now_ms);
bool tally_counts_day(const char *key, uint64_t at_ms, uint64_t now_ms);
uint64_t tally_minute_tokens(const char *key, uint64_t now_ms);
uint64_t tally_day_tokens(const char *key, uint64_t now_ms);
/* Forget everything. */
void tally_end(void);

#endif
