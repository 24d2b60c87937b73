#include "scheduler/core/fleet.h"
#include "scheduler/core/flight.h"
#include "scheduler/features/search/vector.h"
#include "scheduler/lexicon.h"
#include "tests/support/tiny_model.h"
#include "tests/test.h"
#include "tests/unit/scheduler/features/search/cast_parts.h"

#include "text/pack.h"
#include "text/tokenizer.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/gguf.h"
#include "base/mem.h"
#include "base/must.h"
#include "base/rand.h"

#include <stdio.h>
#include <string.h>

enum {
    SHARDS_MAX = 32,
    ROWS_MAX = 1024, // of a shard here
    REPLIES_MAX = 4096
};

struct row {
    int32_t number;
    float scale;
    int8_t values[CAST_SIZE];
};

struct shelf {
    uint64_t shard, version;
    struct row rows[ROWS_MAX];
    size_t count;
};

struct node {
    bool up, refuses;
    uint64_t link;
    char name[16], weights[16];
    struct shelf shelves[SHARDS_MAX];
    size_t count;
    struct digest filter; // that it knows, with its bits
    uint8_t bits[1 << 18];
    size_t bits_size;
};

/* What a node says soon. */
struct reply {
    size_t scheduler;
    uint64_t link;
    struct wire_key key;
    enum wire_kind kind;
    enum err err;
    const char *note;
    uint32_t position;
    float vector[CAST_SIZE];
    int32_t ids[CAST_TOP_MAX];
    float scores[CAST_TOP_MAX];
    size_t count;
    bool pack;
};

static struct node nodes[CAST_NODES];
static struct reply *replies;
static size_t reply_count, embedded, scanned, bits_brought;
static uint64_t next_link;
static struct buf pack;
static struct text_pack *text;

static struct node *node_of(uint64_t link)
{
    for (size_t i = 0; i < CAST_NODES; i++)
        if (nodes[i].up && nodes[i].link == link) return &nodes[i];
    return NULL;
}

static void tell_shards(const struct node *node)
{
    struct fleet_shard shards[SHARDS_MAX];
    for (size_t i = 0; i < node->count; i++)
        shards[i] = (struct fleet_shard){.shard = node->shelves[i].shard,
                                         .version = node->shelves[i].version,
                                         .rows = (uint32_t)node->shelves[i].count};
    for (size_t i = 0; i < CAST_SCHEDULERS; i++)
        if (cast_schedulers[i].up)
            fleet_shards(cast_schedulers[i].fleet, node->link, shards, node->count);
}

static struct shelf *shelf_of(struct node *node, uint64_t shard)
{
    for (size_t i = 0; i < node->count; i++)
        if (node->shelves[i].shard == shard) return &node->shelves[i];
    return NULL;
}

static void drop_row(struct shelf *shelf, int32_t number)
{
    for (size_t i = 0; i < shelf->count; i++)
        if (shelf->rows[i].number == number) shelf->rows[i--] = shelf->rows[--shelf->count];
}

static void on_put(struct node *node, const struct wire_shard_put *put)
{
    struct shelf *shelf = shelf_of(node, put->shard);
    assert_true(put->version >= 1 && put->dims == CAST_SIZE);
    assert_int_equal(put->rows_size, put->row_count * CAST_SIZE);
    assert_true(put->rows_size <= WIRE_PART_MAX && put->row_count <= WIRE_SHARD_PUT_MAX);
    assert_true(put->dropped_count <= WIRE_SHARD_PUT_MAX);
    if (node->refuses) return;
    if (!shelf && !put->reset) return;
    if (!shelf) {
        assert_true(node->count < SHARDS_MAX);
        shelf = &node->shelves[node->count++];
        *shelf = (struct shelf){.shard = put->shard};
    }
    if (put->reset) *shelf = (struct shelf){.shard = put->shard};
    if (put->version < shelf->version) return;
    for (size_t i = 0; i < put->dropped_count; i++)
        drop_row(shelf, put->dropped[i]);
    for (size_t i = 0; i < put->row_count; i++) {
        drop_row(shelf, put->numbers[i]);
        assert_true(shelf->count < ROWS_MAX);
        struct row *row = &shelf->rows[shelf->count++];
        *row = (struct row){.number = put->numbers[i], .scale = put->scales[i]};
        memcpy(row->values, put->rows + i * CAST_SIZE, CAST_SIZE);
    }
    if (put->complete) shelf->version = put->version;
    tell_shards(node);
}

static void on_drop(struct node *node, uint64_t shard)
{
    struct shelf *shelf = shelf_of(node, shard);
    if (!shelf) return;
    *shelf = node->shelves[--node->count];
    tell_shards(node);
}

static void embed_ids(const int32_t *ids, size_t count, float vector[CAST_SIZE])
{
    uint64_t hash = 7;
    for (size_t i = 0; i < count; i++)
        hash = rand_at(hash, 0, (uint64_t)ids[i]);
    for (uint32_t i = 0; i < CAST_SIZE; i++)
        vector[i] = (float)(rand_unit(rand_at(hash, i, 1)) - 0.5);
}

void cast_embed(const char *words, float vector[CAST_SIZE])
{
    struct token_ids ids = {0}, framed = {0};
    uint32_t segment;
    must(tokenizer_encode(text->tokenizer, words, strlen(words), 0, &ids) == ERR_OK);
    tokenizer_frame(text->tokenizer, &ids, NULL, &framed, &segment);
    embed_ids(framed.ids, framed.count, vector);
    token_ids_fini(&ids);
    token_ids_fini(&framed);
}

static bool is_better(float score, int32_t number, float than, int32_t its)
{
    return score > than || (score == than && number < its);
}

static void add_row(struct reply *reply, size_t top, int32_t number, float score)
{
    size_t at = reply->count;
    while (at > 0 && is_better(score, number, reply->scores[at - 1], reply->ids[at - 1]))
        at--;
    if (at == top) return;
    if (reply->count < top) reply->count++;
    for (size_t i = reply->count - 1; i > at; i--) {
        reply->ids[i] = reply->ids[i - 1];
        reply->scores[i] = reply->scores[i - 1];
    }
    reply->ids[at] = number;
    reply->scores[at] = score;
}

static bool is_allowed(const struct node *node, const struct wire_submit *submit, int32_t number)
{
    size_t byte = (size_t)number / 8;
    if (digest_is_zero(&submit->filter)) return true;
    return byte < node->bits_size && node->bits[byte] & 1u << number % 8;
}

static void scan(struct node *node, const struct wire_submit *submit, struct reply *reply)
{
    int8_t query[CAST_SIZE];
    float scale;
    scanned++;
    assert_int_equal(submit->query_size, CAST_SIZE);
    assert_true(vector_quantise(submit->query, CAST_SIZE, query, &scale));
    if (submit->filter_size > 0) {
        bits_brought++;
        node->filter = submit->filter;
        memcpy(node->bits, submit->filter_bits, submit->filter_size);
        node->bits_size = submit->filter_size;
    }
    if (!digest_is_zero(&submit->filter) && !digest_equal(&submit->filter, &node->filter)) {
        reply->err = ERR_NOT_FOUND;
        reply->note = "filter";
        return;
    }
    for (size_t k = 0; k < submit->shard_count; k++) {
        const struct shelf *shelf = shelf_of(node, submit->shards[k]);
        assert_true(shelf && shelf->version > 0);
        for (size_t i = 0; i < shelf->count; i++) {
            const struct row *row = &shelf->rows[i];
            int32_t dot = 0;
            for (size_t d = 0; d < CAST_SIZE; d++)
                dot += query[d] * row->values[d];
            if (is_allowed(node, submit, row->number))
                add_row(reply, submit->top_count, row->number, (float)dot * (scale * row->scale));
        }
    }
}

enum err cast_send(void *owner, uint64_t link, const struct wire_message *message, bool urgent)
{
    const struct cast_scheduler *scheduler = owner;
    struct node *node = node_of(link);
    (void)urgent;
    if (!node) return ERR_NOT_FOUND;
    if (message->type == WIRE_SHARD_PUT) on_put(node, &message->shard_put);
    if (message->type == WIRE_SHARD_DROP) on_drop(node, message->shard_drop.shard);
    if (message->type != WIRE_SUBMIT && message->type != WIRE_PACK_WANT) return ERR_OK;
    must(reply_count < REPLIES_MAX);
    struct reply *reply = &replies[reply_count++];
    *reply = (struct reply){.scheduler = scheduler->index, .link = link};
    reply->pack = message->type == WIRE_PACK_WANT;
    if (reply->pack) return ERR_OK;
    reply->key = message->submit.key;
    reply->kind = message->submit.kind;
    reply->position = message->submit.prompt_length;
    if (reply->kind == WIRE_SCAN) {
        scan(node, &message->submit, reply);
    } else {
        embedded++;
        assert_int_equal(message->submit.priority, WIRE_BATCH);
        embed_ids(message->submit.ids, message->submit.id_count, reply->vector);
    }
    return ERR_OK;
}

static void send_pack(const struct cast_scheduler *scheduler, uint64_t link)
{
    for (size_t offset = 0; offset < pack.size; offset += 4096) {
        size_t size = pack.size - offset < 4096 ? pack.size - offset : 4096;
        struct wire_pack_part part = {.pack = text->digest,
                                      .total = pack.size,
                                      .offset = offset,
                                      .bytes = (uint8_t *)pack.data + offset,
                                      .size = size};
        lexicon_part(scheduler->lexicon, link, &part, clock_now_ns());
    }
}

static void deliver(const struct reply *reply)
{
    const struct cast_scheduler *scheduler = &cast_schedulers[reply->scheduler];
    uint64_t now_ns = clock_now_ns();
    if (!scheduler->up || !node_of(reply->link)) return;
    if (reply->pack) {
        send_pack(scheduler, reply->link);
        return;
    }
    struct wire_result result = {.key = reply->key, .position = reply->position};
    if (reply->kind == WIRE_SCAN) {
        result.ids = reply->ids;
        result.logprobs = reply->scores;
        result.id_count = reply->count;
    } else {
        result.vector = reply->vector;
        result.vector_size = CAST_SIZE;
    }
    if (!reply->err) flights_result(scheduler->flights, reply->link, &result, now_ns);
    struct wire_done done = {.key = reply->key,
                             .finish = reply->err ? WIRE_FINISH_NONE : WIRE_FINISH_STOP,
                             .err = reply->err};
    if (reply->note) done.note = (struct wire_text){reply->note, strlen(reply->note)};
    flights_done(scheduler->flights, reply->link, &done, now_ns);
}

void cast_nodes_turn(void)
{
    struct reply *due = replies;
    size_t count = reply_count;
    replies = mem_new(REPLIES_MAX, sizeof *replies);
    reply_count = 0;
    for (size_t i = 0; i < count; i++)
        deliver(&due[i]);
    mem_free(due);
}

static void introduce(struct cast_scheduler *scheduler, const struct node *node)
{
    struct wire_model model = {.name = {CAST_MODEL, strlen(CAST_MODEL)},
                               .kinds = 1u << WIRE_EMBED | 1u << WIRE_SCAN,
                               .vector_size = CAST_SIZE,
                               .pack = text->digest,
                               .model = digest_of(node->weights, strlen(node->weights)),
                               .numerics = digest_of("1", 1),
                               .context_length = 64,
                               .vocab_size = (uint32_t)tokenizer_size(text->tokenizer)};
    struct wire_hello hello = {.protocol = WIRE_PROTOCOL,
                               .node = {node->name, strlen(node->name)},
                               .models = &model,
                               .model_count = 1,
                               .credits = 64,
                               .block_tokens = 16,
                               .threads = 1};
    assert_int_equal(fleet_hello(scheduler->fleet, node->link, &hello, clock_now_ns()), ERR_OK);
    lexicon_hello(scheduler->lexicon, node->link, &hello, clock_now_ns());
}

void cast_node_up(size_t at, const char *weights)
{
    struct node *node = &nodes[at];
    *node = (struct node){.up = true, .link = ++next_link};
    snprintf(node->name, sizeof node->name, "node-%zu", at);
    snprintf(node->weights, sizeof node->weights, "%s", weights);
    for (size_t i = 0; i < CAST_SCHEDULERS; i++)
        if (cast_schedulers[i].up) introduce(&cast_schedulers[i], node);
}

void cast_node_down(size_t at)
{
    uint64_t now_ns = clock_now_ns();
    nodes[at].up = false;
    for (size_t i = 0; i < CAST_SCHEDULERS; i++) {
        if (!cast_schedulers[i].up) continue;
        fleet_down(cast_schedulers[i].fleet, nodes[at].link, now_ns);
        flights_node_lost(cast_schedulers[i].flights, nodes[at].link, now_ns);
        lexicon_down(cast_schedulers[i].lexicon, nodes[at].link, now_ns);
    }
}

void cast_node_refuses(size_t node, bool on)
{
    nodes[node].refuses = on;
}

size_t cast_node_shards(size_t node)
{
    size_t count = 0;
    for (size_t i = 0; nodes[node].up && i < nodes[node].count; i++)
        count += nodes[node].shelves[i].version > 0;
    return count;
}

size_t cast_node_rows(size_t node)
{
    size_t count = 0;
    for (size_t i = 0; nodes[node].up && i < nodes[node].count; i++)
        if (nodes[node].shelves[i].version > 0) count += nodes[node].shelves[i].count;
    return count;
}

size_t cast_embedded(void)
{
    return embedded;
}

size_t cast_scanned(void)
{
    return scanned;
}

size_t cast_bits(void)
{
    return bits_brought;
}

void cast_introduce(struct cast_scheduler *scheduler)
{
    for (size_t i = 0; i < CAST_NODES; i++)
        if (nodes[i].up) introduce(scheduler, &nodes[i]);
    for (size_t i = 0; i < CAST_NODES; i++)
        if (nodes[i].up) tell_shards(&nodes[i]);
}

void cast_nodes_begin(void)
{
    struct tiny_model tiny = {.vocab_only = true};
    struct buf image = {0};
    struct gguf *gguf;
    tiny_model_write(&image, &tiny);
    must(gguf_parse(&gguf, image.data, image.size) == ERR_OK);
    must(gguf_write_pack(gguf, &pack) == ERR_OK);
    must(text_pack_from_gguf(&text, gguf) == ERR_OK);
    gguf_close(gguf);
    buf_fini(&image);
    replies = mem_new(REPLIES_MAX, sizeof *replies);
    reply_count = embedded = scanned = bits_brought = 0;
}

void cast_nodes_end(void)
{
    for (size_t i = 0; i < CAST_NODES; i++)
        nodes[i].up = false;
    mem_free(replies);
    text_pack_close(text);
    buf_fini(&pack);
}
