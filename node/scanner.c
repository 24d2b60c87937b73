#include "node/scanner.h"

#include "node/engine/seq.h"
#include "node/shelf/walk.h"

#include "wire/message.h"

#include "base/mem.h"
#include "base/must.h"

_Static_assert((int)ENGINE_SCANS <= (int)WALK_QUERIES_MAX, "a walk for each that the engine sends");
_Static_assert((int)WIRE_SCAN_SHARDS_MAX <= (int)WALK_SHARDS_MAX, "no submit has more shards");
_Static_assert((int)WIRE_RESULT_IDS_MAX <= (int)WALK_TOP_MAX, "no result has more rows");
_Static_assert((int)WIRE_VECTOR_MAX <= (int)SCAN_WIDTH_MAX, "no row is longer");

struct scanner {
    struct walk *walk;
};

enum err scanner_new(struct scanner **out, const struct ops *ops, struct team *team)
{
    struct scanner *scanner = mem_new(1, sizeof *scanner);
    enum err err = walk_new(&scanner->walk, ops, team);
    if (err) {
        scanner_free(scanner);
        return err;
    }
    *out = scanner;
    return ERR_OK;
}

void scanner_free(struct scanner *scanner)
{
    if (!scanner) return;
    walk_free(scanner->walk);
    mem_free(scanner);
}

static void begin(void *self, struct seq *const *seqs, size_t count)
{
    const struct scanner *scanner = self;
    struct walk_query queries[WALK_QUERIES_MAX];
    for (size_t i = 0; i < count; i++) {
        const struct seq *seq = seqs[i];
        queries[i] = (struct walk_query){
            .vector = seq->scan->query,
            .size = seq->scan->query_size,
            .shards = seq->scan->shards,
            .shard_count = seq->scan->shard_count,
            .top_count = seq->list.top_count,
            .excluded = seq->list.excluded,
            .excluded_count = seq->list.excluded_count,
            .allowed = seq->list.allowed,
            .allowed_size = seq->list.allowed_size,
        };
    }
    walk_begin(scanner->walk, queries, count);
}

static bool go_on(void *self, uint64_t bytes)
{
    const struct scanner *scanner = self;
    return walk_on(scanner->walk, bytes);
}

static void leave(void *self, size_t index)
{
    const struct scanner *scanner = self;
    walk_leave(scanner->walk, index);
}

static void answer(void *self, size_t index, struct seq *seq)
{
    const struct scanner *scanner = self;
    struct answer *out = &seq->answer;
    const struct best_hit *hits = walk_hits(scanner->walk, index, &out->row_count);
    must(out->row_count <= out->row_max);
    for (uint32_t i = 0; i < out->row_count; i++) {
        out->rows[i] = hits[i].row;
        out->scores[i] = hits[i].score;
    }
}

struct engine_scanner scanner_table(struct scanner *scanner)
{
    return (struct engine_scanner){
        .self = scanner, .begin = begin, .go_on = go_on, .leave = leave, .answer = answer};
}
