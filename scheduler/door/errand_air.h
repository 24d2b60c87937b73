/* scheduler/door/errand_air.h -- whose text flies next: the errands' places in the air, shared by tenant.
 *
 *      a place is free --> the tenant with the fewest in the air --> its errand with the fewest, the eldest of equals
 *                      --> take()
 *
 * A tenant whose errands have `most` in the air gets no further place, nor does anybody for a model whose errands have ERRANDS_SHARE
 * times that: the rest of its nodes' places is for chats. Where the nodes of a model are full, its errands rest until some flight has
 * landed. Work for each landing is O(errands). Thread: the loop's. */
#ifndef SCHEDULER_DOOR_ERRAND_AIR_H
#define SCHEDULER_DOOR_ERRAND_AIR_H

#include "base/digest.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct errands;
struct errand_tenant;

enum {
    ERRANDS_SHARE = 2
};

enum errand_took {
    ERRAND_TOOK,         // one more is in the air
    ERRAND_TOOK_NOTHING, // it has nothing more to send for now, or has ended
    ERRAND_TOOK_FULL     // the nodes have no place
};

/* An errand's place in the turns; zeroed while it has none. */
struct errand_turn {
    uint64_t tag;               // the tenant's
    const struct digest *model; // borrowed
    size_t most;
    enum errand_took (*take)(void *owner);
    void *owner;
    struct errand_turn *next, *previous; // the rest is errand_air.c's
    struct errand_tenant *tenant;
    size_t in_air;
    bool rests; // until something lands
};

void errand_turn_begin(struct errands *all, struct errand_turn *turn);
/* What it has in the air counts no more; of one that has not begun, or has ended, nothing happens. */
void errand_turn_end(struct errands *all, struct errand_turn *turn);
/* A flight of it has ended. */
void errand_turn_landed(struct errands *all, struct errand_turn *turn);
/* Let fly what may. Nothing happens when it is called from inside of take(). */
void errands_go(struct errands *all);
size_t errands_in_air(const struct errands *all);

/* Memory for so many numbers of answers: ERR_BUSY while too many are lent. */
enum err errands_lend(struct errands *all, size_t numbers);
void errands_return(struct errands *all, size_t numbers);

#endif
