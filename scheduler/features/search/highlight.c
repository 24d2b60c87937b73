#include "scheduler/features/search/highlight.h"

#include "scheduler/features/search/query.h"

#include "text/analyze.h"

#include "base/buf.h"
#include "base/must.h"

struct marking {
    const struct highlight *highlight;
    const char *text;
    struct buf out;
    size_t written;    // bytes of the text that are in `out`
    size_t begin, end; // of the mark at hand; end 0: none
};

static void end_mark(struct marking *marking)
{
    if (marking->end == 0) return;
    buf_add(&marking->out, marking->text + marking->written, marking->begin - marking->written);
    buf_add_text(&marking->out, marking->highlight->before);
    buf_add(&marking->out, marking->text + marking->begin, marking->end - marking->begin);
    buf_add_text(&marking->out, marking->highlight->after);
    marking->written = marking->end;
    marking->end = 0;
}

static bool on_term(void *owner, const struct analyze_term *term)
{
    struct marking *marking = owner;
    if (!query_wants(marking->highlight->query, term->text, term->size)) return true;
    if (marking->end > 0 && term->begin > marking->end) end_mark(marking);
    if (marking->end == 0) {
        marking->begin = term->begin;
        marking->end = term->end;
    }
    if (term->end > marking->end) marking->end = term->end;
    return true;
}

static json_t *mark_text(const struct highlight *highlight, const json_t *value)
{
    struct marking marking = {.highlight = highlight, .text = json_string_value(value)};
    size_t size = json_string_length(value);
    analyze(highlight->analyst, highlight->analyze, marking.text, size, on_term, &marking);
    end_mark(&marking);
    buf_add(&marking.out, marking.text + marking.written, size - marking.written);
    json_t *out = json_stringn_nocheck(buf_text(&marking.out), marking.out.size);
    must(out != NULL);
    buf_fini(&marking.out);
    return out;
}

json_t *highlight_value(const struct highlight *highlight, json_t *value)
{
    size_t at;
    json_t *item;
    if (json_is_string(value)) return mark_text(highlight, value);
    if (!json_is_array(value)) return json_incref(value);
    json_t *out = json_array();
    json_array_foreach(value, at, item)
    {
        json_array_append_new(out, json_is_string(item) ? mark_text(highlight, item)
                                                        : json_incref(item));
    }
    return out;
}
