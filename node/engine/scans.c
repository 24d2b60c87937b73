#include "node/engine/scans.h"

#include "node/engine/queue.h"
#include "node/engine/seq.h"

#include "base/mem.h"
#include "base/must.h"

struct scans {
    struct engine_scanner scanner;
    struct queue *queue;
    struct seq *walking[ENGINE_SCANS]; // NULL: it has gone away
    size_t count;                      // of the walk; 0: there is none
    bool is_done;                      // its answers are to be taken
};

struct scans *scans_new(const struct scans_limits *limits, const struct engine_scanner *scanner)
{
    struct scans *scans = mem_new(1, sizeof *scans);
    scans->scanner = *scanner;
    scans->queue = queue_new(&(struct queue_limits){.requests_max = limits->waiting_max,
                                                    .tenants_max = limits->tenants_max});
    return scans;
}

void scans_free(struct scans *scans)
{
    if (!scans) return;
    must(scans_running(scans) == 0);
    queue_free(scans->queue);
    mem_free(scans);
}

enum err scans_add(struct scans *scans, struct seq *seq)
{
    must(seq->kind == WIRE_SCAN && seq->scan);
    return queue_add(scans->queue, seq);
}

struct seq *scans_find(const struct scans *scans, uint64_t ticket)
{
    for (size_t i = 0; i < scans->count; i++)
        if (scans->walking[i] && scans->walking[i]->ticket == ticket) return scans->walking[i];
    struct seq *seq = queue_next(scans->queue, NULL);
    while (seq && seq->ticket != ticket)
        seq = queue_next(scans->queue, seq);
    return seq;
}

void scans_remove(struct scans *scans, struct seq *seq)
{
    for (size_t i = 0; i < scans->count; i++) {
        if (scans->walking[i] != seq) continue;
        scans->scanner.leave(scans->scanner.self, i);
        scans->walking[i] = NULL;
    }
    queue_leave(scans->queue, seq);
    if (scans_running(scans) == 0) scans->count = 0;
}

struct seq *scans_expire(struct scans *scans, uint64_t now_ns)
{
    struct seq *seq = queue_late(scans->queue, now_ns);
    if (seq) queue_leave(scans->queue, seq);
    return seq;
}

struct seq *scans_any(const struct scans *scans)
{
    for (size_t i = 0; i < scans->count; i++)
        if (scans->walking[i]) return scans->walking[i];
    return queue_next(scans->queue, NULL);
}

static void begin(struct scans *scans)
{
    while (scans->count < ENGINE_SCANS) {
        struct seq *seq = queue_first(scans->queue);
        if (!seq) break;
        queue_take(scans->queue, seq);
        seq_advance(seq, SEQ_ADMITTED);
        seq->admissions++;
        queue_pay_prompt(scans->queue, seq, (uint32_t)(seq->scan->rows / ENGINE_SCAN_ROWS) + 1);
        scans->walking[scans->count++] = seq;
    }
    if (scans->count > 0) scans->scanner.begin(scans->scanner.self, scans->walking, scans->count);
}

bool scans_turn(struct scans *scans)
{
    must(!scans->is_done);
    if (scans->count == 0) begin(scans);
    if (scans->count == 0) return false;
    scans->is_done = scans->scanner.go_on(scans->scanner.self, ENGINE_SCAN_BYTES);
    return true;
}

struct seq *scans_done(struct scans *scans)
{
    for (size_t i = 0; scans->is_done && i < scans->count; i++) {
        struct seq *seq = scans->walking[i];
        if (!seq) continue;
        scans->scanner.answer(scans->scanner.self, i, seq);
        scans->walking[i] = NULL;
        queue_leave(scans->queue, seq);
        seq_advance(seq, SEQ_PROMPT_DONE);
        return seq;
    }
    if (scans->is_done) scans->count = 0;
    scans->is_done = false;
    return NULL;
}

uint32_t scans_running(const struct scans *scans)
{
    uint32_t running = 0;
    for (size_t i = 0; i < scans->count; i++)
        running += scans->walking[i] != NULL;
    return running;
}

uint32_t scans_waiting(const struct scans *scans)
{
    return queue_count(scans->queue);
}
