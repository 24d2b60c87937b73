/* A filter, and a document a line: columns let pass what the walk through each document lets pass, and count what is there; also after
 * half of the documents have gone, and come again. The input's first line is the filter. Built with libFuzzer, or with
 * tests/fuzz/corpus.c. */
#include "scheduler/features/filter.h"
#include "scheduler/features/search/corpus_parts.h"

#include "text/analyze.h"

#include "base/must.h"

#include <jansson.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    DOCUMENTS_OF_INPUT = 16
};

static struct corpus_tools tools;

static struct corpus *new_corpus(void)
{
    struct corpus *corpus;
    struct search_settings *settings;
    char param[SEARCH_PARAM_MAX];
    json_t *object = json_loads(
        "{\"fields\":[\"none\"],\"facets\":[\"a\",\"b\",\"a.b\"],\"sortable\":[\"n\"]}", 0, NULL);
    struct analyzer *analyzer;
    if (!tools.analyzer) {
        must(analyzer_new(&analyzer) == ERR_OK);
        tools.analyzer = analyzer;
    }
    must(search_settings_read(&settings, object, param) == ERR_OK);
    must(corpus_new(&corpus, &tools, settings) == ERR_OK);
    json_decref(object);
    return corpus;
}

static size_t count_holding(const struct corpus *corpus, const struct filter *filter)
{
    size_t count = 0;
    for (uint32_t i = 0; i < documents_end(corpus->documents); i++) {
        const struct document *document = documents_at(corpus->documents, i);
        if (!document) continue;
        json_t *parsed = corpus_parse(document->record, document->record_size);
        json_t *facts = corpus_read_facts(corpus->half->settings, parsed);
        bool holds = filter_holds(filter, facts);
        must(bitmap_has(&corpus->allowed, i) == holds);
        count += holds;
        json_decref(facts);
        json_decref(parsed);
    }
    return count;
}

static void check(struct corpus *corpus, const struct filter *filter)
{
    struct corpus_ranking *ranking;
    struct corpus_search search = {.filter = filter,
                                   .all_facets = true,
                                   .sorts = {{"n", true}},
                                   .sort_count = 1,
                                   .depth = DOCUMENTS_OF_INPUT};
    must(corpus_rank(corpus, &search, &ranking) == ERR_OK);
    size_t count = count_holding(corpus, filter);
    must(ranking->total == count && ranking->count == count);
    corpus_ranking_free(ranking);
}

static void put_lines(struct corpus *corpus, const char *at, const char *end, size_t every)
{
    for (size_t line = 0; at < end && line < DOCUMENTS_OF_INPUT; line++) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        if (!stop) stop = end;
        char id[8];
        snprintf(id, sizeof id, "d%zu", line);
        if (line % every == 0) (void)corpus_put(corpus, id, strlen(id), at, (size_t)(stop - at));
        at = stop + 1;
    }
}

static void drop_half_of(struct corpus *corpus)
{
    char id[8];
    for (size_t line = 0; line < DOCUMENTS_OF_INPUT; line += 2) {
        snprintf(id, sizeof id, "d%zu", line);
        must(corpus_drop(corpus, id, strlen(id)) == ERR_OK);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data, *end = text + size;
    const char *stop = size ? memchr(text, '\n', size) : NULL;
    struct filter *filter;
    if (!stop || filter_parse_text(&filter, text, (size_t)(stop - text))) return 0;
    struct corpus *corpus = new_corpus();
    put_lines(corpus, stop + 1, end, 1);
    check(corpus, filter);
    drop_half_of(corpus);
    check(corpus, filter);
    put_lines(corpus, stop + 1, end, 2);
    check(corpus, filter);
    corpus_free(corpus);
    filter_free(filter);
    return 0;
}
