#include "scheduler/features/search/writer.h"

#include "scheduler/features/collection.h"
#include "scheduler/features/follower.h"
#include "scheduler/features/lock.h"
#include "scheduler/features/search/corpus.h"

#include "base/clock.h"
#include "base/log.h"

#include <inttypes.h>
#include <stdio.h>

void writer_init(struct writer *writer, struct store *store, const char *collection,
                 struct follower *follower)
{
    *writer = (struct writer){.store = store, .collection = collection, .follower = follower};
}

void writer_fini(struct writer *writer)
{
    lock_free(writer->lock);
    writer->lock = NULL;
}

void writer_reset(struct writer *writer)
{
    writer->is_fresh = true;
    writer->is_settled = false;
}

static bool is_remote(const char *text, size_t size)
{
    struct search_settings *settings = NULL;
    char param[SEARCH_PARAM_MAX];
    json_t *object = text ? json_loadb(text, size, 0, NULL) : NULL;
    bool is = object && !search_settings_read(&settings, object, param) && settings->is_remote;
    search_settings_free(settings);
    json_decref(object);
    return is;
}

/* Of an index that is kept elsewhere, or shall be, all is told again, the documents to the one that writes. */
bool writer_settings(struct writer *writer, const char *text, size_t size)
{
    bool was_remote = writer->is_remote, is = is_remote(text, size);
    if (!writer->is_fresh && (was_remote || is)) {
        writer->is_over = true;
        return false;
    }
    writer->is_remote = is;
    return !writer->is_over;
}

bool writer_caught_up(struct writer *writer)
{
    if (writer->is_over) return false;
    writer->is_fresh = false;
    return true;
}

bool writer_wants(const struct writer *writer)
{
    return !writer->is_remote || writer->writes;
}

void writer_settle(struct writer *writer)
{
    writer->is_settled = !writer->is_over && !writer->is_fresh;
}

static void start_over(struct writer *writer)
{
    writer->is_over = writer->is_settled = false;
    writer->is_fresh = true; // the reset is on its way
    follower_restart(writer->follower);
}

static void begin(struct writer *writer, const struct corpus_status *status)
{
    log_info("search_writes", "index=%s version=%" PRIu64 " anew=%d", writer->collection,
             status->version, !status->fits);
    writer->writes = true;
    if (status->fits)
        follower_resume(writer->follower, status->version, status->token);
    else
        start_over(writer);
}

static struct lock *new_lock(const struct writer *writer)
{
    char key[LOCK_KEY_MAX + 1];
    snprintf(key, sizeof key, "qiao:{c:%s}:writer", writer->collection);
    return lock_new(writer->store, key);
}

void writer_tick(struct writer *writer, const struct corpus_status *status, uint64_t now_ns)
{
    if (writer->is_over) {
        writer->writes = false; // as settings have changed, it is looked at first
        start_over(writer);
        return;
    }
    if (!writer->is_remote) {
        writer_fini(writer);
        writer->writes = false;
        return;
    }
    if (!writer->lock) writer->lock = new_lock(writer);
    lock_tick(writer->lock, now_ns);
    bool held = lock_is_held(writer->lock, now_ns);
    bool is_sound = status->is_remote && !status->is_lost && (!status->is_ready || status->fits);
    if (writer->writes && (!held || (writer->is_settled && !is_sound))) {
        writer->writes = false;
        writer->again_ns = now_ns + WRITER_AGAIN_MS * CLOCK_MS;
        start_over(writer);
    } else if (!writer->writes && held && writer->is_settled && status->is_ready &&
               now_ns >= writer->again_ns) {
        begin(writer, status);
    }
}
