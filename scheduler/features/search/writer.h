/* scheduler/features/search/writer.h -- who writes an index that is kept elsewhere (remote.h): one scheduler, which has its lock.
 *
 *                     lock is had, what is there is known
 *      READS ---------------------------------------------> WRITES      documents are followed: from the version that is there, or all of
 *        ^  settings and versions alone are followed           |        them where it is of other settings, or nothing
 *        +------------- lock is lost, a write has failed ------+
 *
 * An index in memory has no writer: every scheduler follows its documents. Thread: the loop's. */
#ifndef SCHEDULER_FEATURES_SEARCH_WRITER_H
#define SCHEDULER_FEATURES_SEARCH_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct corpus_status;
struct follower;
struct lock;
struct store;

enum {
    WRITER_AGAIN_MS = 1000 // before one that has failed tries again
};

struct writer {
    struct store *store;
    const char *collection;
    struct follower *follower;
    struct lock *lock; // NULL: of an index in memory
    bool is_remote, writes;
    bool is_fresh;   // a reset was told, and no version since
    bool is_over;    // the follower is to begin anew with the next tick
    bool is_settled; // what the follower has told was carried out
    uint64_t again_ns;
};

/* All are borrowed for its life. */
void writer_init(struct writer *writer, struct store *store, const char *collection,
                 struct follower *follower);
/* Before the store is freed. */
void writer_fini(struct writer *writer);

/* What the follower tells. False: it begins anew, and this is to be passed over. */
void writer_reset(struct writer *writer);
bool writer_settings(struct writer *writer, const char *text, size_t size);
bool writer_caught_up(struct writer *writer);
/* Whether documents are wanted. */
bool writer_wants(const struct writer *writer);
/* Everything that was told has been carried out. */
void writer_settle(struct writer *writer);
/* At least every LOCK_ASK_MS. `status`: as it was after the latest work. */
void writer_tick(struct writer *writer, const struct corpus_status *status, uint64_t now_ns);

#endif
