/* A user's taste in a search (search_run.h): the history is read where the user has agreed to `search`, and what of the first hits
 * the recommender has rows for is scored by it. */
#include "scheduler/core/fleet.h"
#include "scheduler/core/flight.h"
#include "scheduler/door/door.h"
#include "scheduler/door/govern.h"
#include "scheduler/door/index_errand.h"
#include "scheduler/door/residence.h"
#include "scheduler/door/search_run.h"
#include "scheduler/features/history.h"
#include "scheduler/lexicon.h"

#include "text/pack.h"
#include "text/rows.h"

#include "base/clock.h"
#include "base/mem.h"

#include <string.h>

static int32_t row_of(const struct search_personal *personal, const char *id, size_t size)
{
    const struct rows *rows = lexicon_text(personal->chosen.pack)->rows;
    return rows_find(rows, id, size, personal->chosen.model.vocab_size);
}

/* Documents that are items of the recommender's; row 0 is padding. */
static void find_rows(struct search_run *run)
{
    struct search_personal *personal = &run->personal;
    personal->row_count = 0;
    for (size_t i = 0; i < run->ids.count; i++) {
        size_t size;
        const char *id = search_texts_at(&run->ids, i, &size);
        int32_t row = row_of(personal, id, size);
        if (row <= 0) continue;
        personal->places[personal->row_count] = (uint32_t)i;
        personal->rows[personal->row_count++] = row;
    }
}

static void on_whole(void *argument, const struct flight_whole *whole)
{
    struct search_run *run = argument;
    struct search_personal *personal = &run->personal;
    uint32_t places[HYBRID_PERSONAL_MAX];
    double scores[HYBRID_PERSONAL_MAX];
    size_t count = 0;
    for (size_t i = 0; whole->scores && i < whole->id_count && count < HYBRID_PERSONAL_MAX; i++) {
        size_t at = 0;
        while (at < personal->row_count && personal->rows[at] != whole->ids[i])
            at++;
        if (at == personal->row_count) continue; // a node that does not know of candidates
        places[count] = personal->places[at];
        scores[count++] = (double)whole->scores[i];
    }
    if (count > 0) search_run_judge(run, RANKING_PERSONAL, places, scores, count);
}

static void on_end(void *argument, const struct flight_end *end)
{
    struct search_run *run = argument;
    run->personal.in_air = false;
    search_run_settle(run, RANKING_PERSONAL, !end->err && run->counts[RANKING_PERSONAL] > 0);
}

static enum err fly(struct search_run *run)
{
    static const struct flight_events events = {.end = on_end, .whole = on_whole};
    struct search_personal *personal = &run->personal;
    const struct context *context = &run->errand->context;
    size_t most = personal->chosen.model.context_length;
    size_t newest = personal->seen_count < most ? personal->seen_count : most;
    struct flight_order order = {.kind = WIRE_RECOMMEND,
                                 .model = personal->chosen.model.model,
                                 .adapter = personal->chosen.model.adapter,
                                 .numerics = personal->chosen.model.numerics,
                                 .ids = personal->seen + (personal->seen_count - newest),
                                 .id_count = newest,
                                 .top_count = (uint32_t)personal->row_count,
                                 .candidates = personal->rows,
                                 .candidate_count = personal->row_count,
                                 .sampling = {.top_p = 1, .repetition_penalty = 1},
                                 .tenant = context->tenant_tag,
                                 .tenant_weight = context->key->weight,
                                 .priority = context->key->priority,
                                 .deadline_ns = run->until_ns};
    govern_place(context, &order);
    return flight_start(run->door->flights, &order, &events, run, clock_now_ns(),
                        &personal->flight);
}

/* The history and the hits are there. */
static void judge(struct search_run *run)
{
    struct search_personal *personal = &run->personal;
    if (personal->seen_count > 0) find_rows(run);
    personal->in_air = personal->row_count > 0 && !fly(run);
    if (!personal->in_air) search_run_settle(run, RANKING_PERSONAL, false);
}

static bool is_out(const struct search_run *run)
{
    return run->hybrid.parts[RANKING_PERSONAL] == HYBRID_OUT;
}

static void on_history(void *argument, enum err err, const struct history *history)
{
    struct search_run *run = argument;
    struct search_personal *personal = &run->personal;
    personal->history = NULL;
    personal->is_read = true;
    size_t count = err ? 0 : history->count;
    personal->seen = mem_new(count + 1, sizeof *personal->seen);
    for (size_t i = 0; i < count; i++) {
        const char *item = history->events[i].item;
        int32_t row = item ? row_of(personal, item, strlen(item)) : ROWS_NONE;
        if (row > 0) personal->seen[personal->seen_count++] = row;
    }
    if (is_out(run)) judge(run);
}

void search_personal_prepare(struct search_run *run)
{
    struct search_personal *personal = &run->personal;
    const struct context *context = &run->errand->context;
    struct history_scope scope;
    const char *code;
    enum feature feature = FEATURE_RECOMMENDATIONS; // in a search, too: it is the same profile
    enum err err = govern_also(run->door, context, feature, &code);
    if (!err) err = choose_and_hold(run->door, WIRE_RECOMMEND, NULL, &personal->chosen, &code);
    if (!err) err = govern_model(run->door, context, feature, &personal->chosen.model, &code);
    personal->is_read = err || !*context->user;
    if (personal->is_read) return; // nobody's, or nobody to judge by it: it is not read
    residence_scope(&scope, run->door, context->key->tenant, context->region);
    personal->history = history_read(run->door->histories, context->key->tenant, context->user,
                                     CONSENT_SEARCH, &scope, on_history, run);
}

void search_personal_begin(struct search_run *run)
{
    if (run->personal.is_read) judge(run);
}

void search_personal_drop(struct search_run *run)
{
    struct search_personal *personal = &run->personal;
    if (personal->history) history_drop(personal->history);
    if (personal->in_air) flight_cancel(run->door->flights, personal->flight, clock_now_ns());
    personal->history = NULL;
    personal->in_air = false;
}

void search_personal_fini(struct search_run *run)
{
    search_personal_drop(run);
    chosen_release(&run->personal.chosen);
    mem_free(run->personal.seen);
}
