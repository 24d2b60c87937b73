/* scheduler/features/collection.h -- documents that Redis keeps and every scheduler has a copy of: who writes.
 *
 * A collection is a catalogue ("items:TENANT") or a search index ("index:TENANT:INDEX"): ids with their records, which are
 * bytes to us, and one text of settings. Every change is one Lua call that changes documents and tells of it:
 *
 *      qiao:{c:NAME}:docs      hash     id -> record
 *      qiao:{c:NAME}:meta      hash     version (counts the changes), token (of the latest one, random), settings
 *      qiao:{c:NAME}:changes   stream   entry VERSION-1: t TOKEN i IDS (msgpack), and s 1 when the settings changed
 *      qiao:{collections}      set      NAME of each
 *
 * The stream keeps about the last COLLECTION_CHANGES_KEPT changes; follower.h reads it. A call carries at most
 * COLLECTION_CHUNK_ENTRIES documents or COLLECTION_CHUNK_BYTES, so that Redis is never held up: a bulk write is several
 * changes, in its order, and each document is written whole or not at all.
 *
 * Every call answers exactly once, from the loop, never from inside; what it was given by address is borrowed until then.
 * Thread: the loop's. */
#ifndef SCHEDULER_FEATURES_COLLECTION_H
#define SCHEDULER_FEATURES_COLLECTION_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct collections;
struct event_base;
struct store;

enum {
    COLLECTION_NAME_MAX = 192,         // bytes: letters, digits, '-', '_', '.', ':'
    COLLECTION_ID_MAX = 128,           // bytes of a document's id
    COLLECTION_RECORD_MAX = 256 << 10, // bytes of its record
    COLLECTION_SETTINGS_MAX = 64 << 10,
    COLLECTION_CHUNK_ENTRIES = 256,
    COLLECTION_CHUNK_BYTES = 512 << 10,
    COLLECTION_CHANGES_KEPT = 4096,
    COLLECTION_LIST_MAX = 4096, // names that collections_list() tells
    COLLECTION_TOKEN_MAX = 16   // bytes of a change's token
};

/* The store outlives it, and answers the last calls when it is freed before. */
struct collections *collections_new(struct event_base *base, struct store *store);
void collections_free(struct collections *collections);
/* For whoever follows. */
struct store *collections_store(const struct collections *collections);
struct event_base *collections_base(const struct collections *collections);

struct collection_entry {
    const char *id;
    size_t id_size;     // 1 to COLLECTION_ID_MAX
    const char *record; // NULL: the document is deleted
    size_t record_size; // at most COLLECTION_RECORD_MAX
};

/* What became of an entry. */
enum collection_fate {
    COLLECTION_UNSENT, // an earlier part failed: it was not tried
    COLLECTION_UNSURE, // the answer was lost: it may have been done
    COLLECTION_CREATED,
    COLLECTION_REPLACED,
    COLLECTION_DELETED,
    COLLECTION_MISSING, // there was nothing to delete
    COLLECTION_FULL     // one document more than `documents_max`
};

struct collection_write {
    const char *name;
    const struct collection_entry *entries;
    size_t count;
    uint64_t documents_max; // of the whole collection; 0: any number
    bool existing;        // only where there are settings: ERR_NOT_FOUND otherwise, nothing written
    unsigned char *fates; // [count], enum collection_fate
};

/* `version` has all that was written: it is the latest change of this write, or the one that stood there when nothing
 * changed. Also with an error, for what was done before it; 0 when nothing was. */
typedef void collection_written_fn(void *argument, enum err err, uint64_t version);
void collection_write(struct collections *collections, const struct collection_write *write,
                      collection_written_fn *done, void *argument);

/* Set the settings, which also makes the collection. */
void collection_configure(struct collections *collections, const char *name, const char *settings,
                          size_t size, collection_written_fn *done, void *argument);
/* Documents, settings, changes: all of it. ERR_NOT_FOUND where there is none. */
void collection_remove(struct collections *collections, const char *name,
                       collection_written_fn *done, void *argument);

/* `record` is borrowed until the function returns; ERR_NOT_FOUND when there is no such document. */
typedef void collection_read_fn(void *argument, enum err err, const char *record, size_t size);
void collection_read(struct collections *collections, const char *name, const char *id,
                     size_t id_size, collection_read_fn *done, void *argument);

/* The names of all collections, in no order; borrowed until the function returns. One that was just removed may stand
 * among them: its follower finds version 0. */
typedef void collections_list_fn(void *argument, enum err err, const char *const *names,
                                 size_t count);
void collections_list(struct collections *collections, collections_list_fn *done, void *argument);
/* Tell the list again of a collection that is there. */
void collections_enlist(struct collections *collections, const char *name);

/* The three keys of a collection, docs, meta and changes. */
enum {
    COLLECTION_KEY_SIZE = COLLECTION_NAME_MAX + 24
};

struct collection_keys {
    char docs[COLLECTION_KEY_SIZE], meta[COLLECTION_KEY_SIZE], changes[COLLECTION_KEY_SIZE];
};

void collection_keys(struct collection_keys *out, const char *name);

#endif
