/* scheduler/features/search/vectors_parts.h -- what the files of vectors.h share: vectors.c knows the indexes and their vectors,
 * vectors_write.c has the locks' work done, vectors_search.c looks among the vectors. */
#ifndef SCHEDULER_FEATURES_SEARCH_VECTORS_PARTS_H
#define SCHEDULER_FEATURES_SEARCH_VECTORS_PARTS_H

#include "scheduler/features/collection.h"
#include "scheduler/features/search/embedder.h"
#include "scheduler/features/search/filler.h"
#include "scheduler/features/search/vectors.h"

#include "base/digest.h"

struct event;
struct follower;
struct lock;
struct numbers;
struct strays;

/* What the collection of vectors says of itself: its settings, JSON.
 *      {"v": 1, "model": HEX, "adapter": HEX, "size": NUMBERS, "epoch": HEX}
 * Each making of vectors from nothing is an epoch: numbers and shards of another are not mixed up with it. */
struct vectors_made {
    bool known;
    struct digest model, adapter;
    uint32_t size;
    uint64_t epoch;
};

struct vectors_entry {
    struct vectors_entry *next;
    struct vectors *vectors;
    char index[COLLECTION_NAME_MAX + 1], name[COLLECTION_NAME_MAX + 1];
    bool told;                 // what the index wants is known
    char *settings;            // of the index; NULL: there is none
    char *model;               // its embedder's; NULL: it wants no vectors
    uint64_t orphan_ns;        // since when vectors without an index stand in the list
    struct follower *follower; // NULL: nobody needs them
    struct numbers *numbers;
    struct vectors_made made;
    char *description; // from which that was read
    struct lock *writer, *shards;
    struct embedder *embedder;
    struct filler *filler;
    bool making;                         // the collection is being removed or set up
    struct embedder_stats seen_embedder; // as counted in the metrics
    struct filler_stats seen_filler;
};

struct vectors {
    struct vectors_options options;
    struct vectors_entry *entries;
    size_t count;
    struct event *timer;
    uint64_t list_ns;   // when the next list of collections is asked for
    uint64_t listed_ns; // when the latest came, whole
    bool listing, stopped;
    struct strays *strays;
    size_t underway; // calls that will be answered, of entries and of the list
    bool is_over;    // freed, but for those
    struct vectors_ticket *tickets;
    size_t ticket_count;
    uint64_t turn;     // of searches
    uint64_t asked_ns; // when the latest came
};

/* NULL: there is none. */
struct vectors_entry *vectors_find(const struct vectors *vectors, const char *index);
/* The shards that hold a vector are those below, whose count is not 0. */
uint64_t vectors_shard(const struct vectors_entry *entry, uint32_t shard);
/* One of `underway` was answered. */
void vectors_answered(struct vectors *vectors);

/* vectors_write.c. False: no settings of vectors. */
bool vectors_read_made(struct vectors_made *made, const char *text, size_t size);
/* NULL: no. */
bool vectors_can_be_made_by(const struct fleet_model *model);
bool vectors_made_by(const struct vectors_made *made, const struct fleet_model *model);
/* With the writer's lock: see that the collection is what the index wants. */
void vectors_write(struct vectors_entry *entry, uint64_t now_ns);
/* With the shards' lock: see that the nodes have them. */
void vectors_fill(struct vectors_entry *entry, uint64_t now_ns);
void vectors_stop_embedding(struct vectors_entry *entry);
/* `drops`: the nodes are to forget the shards. */
void vectors_stop_filling(struct vectors_entry *entry, bool drops);
/* Into the metrics. */
void vectors_count(struct vectors_entry *entry);

/* vectors_search.c. The head of the searches' ring. */
struct vectors_ticket *vectors_tickets_new(void);
/* There were searches lately. */
bool vectors_asked(const struct vectors *vectors, uint64_t now_ns);
/* Every search is ended. */
void vectors_cancel_all(struct vectors *vectors);

#endif
