/* Any bytes as a text: terms lie in it, in their order, within their bounds, and are spelled; what is cleaned for a prompt is one
 * line of valid UTF-8 without brackets. Built with libFuzzer, or with tests/fuzz/corpus.c. */
#include "scheduler/features/ground_text.h"

#include "text/analyze.h"
#include "text/pinyin.h"
#include "text/utf8.h"

#include "base/buf.h"
#include "base/must.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct reading {
    size_t text_size, count, begin;
    uint32_t position;
    struct pinyin *pinyin;
};

static bool on_term(void *owner, const struct analyze_term *term)
{
    struct reading *reading = owner;
    char spellings[PINYIN_SPELLINGS_MAX][PINYIN_TEXT_MAX];
    must(term->size > 0 && term->size <= ANALYZE_TERM_MAX);
    must(utf8_valid(term->text, term->size) && utf8_valid(term->surface, term->surface_size));
    must(term->begin < term->end && term->end <= reading->text_size);
    must(reading->count == 0 ? !term->beside : term->position >= reading->position);
    must(!term->beside || term->position == reading->position);
    must(term->begin >= reading->begin);
    reading->position = term->position;
    reading->begin = term->begin;
    reading->count++;
    size_t count = pinyin_spell(reading->pinyin, term->text, term->size, spellings);
    must(count <= PINYIN_SPELLINGS_MAX);
    for (size_t i = 0; i < count; i++)
        must(memchr(spellings[i], '\0', PINYIN_TEXT_MAX) && spellings[i][0]);
    return true;
}

static void clean(const char *text, size_t size)
{
    struct buf out = {0};
    ground_clean(&out, text, size, 200);
    must(out.size <= 200 && utf8_valid(buf_text(&out), out.size));
    for (size_t i = 0; i < out.size; i++)
        must(!strchr("<>[]\n\r\t", out.data[i]) && (unsigned char)out.data[i] >= ' ');
    must(out.size == 0 || (out.data[0] != ' ' && out.data[out.size - 1] != ' '));
    struct buf again = {0};
    ground_clean(&again, buf_text(&out), out.size, 200);
    must(again.size == out.size && memcmp(buf_text(&again), buf_text(&out), out.size) == 0);
    must(!ground_cites(buf_text(&out), out.size, 1));
    (void)ground_cites(text, size, 1);
    (void)ground_language_of(text, size);
    must(ground_cut(text, size, 10) <= 10);
    buf_fini(&out);
    buf_fini(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct analyzer *analyzer;
    static struct analyst *analyst;
    static struct pinyin *pinyin;
    if (!analyzer) {
        must(analyzer_new(&analyzer) == ERR_OK);
        analyst = analyst_new(analyzer);
        pinyin = pinyin_new();
    }
    for (int stem = 0; stem < 2; stem++) {
        struct reading reading = {.text_size = size, .pinyin = pinyin};
        struct analyze_options options = {.stem = stem};
        analyze(analyst, &options, (const char *)data, size, on_term, &reading);
        must(reading.count <= 3 * size);
    }
    clean((const char *)data, size);
    return 0;
}
