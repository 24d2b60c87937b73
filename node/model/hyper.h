/* node/model/hyper.h -- hyper-parameters of a file: each within its bounds, or refused with its key.
 *
 * Keys are "<architecture>.<name>". For the models of this folder. */
#ifndef NODE_MODEL_HYPER_H
#define NODE_MODEL_HYPER_H

#include "base/err.h"

#include <stdint.h>

struct gguf;

enum {
    HYPER_KEY_MAX = 80,
    HYPER_NAME_MAX = 128,
    HYPER_VOCAB_MAX = 1 << 20
};

struct hyper {
    const struct gguf *gguf;
    const char *architecture;
    char key[HYPER_KEY_MAX]; // that was read last: notes carry it
};

/* The whole key; valid until the next call. */
const char *hyper_key(struct hyper *hyper, const char *name);
enum err hyper_range(const char *key, uint32_t value, uint32_t least, uint32_t most);
/* A whole number, 1 to `most`, that the file must state. */
enum err hyper_count(struct hyper *hyper, const char *name, uint32_t most, uint32_t *out);
/* One that the file may leave out; *out holds the default. */
enum err hyper_count_or(struct hyper *hyper, const char *name, uint32_t most, uint32_t *out);
/* A number above `least` and at most `most`. */
enum err hyper_number(struct hyper *hyper, const char *name, float least, float most, float *out);
/* general.name where it is printable; empty otherwise (the loader then takes the file's stem). */
void hyper_name(char out[HYPER_NAME_MAX], const struct gguf *gguf);
/* A model without a name is called by its file: "a/b/tiny-Q8_0.gguf" is "tiny-Q8_0". */
void hyper_name_by_path(char name[HYPER_NAME_MAX], const char *path);
/* Rows of the embedding; the vocabulary's length and vocab_size must agree where they are there. */
enum err hyper_vocab(struct hyper *hyper, uint32_t *out);

#endif
