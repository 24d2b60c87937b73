#include "scheduler/features/search/corpus_parts.h"

#include "text/utf8.h"

#include "base/must.h"

#include <string.h>

enum {
    RUN_MAX = 16 // ideographs of the query's end that are looked at
};

/* The end of a query: a word of letters, or the last ideographs of a run. */
struct tail {
    char text[ANALYZE_TERM_MAX + UTF8_CHARACTER_MAX];
    size_t size;
    size_t at[RUN_MAX],
        begin[RUN_MAX]; // of each piece that may begin a word: in `text`, in the query
    size_t count;
    size_t end; // in the query
    bool is_run, is_ended;
};

static void push(struct tail *tail, const char *text, size_t size, size_t begin)
{
    if (tail->count == RUN_MAX) { // the first one makes room
        size_t gone = tail->at[1];
        tail->size -= gone;
        memmove(tail->text, tail->text + gone, tail->size);
        for (size_t i = 1; i < RUN_MAX; i++) {
            tail->at[i - 1] = tail->at[i] - gone;
            tail->begin[i - 1] = tail->begin[i];
        }
        tail->count--;
    }
    must(tail->size + size <= sizeof tail->text);
    tail->at[tail->count] = tail->size;
    tail->begin[tail->count++] = begin;
    memcpy(tail->text + tail->size, text, size);
    tail->size += size;
}

static bool on_term(void *owner, const struct analyze_term *term)
{
    struct tail *tail = owner;
    bool is_run = term->kind == ANALYZE_PAIR || term->kind == ANALYZE_CHARACTER;
    if (term->kind == ANALYZE_ENTRY || term->kind == ANALYZE_WHOLE) return true;
    if (!is_run || !tail->is_run || tail->is_ended) {
        tail->size = tail->count = 0;
        tail->is_ended = false;
    }
    int32_t code;
    size_t size = is_run ? utf8_next(term->surface, term->surface_size, &code) : term->surface_size;
    tail->is_run = is_run;
    push(tail, term->surface, size, term->begin);
    tail->is_ended = term->kind == ANALYZE_CHARACTER;
    tail->end = term->end;
    return true;
}

/* One completion: what stands before the piece, then the word; unless it stands there already. */
struct list {
    struct buf *out;
    struct words_hit told[CORPUS_SUGGEST_MAX];
    size_t count, limit;
};

static int add_bytes(const char *bytes, size_t size, void *out)
{
    buf_add(out, bytes, size);
    return 0;
}

static void tell(struct list *list, const char *q, size_t before, const struct words_hit *hit)
{
    for (size_t i = 0; i < list->count; i++)
        if (list->told[i].text == hit->text) return;
    if (list->count == list->limit) return;
    list->told[list->count] = *hit;
    if (list->count++ > 0) buf_add_byte(list->out, ',');
    struct buf text = {0};
    buf_add(&text, q, before);
    buf_add(&text, hit->text, hit->size);
    json_t *value = json_stringn(text.data, text.size); // NULL: the query was no UTF-8
    json_dump_callback(value, add_bytes, list->out, JSON_ENCODE_ANY);
    if (!value) buf_add_text(list->out, "\"\"");
    json_decref(value);
    buf_fini(&text);
}

void corpus_suggest(struct corpus *corpus, const char *q, size_t size, size_t limit,
                    struct buf *out)
{
    struct analyze_options options = {.stem = false};
    struct words_hit hits[CORPUS_SUGGEST_MAX];
    struct words *words = corpus->half->words;
    struct tail tail = {.is_ended = true};
    must(limit <= CORPUS_SUGGEST_MAX);
    if (size > QUERY_BYTES_MAX) size = QUERY_BYTES_MAX;
    struct list list = {.out = out, .limit = limit};
    analyze(corpus->analyst, &options, q, size, on_term, &tail);
    buf_add_byte(out, '[');
    // Behind a space nothing has been begun.
    for (size_t i = 0; tail.count > 0 && tail.end == size && i < tail.count; i++) {
        const char *text = tail.text + tail.at[i];
        size_t text_size = tail.size - tail.at[i];
        size_t count = words_beginning(words, text, text_size, hits, limit);
        for (size_t j = 0; j < count; j++)
            tell(&list, q, tail.begin[i], &hits[j]);
        count = tail.is_run ? 0 : words_sounding(words, text, text_size, true, hits, limit);
        for (size_t j = 0; j < count; j++)
            tell(&list, q, tail.begin[i], &hits[j]);
    }
    buf_add_byte(out, ']');
}
