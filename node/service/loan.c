#include "node/service/loan.h"

#include "node/engine/seq.h"
#include "node/service/filters.h"
#include "node/shelf/shelf.h"

#include "base/mem.h"

#include <string.h>

static void end_scan(struct shelf *shelf, struct seq_scan *scan)
{
    if (!scan) return;
    for (size_t i = 0; i < scan->shard_count; i++)
        shelf_let_go(shelf, scan->shards[i]);
    mem_free(scan);
}

/* The struct, the shards that it holds, and a copy of the query: one allocation. */
static enum err take_scan(struct seq_scan **out, struct shelf *shelf,
                          const struct wire_submit *submit)
{
    size_t shards_size = submit->shard_count * sizeof(const struct shelf_shard *);
    size_t query_size = submit->query_size * sizeof(float);
    struct seq_scan *scan = mem_new(1, sizeof *scan + shards_size + query_size);
    scan->shards = (void *)(scan + 1);
    float *query = (void *)((char *)(scan + 1) + shards_size);
    memcpy(query, submit->query, query_size);
    scan->query = query;
    scan->query_size = submit->query_size;
    for (size_t i = 0; i < submit->shard_count; i++) {
        enum err err = shelf_hold(shelf, submit->shards[i], submit->query_size, &scan->shards[i]);
        if (err) {
            end_scan(shelf, scan);
            return err;
        }
        scan->shard_count++;
        scan->rows += scan->shards[i]->rows;
    }
    *out = scan;
    return ERR_OK;
}

static bool has_list(const struct wire_submit *submit)
{
    return submit->kind == WIRE_RECOMMEND || submit->kind == WIRE_SCAN;
}

enum err loan_take(struct loan *out, struct filters *filters, struct shelf *shelf,
                   const struct wire_submit *submit)
{
    *out = (struct loan){0};
    if (submit->kind == WIRE_SCAN) TRY(take_scan(&out->scan, shelf, submit));
    if (!has_list(submit) || digest_is_zero(&submit->filter)) return ERR_OK;
    enum err err = filters_hold(filters, &submit->filter, submit->filter_bits, submit->filter_size,
                                &out->filter);
    if (err) end_scan(shelf, out->scan);
    return err;
}

void loan_pass(const struct loan *loan, struct seq *seq)
{
    seq->scan = loan->scan;
    seq->filter = loan->filter;
    if (!loan->filter) return;
    seq->list.allowed = loan->filter->bits;
    seq->list.allowed_size = loan->filter->size;
}

void loan_end(struct filters *filters, struct shelf *shelf, struct seq *seq)
{
    filters_let_go(filters, seq->filter);
    end_scan(shelf, seq->scan);
    seq->scan = NULL;
}
