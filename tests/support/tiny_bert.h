/* tests/support/tiny_bert.h -- a seeded two-layer encoder as a GGUF file, for tests that must not need the shared data.
 * Its vocabulary is WordPiece: four marks, then letters. Equal options give equal bytes. */
#ifndef TESTS_SUPPORT_TINY_BERT_H
#define TESTS_SUPPORT_TINY_BERT_H

#include "tests/support/tiny_model.h"

#include <stdint.h>

enum {
    TINY_BERT_DIM = 64,
    TINY_BERT_CONTEXT = 160,
    TINY_BERT_VOCAB = 40
};

struct tiny_bert {
    uint32_t type;       // of the matrices: GGUF_TENSOR_F32 (0) or _Q8_0
    uint32_t pooling;    // bert.pooling_type; 0: 1
    bool head;           // cls and cls.output
    const char *without; // a tensor that is left out; NULL: none
};

/* As tiny_model_file(). */
void tiny_bert_file(char path[TINY_MODEL_PATH_MAX], const struct tiny_bert *options);

#endif
