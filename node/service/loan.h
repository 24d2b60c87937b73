/* node/service/loan.h -- what a submit borrows for as long as it is in the air: its filter, and the shards that it searches.
 *
 * Thread: the service's; what is borrowed may be read by any. */
#ifndef NODE_SERVICE_LOAN_H
#define NODE_SERVICE_LOAN_H

#include "wire/message.h"

#include "base/err.h"

struct filter;
struct filters;
struct seq;
struct seq_scan;
struct shelf;

struct loan {
    struct filter *filter; // NULL: it has none
    struct seq_scan *scan; // NULL: it is no search among vectors
};

/* All that the submit needs, or nothing: ERR_NOT_FOUND with the note "filter" or "shard", ERR_INVALID. `shelf` may be NULL
 * where no SCAN comes in (intake.h). */
enum err loan_take(struct loan *out, struct filters *filters, struct shelf *shelf,
                   const struct wire_submit *submit);
/* It is the sequence's from now on. */
void loan_pass(const struct loan *loan, struct seq *seq);
/* The sequence is back: what it borrowed is too. */
void loan_end(struct filters *filters, struct shelf *shelf, struct seq *seq);

#endif
