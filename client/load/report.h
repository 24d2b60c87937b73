/* client/load/report.h -- a tally as a table for people, as JSON for programs, and as a line while
 * it grows. docs/load.md says what each figure means. */
#ifndef CLIENT_LOAD_REPORT_H
#define CLIENT_LOAD_REPORT_H

#include "client/load/tally.h"

#include <stdint.h>
#include <stdio.h>

struct buf;

/* What was run; borrowed. */
struct report_about {
    const char *model;
    double rate;    // requests/s; 0: closed loop
    uint64_t limit; // requests at once
    uint64_t seed;
    bool stream;
};

void report_table(struct buf *out, const struct tally *tally, const struct report_about *about);
void report_json(struct buf *out, const struct tally *tally, const struct report_about *about);
/* A line about one answer, for comparing runs: "NUMBER ok FINISH TOKENS DIGEST" with the digest of its content, or
 * "NUMBER failed KIND". */
void report_answer(FILE *out, uint64_t number, const struct outcome *outcome);
/* Rewrites the terminal's line. */
void report_progress(FILE *out, const struct tally *tally, uint64_t now_ns, uint64_t in_flight);

#endif
