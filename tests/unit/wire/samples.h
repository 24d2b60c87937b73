/* tests/unit/wire/samples.h -- one known message of every type, with every field set that it had at first; and again,
 * with those that came later, for the types that have grown. */
#ifndef TESTS_UNIT_WIRE_SAMPLES_H
#define TESTS_UNIT_WIRE_SAMPLES_H

#include "wire/message.h"

#define TEXT(literal)                                \
    (struct wire_text)                               \
    {                                                \
        .text = literal, .size = sizeof(literal) - 1 \
    }

static inline struct digest sample_digest(uint8_t first)
{
    struct digest digest;
    for (size_t i = 0; i < DIGEST_SIZE; i++)
        digest.bytes[i] = (uint8_t)(first + i);
    return digest;
}

static inline struct wire_submit sample_submit(void)
{
    static const int32_t ids[] = {151644, 872, 198, 0, INT32_MAX};
    static const int32_t stops[] = {151645, 151643};
    static const struct wire_bias bias[] = {{13, -100.0f}, {42, 0.5f}};
    static const uint8_t grammar[] = "root ::= [0-9]+";
    static const struct wire_salt salts[] = {{0, 0xfeedfacecafebeef}, {3, 7}};
    return (struct wire_submit){
        .protocol = WIRE_PROTOCOL,
        .kind = WIRE_GENERATE,
        .key = {.request = 0x1122334455667788, .choice = 1, .attempt = 2},
        .trace = {0xa0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 0xaf},
        .model = sample_digest(0x10),
        .adapter = sample_digest(0x20),
        .numerics = sample_digest(0x30),
        .ids = ids,
        .id_count = 5,
        .prompt_length = 3,
        .next_position = 5,
        .max_tokens = 256,
        .stop_ids = stops,
        .stop_id_count = 2,
        .sampling = {.temperature = 0.7f,
                     .top_p = 0.95f,
                     .min_p = 0.05f,
                     .top_k = 40,
                     .repetition_penalty = 1.1f,
                     .frequency_penalty = -0.5f,
                     .presence_penalty = 0.25f,
                     .seed = 0xfedcba9876543210,
                     .bias = bias,
                     .bias_count = 2,
                     .logprobs = true,
                     .top_logprobs = 5},
        .grammar = grammar,
        .grammar_size = sizeof grammar - 1,
        .grammar_digest = sample_digest(0x40),
        .tenant = 77,
        .tenant_weight = 3,
        .priority = WIRE_BATCH,
        .deadline_ms = 30000,
        .salts = salts,
        .salt_count = 2,
        .gate_epoch = 9,
    };
}

static inline struct wire_hello sample_hello(void)
{
    static struct wire_model models[2];
    for (uint8_t i = 0; i < 2; i++)
        models[i] = (struct wire_model){.name = i ? TEXT("桥-mini") : TEXT("qwen3"),
                                        .kinds = 1u << WIRE_GENERATE,
                                        .pack = sample_digest((uint8_t)(0x50 + i)),
                                        .model = sample_digest((uint8_t)(0x60 + i)),
                                        .adapter = sample_digest((uint8_t)(0x70 + i)),
                                        .numerics = sample_digest((uint8_t)(0x80 + i)),
                                        .context_length = 4096,
                                        .vocab_size = 151936};
    return (struct wire_hello){.protocol = WIRE_PROTOCOL,
                               .node = TEXT("node-1"),
                               .instance = 0x0102030405060708,
                               .region = TEXT("north"),
                               .models = models,
                               .model_count = 2,
                               .credits = 64,
                               .block_tokens = 16,
                               .kv_blocks = 2048,
                               .threads = 2};
}

static inline struct wire_result sample_result(void)
{
    static const int32_t ids[] = {5, 6};
    static const float logprobs[] = {-0.25f, -1.5f};
    static const struct wire_top tops[] = {{5, -0.25f}, {8, -2.0f}, {6, -1.5f}, {9, -3.0f}};
    static const float vector[] = {0.5f, -0.5f, 1.0f};
    return (struct wire_result){.key = {.request = 300, .choice = 0, .attempt = 1},
                                .position = 17,
                                .ids = ids,
                                .id_count = 2,
                                .logprobs = logprobs,
                                .tops = tops,
                                .top_count = 2,
                                .vector = vector,
                                .vector_size = 3};
}

static inline struct wire_shard_put sample_shard_put(void)
{
    static const int32_t numbers[] = {32768, 65535}, dropped[] = {40000};
    static const float scales[] = {0.0078125f, 0.5f};
    static const uint8_t rows[] = {0x7f, 0x81, 0, 1, 0xff, 2};
    return (struct wire_shard_put){.shard = 0x1020304050607080,
                                   .dims = 3,
                                   .version = 70000,
                                   .reset = true,
                                   .complete = true,
                                   .numbers = numbers,
                                   .row_count = 2,
                                   .scales = scales,
                                   .rows = rows,
                                   .rows_size = 6,
                                   .dropped = dropped,
                                   .dropped_count = 1};
}

static inline struct wire_shard_state sample_shard_state(void)
{
    static const struct wire_shard shards[] = {{0x1020304050607080, 70000, 2, 3},
                                               {7, 0, WIRE_SHARD_NUMBERS, 384}};
    return (struct wire_shard_state){shards, 2, 1 << 30, 12582934, 3};
}

/* Lends arrays of static storage. */
static inline struct wire_message sample(enum wire_type type)
{
    static const struct wire_text peers[] = {
        {"tcp://10.0.0.1:7400", 19},
        {"ipc:///run/qiao/s2", 18},
    };
    static const uint8_t part[] = {0, 1, 2, 0xff};
    static const uint64_t added[] = {1, UINT64_MAX}, removed[] = {0x0102030405060708};
    struct wire_key key = {.request = 300, .choice = 2, .attempt = 1};
    struct wire_message message = {.type = type};
    switch (type) {
    case WIRE_HELLO: message.hello = sample_hello(); break;
    case WIRE_WELCOME: message.welcome = (struct wire_welcome){WIRE_PROTOCOL, 99, peers, 2}; break;
    case WIRE_HEARTBEAT: message.heartbeat = (struct wire_heartbeat){70000, 12, true}; break;
    case WIRE_PACK_WANT: message.pack_want.pack = sample_digest(1); break;
    case WIRE_PACK_PART:
        message.pack_part = (struct wire_pack_part){sample_digest(1), 1 << 20, 4096, part, 4};
        break;
    case WIRE_LOAD:
        message.load = (struct wire_load){.running = 3,
                                          .waiting = 1,
                                          .waiting_tokens = 900,
                                          .kv_blocks_used = 120,
                                          .kv_blocks = 2048,
                                          .step_us = 15000,
                                          .prefill_rate = 812.5f,
                                          .decode_rate = 96.25f};
        break;
    case WIRE_SUBMIT: message.submit = sample_submit(); break;
    case WIRE_RESULT: message.result = sample_result(); break;
    case WIRE_DONE:
        message.done =
            (struct wire_done){key, WIRE_FINISH_NONE, ERR_TIMEOUT, TEXT("too late"), 100, 64, 7};
        break;
    case WIRE_BUSY: message.busy = (struct wire_busy){key, 250}; break;
    case WIRE_CANCEL: message.cancel.key = key; break;
    case WIRE_DRAIN: message.drain.on = true; break;
    case WIRE_EVICT: message.evict.salt = 0xfeedfacecafebeef; break;
    case WIRE_CACHE_DELTA:
        message.cache_delta = (struct wire_cache_delta){41, true, added, 2, removed, 1};
        break;
    case WIRE_SHARD_PUT: message.shard_put = sample_shard_put(); break;
    case WIRE_SHARD_DROP: message.shard_drop.shard = 0x1020304050607080; break;
    case WIRE_SHARD_STATE: message.shard_state = sample_shard_state(); break;
    case WIRE_EVICTED: message.evicted.serial = 0x1122334455667788; break;
    case WIRE_TYPE_COUNT: break;
    }
    return message;
}

/* The fields of a list. */
static inline void grow_list(struct wire_submit *submit)
{
    static const int32_t excluded[] = {12102, 7, 0};
    static const uint8_t bits[] = {0xfe, 0x01};
    submit->top_count = 20;
    submit->excluded = excluded;
    submit->excluded_count = 3;
    submit->filter = sample_digest(0x90);
    submit->filter_bits = bits;
    submit->filter_size = 2;
    submit->row_begin = 6000;
    submit->row_end = 12103;
    submit->explain = true;
    submit->want_vector = true;
}

/* The fields of a search among vectors. */
static inline void grow_scan(struct wire_submit *submit)
{
    static const float query[] = {0.5f, -1.0f, 0.0f};
    static const uint64_t shards[] = {0x1020304050607080, 7};
    submit->query = query;
    submit->query_size = 3;
    submit->shards = shards;
    submit->shard_count = 2;
}

/* False: nothing was added to this type. */
static inline bool sample_grown(enum wire_type type, struct wire_message *out)
{
    *out = sample(type);
    switch (type) {
    case WIRE_LOAD:
        out->load.kv_blocks_cached = 1500;
        out->load.kv_evictions = 70000;
        out->load.prefix_hit_tokens = 0x0102030405060708;
        out->load.prefill_tokens = 123456;
        out->load.preemptions = 5;
        return true;
    case WIRE_HELLO: {
        static struct wire_model embeds[1];
        embeds[0] = out->hello.models[0];
        embeds[0].kinds = 1u << WIRE_GENERATE | 1u << WIRE_EMBED;
        embeds[0].vector_size = 1024;
        out->hello.models = embeds;
        out->hello.model_count = 1;
        return true;
    }
    case WIRE_SUBMIT:
        out->submit.kind = WIRE_SCORE;
        out->submit.segment = 2;
        grow_list(&out->submit);
        return true;
    case WIRE_RESULT: {
        static const float weights[] = {1.5f, 0.0f, -0.25f};
        out->result.cached_tokens = 1024;
        out->result.weights = weights;
        out->result.weight_count = 3;
        return true;
    }
    case WIRE_EVICT: out->evict.serial = 0x1122334455667788; return true;
    default: return false;
    }
}

#endif
