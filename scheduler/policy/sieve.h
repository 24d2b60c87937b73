/* scheduler/policy/sieve.h -- one text on its way through the sieve, piece by piece.
 *
 *      pieces --match (text/match.h)--> held back: what may still become part of a hit
 *                                  +--> let out: with what is masked as '*', a character each
 *                                  +--> a hit that is refused or blocked: the text ends before it
 *
 * What is done about a hit is what the rules say of its category for this side, or else what the bundle says. What was let out never holds
 * a part of a term that is masked, refused or blocked, however the text was parted; what is let out after a character depends on the text until
 * there and on nothing else.
 *
 * Thread: one owner. */
#ifndef SCHEDULER_POLICY_SIEVE_H
#define SCHEDULER_POLICY_SIEVE_H

#include "scheduler/policy/bundle.h"
#include "scheduler/policy/rules.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;
struct sieve;

enum sieve_side {
    SIEVE_INPUT,
    SIEVE_OUTPUT
};

/* The bundle is held until the end; the rules are read here alone. */
struct sieve *sieve_new(const struct bundle *bundle, const struct rules_filter *rules,
                        enum sieve_side side);
/* NULL: nothing happens. */
void sieve_free(struct sieve *sieve);

/* More text, whole characters: append to `out` what may be let out. */
void sieve_push(struct sieve *sieve, const char *text, size_t size, struct buf *out);
/* The text ends: append the rest. */
void sieve_end(struct sieve *sieve, struct buf *out);

/* The strongest action so far. From RULES_REFUSE on the text is over. */
enum rules_action sieve_action(const struct sieve *sieve);

static inline bool sieve_is_over(const struct sieve *sieve)
{
    return sieve_action(sieve) >= RULES_REFUSE;
}

/* What was found, for records: the categories that had hits, one after another; false behind the last. */
struct sieve_found {
    const char *category;
    enum rules_action action;
    uint32_t count;
};

bool sieve_found(const struct sieve *sieve, size_t index, struct sieve_found *out);

/* A whole text at once: the action, and in `out` what is left of it. */
enum rules_action sieve_text(struct sieve *sieve, const char *text, size_t size, struct buf *out);

#endif
