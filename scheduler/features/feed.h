/* scheduler/features/feed.h -- how far a partner's feed has been taken: each once, the newer after the older.
 *
 *      qiao:{c:items:TENANT}:feed:SOURCE   hash: of the latest feed alone
 *
 *      number, digest     which it is, and the SHA-256 of its file
 *      lines, done        how many it has, and how many were taken; equal: it is complete
 *      from, until        ms since 1970: between these its events are
 *      region             under whose rules they come, as whoever began it said; '': nobody's
 *      stored, repeated, unlinked, refused, wrong      what became of the lines that were taken
 *
 * A feed has a number that is higher than all before it. One that was begun goes on where it stopped; an older one is refused,
 * and so is the next one while this one is not complete. Lines are taken in order: who brings others than the next ones is told
 * where the feed is. Thread: the loop's. */
#ifndef SCHEDULER_FEATURES_FEED_H
#define SCHEDULER_FEATURES_FEED_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct feeds;
struct store;

enum {
    FEED_DIGEST_SIZE = 64, // hexadecimal digits of a SHA-256
    FEED_REGION_MAX = 64
};

#define FEED_NUMBER_MAX INT64_C(9007199254740991) // Lua's numbers hold it
#define FEED_LINES_MAX  INT64_C(1000000000)

struct feed_counts {
    uint64_t stored, repeated;
    uint64_t unlinked; // of pseudonyms that are nobody's here
    uint64_t refused;  // of users without the consent
    uint64_t wrong;
};

struct feed {
    int64_t number; // 0: there was none yet
    char digest[FEED_DIGEST_SIZE + 1];
    int64_t lines, done;
    int64_t from_ms, until_ms;
    char region[FEED_REGION_MAX + 1];
    struct feed_counts counts;
};

struct feeds *feeds_new(struct store *store);
void feeds_free(struct feeds *feeds);

/* Answers once, from the loop; `feed` is borrowed until the return, NULL with an error. */
typedef void feed_fn(void *argument, enum err err, const struct feed *feed);
void feeds_look(struct feeds *feeds, const char *tenant, const char *source, feed_fn *done,
                void *argument);
/* Begin it, or go on: the answer says where. `skip`: although the one before is not complete. ERR_CONFLICT: it is older, another
 * one has its number, or the one before is not complete; the note says which, and `feed` is still NULL. */
void feeds_begin(struct feeds *feeds, const char *tenant, const char *source,
                 const struct feed *feed, bool skip, feed_fn *done, void *argument);
/* Its lines from `first` (0: the first one) to before `end` were taken. ERR_CONFLICT: the feed is elsewhere. */
void feeds_advance(struct feeds *feeds, const char *tenant, const char *source, int64_t number,
                   int64_t first, int64_t end, const struct feed_counts *counts, feed_fn *done,
                   void *argument);

#endif
