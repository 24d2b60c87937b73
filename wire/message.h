/* wire/message.h -- everything that scheduler and node say to each other: the treaty of the two
 * towers.
 *
 * A message is a frame (wire/frame.h): a fixed header and a body that is one msgpack map from small
 * integer keys to values. Receivers skip keys that they do not know, so fields can be added without
 * a new version; a field is never given another meaning. The keys stand in wire/message.def and the
 * golden bytes of every message in tests/data/wire/.
 *
 *      node                                   scheduler
 *       | ---- HELLO (models, digests) ---------> |      the node dials
 *       | <--- WELCOME (other schedulers) ------- |
 *       | <--- PACK_WANT (digest) --------------- |      once a digest, if it is not known yet
 *       | ---- PACK_PART … PACK_PART -----------> |
 *       | <--- SUBMIT (ids, sampling) ----------- |      within the credits of HELLO
 *       | ---- BUSY | RESULT … RESULT, DONE ----> |      exactly one BUSY or DONE ends an attempt
 *       | <--- CANCEL / DRAIN / EVICT ----------- |
 *       | ---- EVICTED -------------------------> |      where the EVICT has a serial, when nothing is left
 *       | ---- LOAD, CACHE_DELTA ---------------> |
 *       | <--- SHARD_PUT … SHARD_PUT, SHARD_DROP  |      vectors for the node's shelf, a cache too
 *       | ---- SHARD_STATE ---------------------> |      on change, and each second while it holds any
 *       | <--- HEARTBEAT (both, 100 ms) --------> |
 *
 * Numbers only: no text of a user, no user id crosses this wire. The vocabulary crosses once, as
 * the text pack.
 *
 * Ownership: a decoded message borrows its arrays from a struct arena or from the frame's bytes, as
 * message_decode() says; an encoder copies all that it is given. Thread: pure functions, any
 * thread. */
#ifndef WIRE_MESSAGE_H
#define WIRE_MESSAGE_H

#include "base/digest.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arena;
struct buf;

enum {
    WIRE_PROTOCOL = 1,
    WIRE_NAME_MAX = 128, // bytes of a name or label
    WIRE_URL_MAX = 256,
    WIRE_MODELS_MAX = 64,       // of one node
    WIRE_PEERS_MAX = 64,        // schedulers in a WELCOME
    WIRE_IDS_MAX = 1 << 20,     // ids of one submit (the context bounds it further)
    WIRE_RESULT_IDS_MAX = 4096, // ids of one result
    WIRE_LOGIT_BIAS_MAX = 1024,
    WIRE_STOP_IDS_MAX = 32,
    WIRE_TOP_LOGPROBS_MAX = 20,
    WIRE_SALTS_MAX = 16,
    WIRE_GRAMMAR_MAX = 64 << 10,
    WIRE_DELTA_MAX = 4096,      // block hashes of one cache delta
    WIRE_PART_MAX = 256 << 10,  // bytes of one fragment
    WIRE_VECTOR_MAX = 16384,    // floats of one result
    WIRE_EXCLUDED_MAX = 4096,   // rows that a list is not to have
    WIRE_CANDIDATES_MAX = 4096, // rows that alone a list may have
    WIRE_FILTER_MAX = 2 << 20,  // bytes of a filter's bitmap: of 16 M rows
    WIRE_WEIGHTS_MAX = 4096,    // ids of a submit that can be explained
    WIRE_SCAN_SHARDS_MAX = 64,  // shards of one SCAN
    WIRE_SHARD_NUMBERS = 32768, // numbers of a shard: those from a multiple of this on
    WIRE_SHARD_PUT_MAX = 4096,  // rows of one SHARD_PUT, and numbers that it drops
    WIRE_SHARD_VERSION_MIN = 1, // 0 says: not whole
    WIRE_SHARDS_MAX = 4096,     // that one node holds
    WIRE_NOTE_MAX = 400,
    WIRE_BODY_MAX =
        (4 << 20) + (128 << 10) // bytes of the largest body: a submit of WIRE_IDS_MAX ids
};

/* The largest number of a query, and the largest scale of a row, of a SCAN: with them every score is finite. */
#define WIRE_SCALE_MAX 1e12f

enum wire_type {
    WIRE_HELLO = 1,
    WIRE_WELCOME,
    WIRE_HEARTBEAT,
    WIRE_PACK_WANT,
    WIRE_PACK_PART,
    WIRE_LOAD,
    WIRE_SUBMIT,
    WIRE_RESULT,
    WIRE_DONE,
    WIRE_BUSY,
    WIRE_CANCEL,
    WIRE_DRAIN,
    WIRE_EVICT,
    WIRE_CACHE_DELTA,
    WIRE_SHARD_PUT,
    WIRE_SHARD_DROP,
    WIRE_SHARD_STATE,
    WIRE_EVICTED,
    WIRE_TYPE_COUNT
};

/* What is asked of a node. GENERATE is answered by ids, in as many RESULTs as it takes; every other kind by one RESULT
 * (position: the prompt's length) before its DONE, whose finish is then STOP. What a model's `kinds` do not name, a
 * node answers with DONE and ERR_UNSUPPORTED. */
enum wire_kind {
    WIRE_GENERATE = 1,
    WIRE_EMBED, // `vector` is the text's, of unit length unless its model says otherwise
    WIRE_SCORE, // `vector` is one value: the model's own score of two texts, any number
    /* `ids` of the result are rows of the model's catalogue, best first, of equal scores the lower row; `logprobs` their
     * scores. The ids asked with are rows too, oldest first. */
    WIRE_RECOMMEND,
    /* A search among the vectors of shards. It is no model's: every node has a shelf, whatever model it serves, so every
     * model of a HELLO has the bit, and the submit's digests (model, adapter, numerics) are not looked at: zero will do. There
     * are no `ids`. `ids` of the result are numbers, best first, of equal scores the lower number; `logprobs` their scores.
     * The query is rounded to int8 as rows are (amax / 127), the dot is exact, and the score is
     * (float)dot * (query_scale * row_scale): the same bits on every node. */
    WIRE_SCAN
};

enum wire_priority {
    WIRE_INTERACTIVE,
    WIRE_DEFAULT,
    WIRE_BATCH
};

enum wire_finish {
    WIRE_FINISH_NONE,   // a DONE with an error
    WIRE_FINISH_STOP,   // an end id was sampled
    WIRE_FINISH_LENGTH, // max_tokens or the context is spent
    WIRE_FINISH_CANCELED
};

/* Lends text: not NUL-terminated. */
struct wire_text {
    const char *text;
    size_t size;
};

struct wire_model {
    struct wire_text name;
    uint32_t kinds;          // bit 1 << enum wire_kind
    struct digest pack;      // of the text pack's bytes
    struct digest model;     // of the weights file
    struct digest adapter;   // zero: none
    struct digest numerics;  // contract version, and --float-gemm blas if it gives promise 1 up
    uint32_t context_length; // most ids of prompt and answer together, on this node
    uint32_t vocab_size;
    uint32_t vector_size; // of EMBED, and of a user's vector (RECOMMEND); 0: it makes none
};

struct wire_hello {
    uint32_t protocol;
    struct wire_text node;   // its name, chosen by its operator, unique in the cluster
    uint64_t instance;       // random at each start: a restarted node is another instance
    struct wire_text region; // label for residency; may be empty
    const struct wire_model *models;
    size_t model_count;
    uint32_t credits;      // most submits of this link that the node holds, waiting or running
    uint32_t block_tokens; // ids of one KV block
    uint32_t kv_blocks;    // the whole pool
    uint32_t threads;
    uint64_t
        replaces; // the instance that this one stands in for, under the same name, with another model; 0: none
};

struct wire_welcome {
    uint32_t protocol;
    uint64_t instance;             // of the scheduler
    const struct wire_text *peers; // link URLs of the other schedulers
    size_t peer_count;
};

struct wire_heartbeat {
    uint64_t count;
    uint32_t step_age_ms; // how long the node's current step has run; 0 between steps
    bool draining;
};

struct wire_pack_want {
    struct digest pack;
};

struct wire_pack_part {
    struct digest pack;
    uint64_t total; // bytes of the whole pack
    uint64_t offset;
    const uint8_t *bytes;
    size_t size; // at most WIRE_PART_MAX
};

/* Pushed when a step changed it, at most 20 a second. */
struct wire_load {
    uint32_t running;        // sequences in the batch
    uint32_t waiting;        // admitted, not started
    uint64_t waiting_tokens; // prompt tokens not yet prefilled, over all sequences
    uint32_t kv_blocks_used; // held by sequences; the rest is cached or free
    uint32_t kv_blocks;
    uint32_t step_us;   // smoothed duration of a step
    float prefill_rate; // smoothed tokens/s
    float decode_rate;  // smoothed tokens/s over the batch
    uint32_t kv_blocks_cached;
    // Since the node's start:
    uint64_t kv_evictions;      // cached blocks that were taken for something else
    uint64_t prefix_hit_tokens; // that needed no prefill, since their keys and values were there
    uint64_t prefill_tokens;    // that were prefilled
    uint64_t preemptions;
};

/* Which attempt at which choice of which request: every message about it carries the three.
 * `request` is unique within one scheduler instance. */
struct wire_key {
    uint64_t request;
    uint32_t choice;
    uint32_t attempt;
};

struct wire_bias {
    int32_t id;
    float bias;
};

struct wire_sampling {
    float temperature;        // 0: greedy
    float top_p;              // 0: greedy; 1: all
    float min_p;              // 0: off
    uint32_t top_k;           // 0: all
    float repetition_penalty; // 1: off
    float frequency_penalty;
    float presence_penalty;
    uint64_t seed; // always resolved: the scheduler drew one if the user gave none
    const struct wire_bias *bias;
    size_t bias_count;
    bool logprobs;
    uint32_t top_logprobs;
};

struct wire_salt {
    uint32_t first_block; // from this block of the prompt on…
    uint64_t salt;        // …cached blocks are found under this salt only
};

struct wire_submit {
    uint32_t protocol;
    enum wire_kind kind;
    struct wire_key key;
    uint8_t trace[16];
    struct digest model, adapter, numerics;
    const int32_t *ids; // prompt, then ids that an earlier attempt has emitted
    size_t id_count;
    uint32_t prompt_length;  // of `ids`: penalties, limits and positions of draws need it
    uint32_t next_position;  // the position of the first id to sample; = id_count
    uint32_t max_tokens;     // ids to emit, counted from prompt_length (earlier attempts' included)
    const int32_t *stop_ids; // sampling one of these ends the answer (it is emitted as the last id)
    size_t stop_id_count;
    struct wire_sampling sampling;
    const uint8_t *grammar;
    size_t grammar_size;
    struct digest grammar_digest; // zero: none
    uint64_t tenant;              // opaque tag
    uint32_t tenant_weight;
    enum wire_priority priority;
    uint32_t deadline_ms; // from receipt; 0: none
    const struct wire_salt *salts;
    size_t salt_count;
    uint64_t gate_epoch;
    // RECOMMEND and SCAN (whose rows are numbers), up to row_end, which with row_begin is RECOMMEND's alone:
    uint32_t top_count;      // rows of the list, at most WIRE_RESULT_IDS_MAX
    const int32_t *excluded; // rows that are not to be in it, in any order
    size_t excluded_count;
    /* Rows that may be in it, as a bitmap: bit i of byte i / 8 is row i; rows beyond it may not. It is named by the digest
     * of its bytes, and a node keeps what it was sent: `filter_bits` comes along when the scheduler believes that this node
     * does not have it. A node that lacks it after all answers DONE with ERR_NOT_FOUND and the note "filter", and is
     * sent the bits then. */
    struct digest filter; // zero: every row
    const uint8_t *filter_bits;
    size_t filter_size;
    uint32_t row_begin, row_end; // a slice of the catalogue; 0, 0: all of it
    bool explain;                // RECOMMEND: the result has weights
    const int32_t
        *candidates; // RECOMMEND: rows that alone may be in it, in any order; none: every row
    size_t candidate_count;
    uint32_t segment; // SCORE: the place in `ids` where the second text begins; 0: there is none
    /* SCAN: what to look for, of as many floats as the shards' rows have; and where. A node that lacks one of
     * the shards, or has not the whole of it, answers DONE with ERR_NOT_FOUND and the note "shard". */
    const float *query;
    size_t query_size;
    const uint64_t *shards; // each once
    size_t shard_count;
    bool want_vector; // RECOMMEND: the result has the user's vector
    /* How long what is cached for this request may outlive it, and whoever shares it; 0: as long as there is room. 1: it ends with
     * them. */
    uint32_t cache_ms;
};

struct wire_top {
    int32_t id;
    float logprob;
};

/* Consecutive ids of one attempt. Vectors, scores and top-k results of the other kinds use
 * `vector`, and `tops`. */
struct wire_result {
    struct wire_key key;
    uint32_t position; // of ids[0] in the sequence (prompt counted)
    const int32_t *ids;
    size_t id_count;
    const float *logprobs;       // [id_count] or NULL
    const struct wire_top *tops; // [id_count][top_count] or NULL
    size_t top_count;            // per id
    const float *vector;
    size_t vector_size;
    uint32_t
        cached_tokens; // as in DONE, and here as well so that who ends an answer before it knows
    /* RECOMMEND with explain: for each id of the submit what the list's mean score would lose without that one id; below
     * 0 where it speaks against the list. */
    const float *weights;
    size_t weight_count;
};

struct wire_done {
    struct wire_key key;
    enum wire_finish finish;
    enum err err;          // ERR_OK, or why it ended
    struct wire_text note; // for people
    uint32_t prompt_tokens;
    // Of the prompt, found in the prefix cache when this attempt was first admitted: not what it found
    // after a preemption. An answer's are those of the first attempt that gave an id.
    uint32_t cached_tokens;
    uint32_t completion_tokens; // emitted in all attempts
};

struct wire_busy {
    struct wire_key key;
    uint32_t retry_ms; // when a place may be free
};

struct wire_cancel {
    struct wire_key key;
};

struct wire_drain {
    bool on;     // false: take requests again
    bool reload; // and load the model's file again: a new HELLO follows when that is done
};

/* Forget every cached block under a salt, and end no answer for it: what runs under it goes on, and lists nothing more. */
struct wire_evict {
    uint64_t salt;
    uint64_t serial; // of the sender's; 0: no EVICTED is asked for
};

/* Nothing is left under the salt: the blocks are wiped, and what ran when the EVICT came has ended. */
struct wire_evicted {
    uint64_t serial; // the EVICT's
};

struct wire_cache_delta {
    uint64_t sequence; // of deltas on this link
    bool reset;        // forget all that was known before
    const uint64_t *added;
    size_t added_count;
    const uint64_t *removed;
    size_t removed_count;
};

/* A part of a shard: vectors in int8, each with its scale, under numbers from one multiple of WIRE_SHARD_NUMBERS to before
 * the next. `reset` begins a shard: what the node had of it is forgotten, and until a part of the same link says `complete`
 * it is not whole. A part without `reset` for a shard that the node does not have is passed over; so is one that is older
 * than the shard is whole, and one for a shard that another link is filling. A whole shard stays whole, as of its earlier
 * version, while parts change it. Numbers that the shard has are written over; of a number in both lists the row stays.
 *
 * What does not fit into the node's memory, or contradicts what it holds (other dims, numbers of another shard), makes it
 * forget the shard: SHARD_STATE tells it by naming the shard no more. */
struct wire_shard_put {
    uint64_t shard;
    uint32_t dims;
    uint64_t version; // of the collection; from 1
    bool reset;
    bool complete;          // with this part the shard is whole as of `version`
    const int32_t *numbers; // [row_count], each once
    size_t row_count;
    const float *scales; // [row_count]; 0 to WIRE_SCALE_MAX; NULL without rows
    const uint8_t *rows; // [row_count][dims], each byte an int8
    size_t rows_size;
    const int32_t *dropped; // numbers that the shard has no more
    size_t dropped_count;
};

struct wire_shard_drop {
    uint64_t shard; // what a node does not have is dropped already
};

struct wire_shard {
    uint64_t shard;
    uint64_t version; // 0: not whole
    uint32_t rows;
    uint32_t dims;
};

/* All that the node holds, in no order. */
struct wire_shard_state {
    const struct wire_shard *shards;
    size_t shard_count;
    uint64_t memory;  // most bytes that the node gives to shards
    uint64_t used;    // of it
    uint64_t refused; // parts since the node's start that did not fit, or contradicted
};

struct wire_message {
    enum wire_type type;

    union {
        struct wire_hello hello;
        struct wire_welcome welcome;
        struct wire_heartbeat heartbeat;
        struct wire_pack_want pack_want;
        struct wire_pack_part pack_part;
        struct wire_load load;
        struct wire_submit submit;
        struct wire_result result;
        struct wire_done done;
        struct wire_busy busy;
        struct wire_cancel cancel;
        struct wire_drain drain;
        struct wire_evict evict;
        struct wire_cache_delta cache_delta;
        struct wire_shard_put shard_put;
        struct wire_shard_drop shard_drop;
        struct wire_shard_state shard_state;
        struct wire_evicted evicted;
    };
};

/* Append the body of `message` to `out`. Our own messages are within the limits: must(). Only a
 * DONE's note is cut to WIRE_NOTE_MAX, since err_text() may be longer. */
void message_encode(const struct wire_message *message, struct buf *out);

/* Read a body that a stranger sent. Arrays are taken from `arena`; texts and byte strings point
 * into `body`; so the message lives as long as both. ERR_FORMAT names the message, the field and
 * what is wrong with it (missing, wrong type, out of its limit); ERR_NO_MEMORY: the arena is
 * full. */
enum err message_decode(struct wire_message *out, enum wire_type type, const uint8_t *body,
                        size_t size, struct arena *arena);

/* "SUBMIT"; "UNKNOWN" for a number that is none. */
const char *wire_type_name(enum wire_type type);
/* The most bytes that a body of this type may have; 0 for a number that is none. */
size_t wire_body_max(enum wire_type type);

#endif
