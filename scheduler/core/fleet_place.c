#include "scheduler/core/fleet_internal.h"

#include "wire/block.h"

#include "base/must.h"

enum {
    RATE_FIRST = 1000, // tokens/s of prefill, until a node has told its own
    WAY_BYTES_NS = 10, // of a byte on its way to a node: a link of 100 MB/s
    GAP_SHARE = 8      // how much the latest gap between two ends counts
};

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

static bool can_do(const struct node *node, const struct fleet_need *need)
{
    return need->shard_count > 0 ? fleet_node_scans(node, need->shards, need->shard_count)
                                 : serves(node, need);
}

bool fleet_is_within(const struct fleet_node *node, const uint64_t *regions, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (regions[i] == node->region_tag) return true;
    return count == 0;
}

static bool may_take(const struct node *node, const struct fleet_need *need)
{
    return node->face.state == FLEET_READY && can_do(node, need) && !is_excluded(node, need) &&
           fleet_is_within(&node->face, need->regions, need->region_count);
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
    bool scans = need->shard_count > 0;
    if (count == 0 && full)
        return err_note(ERR_BUSY, "every node of %s is full",
                        scans ? "these shards" : "this model");
    if (count == 0)
        return err_note(ERR_UNAVAILABLE, "no node %s now%s",
                        scans ? "holds these shards" : "serves this model",
                        need->region_count > 0 ? " in the regions that the policy allows" : "");
    size_t chosen =
        route_choose(fleet->policy, views, count, need->tokens, fleet->turn++, &fleet->rand);
    const struct route_node *view = &views[chosen];
    *choice = (struct fleet_choice){
        .link = nodes[chosen]->face.link,
        .uncached = view->cached < need->tokens ? need->tokens - view->cached : 1,
        .wait_ns = route_predict_ns(view, need->tokens)};
    return ERR_OK;
}

void fleet_expect(struct fleet *fleet, uint64_t link, const uint64_t *hashes, size_t count,
                  uint64_t now_ns)
{
    const struct node *node = fleet_node_of(fleet, link);
    if (node && node->tells_blocks) index_expect(fleet->index, node->slot, hashes, count, now_ns);
}

void fleet_charge(struct fleet *fleet, uint64_t link, uint32_t tokens)
{
    struct node *node = fleet_node_of(fleet, link);
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
    struct node *node = fleet_node_of(fleet, link);
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
    struct node *node = fleet_node_of(fleet, link);
    if (!node) return;
    must(node->face.in_air > 0);
    note_end(node, now_ns);
    node->face.in_air--;
    if (!had_id) give_back(node, tokens);
}
