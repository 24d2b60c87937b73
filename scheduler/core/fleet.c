#include "scheduler/core/fleet_internal.h"
#include "scheduler/core/shards.h"

#include "wire/block.h"

#include "base/mem.h"
#include "base/must.h"
#include "base/rand.h"

#include <string.h>

_Static_assert((int)FLEET_NODES_MAX <= (int)INDEX_NODES_MAX, "every node has a slot");

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
    mem_free(node->shards);
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
    return (size_t)((link * UINT64_C(0x9e3779b97f4a7c15)) >> 40) % FLEET_LINK_SLOTS;
}

struct node *fleet_node_of(const struct fleet *fleet, uint64_t link)
{
    for (size_t slot = slot_of(link); fleet->by_link[slot]; slot = (slot + 1) % FLEET_LINK_SLOTS) {
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
            slot = (slot + 1) % FLEET_LINK_SLOTS;
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
    sets_settle(&fleet->sets);
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
                                  .vocab_size = said->vocab_size,
                                  .vector_size = said->vector_size};
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
    if (fleet_node_of(fleet, link)) return err_note(ERR_CONFLICT, "the node has said HELLO before");
    for (size_t i = 0; i < fleet->node_count; i++) {
        const char *name = fleet->nodes[i]->face.name;
        bool is_replaced =
            hello->replaces != 0 && hello->replaces == fleet->nodes[i]->face.instance;
        if (!is_replaced && strlen(name) == hello->node.size &&
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
                                     .replaces = hello->replaces,
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
    node->face.name_hash = shard_node_hash(node->face.name);
    node->face.region_tag = digest_tag(node->face.region);
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
    struct node *node = fleet_node_of(fleet, link);
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
    struct node *node = fleet_node_of(fleet, link);
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

const struct served *fleet_node_models(const struct fleet *fleet, size_t index)
{
    must(index < fleet->node_count);
    return fleet->nodes[index]->models;
}

void fleet_take_over(struct fleet *fleet, uint64_t link, uint64_t now_ns)
{
    struct node *node = fleet_node_of(fleet, link);
    if (!node || node->face.replaces == 0) return;
    for (size_t i = 0; i < fleet->node_count; i++) {
        struct node *old = fleet->nodes[i];
        if (old->face.instance != node->face.replaces) continue;
        old->drain_asked = true;
        settle_state(fleet, old, now_ns);
    }
    node->face.replaces = 0;
    for (size_t i = 0; i < node->face.model_count; i++)
        sets_take_over(&fleet->sets, &node->models[i]);
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
    const struct node *node = fleet_node_of(fleet, link);
    return node ? &node->face : NULL;
}

enum err fleet_cache_delta(struct fleet *fleet, uint64_t link, const struct wire_cache_delta *delta,
                           uint64_t now_ns)
{
    struct node *node = fleet_node_of(fleet, link);
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

void fleet_tick(struct fleet *fleet, uint64_t now_ns)
{
    index_tick(fleet->index, now_ns);
}

struct index_stats fleet_index_stats(const struct fleet *fleet)
{
    return index_stats(fleet->index);
}
