#include "node/engine/seq.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/must.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    WAITING = SEQ_WAITING + 1, // a zero in the table below is a move that cannot happen
    PREFILL = SEQ_PREFILL + 1,
    DECODE = SEQ_DECODE + 1,
    DONE = SEQ_DONE + 1
};

static const unsigned char next_state[SEQ_STATE_COUNT][SEQ_EVENT_COUNT] = {
    [SEQ_WAITING] = {[SEQ_ADMITTED] = PREFILL, [SEQ_ENDED] = DONE},
    [SEQ_PREFILL] = {[SEQ_PROMPT_DONE] = DECODE, [SEQ_PREEMPTED] = WAITING, [SEQ_ENDED] = DONE},
    [SEQ_DECODE] = {[SEQ_FINISHED] = DONE, [SEQ_PREEMPTED] = WAITING, [SEQ_ENDED] = DONE},
};

void seq_advance(struct seq *seq, enum seq_event event)
{
    must(seq->state < SEQ_STATE_COUNT && event < SEQ_EVENT_COUNT);
    unsigned char next = next_state[seq->state][event];
    must(next > 0);
    seq->state = (enum seq_state)(next - 1);
}

static enum wire_kind kind_of(const struct wire_submit *submit)
{
    return submit->kind ? submit->kind : WIRE_GENERATE;
}

static uint32_t id_limit(const struct wire_submit *submit, uint32_t context_max)
{
    if (kind_of(submit) != WIRE_GENERATE) return (uint32_t)submit->id_count;
    uint64_t wanted = (uint64_t)submit->prompt_length + submit->max_tokens;
    uint32_t limit = wanted < context_max ? (uint32_t)wanted : context_max;
    return limit > submit->id_count ? limit : (uint32_t)submit->id_count;
}

/* Ids ascending, so that the test after each sampled id is a short search. */
static void copy_stop_ids(int32_t *target, const struct wire_submit *submit)
{
    for (size_t i = 0; i < submit->stop_id_count; i++) {
        size_t at = i;
        for (; at > 0 && target[at - 1] > submit->stop_ids[i]; at--)
            target[at] = target[at - 1];
        target[at] = submit->stop_ids[i];
    }
}

static void count_ids(struct seq *seq, struct sampler_count *slots, uint32_t slot_count)
{
    sampler_counts_init(&seq->counts, slots, slot_count);
    for (uint32_t i = 0; i < seq->id_count; i++)
        sampler_counts_add(&seq->counts, seq->ids[i], i >= seq->prompt_length);
}

/* Rows ascending, as a search wants them. */
static int by_row(const void *left, const void *right)
{
    int32_t a = *(const int32_t *)left;
    int32_t b = *(const int32_t *)right;
    return a < b ? -1 : a > b;
}

static void copy_rows(int32_t *out, const int32_t *rows, size_t count)
{
    if (count == 0) return;
    memcpy(out, rows, count * sizeof *out);
    qsort(out, count, sizeof *out, by_row);
}

static uint32_t vector_room(const struct wire_submit *submit, const struct seq_room *room)
{
    switch (kind_of(submit)) {
    case WIRE_EMBED: return room->vector_size;
    case WIRE_SCORE: return 1;
    case WIRE_RECOMMEND: return submit->want_vector ? room->vector_size : 0;
    default: return 0;
    }
}

static struct answer answer_room(const struct wire_submit *submit, const struct seq_room *room)
{
    bool ranks = kind_of(submit) == WIRE_RECOMMEND;
    bool lists = ranks || kind_of(submit) == WIRE_SCAN;
    return (struct answer){.vector_max = vector_room(submit, room),
                           .row_max = lists ? submit->top_count : 0,
                           .weight_max = ranks && submit->explain ? (uint32_t)submit->id_count : 0};
}

static size_t answer_size(const struct answer *answer)
{
    return ((size_t)answer->vector_max + 2 * (size_t)answer->row_max + answer->weight_max) *
           sizeof(float);
}

/* Lay the answer's arrays over `area`. */
static void lay_answer(struct answer *answer, void *area)
{
    static_assert(sizeof(float) == sizeof(int32_t), "one run of values of four bytes");
    answer->vector = area;
    answer->rows = (void *)(answer->vector + answer->vector_max);
    answer->scores = (void *)(answer->rows + answer->row_max);
    answer->weights = answer->scores + answer->row_max;
}

/* A search among vectors has no ids; everything else has a prompt. */
static bool are_ids_sane(const struct wire_submit *submit, uint32_t context_max)
{
    if (kind_of(submit) == WIRE_SCAN) return submit->id_count == 0 && submit->prompt_length == 0;
    return submit->id_count > 0 && submit->id_count <= context_max && submit->prompt_length > 0 &&
           submit->prompt_length <= submit->id_count;
}

/* The struct, then what it points to. All of the parts are aligned to 8 bytes by their order. */
struct seq *seq_new(const struct wire_submit *submit, uint64_t ticket, uint64_t link,
                    const struct seq_room *room, uint64_t now_ns)
{
    must(are_ids_sane(submit, room->context_max));
    uint32_t id_max = id_limit(submit, room->context_max);
    struct answer answer = answer_room(submit, room);
    const struct wire_sampling *sampling = &submit->sampling;
    uint32_t slot_count = sampler_penalizes(sampling) ? sampler_counts_slots(id_max) : 0;

    size_t bias_size = sampling->bias_count * sizeof *sampling->bias;
    size_t salts_size = submit->salt_count * sizeof *submit->salts;
    size_t slots_size = slot_count * sizeof(struct sampler_count);
    size_t ids_size = id_max * sizeof(int32_t);
    size_t stop_size = submit->stop_id_count * sizeof(int32_t);
    size_t excluded_size = submit->excluded_count * sizeof(int32_t);
    size_t candidate_size = submit->candidate_count * sizeof(int32_t);
    struct seq *seq =
        mem_new(1, sizeof *seq + bias_size + salts_size + slots_size + ids_size + stop_size +
                       excluded_size + candidate_size + answer_size(&answer));
    char *behind = (char *)(seq + 1);
    struct wire_bias *bias = (void *)behind;
    struct wire_salt *salts = (void *)(behind += bias_size);
    struct sampler_count *slots = (void *)(behind += salts_size);
    int32_t *ids = (void *)(behind += slots_size);
    int32_t *stop_ids = (void *)(behind += ids_size);
    int32_t *excluded = (void *)(behind += stop_size);
    int32_t *candidates = (void *)(behind += excluded_size);
    lay_answer(&answer, behind + candidate_size);

    if (bias_size > 0) memcpy(bias, sampling->bias, bias_size);
    if (salts_size > 0) memcpy(salts, submit->salts, salts_size);
    if (submit->id_count > 0) memcpy(ids, submit->ids, submit->id_count * sizeof *ids);
    copy_stop_ids(stop_ids, submit);
    copy_rows(excluded, submit->excluded, submit->excluded_count);
    copy_rows(candidates, submit->candidates, submit->candidate_count);

    *seq = (struct seq){
        .ticket = ticket,
        .link = link,
        .key = submit->key,
        .kind = kind_of(submit),
        .segment = submit->segment,
        .prompt_length = submit->prompt_length,
        .id_max = id_max,
        .priority = submit->priority,
        .tenant = submit->tenant,
        .tenant_weight = submit->tenant_weight,
        .deadline_ns = submit->deadline_ms ? now_ns + submit->deadline_ms * CLOCK_MS : 0,
        .sampling = *sampling,
        .salts = salts,
        .salt_count = submit->salt_count,
        .keep_ms = submit->cache_ms,
        .stop_ids = stop_ids,
        .stop_id_count = submit->stop_id_count,
        .ids = ids,
        .id_count = (uint32_t)submit->id_count,
        .list = {.top_count = submit->top_count,
                 .excluded = excluded,
                 .excluded_count = submit->excluded_count,
                 .candidates = candidates,
                 .candidate_count = submit->candidate_count,
                 .row_begin = submit->row_begin,
                 .row_end = submit->row_end},
        .answer = answer,
    };
    seq->sampling.bias = bias;
    if (slot_count > 0) count_ids(seq, slots, slot_count);
    kv_table_init(&seq->table, id_max);
    return seq;
}

void seq_free(struct seq *seq)
{
    if (!seq) return;
    must(seq->table.block_count == 0);
    kv_table_fini(NULL, &seq->table);
    mem_free(seq);
}

bool seq_generates(const struct seq *seq)
{
    return seq->kind == WIRE_GENERATE;
}

bool seq_stops(const struct seq *seq, int32_t id)
{
    for (size_t i = 0; i < seq->stop_id_count && seq->stop_ids[i] <= id; i++) {
        if (seq->stop_ids[i] == id) return true;
    }
    return false;
}

enum wire_finish seq_append(struct seq *seq, int32_t id)
{
    must(seq->id_count < seq->id_max);
    seq->ids[seq->id_count++] = id;
    if (seq->counts.slot_count > 0) sampler_counts_add(&seq->counts, id, true);
    return seq_finish(seq);
}

enum wire_finish seq_finish(const struct seq *seq)
{
    if (!seq_generates(seq)) return WIRE_FINISH_NONE;
    if (seq_emitted(seq) > 0 && seq_stops(seq, seq->ids[seq->id_count - 1]))
        return WIRE_FINISH_STOP;
    if (seq->id_count >= seq->id_max) return WIRE_FINISH_LENGTH;
    return WIRE_FINISH_NONE;
}

uint32_t seq_emitted(const struct seq *seq)
{
    return seq->id_count - seq->prompt_length;
}

struct kv_path seq_path(const struct seq *seq)
{
    return (struct kv_path){.ids = seq->ids,
                            .id_count = seq->id_count,
                            .salts = seq->salts,
                            .salt_count = seq->secluded ? 0 : seq->salt_count,
                            .keep_ms = seq->keep_ms};
}

bool seq_has_salt(const struct seq *seq, const uint64_t *salt)
{
    for (size_t i = 0; i < seq->salt_count; i++) {
        if (!salt || seq->salts[i].salt == *salt) return true;
    }
    return false;
}

bool seq_before(const struct seq *a, const struct seq *b)
{
    if (a->priority != b->priority) return a->priority < b->priority;
    return a->turn < b->turn;
}
