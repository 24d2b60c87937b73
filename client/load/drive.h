/* client/load/drive.h -- starts the requests of a run and waits for them: the event loop.
 *
 * Closed loop: `limit` requests are always under way; the next begins when one ends. After a
 * failure it begins DRIVE_PAUSE_MS later, so that a dead server is not hammered. Open loop:
 * requests begin at the instants of a Poisson process, whatever the server does, and their latency
 * counts from that instant (no coordinated omission); an arrival that finds `limit` requests under
 * way is counted as the error "overrun".
 *
 * Requests go to the targets in turn; what a stream does when one is not there: client/load/stream.h.
 * Idempotency-Keys are "qiao-load-RUN-NUMBER", RUN drawn anew in every run. */
#ifndef CLIENT_LOAD_DRIVE_H
#define CLIENT_LOAD_DRIVE_H

#include "client/load/plan.h"
#include "client/load/stream.h"
#include "client/load/tally.h"

#include <stddef.h>
#include <stdio.h>

enum {
    DRIVE_PAUSE_MS = 100
};

struct drive_settings {
    const struct plan *plan;
    const struct target *targets;
    size_t target_count;
    const char *key;      // NULL: none
    size_t limit;         // requests under way at once
    double rate;          // requests a second; 0: closed loop
    uint64_t duration_ns; // 0: no limit
    uint64_t requests;    // 0: no limit
    uint64_t timeout_ns;
    uint64_t connect_ns;
    uint64_t retries;   // of one request
    bool retry_refused; // also of 429 and 503 with Retry-After
    FILE *answers;      // NULL; else gets a line for each request that ended: report_answer()
    bool progress;      // a line on stderr, once a second
};

/* Run until the last request ended, or until SIGINT or SIGTERM. ERR_IO when the loop cannot be
 * made. */
enum err drive_run(const struct drive_settings *settings, struct tally *tally);

#endif
