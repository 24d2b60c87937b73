#include "tests/unit/scheduler/features/search/lexical_scene.h"

#include <string.h>

bool stage_begin(struct stage *stage, bool stem, lexical_word_fn *word, void *owner)
{
    static const double weights[FIELDS] = {3, 1};
    *stage = (struct stage){.analyze.stem = stem};
    if (analyzer_new(&stage->analyzer)) return false;
    stage->analyst = analyst_new(stage->analyzer);
    struct lexical_options options = {.analyst = stage->analyst,
                                      .analyze = &stage->analyze,
                                      .field_count = FIELDS,
                                      .weights = weights,
                                      .k1 = 0.9,
                                      .b = 0.4,
                                      .word = word,
                                      .owner = owner};
    bitmap_reserve(&stage->allowed, NUMBERS_MAX);
    bitmap_not(&stage->allowed);
    stage->lexical = lexical_new(&options);
    return true;
}

void stage_end(struct stage *stage)
{
    lexical_free(stage->lexical);
    bitmap_fini(&stage->allowed);
    analyst_free(stage->analyst);
    analyzer_free(stage->analyzer);
}

void stage_put(struct stage *stage, uint32_t number, const char *title, const char *text)
{
    struct lexical_text texts[FIELDS] = {{title, title ? strlen(title) : 0},
                                         {text, text ? strlen(text) : 0}};
    lexical_put(stage->lexical, number, texts);
}
