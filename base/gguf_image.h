/* base/gguf_image.h -- what an open GGUF image is inside; for gguf.c and gguf_get.c alone.
 *
 * gguf.c reads and checks the whole image once; gguf_get.c then answers from it without a check of
 * its own, because every offset kept here lies inside of the bytes. */
#ifndef BASE_GGUF_IMAGE_H
#define BASE_GGUF_IMAGE_H

#include "base/gguf.h"

enum {
    GGUF_VERSION_LEAST = 2,
    GGUF_VERSION_MOST = 3,
    GGUF_HASH_KEY_SIZE = 16 // crypto_shorthash_KEYBYTES
};

/* One metadata pair. `start` and `end` bound its bytes in the image, key included. */
struct gguf_pair {
    struct gguf_string key;
    uint32_t type;    // enum gguf_value_type
    uint32_t element; // of an array
    uint64_t count;   // of an array; 1 otherwise
    size_t value;     // offset of the value, or of an array's first element
    size_t start, end;
};

/* Names to indices by open addressing; a slot holds index + 1. */
struct gguf_names {
    uint32_t *slots;
    size_t mask;
};

struct gguf {
    const uint8_t *bytes;
    size_t size;
    bool mapped;
    uint64_t alignment;
    struct gguf_pair *pairs;
    size_t pair_count;
    struct gguf_tensor *tensors;
    size_t tensor_count;
    struct gguf_names pair_names;
    struct gguf_names tensor_names;
    uint8_t
        hash_key[GGUF_HASH_KEY_SIZE]; // random, so that a stranger cannot choose names that collide
};

/* Bytes of one value of a metadata type; 0 for strings and arrays. `type` is a known one. */
size_t gguf_value_size(uint32_t type);
/* NULL when there is no such key. */
const struct gguf_pair *gguf_find_pair(const struct gguf *gguf, const char *key);

#endif
