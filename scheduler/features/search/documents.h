/* scheduler/features/search/documents.h -- the documents of one index, by id and by number.
 *
 * A number is small and is used again when its document has gone; a serial never is: who kept a number over a while asks for
 * both. The record is the whole document as JSON text. Thread: one owner. */
#ifndef SCHEDULER_FEATURES_SEARCH_DOCUMENTS_H
#define SCHEDULER_FEATURES_SEARCH_DOCUMENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    DOCUMENTS_MAX = 1 << 22 // of one index
};

struct document {
    char *id;
    size_t id_size;
    char *record; // NUL-terminated
    size_t record_size;
    uint64_t serial;
    uint32_t number;
    uint32_t next; // in its bucket
};

struct documents;

struct documents *documents_new(void);
void documents_free(struct documents *documents);
/* Before documents_free(), and nothing but it comes between: free at most `count`; whether there are more. */
bool documents_shed(struct documents *documents, size_t count);
size_t documents_count(const struct documents *documents);
/* Numbers are below this. */
uint32_t documents_end(const struct documents *documents);

/* NULL: there is none. Valid until the document is removed. */
struct document *documents_find(const struct documents *documents, const char *id, size_t size);
struct document *documents_at(const struct documents *documents, uint32_t number);
/* A new one, with copies of both; the id is not there yet. NULL: DOCUMENTS_MAX are there. */
struct document *documents_add(struct documents *documents, const char *id, size_t id_size,
                               const char *record, size_t record_size);
void documents_remove(struct documents *documents, struct document *document);

#endif
