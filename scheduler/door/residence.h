/* scheduler/door/residence.h -- whose data may go where: what came under one region's rules, and a request that is under another's.
 *
 * A region's data may go to the nodes that its rules name (privacy/residency), and a request's to those that its own region's rules name.
 * So a request may use another region's data where its nodes are among those that the other lets it go to. Of data of no region nobody
 * knows what holds, and of a request of no region neither: then it must be so for each region. Where nothing is governed all may be used.
 *
 *      turns of a session    name their region (state/session.h); govern_origin() denies
 *      events                stand in lists of their own for each region (features/home.h); others' lists are not read
 *
 * Thread: the loop's. */
#ifndef SCHEDULER_DOOR_RESIDENCE_H
#define SCHEDULER_DOOR_RESIDENCE_H

#include <stdbool.h>
#include <stdint.h>

struct context;
struct door;
struct history_scope;
struct rules;

/* A key of one region is of that region, whether its request says so or not; where nothing is governed, nothing happens. */
void residence_complete(const struct door *door, struct context *context);
/* The rules of a region (its digest_tag()) for a tenant, whether they are in force or not; NULL: it has none. */
const struct rules *residence_rules(const struct door *door, uint64_t region, const char *tenant);
/* May what came under the rules `from` go wherever a request under `to` may? */
bool residence_allows(const struct rules *from, const struct rules *to);
/* The region that data of a request from `region` is of: that, where it has rules; "": of none. */
const char *residence_of(const struct door *door, const char *tenant, const char *region);
/* Whose events a request may make something of. Borrows names of regions until the loop turns. */
void residence_scope(struct history_scope *out, const struct door *door, const char *tenant,
                     const char *region);
/* How an answer says that there are events which it may not be made of: a member, or "" of none. */
const char *residence_member(bool withheld);

#endif
