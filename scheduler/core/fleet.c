#include "scheduler/core/fleet.h"

#include "scheduler/core/index.h"

#include "wire/block.h"

#include "base/mem.h"
#include "base/must.h"
#include "base/rand.h"

#include <string.h>

enum {
    // Slots of the table that finds a node by its link: a power of two, never more than half full.
    LINK_SLOTS = 2 * FLEET_NODES_MAX,
    RATE_FIRST = 1000, // tokens/s of prefill, until a node has told its own
    WAY_BYTES_NS = 10, // of a byte on its way to a node: a link of 100 MB/s
    GAP_SHARE = 8      // how much the latest gap between two ends counts
};

_Static_assert((int)FLEET_NODES_MAX <= (int)INDEX_NODES_MAX, "every node has a slot");

struct node {
    struct fleet_node face;
    struct served *models; // [face.model_count]
    uint16_t slot;         // its number in the index of blocks
    bool tells_blocks;     // its blocks are named as ours
    uint64_t deltas;       // that it has sent
    uint64_t ended_ns;     // when a request of ours ended there last
    double gap_ns;         // between two such ends, smoothed; 0: not known
    uint64_t unreported;   // tokens that we have sent since its latest LOAD
    bool drain_asked;      // by fleet_drain()
    bool drain_said;       // by its heartbeats
};

struct fleet {
    struct rand rand;
    struct node *nodes[FLEET_NODES_MAX];
    size_t node_count;
    uint16_t by_link[LINK_SLOTS]; // 1 + position in nodes; 0: empty
    bool taken[FLEET_NODES_MAX];  // slots of the index of blocks
    struct sets sets;
    struct block_index *index;
    enum route_policy policy;
    uint64_t turn;                    // requests that were placed
    uint32_t depths[INDEX_NODES_MAX]; // of the request that is being placed
};

struct fleet *fleet_new(const struct fleet_options *options)
{
    struct fleet *fleet = mem_new(1, sizeof *fleet);
    rand_init(&fleet->rand, options->seed);
    sets_init(&fleet->sets);
    fleet->policy = options->policy;
    fleet->index = index_new(options->index_blocks ? options->index_blocks : FLEET_INDEX_BLOCKS);
    return fleet;
}

static void node_free(struct node *node)
{
    mem_free(node->models);
    mem_free(node);
}

void fleet_free(struct fleet *fleet)
{
    if (!fleet) return;
    for (size_t i = 0; i < fleet->node_count; i++)
        node_free(fleet->nodes[i]);
    index_free(fleet->index);
    mem_free(fleet);
}

static size_t slot_of(uint64_t link)
{
    return (size_t)((link * UINT64_C(0x9e3779b97f4a7c15)) >> 40) % LINK_SLOTS;
}

static struct node *find(const struct fleet *fleet, uint64_t link)
{
    for (size_t slot = slot_of(link); fleet->by_link[slot]; slot = (slot + 1) % LINK_SLOTS) {
        struct node *node = fleet->nodes[fleet->by_link[slot] - 1];
        if (node->face.link == link) return node;
    }
    return NULL;
}

/* Nodes come and go rarely: the index is made anew each time. */
static void index_nodes(struct fleet *fleet)
{
    memset(fleet->by_link, 0, sizeof fleet->by_link);
    for (size_t i = 0; i < fleet->node_count; i++) {
        size_t slot = slot_of(fleet->nodes[i]->face.link);
        while (fleet->by_link[slot])
            slot = (slot + 1) % LINK_SLOTS;
        fleet->by_link[slot] = (uint16_t)(i + 1);
    }
}

static void count_sets(struct fleet *fleet)
{
    sets_begin_count(&fleet->sets);
    for (size_t i = 0; i < fleet->node_count; i++) {
        const struct node *node = fleet->nodes[i];
        sets_count(&fleet->sets, node->models, node->face.model_count,
                   node->face.state == FLEET_READY);
    }
}

static void refresh(struct fleet *fleet, uint64_t now_ns)
{
    count_sets(fleet);
    sets_forget(&fleet->sets, now_ns);
}

static void age(struct fleet *fleet, uint64_t now_ns)
{
    if (now_ns >= fleet->sets.forget_ns) refresh(fleet, now_ns);
}

/* A name that can stand in a log line, a metric and a URL: no control bytes. */
static enum err copy_name(char out[WIRE_NAME_MAX + 1], struct wire_text name, const char *what)
{
    if (name.size > WIRE_NAME_MAX) return err_note(ERR_INVALID, "the %s is too long", what);
    for (size_t i = 0; i < name.size; i++) {
        unsigned char byte = (unsigned char)name.text[i];
        if (byte < 0x20 || byte == 0x7f)
            return err_note(ERR_INVALID, "the %s has a control character", what);
    }
    if (name.size) memcpy(out, name.text, name.size);
    out[name.size] = 0;
    return ERR_OK;
}

static enum err copy_models(struct node *node, const struct wire_hello *hello)
{
    for (uint32_t i = 0; i < hello->model_count; i++) {
        const struct wire_model *said = &hello->models[i];
        struct served *served = &node->models[i];
        *served = (struct served){.pack = said->pack,
                                  .model = said->model,
                                  .adapter = said->adapter,
                                  .numerics = said->numerics,
                                  .kinds = said->kinds,
                                  .context_length = said->context_length,
                                  .vocab_size = said->vocab_size};
        TRY(copy_name(served->name, said->name, "model's name"));
        for (uint32_t other = 0; other < i; other++)
            if (strcmp(node->models[other].name, served->name) == 0)
                return err_note(ERR_INVALID, "two models have the name %s", served->name);
    }
    return ERR_OK;
}

static enum err check_hello(const struct fleet *fleet, uint64_t link,
                            const struct wire_hello *hello)
{
    if (hello->protocol != WIRE_PROTOCOL)
        return err_note(ERR_INVALID, "the node speaks protocol %u; this scheduler speaks %d",
                        hello->protocol, WIRE_PROTOCOL);
    if (hello->model_count == 0) return err_note(ERR_INVALID, "the node serves no model");
    if (fleet->node_count == FLEET_NODES_MAX)
        return err_note(ERR_NO_MEMORY, "%d nodes are linked; there is no room for more",
                        FLEET_NODES_MAX);
    if (find(fleet, link)) return err_note(ERR_CONFLICT, "the node has said HELLO before");
    for (size_t i = 0; i < fleet->node_count; i++) {
        const char *name = fleet->nodes[i]->face.name;
        if (strlen(name) == hello->node.size &&
            memcmp(name, hello->node.text, hello->node.size) == 0)
            return err_note(ERR_CONFLICT, "a live node has the name %s; names are unique", name);
    }
    return ERR_OK;
}

/* There are as many slots as nodes. */
static void take_slot(struct fleet *fleet, struct node *node)
{
    while (fleet->taken[node->slot])
        node->slot++;
    fleet->taken[node->slot] = true;
}

enum err fleet_hello(struct fleet *fleet, uint64_t link, const struct wire_hello *hello,
                     uint64_t now_ns)
{
    age(fleet, now_ns);
    TRY(check_hello(fleet, link, hello));
    struct node *node = mem_new(1, sizeof *node);
    node->models = mem_new(hello->model_count, sizeof *node->models);
    node->face = (struct fleet_node){.link = link,
                                     .instance = hello->instance,
                                     .state = FLEET_READY,
                                     .credits = hello->credits,
                                     .threads = hello->threads,
                                     .since_ns = now_ns,
                                     .heard_ns = now_ns,
                                     .model_count = (uint32_t)hello->model_count};
    enum err err = copy_name(node->face.name, hello->node, "node's name");
    if (err == ERR_OK) err = copy_name(node->face.region, hello->region, "region");
    if (err == ERR_OK) err = copy_models(node, hello);
    if (err == ERR_OK) err = sets_add(&fleet->sets, node->models, node->face.model_count);
    if (err != ERR_OK) {
        node_free(node);
        return err;
    }
    node->tells_blocks = hello->block_tokens == WIRE_BLOCK_TOKENS;
    take_slot(fleet, node);
    fleet->nodes[fleet->node_count++] = node;
    index_nodes(fleet);
    refresh(fleet, now_ns);
    return ERR_OK;
}

void fleet_load(struct fleet *fleet, uint64_t link, const struct wire_load *load, uint64_t now_ns)
{
    age(fleet, now_ns);
    struct node *node = find(fleet, link);
    if (!node) return;
    node->face.load = *load;
    node->face.heard_ns = now_ns;
    node->unreported = 0;
}

static void settle_state(struct fleet *fleet, struct node *node, uint64_t now_ns)
{
    enum fleet_state state = node->drain_asked || node->drain_said ? FLEET_DRAINING : FLEET_READY;
    if (state == node->face.state) return;
    node->face.state = state;
    if (state == FLEET_DRAINING) node->face.draining_ns = now_ns;
    count_sets(fleet);
}

void fleet_heartbeat(struct fleet *fleet, uint64_t link, const struct wire_heartbeat *beat,
                     uint64_t now_ns)
{
    age(fleet, now_ns);
    struct node *node = find(fleet, link);
    if (!node) return;
    node->face.heard_ns = now_ns;
    node->face.step_age_ms = beat->step_age_ms;
    // A node that stops saying so was asked to by somebody: another scheduler's word counts as
    // ours.
    if (node->drain_said && !beat->draining) node->drain_asked = false;
    node->drain_said = beat->draining;
    settle_state(fleet, node, now_ns);
}

void fleet_down(struct fleet *fleet, uint64_t link, uint64_t now_ns)
{
    for (size_t i = 0; i < fleet->node_count; i++) {
        if (fleet->nodes[i]->face.link != link) continue;
        fleet->taken[fleet->nodes[i]->slot] = false;
        index_reset(fleet->index, fleet->nodes[i]->slot);
        node_free(fleet->nodes[i]);
        fleet->nodes[i] = fleet->nodes[--fleet->node_count];
        index_nodes(fleet);
        refresh(fleet, now_ns);
        return;
    }
}

enum err fleet_drain(struct fleet *fleet, const char *name, bool on, uint64_t now_ns,
                     uint64_t *link)
{
    for (size_t i = 0; i < fleet->node_count; i++) {
        struct node *node = fleet->nodes[i];
        if (strcmp(node->face.name, name) != 0) continue;
        node->drain_asked = on;
        settle_state(fleet, node, now_ns);
        *link = node->face.link;
        return ERR_OK;
    }
    return err_note(ERR_NOT_FOUND, "no linked node has the name %s", name);
}

enum err fleet_promote(struct fleet *fleet, const char *model, const struct digest *digest)
{
    return sets_promote(&fleet->sets, model, digest);
}

const struct fleet_model *fleet_find_model(const struct fleet *fleet, const char *name, size_t size)
{
    return sets_current(&fleet->sets, name, size);
}

size_t fleet_model_count(const struct fleet *fleet)
{
    return fleet->sets.count;
}

const struct fleet_model *fleet_model_at(const struct fleet *fleet, size_t index)
{
    must(index < fleet->sets.count);
    return &fleet->sets.list[index].face;
}

size_t fleet_node_count(const struct fleet *fleet)
{
    return fleet->node_count;
}

const struct fleet_node *fleet_node_at(const struct fleet *fleet, size_t index)
{
    must(index < fleet->node_count);
    return &fleet->nodes[index]->face;
}

const struct fleet_node *fleet_find_node(const struct fleet *fleet, uint64_t link)
{
    const struct node *node = find(fleet, link);
    return node ? &node->face : NULL;
}

static bool serves(const struct node *node, const struct fleet_need *need)
{
    for (size_t i = 0; i < node->face.model_count; i++) {
        const struct served *served = &node->models[i];
        if (digest_equal(&served->model, &need->model) &&
            digest_equal(&served->adapter, &need->adapter) &&
            digest_equal(&served->numerics, &need->numerics))
            return true;
    }
    return false;
}

static bool is_excluded(const struct node *node, const struct fleet_need *need)
{
    for (size_t i = 0; i < need->excluded_count; i++)
        if (need->excluded[i] == node->face.link) return true;
    return false;
}

static bool has_credit(const struct node *node)
{
    return node->face.in_air < node->face.credits;
}

static uint64_t tokens_before(const struct node *node)
{
    return node->face.load.waiting_tokens + node->unreported;
}

/* Requests there: ours, or all that the node has reported where other schedulers send it more. */
static uint64_t requests_there(const struct node *node)
{
    uint64_t reported = (uint64_t)node->face.load.running + node->face.load.waiting;
    return reported > node->face.in_air ? reported : node->face.in_air;
}

/* A node that tells nothing of its speed is taken to be as fast as the others. */
static float usual_rate(const struct fleet *fleet)
{
    double sum = 0;
    size_t count = 0;
    for (size_t i = 0; i < fleet->node_count; i++) {
        float rate = fleet->nodes[i]->face.load.prefill_rate;
        if (!(rate > 0)) continue;
        sum += (double)rate;
        count++;
    }
    return count ? (float)(sum / (double)count) : RATE_FIRST;
}

/* Until those that wait there have a place: as fast as requests of ours end, which are a part of all. */
static uint64_t place_ns(const struct node *node)
{
    const struct wire_load *load = &node->face.load;
    if (load->waiting == 0 || node->gap_ns == 0) return 0;
    double all = (double)load->running + load->waiting;
    double ours = node->face.in_air < all ? node->face.in_air : all;
    double ns = load->waiting * node->gap_ns * (ours > 0 ? ours : 1) / all;
    return ns < 1e18 ? (uint64_t)ns : (uint64_t)1e18;
}

/* Measured rates differ by what was asked lately: what is within a third of the usual counts as usual. */
static float rate_of(const struct node *node, float usual)
{
    float rate = node->face.load.prefill_rate;
    bool differs = rate < usual * 2 / 3 || rate > usual * 3 / 2;
    return rate > 0 && differs ? rate : usual;
}

/* A step that is under way has to end before a request gets into one: on the average half of it. */
static uint64_t step_ns(const struct node *node)
{
    return node->face.load.running > 0 ? node->face.load.step_us * UINT64_C(500) : 0;
}

static struct route_node view_of(const struct fleet *fleet, const struct node *node,
                                 const struct fleet_need *need, float usual)
{
    return (struct route_node){.cached = fleet->depths[node->slot] * WIRE_BLOCK_TOKENS,
                               .queued_tokens = tokens_before(node),
                               .requests = requests_there(node),
                               .prefill_rate = rate_of(node, usual),
                               .place_ns = place_ns(node),
                               .way_ns =
                                   need->tokens * sizeof(int32_t) * WAY_BYTES_NS + step_ns(node)};
}

static bool may_take(const struct node *node, const struct fleet_need *need)
{
    return node->face.state == FLEET_READY && serves(node, need) && !is_excluded(node, need);
}

enum err fleet_pick(struct fleet *fleet, const struct fleet_need *need, struct fleet_choice *choice)
{
    struct route_node views[FLEET_NODES_MAX];
    const struct node *nodes[FLEET_NODES_MAX];
    size_t count = 0;
    bool full = false;
    float usual = usual_rate(fleet);
    index_depths(fleet->index, need->hashes, need->hash_count, need->now_ns, fleet->depths);
    for (size_t i = 0; i < fleet->node_count; i++) {
        const struct node *node = fleet->nodes[i];
        if (!may_take(node, need)) continue;
        full |= !has_credit(node);
        if (!has_credit(node)) continue;
        nodes[count] = node;
        views[count++] = view_of(fleet, node, need, usual);
    }
    if (count == 0 && full) return err_note(ERR_BUSY, "every node of this model is full");
    if (count == 0) return err_note(ERR_UNAVAILABLE, "no node serves this model now");
    size_t chosen =
        route_choose(fleet->policy, views, count, need->tokens, fleet->turn++, &fleet->rand);
    const struct route_node *view = &views[chosen];
    *choice = (struct fleet_choice){
        .link = nodes[chosen]->face.link,
        .uncached = view->cached < need->tokens ? need->tokens - view->cached : 1,
        .wait_ns = route_predict_ns(view, need->tokens)};
    return ERR_OK;
}

enum err fleet_cache_delta(struct fleet *fleet, uint64_t link, const struct wire_cache_delta *delta,
                           uint64_t now_ns)
{
    struct node *node = find(fleet, link);
    if (!node) return ERR_OK;
    node->face.heard_ns = now_ns;
    if (delta->sequence != node->deltas)
        return err_note(ERR_FORMAT, "cache delta %llu came where %llu was due",
                        (unsigned long long)delta->sequence, (unsigned long long)node->deltas);
    node->deltas++;
    if (!node->tells_blocks) return ERR_OK;
    if (delta->reset) index_reset(fleet->index, node->slot);
    for (size_t i = 0; i < delta->added_count; i++)
        index_add(fleet->index, node->slot, delta->added[i]);
    for (size_t i = 0; i < delta->removed_count; i++)
        index_remove(fleet->index, node->slot, delta->removed[i]);
    return ERR_OK;
}

void fleet_expect(struct fleet *fleet, uint64_t link, const uint64_t *hashes, size_t count,
                  uint64_t now_ns)
{
    const struct node *node = find(fleet, link);
    if (node && node->tells_blocks) index_expect(fleet->index, node->slot, hashes, count, now_ns);
}

void fleet_tick(struct fleet *fleet, uint64_t now_ns)
{
    index_tick(fleet->index, now_ns);
}

struct index_stats fleet_index_stats(const struct fleet *fleet)
{
    return index_stats(fleet->index);
}

void fleet_charge(struct fleet *fleet, uint64_t link, uint32_t tokens)
{
    struct node *node = find(fleet, link);
    if (!node) return;
    node->face.in_air++;
    node->face.in_air_tokens += tokens;
    node->unreported += tokens;
}

/* The prompt of one request has been computed, or nobody waits for it any more. */
static void give_back(struct node *node, uint32_t tokens)
{
    must(node->face.in_air_tokens >= tokens);
    node->face.in_air_tokens -= tokens;
    node->unreported -= tokens < node->unreported ? tokens : node->unreported;
}

void fleet_first_id(struct fleet *fleet, uint64_t link, uint32_t tokens)
{
    struct node *node = find(fleet, link);
    if (node) give_back(node, tokens);
}

/* The gap between two ends there, ours; after a rest there is none. */
static void note_end(struct node *node, uint64_t now_ns)
{
    double gap = (double)(now_ns - node->ended_ns);
    if (node->ended_ns != 0 && node->face.in_air > 0)
        node->gap_ns += node->gap_ns > 0 ? (gap - node->gap_ns) / GAP_SHARE : gap;
    node->ended_ns = now_ns;
}

void fleet_release(struct fleet *fleet, uint64_t link, uint32_t tokens, bool had_id,
                   uint64_t now_ns)
{
    struct node *node = find(fleet, link);
    if (!node) return;
    must(node->face.in_air > 0);
    note_end(node, now_ns);
    node->face.in_air--;
    if (!had_id) give_back(node, tokens);
}
