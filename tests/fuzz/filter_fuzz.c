/* Any bytes as a filter: a text, or, where they are JSON, a text or a list. What is accepted has bounds, a digest that it has each
 * time, and an answer for every document; its negation has the other one. Built with libFuzzer, or with tests/fuzz/corpus.c. */
#include "scheduler/features/filter.h"

#include "base/buf.h"
#include "base/must.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const documents[] = {
    "{}",
    "{\"price\":10,\"brand\":\"Anker\",\"tags\":[\"5G\",\"a\"],\"a\":{\"b\":[{\"c\":1},{\"c\":null}"
    "]}}",
    "{\"price\":\"10\",\"brand\":null,\"tags\":[],\"a\":\"\",\"b\":true,\"c\":1e308,\"d\":[[1]]}",
};

static void ask(const struct filter *filter, const struct filter *other)
{
    for (size_t i = 0; i < sizeof documents / sizeof *documents; i++) {
        json_t *document = json_loads(documents[i], 0, NULL);
        bool holds = filter_holds(filter, document);
        must(filter_holds(filter, document) == holds);
        if (other) must(filter_holds(other, document) != holds);
        json_decref(document);
    }
}

static void look(const struct filter *filter)
{
    size_t count = 0;
    for (const char *field; (field = filter_field(filter, count)); count++)
        must(strlen(field) <= FILTER_BYTES_MAX);
    must(count <= FILTER_TERMS_MAX);
    struct digest one = filter_digest(filter), two = filter_digest(filter);
    must(digest_equal(&one, &two));
}

static void try_text(const char *text, size_t size)
{
    struct filter *filter, *negation = NULL;
    struct buf words = {0};
    enum err err = filter_parse_text(&filter, text, size);
    must(err == ERR_OK || err == ERR_INVALID || err == ERR_TOO_LARGE);
    if (err) return;
    buf_add_text(&words, "NOT (");
    buf_add(&words, text, size);
    buf_add_text(&words, ")");
    if (filter_is_empty(filter) || filter_parse_text(&negation, words.data, words.size))
        negation = NULL; // one level, or some bytes, too many
    look(filter);
    ask(filter, negation);
    filter_free(filter);
    filter_free(negation);
    buf_fini(&words);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct filter *filter;
    try_text((const char *)data, size);
    json_t *value = json_loadb((const char *)data, size, JSON_DECODE_ANY, NULL);
    if (!value) return 0;
    enum err err = filter_parse(&filter, value);
    must(err == ERR_OK || err == ERR_INVALID || err == ERR_TOO_LARGE);
    json_decref(value);
    if (err) return 0;
    look(filter);
    ask(filter, NULL);
    filter_free(filter);
    return 0;
}
