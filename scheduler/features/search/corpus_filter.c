#include "scheduler/features/filter.h"
#include "scheduler/features/filter_term.h"
#include "scheduler/features/search/corpus_parts.h"

#include "base/clock.h"
#include "base/must.h"

enum {
    CLOCK_DOCUMENTS = 256 // that are parsed between two looks at the clock
};

static enum err check_clock(const struct corpus_search *search)
{
    if (search->deadline_ns && clock_now_ns() > search->deadline_ns)
        return err_note(ERR_TIMEOUT, "the search took longer than its deadline");
    return ERR_OK;
}

/* One search's filter on its way. */
struct filtering {
    struct corpus *corpus;
    const struct corpus_search *search;
};

/* A field that has no column for want of room: every document is read. */
static enum err read_all(const struct filtering *filtering, const struct filter_term *term,
                         struct bitmap *out)
{
    const struct corpus *corpus = filtering->corpus;
    for (uint32_t i = 0; i < documents_end(corpus->documents); i++) {
        const struct document *document = documents_at(corpus->documents, i);
        if (i % CLOCK_DOCUMENTS == 0) TRY(check_clock(filtering->search));
        if (!document) continue;
        json_t *parsed = corpus_parse(document->record, document->record_size);
        must(parsed != NULL);
        json_t *facts = corpus_read_facts(corpus->half->settings, parsed);
        if (filter_term_holds(term, facts)) bitmap_set(out, i);
        json_decref(facts);
        json_decref(parsed);
    }
    return ERR_OK;
}

static enum err select_term(void *owner, const struct filter_term *term, struct bitmap *out)
{
    const struct filtering *filtering = owner;
    const struct columns *columns = filtering->corpus->half->columns;
    const struct column *column = columns_find(columns, term->field);
    TRY(check_clock(filtering->search));
    if (column) {
        column_select(column, term, out);
        return ERR_OK;
    }
    bitmap_zero(out);
    if (columns_is_full(columns)) return read_all(filtering, term, out);
    if (term->negated) bitmap_not(out); // no document has the field
    return ERR_OK;
}

enum err corpus_filter(struct corpus *corpus, const struct corpus_search *search)
{
    struct filtering filtering = {corpus, search};
    bitmap_reserve(&corpus->allowed, documents_end(corpus->documents));
    if (!search->filter) {
        bitmap_copy(&corpus->allowed, &corpus->live);
        return ERR_OK;
    }
    TRY(filter_select(search->filter, &corpus->allowed, select_term, &filtering));
    bitmap_and(&corpus->allowed, &corpus->live);
    return ERR_OK;
}
