/* tests/support/tiny_model.h -- a seeded two-layer decoder as a GGUF image, for tests that must not
 * need the shared data: any architecture and any tensor type that we read, with a small byte-level
 * BPE vocabulary (every byte, a few merges, four control pieces) and a ChatML template.
 *
 * Equal options give equal bytes. The text that such a model generates is noise. */
#ifndef TESTS_SUPPORT_TINY_MODEL_H
#define TESTS_SUPPORT_TINY_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;
struct gguf_writer;

enum {
    TINY_MODEL_LAYERS = 2,
    TINY_MODEL_DIM = 64,
    TINY_MODEL_CONTEXT = 512,
    TINY_MODEL_PATH_MAX = 256
};

struct tiny_model {
    const char *architecture; // "llama", "qwen2", "qwen3"; NULL: "qwen3"
    const char *name;         // general.name; NULL: "tiny"
    uint32_t type;            // of the matrices: GGUF_TENSOR_F32 (0), _F16 or _Q8_0
    uint64_t seed;
    bool rope_freqs;                            // add llama's rope_freqs.weight
    bool vocab_only;                            // metadata without tensors
    void (*extend)(struct gguf_writer *writer); // adds pairs and tensors of a test's own; NULL
};

/* Append the image to `out`. */
void tiny_model_write(struct buf *out, const struct tiny_model *options);
/* Write it as a new file below $TMPDIR (or /tmp); `path` is filled with its name, which the caller
 * unlinks. */
void tiny_model_file(char path[TINY_MODEL_PATH_MAX], const struct tiny_model *options);
/* Write any bytes as such a file. */
void tiny_model_file_bytes(char path[TINY_MODEL_PATH_MAX], const void *bytes, size_t size);

#endif
