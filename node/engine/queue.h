/* node/engine/queue.h -- pure: the waiting room, and who of it is next.
 *
 *   class          tenants' lines, by ticket         served / weight
 *   interactive    a [ 1 4 5 6 ]                     900
 *                  b [ 7 ]                           850   <- 7 is next: the least of the most urgent class
 *   default        b [ 2 8 ]                         120
 *   batch          c [ 3 ]                             0
 *
 * Virtual token counters, as in "Fairness in Serving Large Language Models" (Sheng et al., OSDI 2024). A tenant has a
 * counter in each class: what it has been served there, over its weight. An id of a prompt costs QUEUE_INPUT when the
 * prompt is first admitted, if it is to be computed (what the prefix cache has is free); an id that is drawn costs
 * QUEUE_OUTPUT. A preempted sequence has paid for all that it knows and does so once. Next is the first sequence of the
 * line with the least counter; of equal ones, the earlier ticket. A tenant whose line was empty is lifted to the least
 * counter of those who wait in the class (of nobody: to that of the last one who did): idle time is not saved up.
 *
 * The bound. While tenants f and g both have someone waiting in a class,
 *      |served_f / weight_f - served_g / weight_g|  changes by at most  U / weight_f + U / weight_g,
 * U = the larger of the input cost of one request and what all ids cost that the running sequences may hold. It holds
 * because nobody passes the next one: where that one does not fit, nobody is admitted.
 *
 * Classes. A class goes before the lesser ones, but none starves: one in which somebody waits while more urgent ones
 * are served QUEUE_PATIENCE is due, and the next one is its. Each unit that it is served puts it back by QUEUE_SHARE,
 * so that it has about one part in QUEUE_SHARE + 1 as long as more urgent ones wait. What it gets while nobody more
 * urgent waits costs it no more than the patience that has gathered. Counters are for each class: with one for all, who
 * was served as urgent would starve in the lesser class, and who comes new would be lifted to one who waits there.
 *
 * Bounds. Newcomers find ERR_BUSY beyond `requests_max` sequences or `tokens_max` ids; a sequence that is larger alone
 * is taken while nobody waits. A tenant that has QUEUE_PART times as many ids waiting as are free finds ERR_BUSY too: one
 * alone does not fill the room, and who comes with little finds a place. The preempted come back in any case. There are `tenants_max` accounts; one on which
 * nobody waits or runs may be taken for another tenant, the one that has rested for longest first. When all are in use,
 * further tenants share one more account, each paying by its own weight.
 *
 * Thread: the engine's. Nothing is allocated after queue_new(); finding the next looks at every line of one class. */
#ifndef NODE_ENGINE_QUEUE_H
#define NODE_ENGINE_QUEUE_H

#include "base/err.h"

#include <stdint.h>

struct queue;
struct seq;

enum {
    QUEUE_CLASSES = 3, // enum wire_priority
    QUEUE_INPUT = 1,
    QUEUE_OUTPUT = 2,
    QUEUE_PATIENCE = 4096, // cost served to more urgent classes
    QUEUE_SHARE = 16,
    QUEUE_PART = 8, // times the free tokens: what one tenant may have waiting
    QUEUE_TENANTS = 1024
};

struct queue_limits {
    uint32_t requests_max;
    uint64_t tokens_max;  // known ids of all that wait; 0: as many as come
    uint32_t tenants_max; // 0: QUEUE_TENANTS
};

struct queue *queue_new(const struct queue_limits *limits);
/* Must be empty, and nobody running. */
void queue_free(struct queue *queue);

/* A newcomer waits. ERR_BUSY: the room is full. */
enum err queue_add(struct queue *queue, struct seq *seq);
/* Who is to be admitted next; NULL: nobody waits. */
struct seq *queue_first(const struct queue *queue);
/* One that waits runs now; it keeps its account. */
void queue_take(struct queue *queue, struct seq *seq);
/* One that ran waits again, before those of its line that came later. */
void queue_return(struct queue *queue, struct seq *seq);
/* One that waits or runs goes away for good. */
void queue_leave(struct queue *queue, struct seq *seq);

/* One that runs pays for its known ids, of which `missing` are to be computed. The first time counts. */
void queue_pay_prompt(struct queue *queue, struct seq *seq, uint32_t missing);
/* It pays for the ids that it has got since it last paid. */
void queue_pay_drawn(struct queue *queue, struct seq *seq);

/* One that waits for its first admission past its deadline; it still waits. NULL: none. */
struct seq *queue_late(const struct queue *queue, uint64_t now_ns);
/* All that wait, in no order of note: NULL begins, and ends. Not while somebody comes or goes. */
struct seq *queue_next(const struct queue *queue, const struct seq *after);

uint32_t queue_count(const struct queue *queue);
/* Known ids of all that wait. */
uint64_t queue_tokens(const struct queue *queue);
/* What the tenant of a sequence that waits or runs was served in its class, over its weight. */
double queue_served(const struct seq *seq);

#endif
