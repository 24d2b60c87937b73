#include "scheduler/policy/sieve.h"

#include "text/match.h"
#include "text/utf8.h"

#include "base/buf.h"
#include "base/mem.h"

#include <string.h>

#define NEVER UINT64_MAX

/* Bytes of the text that are masked. */
struct span {
    uint64_t begin, end;
};

struct sieve {
    const struct bundle *bundle;
    struct match_run *run;
    enum rules_action actions[TERMS_CATEGORIES_MAX]; // of each of the bundle's categories
    uint32_t counts[TERMS_CATEGORIES_MAX];
    enum rules_action action;
    struct buf held;    // text that was not let out
    uint64_t from;      // where it begins in the whole
    struct span *spans; // of what is held, in no order
    size_t span_count, span_room;
    uint64_t over,
        over_end; // the text ends at `over`, for a hit that ended at `over_end`; NEVER: it goes on
};

static enum rules_action action_of(const struct rules_filter *rules,
                                   const struct terms_category *category, enum sieve_side side)
{
    for (size_t i = 0; i < rules->category_count; i++)
        if (strcmp(rules->categories[i].category, category->name) == 0)
            return side == SIEVE_INPUT ? rules->categories[i].input : rules->categories[i].output;
    return (enum rules_action)(side == SIEVE_INPUT ? category->input : category->output);
}

struct sieve *sieve_new(const struct bundle *bundle, const struct rules_filter *rules,
                        enum sieve_side side)
{
    struct sieve *sieve = mem_new(1, sizeof *sieve);
    sieve->bundle = bundle_hold(bundle);
    sieve->run = match_run_new(bundle->match);
    sieve->over = sieve->over_end = NEVER;
    for (size_t i = 0; i < bundle->terms->category_count; i++)
        sieve->actions[i] = action_of(rules, &bundle->terms->categories[i], side);
    return sieve;
}

void sieve_free(struct sieve *sieve)
{
    if (!sieve) return;
    match_run_free(sieve->run);
    bundle_drop(sieve->bundle);
    buf_fini(&sieve->held);
    mem_free(sieve->spans);
    mem_free(sieve);
}

static void add_span(struct sieve *sieve, uint64_t begin, uint64_t end)
{
    if (sieve->span_count == sieve->span_room) {
        sieve->span_room = sieve->span_room ? 2 * sieve->span_room : 8;
        sieve->spans = mem_resize(sieve->spans, sieve->span_room, sizeof *sieve->spans);
    }
    sieve->spans[sieve->span_count++] = (struct span){begin, end};
}

static void on_hit(void *owner, const struct match_hit *hit)
{
    struct sieve *sieve = owner;
    // Those that end together are judged together; nothing behind them counts.
    if (sieve->over != NEVER && hit->end != sieve->over_end) return;
    uint32_t category = sieve->bundle->terms->entries[hit->entry].category;
    enum rules_action action = sieve->actions[category];
    if (action == RULES_PASS) return;
    sieve->counts[category]++;
    if (action > sieve->action) sieve->action = action;
    if (action == RULES_MASK) add_span(sieve, hit->begin, hit->end);
    if (action < RULES_REFUSE) return;
    if (hit->begin < sieve->over) sieve->over = hit->begin;
    sieve->over_end = hit->end;
}

static bool is_masked(const struct sieve *sieve, uint64_t at)
{
    for (size_t i = 0; i < sieve->span_count; i++)
        if (at >= sieve->spans[i].begin && at < sieve->spans[i].end) return true;
    return false;
}

/* Let out what is held before `to`. */
static void release(struct sieve *sieve, uint64_t to, struct buf *out)
{
    size_t size = to > sieve->from ? (size_t)(to - sieve->from) : 0;
    if (sieve->span_count == 0) {
        buf_add(out, sieve->held.data, size);
    } else {
        for (size_t at = 0; at < size;) {
            int32_t code;
            size_t step = utf8_next(sieve->held.data + at, size - at, &code);
            if (is_masked(sieve, sieve->from + at))
                buf_add_byte(out, '*');
            else
                buf_add(out, sieve->held.data + at, step);
            at += step;
        }
    }
    buf_consume(&sieve->held, size);
    sieve->from += size;
    size_t kept = 0;
    for (size_t i = 0; i < sieve->span_count; i++)
        if (sieve->spans[i].end > sieve->from) sieve->spans[kept++] = sieve->spans[i];
    sieve->span_count = kept;
}

void sieve_push(struct sieve *sieve, const char *text, size_t size, struct buf *out)
{
    if (sieve->over != NEVER || size == 0) return;
    buf_add(&sieve->held, text, size);
    match_push(sieve->run, text, size, on_hit, sieve);
    release(sieve, sieve->over != NEVER ? sieve->over : match_safe(sieve->run), out);
}

void sieve_end(struct sieve *sieve, struct buf *out)
{
    if (sieve->over != NEVER) return;
    match_end(sieve->run, on_hit, sieve);
    release(sieve, sieve->over != NEVER ? sieve->over : match_safe(sieve->run), out);
}

enum rules_action sieve_action(const struct sieve *sieve)
{
    return sieve->action;
}

bool sieve_found(const struct sieve *sieve, size_t index, struct sieve_found *out)
{
    const struct terms *terms = sieve->bundle->terms;
    for (size_t i = 0; i < terms->category_count; i++) {
        if (sieve->counts[i] == 0 || index-- > 0) continue;
        *out = (struct sieve_found){.category = terms->categories[i].name,
                                    .action = sieve->actions[i],
                                    .count = sieve->counts[i]};
        return true;
    }
    return false;
}

enum rules_action sieve_text(struct sieve *sieve, const char *text, size_t size, struct buf *out)
{
    sieve_push(sieve, text, size, out);
    sieve_end(sieve, out);
    return sieve->action;
}
