#include "scheduler/core/fleet.h"

#include "base/mem.h"
#include "base/must.h"
#include "base/rand.h"

#include <string.h>

enum {
    // Slots of the table that finds a node by its link: a power of two, never more than half full.
    INDEX_SLOTS = 2 * FLEET_NODES_MAX,
    // Costs that differ by less than this many tokens, or by an eighth, are taken as equal.
    NEAR_TOKENS = 32
};

struct served {
    char name[WIRE_NAME_MAX + 1];
    struct digest pack, model, adapter, numerics;
    uint32_t kinds;
    uint32_t context_length;
    uint32_t vocab_size;
};

struct node {
    struct fleet_node face;
    struct served *models; // [face.model_count]
    uint64_t unreported;   // tokens that we have sent since its latest LOAD
    bool drain_asked;      // by fleet_drain()
    bool drain_said;       // by its heartbeats
};

/* One set of digests under one name. */
struct set {
    struct fleet_model face;
    uint32_t live_count; // nodes that serve it, draining ones included
    uint64_t gone_ns;    // since when live_count is 0
};

struct fleet {
    struct rand rand;
    struct node *nodes[FLEET_NODES_MAX];
    size_t node_count;
    uint16_t index[INDEX_SLOTS]; // 1 + position in nodes; 0: empty
    struct set sets[FLEET_MODELS_MAX];
    size_t set_count;
    uint64_t forget_ns; // when the first set that is gone is to be forgotten; UINT64_MAX: none is
};

struct fleet *fleet_new(uint64_t seed)
{
    struct fleet *fleet = mem_new(1, sizeof *fleet);
    rand_init(&fleet->rand, seed);
    fleet->forget_ns = UINT64_MAX;
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
    mem_free(fleet);
}

static size_t slot_of(uint64_t link)
{
    return (size_t)((link * UINT64_C(0x9e3779b97f4a7c15)) >> 40) % INDEX_SLOTS;
}

static struct node *find(const struct fleet *fleet, uint64_t link)
{
    for (size_t slot = slot_of(link); fleet->index[slot]; slot = (slot + 1) % INDEX_SLOTS) {
        struct node *node = fleet->nodes[fleet->index[slot] - 1];
        if (node->face.link == link) return node;
    }
    return NULL;
}

/* Nodes come and go rarely: the index is made anew each time. */
static void index_nodes(struct fleet *fleet)
{
    memset(fleet->index, 0, sizeof fleet->index);
    for (size_t i = 0; i < fleet->node_count; i++) {
        size_t slot = slot_of(fleet->nodes[i]->face.link);
        while (fleet->index[slot])
            slot = (slot + 1) % INDEX_SLOTS;
        fleet->index[slot] = (uint16_t)(i + 1);
    }
}

static bool serves_set(const struct served *served, const struct fleet_model *set)
{
    return strcmp(served->name, set->name) == 0 && digest_equal(&served->pack, &set->pack) &&
           digest_equal(&served->model, &set->model) &&
           digest_equal(&served->adapter, &set->adapter) &&
           digest_equal(&served->numerics, &set->numerics);
}

static struct set *find_set(struct fleet *fleet, const struct served *served)
{
    for (size_t i = 0; i < fleet->set_count; i++)
        if (serves_set(served, &fleet->sets[i].face)) return &fleet->sets[i];
    return NULL;
}

static const struct set *find_current(const struct fleet *fleet, const char *name, size_t size)
{
    for (size_t i = 0; i < fleet->set_count; i++) {
        const struct fleet_model *face = &fleet->sets[i].face;
        if (face->current && strlen(face->name) == size && memcmp(face->name, name, size) == 0)
            return &fleet->sets[i];
    }
    return NULL;
}

static void remove_set(struct fleet *fleet, size_t index)
{
    fleet->set_count--;
    memmove(&fleet->sets[index], &fleet->sets[index + 1],
            (fleet->set_count - index) * sizeof *fleet->sets);
}

/* Count anew who serves what. */
static void count_sets(struct fleet *fleet)
{
    for (size_t i = 0; i < fleet->set_count; i++) {
        fleet->sets[i].live_count = 0;
        fleet->sets[i].face.node_count = 0;
    }
    for (size_t i = 0; i < fleet->node_count; i++) {
        const struct node *node = fleet->nodes[i];
        for (size_t m = 0; m < node->face.model_count; m++) {
            struct set *set = find_set(fleet, &node->models[m]);
            must(set);
            uint32_t length = node->models[m].context_length;
            if (set->live_count == 0 || length < set->face.context_length)
                set->face.context_length = length;
            set->live_count++;
            if (node->face.state == FLEET_READY) set->face.node_count++;
        }
    }
}

/* Forget sets that nobody serves: a set that is not current at once, the current one of a name
 * after FLEET_FORGET_NS, so that a restart of its only node changes nothing. The eldest set left
 * under the name is then the current one. */
static void refresh(struct fleet *fleet, uint64_t now_ns)
{
    count_sets(fleet);
    fleet->forget_ns = UINT64_MAX;
    for (size_t i = 0; i < fleet->set_count;) {
        struct set *set = &fleet->sets[i];
        if (set->live_count > 0) set->gone_ns = 0;
        if (set->live_count == 0 && set->gone_ns == 0) set->gone_ns = now_ns ? now_ns : 1;
        uint64_t end_ns = set->face.current ? set->gone_ns + FLEET_FORGET_NS : 0;
        if (set->live_count == 0 && now_ns >= end_ns) {
            remove_set(fleet, i);
            continue;
        }
        if (set->live_count == 0 && end_ns < fleet->forget_ns) fleet->forget_ns = end_ns;
        i++;
    }
    for (size_t i = 0; i < fleet->set_count; i++) {
        struct fleet_model *face = &fleet->sets[i].face;
        if (!find_current(fleet, face->name, strlen(face->name))) face->current = true;
    }
}

static void age(struct fleet *fleet, uint64_t now_ns)
{
    if (now_ns >= fleet->forget_ns) refresh(fleet, now_ns);
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

/* Make sure that each of the node's models has its set; nothing is changed on failure. */
static enum err add_sets(struct fleet *fleet, const struct node *node)
{
    size_t added = 0;
    for (size_t i = 0; i < node->face.model_count; i++)
        added += find_set(fleet, &node->models[i]) == NULL;
    if (added > FLEET_MODELS_MAX - fleet->set_count)
        return err_note(ERR_NO_MEMORY, "%d models are known; there is no room for more",
                        FLEET_MODELS_MAX);
    for (size_t i = 0; i < node->face.model_count; i++) {
        const struct served *served = &node->models[i];
        if (find_set(fleet, served)) continue;
        struct set *set = &fleet->sets[fleet->set_count++];
        *set = (struct set){.face = {.pack = served->pack,
                                     .model = served->model,
                                     .adapter = served->adapter,
                                     .numerics = served->numerics,
                                     .kinds = served->kinds,
                                     .vocab_size = served->vocab_size}};
        memcpy(set->face.name, served->name, sizeof set->face.name);
    }
    return ERR_OK;
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
    if (err == ERR_OK) err = add_sets(fleet, node);
    if (err != ERR_OK) {
        node_free(node);
        return err;
    }
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

static void settle_state(struct fleet *fleet, struct node *node)
{
    enum fleet_state state = node->drain_asked || node->drain_said ? FLEET_DRAINING : FLEET_READY;
    if (state == node->face.state) return;
    node->face.state = state;
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
    settle_state(fleet, node);
}

void fleet_down(struct fleet *fleet, uint64_t link, uint64_t now_ns)
{
    for (size_t i = 0; i < fleet->node_count; i++) {
        if (fleet->nodes[i]->face.link != link) continue;
        node_free(fleet->nodes[i]);
        fleet->nodes[i] = fleet->nodes[--fleet->node_count];
        index_nodes(fleet);
        refresh(fleet, now_ns);
        return;
    }
}

enum err fleet_drain(struct fleet *fleet, const char *name, bool on, uint64_t *link)
{
    for (size_t i = 0; i < fleet->node_count; i++) {
        struct node *node = fleet->nodes[i];
        if (strcmp(node->face.name, name) != 0) continue;
        node->drain_asked = on;
        settle_state(fleet, node);
        *link = node->face.link;
        return ERR_OK;
    }
    return err_note(ERR_NOT_FOUND, "no linked node has the name %s", name);
}

enum err fleet_promote(struct fleet *fleet, const char *model, const struct digest *digest)
{
    struct fleet_model *chosen = NULL;
    for (size_t i = 0; i < fleet->set_count; i++) {
        struct fleet_model *face = &fleet->sets[i].face;
        bool meant = strcmp(face->name, model) == 0 &&
                     (digest_equal(&face->model, digest) || digest_equal(&face->pack, digest));
        // Two sets may share a digest: the one that is not routed to yet is meant.
        if (meant && (!chosen || chosen->current)) chosen = face;
    }
    if (!chosen) {
        char text[DIGEST_TEXT_SIZE];
        return err_note(ERR_NOT_FOUND, "no node serves %s with the digest %s", model,
                        digest_text(digest, text));
    }
    for (size_t i = 0; i < fleet->set_count; i++)
        if (strcmp(fleet->sets[i].face.name, model) == 0) fleet->sets[i].face.current = false;
    chosen->current = true;
    return ERR_OK;
}

const struct fleet_model *fleet_find_model(const struct fleet *fleet, const char *name, size_t size)
{
    const struct set *set = find_current(fleet, name, size);
    return set ? &set->face : NULL;
}

size_t fleet_model_count(const struct fleet *fleet)
{
    return fleet->set_count;
}

const struct fleet_model *fleet_model_at(const struct fleet *fleet, size_t index)
{
    must(index < fleet->set_count);
    return &fleet->sets[index].face;
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

/* One of the candidates whose cost is near the least, by `cost`; the others leave. */
static size_t keep_near(struct node **candidates, size_t count,
                        uint64_t (*cost)(const struct node *), uint64_t slack)
{
    uint64_t least = UINT64_MAX;
    for (size_t i = 0; i < count; i++)
        if (cost(candidates[i]) < least) least = cost(candidates[i]);
    size_t kept = 0;
    for (size_t i = 0; i < count; i++)
        if (cost(candidates[i]) - least <= least / 8 + slack) candidates[kept++] = candidates[i];
    return kept;
}

enum err fleet_pick(struct fleet *fleet, const struct fleet_need *need, uint64_t *link)
{
    struct node *candidates[FLEET_NODES_MAX];
    size_t count = 0;
    bool full = false;
    for (size_t i = 0; i < fleet->node_count; i++) {
        struct node *node = fleet->nodes[i];
        if (node->face.state != FLEET_READY || !serves(node, need) || is_excluded(node, need))
            continue;
        if (!has_credit(node)) {
            full = true;
            continue;
        }
        candidates[count++] = node;
        if (need->beside == 0 || node->face.link != need->beside) continue;
        *link = need->beside;
        return ERR_OK;
    }
    if (count == 0 && full) return err_note(ERR_BUSY, "every node of this model is full");
    if (count == 0) return err_note(ERR_UNAVAILABLE, "no node serves this model now");
    count = keep_near(candidates, count, tokens_before, NEAR_TOKENS);
    count = keep_near(candidates, count, requests_there, 0);
    *link = candidates[rand_below(&fleet->rand, count)]->face.link;
    return ERR_OK;
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

void fleet_release(struct fleet *fleet, uint64_t link, uint32_t tokens, bool had_id)
{
    struct node *node = find(fleet, link);
    if (!node) return;
    must(node->face.in_air > 0);
    node->face.in_air--;
    if (!had_id) give_back(node, tokens);
}
