#include "tests/sim/check.h"

#include "node/engine/engine.h"
#include "node/engine/queue.h"
#include "node/engine/seq.h"
#include "tests/sim/plan.h"

#include "base/mem.h"
#include "base/must.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum {
    WAITERS_MAX = 512
};

/* One that waits. */
struct waiter {
    uint64_t ticket;
    uint32_t admissions; // it was let in meanwhile if they differ
    uint32_t tenant;     // from 0
    int class;
};

struct pair {
    double low, high; // of the gap, since both wait
};

struct check {
    const struct engine *engine;
    const struct kv_pool *pool;
    struct batch_limits limits;
    uint32_t *refs; // [blocks]
    struct waiter waiters[WAITERS_MAX];
    size_t waiter_count;
    bool waits[QUEUE_CLASSES][SIM_TENANTS]; // somebody does
    struct pair pairs[QUEUE_CLASSES][SIM_TENANTS][SIM_TENANTS];
    uint32_t most_known; // ids of the largest sequence so far
};

/* What was found at one look. */
struct look {
    struct waiter waiters[WAITERS_MAX];
    size_t count;
    bool waits[QUEUE_CLASSES][SIM_TENANTS];
    bool stayed[QUEUE_CLASSES][SIM_TENANTS]; // somebody has waited since the look before
    double served[QUEUE_CLASSES][SIM_TENANTS];
    uint32_t newcomers;
    uint64_t newcomer_tokens;
};

static struct check_report report;

void check_begin(void)
{
    report = (struct check_report){0};
}

struct check_report check_report(void)
{
    return report;
}

uint32_t sim_weight(uint64_t tenant)
{
    static const uint32_t weights[SIM_TENANTS] = {1, 1, 2, 5};
    must(tenant >= 1 && tenant <= SIM_TENANTS);
    return weights[tenant - 1];
}

struct check *check_new(const struct engine *engine, const struct kv_pool *pool,
                        const struct batch_limits *limits)
{
    struct check *check = mem_new(1, sizeof *check);
    check->engine = engine;
    check->pool = pool;
    check->limits = *limits;
    check->refs = mem_new(kv_blocks_total(pool), sizeof *check->refs);
    return check;
}

void check_free(struct check *check)
{
    if (!check) return;
    mem_free(check->refs);
    mem_free(check);
}

void check_blocks(struct check *check)
{
    const struct batch *batch = engine_batch(check->engine);
    uint32_t total = kv_blocks_total(check->pool);
    uint32_t held = 0;
    memset(check->refs, 0, total * sizeof *check->refs);
    for (uint32_t i = 0; i < batch_running(batch); i++) {
        const struct kv_table *table = &batch_running_at(batch, i)->table;
        for (uint32_t k = 0; k < table->block_count; k++)
            check->refs[table->blocks[k]]++;
    }
    for (uint32_t i = 0; i < total; i++) {
        must(check->refs[i] == kv_holders(check->pool, i));
        held += check->refs[i] > 0;
    }
    struct kv_count count = kv_count_blocks(check->pool);
    must(held == count.held && count.held + count.cached + count.free == count.total);
}

/* Has it waited since the look before? */
static bool has_stayed(const struct check *check, const struct waiter *waiter)
{
    for (size_t i = 0; i < check->waiter_count; i++)
        if (check->waiters[i].ticket == waiter->ticket)
            return check->waiters[i].admissions == waiter->admissions;
    return false;
}

static void look(const struct check *check, struct look *look)
{
    const struct queue *queue = batch_queue(engine_batch(check->engine));
    for (const struct seq *seq = queue_next(queue, NULL); seq; seq = queue_next(queue, seq)) {
        uint32_t tenant = (uint32_t)seq->tenant - 1;
        int class = (int)seq->priority;
        must(seq->state == SEQ_WAITING && seq->table.block_count == 0);
        must(tenant < SIM_TENANTS && look->count < WAITERS_MAX);
        struct waiter *waiter = &look->waiters[look->count++];
        *waiter = (struct waiter){seq->ticket, seq->admissions, tenant, class};
        look->waits[class][tenant] = true;
        look->stayed[class][tenant] |= has_stayed(check, waiter);
        look->served[class][tenant] = queue_served(seq);
        look->newcomers += seq->admissions == 0;
        look->newcomer_tokens += seq->admissions == 0 ? seq->id_count : 0;
    }
    must(look->count == queue_count(queue));
}

static void check_room(const struct check *check, const struct look *look)
{
    const struct batch_limits *limits = &check->limits;
    must(look->newcomers <= limits->waiting_max);
    must(look->count <= limits->waiting_max + limits->sequences); // and those that came back
    must(limits->waiting_tokens_max == 0 || look->newcomers <= 1 ||
         look->newcomer_tokens <= limits->waiting_tokens_max);
    report.full_rooms += look->count >= limits->waiting_max;
}

/* A prompt on top of the least counter, and what all that run may still draw. */
static double most_ahead(const struct check *check)
{
    return check->most_known * QUEUE_INPUT +
           (double)check->limits.sequences * SIM_SMALL_ANSWER * QUEUE_OUTPUT;
}

static void check_pair(struct check *check, const struct look *look, int class, uint32_t a,
                       uint32_t b)
{
    struct pair *pair = &check->pairs[class][a][b];
    double gap = look->served[class][a] - look->served[class][b];
    if (!look->waits[class][a] || !look->waits[class][b]) return;
    bool both = check->waits[class][a] && check->waits[class][b] && look->stayed[class][a] &&
                look->stayed[class][b];
    if (!both) {
        pair->low = pair->high = gap;
        return;
    }
    if (gap < pair->low) pair->low = gap;
    if (gap > pair->high) pair->high = gap;
    double ahead = most_ahead(check);
    double part =
        (pair->high - pair->low) / (ahead / sim_weight(a + 1) + ahead / sim_weight(b + 1));
    report.pairs++;
    if (part > report.worst) report.worst = part;
    must(part <= 1);
}

void check_step(struct check *check)
{
    static struct look now;
    const struct batch *batch = engine_batch(check->engine);
    now = (struct look){0};
    check_blocks(check);
    for (uint32_t i = 0; i < batch_running(batch); i++) {
        uint32_t known = batch_running_at(batch, i)->id_count;
        if (known > check->most_known) check->most_known = known;
    }
    look(check, &now);
    check_room(check, &now);
    for (int class = 0; class < QUEUE_CLASSES; class ++)
        for (uint32_t a = 0; a < SIM_TENANTS; a++)
            for (uint32_t b = 0; b < a; b++)
                check_pair(check, &now, class, a, b);
    memcpy(check->waiters, now.waiters, now.count * sizeof now.waiters[0]);
    check->waiter_count = now.count;
    memcpy(check->waits, now.waits, sizeof now.waits);
}
