/* scheduler/state/store_cluster.h -- the masters of a Redis Cluster: who has which slot, and what to do when that
 * changes.
 *
 * One connection to each master that the map names. The map (CLUSTER SLOTS) is asked of the seeds and the masters in
 * turn, over a connection of its own, at the start and whenever something says that it is old, at most every 200 ms.
 *
 *      the master is up               the command is sent
 *      its first greeting is pending  the command waits
 *      it is away                     ERR_STORE_AWAY at once, and the map is asked again
 *      MOVED                          the slot is that master's from now on; sent again there
 *      ASK                            sent again there, this once, after ASKING
 *      TRYAGAIN, CLUSTERDOWN,         not done: it waits and is sent again every 50 ms or so
 *      LOADING, MASTERDOWN
 *
 * Nothing is sent again after its deadline. A command whose connection broke is not sent again at all: nobody knows
 * whether it was done.
 *
 * Thread: the loop's. */
#ifndef SCHEDULER_STATE_STORE_CLUSTER_H
#define SCHEDULER_STATE_STORE_CLUSTER_H

#include "scheduler/state/store.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct command;
struct event_base;
struct redisReply;
struct store_cluster;
struct store_link;

struct store_cluster_seams {
    /* A master's connection is up. */
    void (*up)(void *owner, struct store_link *link);
    /* As in store_link_seams, without the redirects. From inside of store_cluster_send() only without a reply. */
    void (*answered)(void *owner, struct store_link *link, struct command *command,
                     const struct redisReply *reply);
};

struct store_cluster_options {
    struct event_base *base;
    const struct store_address *seeds; // copied
    size_t seed_count;                 // 1 to STORE_ADDRESSES_MAX
    const char *password;              // as in store_link_options; borrowed
    uint32_t timeout_ms;
    const struct store_cluster_seams *seams; // borrowed
    void *owner;
};

struct store_cluster *store_cluster_new(const struct store_cluster_options *options);
/* What is pending is answered with no reply. Not from inside of a seam. */
void store_cluster_free(struct store_cluster *cluster);
/* To be called every 50 ms or so. */
void store_cluster_tick(struct store_cluster *cluster, uint64_t now_ns);
/* The map is known, and some master is up. */
bool store_cluster_is_up(const struct store_cluster *cluster);
/* Takes the command: to the master of command->slot, or to any when that is -1. */
void store_cluster_send(struct store_cluster *cluster, struct command *command);
/* The connections, for index 0, 1, …: NULL at the end. */
struct store_link *store_cluster_link(struct store_cluster *cluster, size_t index);

#endif
