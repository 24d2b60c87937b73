/* tests/unit/scheduler/features/search/lexical_scene.h -- a lexical index of two fields, title and text; a title counts three times. */
#ifndef TESTS_UNIT_SCHEDULER_FEATURES_SEARCH_LEXICAL_SCENE_H
#define TESTS_UNIT_SCHEDULER_FEATURES_SEARCH_LEXICAL_SCENE_H

#include "scheduler/features/bitmap.h"
#include "scheduler/features/search/lexical.h"

#include "text/analyze.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    FIELDS = 2,
    NUMBERS_MAX = 40000
};

struct stage {
    struct analyzer *analyzer;
    struct analyst *analyst;
    struct analyze_options analyze;
    struct lexical *lexical;
    struct bitmap allowed; // all numbers
};

/* `word` is told of the words, or NULL. False: there is no analyzer. */
bool stage_begin(struct stage *stage, bool stem, lexical_word_fn *word, void *owner);
void stage_end(struct stage *stage);
void stage_put(struct stage *stage, uint32_t number, const char *title, const char *text);

#endif
