/* tests/unit/scheduler/features/search/corpus_scene.h -- what tests of a corpus share: its tools, one that is given, and what it answers. */
#ifndef TESTS_UNIT_SCHEDULER_FEATURES_SEARCH_CORPUS_SCENE_H
#define TESTS_UNIT_SCHEDULER_FEATURES_SEARCH_CORPUS_SCENE_H

#include "scheduler/features/search/corpus.h"

#include <jansson.h>

extern struct corpus_tools tools;

/* As CMocka's group functions. */
int given_tools(void **state);
int end_tools(void **state);

struct search_settings *given_settings(const char *text);
/* In memory; corpus_free() it. */
struct corpus *given_corpus(const char *settings);
void put_record(struct corpus *corpus, const char *id, const char *record);
/* The whole answer, which is json_decref()ed; of a search without a limit the first 10. */
json_t *answer_of(struct corpus *corpus, struct corpus_search search);

#endif
