/* node/engine/seq.h -- the life of one generation.
 *
 *                 admitted            prompt done           finished
 *      WAITING -------------> PREFILL --------------> DECODE ----------> DONE
 *        |  ^                  |   |                   |  |               ^
 *        |  +---- preempted ---+---|-------------------+  |               |
 *        |                         |                      |               |
 *        +-------------------------+---- ended -----------+---------------+
 *
 * PREFILL computes what is known (prompt, and ids emitted before a preemption or by an earlier attempt),
 * DECODE one id a step. What does not generate is answered at the end of its prompt (answer.h): it leaves DECODE in the
 * step in which it comes there. A preempted sequence keeps its ids and loses its blocks: it prefills them again,
 * and nobody can tell from its bytes. Every change of state goes through seq_advance(); no other line assigns
 * `state`.
 *
 * A sequence is made by the thread that checked the request, then belongs to the engine until the engine
 * gives it back with its end; the fields that the engine never writes may be read by the maker meanwhile.
 * It is one allocation plus its block table, made at birth: nothing grows while it runs. */
#ifndef NODE_ENGINE_SEQ_H
#define NODE_ENGINE_SEQ_H

#include "node/engine/answer.h"
#include "node/engine/kv.h"
#include "node/engine/sampler.h"

#include "wire/message.h"

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum seq_state {
    SEQ_WAITING,
    SEQ_PREFILL,
    SEQ_DECODE,
    SEQ_DONE,
    SEQ_STATE_COUNT
};

enum seq_event {
    SEQ_ADMITTED,
    SEQ_PROMPT_DONE,
    SEQ_PREEMPTED,
    SEQ_FINISHED,
    SEQ_ENDED, // canceled, expired, failed
    SEQ_EVENT_COUNT
};

/* What a RECOMMEND wants, and a SCAN, whose rows are numbers. */
struct seq_list {
    uint32_t top_count;
    const int32_t *excluded; // [excluded_count], ascending; behind the sequence
    size_t excluded_count;
    const int32_t *candidates; // [candidate_count], ascending; behind the sequence
    size_t candidate_count;
    uint32_t row_begin, row_end; // 0, 0: the whole catalogue
    /* The maker's to set before the sequence is submitted, and to keep until it is back: bit i of byte i / 8 is row i;
     * NULL: every row. */
    const uint8_t *allowed;
    size_t allowed_size;
};

/* What a SCAN looks for, and where: made by who made the sequence, set before it is submitted, and kept until it is back. */
struct seq_scan {
    const float *query; // [query_size]
    size_t query_size;
    const struct shelf_shard **shards; // [shard_count], held
    size_t shard_count;
    uint64_t rows; // in all of them
};

/* Why nothing more of it is sent while the engine still ends it. */
enum seq_cut {
    SEQ_WHOLE,
    SEQ_CUT_CANCELED, // who asked does not want it any more
    SEQ_CUT_GONE,     // who asked is away
    SEQ_CUT_STOPPING  // the node goes away
};

struct filter;
struct lookup;
struct queue_account;
struct shelf_shard;

struct seq {
    /* Written at birth, then read by anyone. */
    uint64_t ticket; // order of arrival; unique in this process
    uint64_t link;   // whose it is; the engine does not look
    struct wire_key key;
    enum wire_kind kind;
    uint32_t segment; // SCORE: the place of the second text in ids; 0: there is none
    uint32_t prompt_length;
    uint32_t id_max; // prompt and answer end here: max_tokens or the context
    enum wire_priority priority;
    uint64_t tenant; // who is to have its fair part, and how large that is
    uint32_t tenant_weight;
    uint64_t deadline_ns;          // to be admitted by; 0: none
    struct wire_sampling sampling; // its bias list lies behind this struct, as the salts do
    const struct wire_salt *salts; // [salt_count], ascending
    uint32_t keep_ms;              // of its blocks, as in a kv_path
    const int32_t *stop_ids;       // [stop_id_count], ascending
    size_t stop_id_count;
    size_t salt_count; // 0: its blocks are nobody else's
    struct seq_list list;

    /* The maker's, while it is in the air. */
    struct seq *chain; // the maker's table of what it has submitted
    enum seq_cut cut;
    struct filter *filter; // of `list`; NULL: none
    struct seq_scan *scan; // of a SCAN; else NULL

    /* The engine's. */
    enum seq_state state;
    enum wire_finish finish;
    enum err err;           // of an end without finish
    const char *note;       // static text with it
    int32_t *ids;           // [id_max]
    uint32_t id_count;      // known so far: prompt, then emitted
    uint32_t computed;      // of them, keys and values are in the table, and accepted for good
    uint32_t cached_tokens; // ids of the prompt that were there when it was first admitted: later
                            // admissions, and what it got by waiting for a twin, do not count
    bool secluded;          // shares no blocks any more: its salt was forgotten
    uint32_t admissions;    // 1 + preemptions survived
    uint64_t turn;          // order of first admissions; 0 before it
    uint32_t paid;          // known ids that its tenant has paid for (queue.h)
    struct queue_account *account; // of its tenant, while it waits or runs
    struct kv_table table;
    struct lookup *lookup; // for drafts, while it runs (speculate.h); NULL: none
    struct sampler_counts counts;
    struct answer answer; // of a kind that does not generate; empty until its end
    struct seq *next;     // its line in the waiting room
};

/* What a model gives sequences room for. */
struct seq_room {
    uint32_t context_max; // bounds prompt and answer
    uint32_t vector_size; // of EMBED, and of RECOMMEND where it is wanted
};

/* A sequence for a checked submit (service does: ids in the vocabulary, lengths in order, sampling valid),
 * WAITING; everything is copied. A submit without a kind generates. */
struct seq *seq_new(const struct wire_submit *submit, uint64_t ticket, uint64_t link,
                    const struct seq_room *room, uint64_t now_ns);
/* Its table is empty by now: the engine released it. */
void seq_free(struct seq *seq);

/* Is it answered by ids, one after the other? Else by an answer at the end of its prompt. */
bool seq_generates(const struct seq *seq);

void seq_advance(struct seq *seq, enum seq_event event);

/* Does this id end the answer? */
bool seq_stops(const struct seq *seq, int32_t id);
/* Take a sampled id; what ends the answer by it: STOP, LENGTH, or NONE to go on. */
enum wire_finish seq_append(struct seq *seq, int32_t id);
/* What ends the answer with the ids that are there (a submit may bring one that has ended); NONE: nothing. */
enum wire_finish seq_finish(const struct seq *seq);

uint32_t seq_emitted(const struct seq *seq);
/* What it knows, and with whom it shares; valid until its next id. */
struct kv_path seq_path(const struct seq *seq);
/* NULL: any. */
bool seq_has_salt(const struct seq *seq, const uint64_t *salt);
/* Who goes first where two that run cannot: the more urgent class, then who was admitted first. */
bool seq_before(const struct seq *a, const struct seq *b);

#endif
