/* scheduler/features/search/remote.h -- the backend of an index that a RediSearch keeps (Debian's redis-redisearch, 1.2): what its files share.
 *
 *      remote.c          what the Redis says of the index; its life
 *      remote_words.c    the vocabulary, a copy of which every scheduler has (misspellings, pinyin, completions)
 *      remote_write.c    documents in, by the one scheduler that writes
 *      remote_search.c   a search as RediSearch's commands, and what they answer
 *      remote_lookup.c   documents that were found
 *
 * One Redis holds one index:
 *
 *      qiao:search                hash     index, generation, version, token, settings: what is whole there
 *      qiao:search:generations    counter
 *      qiao:search:open           set      generations that there is anything of
 *      qiao:search:GEN            hash     documents, bytes, positions (terms of all documents in their order)
 *      qiao:search:GEN:words      hash     word -> in how many places of the documents
 *      qGEN                       index of RediSearch:  tN      TEXT  terms of field N in their order
 *                                                       s0-s4   TEXT  terms by what they weigh (remote_document.h); n0: z, in all
 *                                                       f       TAG   redisearch_tags.h
 *                                                       k       TAG   all terms
 *                                                       vN, mN, oN    values of facet N; its least number; the largest one, negated
 *                                                       aN, zN        place in the order by N, ascending and descending
 *                                                       i             id, coded behind a `k`
 *      qiao:search:GEN:terms      hash     coded term -> how many documents have it
 *      qiao:search:GEN:d:ID       hash     a document: r (its JSON), w (its words), k (its terms, coded), l (how many, in
 *                                                       their order), i, aN, zN
 *
 * A change of settings, or a Redis that has lost its memory, makes another generation out of the collection beside the one that is
 * searched; `qiao:search` is changed over when it is whole. Every scheduler reads there which one to ask, as of which version, and by
 * which settings. The collection (collection.h) is the truth, this is a copy of it that can be lost.
 *
 * Thread: as the corpus. */
#ifndef SCHEDULER_FEATURES_SEARCH_REMOTE_H
#define SCHEDULER_FEATURES_SEARCH_REMOTE_H

#include "scheduler/features/collection.h"
#include "scheduler/features/search/corpus_parts.h"
#include "scheduler/features/search/ids.h"
#include "scheduler/features/search/redisearch_link.h"
#include "scheduler/features/search/remote_document.h"

enum {
    REMOTE_LOOK_MS = 40,     // between two looks at the head
    REMOTE_HEAD_MS = 500,    // that one may take
    REMOTE_WRITE_MS = 20000, // a write
    REMOTE_FLUSH_DOCUMENTS = 64,
    REMOTE_FLUSH_BYTES = 1 << 20,
    REMOTE_IDS_MAX = 1 << 17 // documents that are known by number; then all are forgotten
};

#define REMOTE_HEAD      "qiao:search"
#define REMOTE_NO_NUMBER 1.7e308 // of a facet whose value is none: more than any

/* What stands in the head. */
struct remote_head {
    uint64_t generation, version, documents, bytes, positions;
    char token[COLLECTION_TOKEN_MAX + 1];
};

enum remote_state {
    REMOTE_FRESH,    // nothing was told: what is put begins a generation
    REMOTE_READING,  // what is put is written to the generation that is there
    REMOTE_BUILDING, // one that is not whole yet
    REMOTE_WRITING,
    REMOTE_LOST // a write has failed, or somebody else has written: no more, until it is begun anew
};

/* A document that waits to be written. */
struct remote_order {
    char *id, *record; // record NULL: it is deleted
    size_t id_size, record_size;
};

struct remote_record {
    uint32_t number;
    char *text; // NULL: it has gone
    size_t size;
};

struct remote {
    const struct redisearch_place *place;
    struct redisearch_link *link;
    struct remote_head head;
    char *
        told; // the settings that were told, owned; those of the half are of the generation that is there
    bool is_known;   // the head was read, and nothing has failed since
    bool is_foreign; // another index lives there, which was logged
    uint64_t looked_ns;
    // remote_words.c: the copy that comes
    struct words *coming;
    char cursor[24];
    uint64_t words_version, words_coming; // of the copy that is asked, and of the other one
    uint64_t words_spent_ns, words_next_ns;
    // remote_write.c
    enum remote_state state;
    uint64_t generation; // that is written
    struct remote_extent extent;
    struct remote_order orders[REMOTE_FLUSH_DOCUMENTS];
    size_t order_count, order_bytes;
    // remote_lookup.c
    struct ids *ids;
    uint64_t serial; // of the numbers
    struct remote_record *records;
    size_t record_count;
    const struct filter *passing; // borrowed from the search at hand
    size_t passing_count;
};

/* Read the head, and take over what it says. ERR_STORE_AWAY, ERR_TIMEOUT, ERR_UNAVAILABLE: another index lives there. */
enum err remote_look(struct corpus *corpus, uint64_t timeout_ms);
/* Whether the generation that is there is of the settings that were told. */
bool remote_fits(const struct corpus *corpus);

/* A part of the words. ERR_…: as the link. */
enum err remote_read_words(struct corpus *corpus);
void remote_forget_words(struct remote *remote);

enum err remote_put(struct corpus *corpus, const char *id, size_t id_size, const char *record,
                    size_t record_size);
enum err remote_drop(struct corpus *corpus, const char *id, size_t id_size);
void remote_mark(struct corpus *corpus, uint64_t version, const char *token);
/* Everything of the index is deleted there, if it was this one's to write. */
void remote_forget(struct corpus *corpus);
void remote_forget_orders(struct remote *remote);

enum err remote_rank(struct corpus *corpus, const struct corpus_search *search,
                     struct corpus_ranking *ranking);
bool remote_has(void *owner, const struct lexical_term *term);
/* The ids of all that a filter lets pass. */
enum err remote_each_id(const struct corpus *corpus, const struct filter *filter,
                        corpus_each_fn *each, struct buf *out, size_t most, size_t *count);

/* The number of a document that was found. */
struct ranked remote_number(struct remote *remote, const char *id, size_t size);
bool remote_find(const struct corpus *corpus, const char *id, size_t size, struct ranked *out);
const char *remote_id(const struct corpus *corpus, const struct ranked *item, size_t *size);
const char *remote_record(const struct corpus *corpus, const struct ranked *item, size_t *size);
void remote_fetch(struct corpus *corpus, const struct ranked *items, size_t count);
enum err remote_pass(struct corpus *corpus, const struct corpus_search *search, size_t *count);
bool remote_passes(const struct corpus *corpus, const struct ranked *item);
void remote_each(const struct corpus *corpus, corpus_each_fn *each, struct buf *out);
void remote_forget_records(struct remote *remote);

/* Bytes of a document's key before its id, as it is asked. */
size_t remote_key_size(const struct remote *remote);
/* The key of a document. */
void remote_key(struct buf *out, uint64_t generation, const char *id, size_t size);

#endif
