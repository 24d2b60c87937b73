/* scheduler/program.h -- the parts of qiao-scheduler, put together and taken apart.
 *
 * Thread: main's. */
#ifndef SCHEDULER_PROGRAM_H
#define SCHEDULER_PROGRAM_H

#include "scheduler/door/door.h"
#include "scheduler/door/wait.h"
#include "scheduler/features/collection.h"
#include "scheduler/features/search/redisearch_link.h"
#include "scheduler/settings.h"
#include "scheduler/state/keyring.h"

#include "text/template.h"

#include "base/err.h"

struct analyzer;
struct durables;
struct folders;
struct pinyin;

struct program {
    struct settings settings; // loaded before program_build()
    uint32_t silence_ms;      // of a node, before it is lost; 0: LINK_SILENCE_MS
    struct wait_limits waits; // of requests for a node; zeros: as wait.h has them
    struct door door;
    struct template template; // of --chat-template
    struct keyring master;    // of sessions
    struct durables *durables;
    struct analyzer *analyzer; // of search
    struct pinyin *pinyin;
    struct folders *folders;
    struct redisearch_place places[REDISEARCH_PLACES_MAX];
    char place_names[REDISEARCH_PLACES_MAX][COLLECTION_NAME_MAX + 1];
};

/* Everything but the loop's turning. Whatever it answers, program_tear_down() follows. */
enum err program_build(struct program *program);
/* In reverse; also of what was built halfway. */
void program_tear_down(struct program *program);

#endif
