#include "scheduler/state/store_cluster.h"

#include "scheduler/state/command.h"
#include "scheduler/state/slot.h"
#include "scheduler/state/store_link.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/must.h"

#include <hiredis/hiredis.h>

#include <string.h>

enum {
    NODES_MAX = SLOT_MASTERS_MAX +
                16,       // those that the map names, and those that redirects name before it does
    MAP_MS = 200,         // between two questions for the map
    UNUSED_MS = 5000,     // a node that the map does not name goes after so long without a command
    REDIRECTS_AT_ONCE = 5 // more than that, and the command waits a moment between them
};

struct node {
    struct store_link *link; // NULL: the place is free
    bool in_map;
    uint64_t used_ns;
};

struct store_cluster {
    struct store_cluster_options options;
    struct store_address seeds[STORE_ADDRESSES_MAX];
    struct node nodes[NODES_MAX];
    int16_t owner[SLOT_COUNT]; // index of a node; -1: none
    bool mapped;               // a map was read
    struct command parked;     // those that wait for a better moment
    // The question for the map.
    struct store_link *scout;
    bool wanted, scouting;
    uint64_t asked_ns;
    size_t candidate; // whom to ask next: a seed, or a node behind the seeds
};

// ---- nodes -------------------------------------------------------------------------------------

static const struct store_link_seams master_seams, scout_seams;

static struct store_link *link_to(struct store_cluster *cluster, bool scout)
{
    const struct store_cluster_options *options = &cluster->options;
    return store_link_new(
        &(struct store_link_options){.base = options->base,
                                     .password = options->password,
                                     .timeout_ms = options->timeout_ms,
                                     .what = scout ? "cluster" : "redis",
                                     .quiet = scout,
                                     .seams = scout ? &scout_seams : &master_seams,
                                     .owner = cluster});
}

/* The index of the node at `address`, which is made when there is none; -1: no place. */
static int find_node(struct store_cluster *cluster, const struct store_address *address)
{
    int place = -1;
    for (int i = 0; i < NODES_MAX; i++) {
        struct node *node = &cluster->nodes[i];
        if (node->link && store_link_aims_at(node->link, address)) return i;
        if (!node->link && place < 0) place = i;
    }
    if (place < 0) {
        log_warn("cluster_full", "host=%s port=%u nodes=%d", address->host, address->port,
                 NODES_MAX);
        return -1;
    }
    struct node *node = &cluster->nodes[place];
    *node = (struct node){.link = link_to(cluster, false), .used_ns = clock_now_ns()};
    store_link_aim(node->link, address);
    return place;
}

/* Nobody refers to it any more, and nothing waits for it. */
static void remove_unused(struct store_cluster *cluster, uint64_t now_ns)
{
    for (int i = 0; i < NODES_MAX; i++) {
        struct node *node = &cluster->nodes[i];
        if (!node->link || node->in_map || store_link_pending(node->link) > 0) continue;
        if (now_ns - node->used_ns < UNUSED_MS * CLOCK_MS) continue;
        for (size_t slot = 0; slot < SLOT_COUNT; slot++)
            if (cluster->owner[slot] == i) cluster->owner[slot] = -1;
        store_link_free(node->link);
        node->link = NULL;
    }
}

// ---- sending -----------------------------------------------------------------------------------

static void fail(struct store_cluster *cluster, struct command *command)
{
    command->failure = ERR_STORE_AWAY;
    cluster->options.seams->answered(cluster->options.owner, NULL, command, NULL);
}

static void park(struct store_cluster *cluster, struct command *command)
{
    command_list_add(&cluster->parked, command);
}

static void deliver(struct store_cluster *cluster, int index, struct command *command, bool asking)
{
    struct node *node = &cluster->nodes[index];
    node->used_ns = clock_now_ns();
    if (store_link_send(node->link, command, asking)) return;
    if (store_link_state(node->link) == STORE_LINK_GREETING) {
        park(cluster, command);
        return;
    }
    cluster->wanted = true; // another may have its slots by now
    fail(cluster, command);
}

static int any_up(const struct store_cluster *cluster)
{
    for (int i = 0; i < NODES_MAX; i++) {
        const struct node *node = &cluster->nodes[i];
        if (node->link && node->in_map && store_link_state(node->link) == STORE_LINK_UP) return i;
    }
    return -1;
}

void store_cluster_send(struct store_cluster *cluster, struct command *command)
{
    int index = command->slot >= 0 ? cluster->owner[command->slot] : any_up(cluster);
    if (index >= 0) {
        deliver(cluster, index, command, false);
    } else if (cluster->mapped && command->slot >= 0) { // nobody has the slot just now
        cluster->wanted = true;
        park(cluster, command);
    } else {
        fail(cluster, command);
    }
}

/* A better moment may have come. */
static void send_parked(struct store_cluster *cluster)
{
    uint64_t now_ns = clock_now_ns();
    struct command waiting, *command;
    command_list_init(&waiting);
    while ((command = command_list_take(&cluster->parked)))
        command_list_add(&waiting, command);
    while ((command = command_list_take(&waiting))) {
        if (command->deadline_ns <= now_ns)
            fail(cluster, command);
        else
            store_cluster_send(cluster, command);
    }
}

// ---- answers -----------------------------------------------------------------------------------

static bool is_not_now(const char *text)
{
    static const char *const words[] = {"TRYAGAIN ", "CLUSTERDOWN ", "LOADING ", "MASTERDOWN "};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strncmp(text, words[i], strlen(words[i])) == 0) return true;
    return false;
}

static void redirect(struct store_cluster *cluster, struct command *command,
                     const struct slot_redirect *to)
{
    int index = find_node(cluster, &to->to);
    if (!to->ask) cluster->wanted = true;
    if (!to->ask && index >= 0) cluster->owner[to->slot] = (int16_t)index;
    if (index >= 0 && command->redirects++ < REDIRECTS_AT_ONCE)
        deliver(cluster, index, command, to->ask);
    else
        park(cluster, command);
}

static void on_answered(void *owner, struct store_link *link, struct command *command,
                        const redisReply *reply)
{
    struct store_cluster *cluster = owner;
    struct slot_redirect to;
    bool again = reply && reply->type == REDIS_REPLY_ERROR && command->slot >= 0 &&
                 clock_now_ns() < command->deadline_ns;
    if (again && slot_redirect_read(&to, reply->str, store_link_address(link)->host)) {
        redirect(cluster, command, &to);
    } else if (again && is_not_now(reply->str)) {
        cluster->wanted = true;
        park(cluster, command);
    } else {
        cluster->options.seams->answered(cluster->options.owner, link, command, reply);
    }
}

static void on_up(void *owner, struct store_link *link)
{
    struct store_cluster *cluster = owner;
    cluster->options.seams->up(cluster->options.owner, link);
    send_parked(cluster);
}

static void on_down(void *owner, struct store_link *link)
{
    struct store_cluster *cluster = owner;
    (void)link;
    cluster->wanted = true;
}

static const struct store_link_seams master_seams = {on_up, on_down, on_answered};

// ---- the map -----------------------------------------------------------------------------------

static void use_map(struct store_cluster *cluster, const struct slot_map *map)
{
    int16_t index[SLOT_MASTERS_MAX];
    for (size_t i = 0; i < NODES_MAX; i++)
        cluster->nodes[i].in_map = false;
    for (size_t i = 0; i < map->master_count; i++) {
        index[i] = (int16_t)find_node(cluster, &map->masters[i]);
        if (index[i] >= 0) cluster->nodes[index[i]].in_map = true;
    }
    for (size_t slot = 0; slot < SLOT_COUNT; slot++)
        cluster->owner[slot] = map->owner[slot] >= 0 ? index[map->owner[slot]] : -1;
    if (!cluster->mapped) log_info("cluster_map", "masters=%zu", map->master_count);
    cluster->mapped = true;
    cluster->wanted = false;
    send_parked(cluster);
}

static void on_map(void *owner, struct store_link *link, struct command *command,
                   const redisReply *reply)
{
    struct store_cluster *cluster = owner;
    const char *host = store_link_address(link)->host;
    cluster->scouting = false;
    command_free(command);
    if (!reply) return;
    if (reply->type == REDIS_REPLY_ERROR) {
        log_warn("cluster_refused", "host=%s reason=%s", host, reply->str);
        return;
    }
    struct slot_map *map = mem_new(1, sizeof *map);
    if (slot_map_read(map, reply, host))
        log_warn("cluster_refused", "host=%s reason=%s", host, err_text());
    else
        use_map(cluster, map);
    mem_free(map);
}

static void on_scout_up(void *owner, struct store_link *link)
{
    struct store_cluster *cluster = owner;
    const char *const words[] = {"CLUSTER", "SLOTS"};
    struct command *command = command_new(NULL, NULL, 2, words, NULL);
    if (store_link_send(link, command, false)) return;
    command_free(command);
    cluster->scouting = false;
}

static void on_scout_down(void *owner, struct store_link *link)
{
    struct store_cluster *cluster = owner;
    (void)link;
    cluster->scouting = false;
}

static const struct store_link_seams scout_seams = {on_scout_up, on_scout_down, on_map};

/* The seeds and the nodes in turn. */
static const struct store_address *next_candidate(struct store_cluster *cluster)
{
    size_t seed_count = cluster->options.seed_count;
    for (;;) { // a seed is among them: it ends
        size_t at = cluster->candidate++ % (seed_count + NODES_MAX);
        if (at < seed_count) return &cluster->seeds[at];
        const struct node *node = &cluster->nodes[at - seed_count];
        if (node->link && node->in_map && store_link_state(node->link) == STORE_LINK_UP)
            return store_link_address(node->link);
    }
}

static void scout(struct store_cluster *cluster, uint64_t now_ns)
{
    store_link_tick(cluster->scout, now_ns);
    if (cluster->scouting) return;
    store_link_aim(cluster->scout, NULL); // the last attempt is over, well or not
    if (!cluster->wanted) return;
    if (cluster->asked_ns > 0 && now_ns - cluster->asked_ns < MAP_MS * CLOCK_MS) return;
    cluster->asked_ns = now_ns;
    cluster->scouting = true;
    store_link_aim(cluster->scout, next_candidate(cluster));
}

// ---- birth, life and death ---------------------------------------------------------------------

struct store_cluster *store_cluster_new(const struct store_cluster_options *options)
{
    must(options->seed_count > 0 && options->seed_count <= STORE_ADDRESSES_MAX);
    struct store_cluster *cluster = mem_new(1, sizeof *cluster);
    cluster->options = *options;
    memcpy(cluster->seeds, options->seeds, options->seed_count * sizeof *options->seeds);
    cluster->options.seeds = cluster->seeds;
    memset(cluster->owner, -1, sizeof cluster->owner);
    command_list_init(&cluster->parked);
    cluster->wanted = true;
    cluster->scout = link_to(cluster, true);
    scout(cluster, clock_now_ns());
    return cluster;
}

void store_cluster_free(struct store_cluster *cluster)
{
    if (!cluster) return;
    store_link_free(cluster->scout);
    for (int i = 0; i < NODES_MAX; i++)
        store_link_free(cluster->nodes[i].link);
    struct command *command;
    while ((command = command_list_take(&cluster->parked)))
        fail(cluster, command);
    mem_free(cluster);
}

void store_cluster_tick(struct store_cluster *cluster, uint64_t now_ns)
{
    for (int i = 0; i < NODES_MAX; i++)
        if (cluster->nodes[i].link) store_link_tick(cluster->nodes[i].link, now_ns);
    remove_unused(cluster, now_ns);
    scout(cluster, now_ns);
    send_parked(cluster);
}

bool store_cluster_is_up(const struct store_cluster *cluster)
{
    return cluster->mapped && any_up(cluster) >= 0;
}

struct store_link *store_cluster_link(struct store_cluster *cluster, size_t index)
{
    for (int i = 0; i < NODES_MAX; i++)
        if (cluster->nodes[i].link && index-- == 0) return cluster->nodes[i].link;
    return NULL;
}
