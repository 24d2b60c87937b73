/* scheduler/door/door.h -- what every handler of the API is given, and the table of routes.
 *
 * Nothing here is owned: main makes the parts, and tears them down after the door. Thread: the
 * loop's. */
#ifndef SCHEDULER_DOOR_DOOR_H
#define SCHEDULER_DOOR_DOOR_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct audit;
struct context;
struct event_base;
struct http_request;

struct door {
    struct event_base *base;
    const struct settings *settings;
    struct metrics *metrics;
    struct keys *keys;
    struct http *http;
    struct fleet *fleet;
    struct flights *flights;
    struct lexicon *lexicon;
    struct uplink *uplink;
    struct store *store;
    struct sessions *sessions;
    struct idems *idems;
    struct limits *limits;
    struct scribe *scribe;
    struct scribe *searchers; // the workers of indexes
    struct scribe *waiters;   // those of indexes that are kept in a RediSearch
    struct indexes *indexes;
    struct vectors *vectors; // of the indexes' documents
    struct peers *peers;
    struct consents *consents;
    struct erasures *erasures;
    struct collections *collections;
    struct catalogues *catalogues;
    struct events *events;
    struct histories *histories;
    struct tags *tags;
    struct forgets *forgets;
    struct popular *popular;
    struct partners *partners;
    struct pseudonyms *pseudonyms;
    struct feeds *feeds;
    struct solds *solds;
    struct errands *errands;
    struct openings *openings;
    struct policies *policies; // NULL: nothing is governed
    struct labeller *labeller;
    struct waivers *waivers; // of labels
    struct bundles *bundles;   // of terms, for filters; NULL: there are none
    struct strikes *strikes;
    struct gate *gate;     // NULL likewise
    struct audit *audit;   // NULL: nothing is recorded
    struct sealer *sealer; // of its records; NULL with it
    struct waits *waits;   // requests that wait for a node of their model
    uint64_t start_ns;
    size_t answers; // being made
    size_t exports; // of users' data, under way
    bool draining;
};

/* The http_handler_fn and http_ended_fn of the API; `door` is a struct door. */
void door_handle(void *door, struct http_request *request);
void door_ended(void *door, const struct http_request *request, int status, uint64_t duration_ns);

/* Answer with the note and the field of this thread's latest failure. */
void door_refuse(struct http_request *request, enum err err);
/* Who asks, or the refusal is sent and false comes back. `admin`: and may operate the cluster. */
bool door_admit(struct door *door, struct http_request *request, bool admin,
                struct context *context);
/* The same of a key that may write catalogues and indexes. */
bool door_admit_data(struct door *door, struct http_request *request, struct context *context);

#endif
