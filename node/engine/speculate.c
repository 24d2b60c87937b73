#include "node/engine/speculate.h"

#include "node/engine/draft.h"
#include "node/engine/kv.h"
#include "node/engine/lookup.h"
#include "node/engine/seq.h"
#include "node/engine/step.h"

#include "base/mem.h"
#include "base/must.h"

#include <string.h>

struct speculate {
    struct speculate_limits limits;
    struct lookup *lookups; // [lookup_count]
    struct lookup **idle;   // [idle_count] a stack of those that no sequence has
    uint32_t lookup_count;
    uint32_t idle_count;
    struct lookup_draft *drafts; // [sequences] of the step's slices, computed or not
    struct draft_offer *offers;  // [sequences] the same
};

struct speculate *speculate_new(const struct speculate_limits *limits)
{
    must(limits->drafts_max <= LOOKUP_DRAFTS_MAX && limits->logits_max >= limits->sequences);
    struct speculate *s = mem_new(1, sizeof *s);
    s->limits = *limits;
    s->lookup_count =
        limits->sequences < SPECULATE_SEQUENCES_MAX ? limits->sequences : SPECULATE_SEQUENCES_MAX;
    s->lookups = mem_new(s->lookup_count, sizeof *s->lookups);
    s->idle = mem_new(s->lookup_count, sizeof(struct lookup *));
    s->drafts = mem_new(limits->sequences, sizeof *s->drafts);
    s->offers = mem_new(limits->sequences, sizeof *s->offers);
    for (uint32_t i = 0; i < s->lookup_count; i++) {
        lookup_init(&s->lookups[i]);
        s->idle[s->idle_count++] = &s->lookups[i];
    }
    return s;
}

void speculate_free(struct speculate *s)
{
    if (!s) return;
    must(s->idle_count == s->lookup_count);
    for (uint32_t i = 0; i < s->lookup_count; i++)
        lookup_fini(&s->lookups[i]);
    mem_free(s->lookups);
    mem_free(s->idle);
    mem_free(s->drafts);
    mem_free(s->offers);
    mem_free(s);
}

void speculate_enter(struct speculate *s, struct seq *seq)
{
    must(!seq->lookup);
    if (s->idle_count == 0) return;
    seq->lookup = s->idle[--s->idle_count];
    lookup_reset(seq->lookup);
}

void speculate_leave(struct speculate *s, struct seq *seq)
{
    if (seq->lookup) s->idle[s->idle_count++] = seq->lookup;
    seq->lookup = NULL;
}

void speculate_skip(struct speculate *s, size_t index)
{
    s->drafts[index].count = 0;
}

/* What may follow the ids of slice `index`; nothing from an id on that ends the answer. */
static void propose(struct speculate *s, size_t index, const struct seq *seq)
{
    struct lookup_draft *draft = &s->drafts[index];
    uint32_t left = seq->id_max - seq->id_count; // ids that can still be drawn, the plain one too
    uint32_t most = s->limits.drafts_max < left - 1 ? s->limits.drafts_max : left - 1;
    s->offers[index] = (struct draft_offer){.position = seq->id_count};
    draft->count = 0;
    if (!seq->lookup || most == 0) return;
    lookup_propose(seq->lookup, seq->ids, seq->id_count, most, draft);
    for (uint32_t i = 0; i < draft->count; i++) {
        if (seq_stops(seq, draft->ids[i])) draft->count = i;
    }
    s->offers[index].count = draft->count;
    s->offers[index].rate = seq->lookup->rate[draft->level];
}

/* When the pool is out of blocks there are none: a draft is not worth anybody's. */
static void add_drafts(const struct speculate *s, struct batch_step *step, struct kv_pool *pool,
                       size_t index)
{
    struct seq *seq = step->seqs[index];
    uint32_t count = s->offers[index].taken;
    if (count == 0 || kv_extend(pool, &seq->table, count) != ERR_OK) return;
    memcpy(seq->ids + seq->id_count, s->drafts[index].ids, count * sizeof *seq->ids);
    step->slices[index].count += count;
    step->slices[index].logit_count += count;
    step->rows += count;
    step->drafts += count;
    for (uint32_t i = 0; i < count; i++)
        pace_add(&step->cost, seq->id_count + i, 1, 1);
}

void speculate_plan(struct speculate *s, struct batch_step *step, struct kv_pool *pool,
                    const struct pace *pace)
{
    if (step->count == 0 || step->count > s->lookup_count) return;
    must(step->count <= s->limits.logits_max && step->rows <= s->limits.rows_max);
    uint32_t rows_max = s->limits.logits_max - (uint32_t)step->count;
    if (rows_max > s->limits.rows_max - step->rows) rows_max = s->limits.rows_max - step->rows;
    for (size_t i = 0; i < step->count; i++)
        propose(s, i, step->seqs[i]);
    (void)draft_choose(pace, &step->cost, (uint32_t)step->count, s->offers, step->count, rows_max);
    for (size_t i = 0; i < step->count; i++)
        add_drafts(s, step, pool, i);
}

bool speculate_took(struct speculate *s, const struct batch_step *step, struct kv_pool *pool,
                    size_t index, uint32_t row)
{
    struct seq *seq = step->seqs[index];
    const struct lookup_draft *draft = &s->drafts[index];
    uint32_t computed = step->slices[index].logit_count - 1; // of the drafts
    bool drafted = row < draft->count;
    bool right = drafted && seq->ids[seq->id_count - 1] == draft->ids[row];
    if (right && row < computed) {
        seq->computed++;
        return true;
    }
    if (draft->count > 0) lookup_judge(seq->lookup, draft->level, row + right, row + drafted);
    if (computed > 0) kv_truncate(pool, &seq->table, seq->computed);
    return false;
}
