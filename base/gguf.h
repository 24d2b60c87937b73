/* base/gguf.h -- the GGUF container: read from a file or from a stranger's bytes, and written.
 *
 * Format: GGUF version 3 (and 2), little-endian, as its specification in the ggml repository
 * (docs/gguf.md) states it: magic, version, tensor count, pair count; the metadata pairs; the
 * tensor directory; padding to `general.alignment` (32 unless said); the tensors.
 *
 * Every count, length, offset, alignment and dimension is checked against the bytes that are there
 * before it is used; a failure names the field and its value ("gguf: tensor 'blk.0.attn_q.weight':
 * offset 12345678 + 4096 bytes is past the end of the file (9876543 bytes)"). After a successful
 * open nothing that this header returns can point outside of the bytes.
 *
 * The same format carries a model's text pack over the wire: a vocabulary-only image (metadata and
 * no tensors) made by gguf_write_pack().
 *
 * Ownership: what a getter returns is borrowed and lives as long as the gguf. Strings are NOT
 * NUL-terminated: they are views. Thread: immutable after open, any may read. */
#ifndef BASE_GGUF_H
#define BASE_GGUF_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;

enum {
    GGUF_PAIRS_MAX = 65536,
    GGUF_TENSORS_MAX = 65536,
    GGUF_DIMS_MAX = 4,
    GGUF_NAME_MAX = 256,      // bytes of a key or of a tensor's name
    GGUF_ARRAY_MAX = 1 << 24, // elements of one array
    GGUF_PACK_MAX = 64 << 20, // bytes of a text pack
    GGUF_WRITER_ALIGNMENT = 32
};

enum gguf_value_type {
    GGUF_U8,
    GGUF_I8,
    GGUF_U16,
    GGUF_I16,
    GGUF_U32,
    GGUF_I32,
    GGUF_F32,
    GGUF_BOOL,
    GGUF_STRING,
    GGUF_ARRAY,
    GGUF_U64,
    GGUF_I64,
    GGUF_F64
};

/* The numbers of ggml_type that qiao knows by name; others are reported by number. */
enum gguf_tensor_type {
    GGUF_TENSOR_F32 = 0,
    GGUF_TENSOR_F16 = 1,
    GGUF_TENSOR_Q4_0 = 2,
    GGUF_TENSOR_Q4_1 = 3,
    GGUF_TENSOR_Q5_0 = 6,
    GGUF_TENSOR_Q5_1 = 7,
    GGUF_TENSOR_Q8_0 = 8,
    GGUF_TENSOR_Q8_1 = 9,
    GGUF_TENSOR_Q2_K = 10,
    GGUF_TENSOR_Q3_K = 11,
    GGUF_TENSOR_Q4_K = 12,
    GGUF_TENSOR_Q5_K = 13,
    GGUF_TENSOR_Q6_K = 14,
    GGUF_TENSOR_Q8_K = 15,
    GGUF_TENSOR_BF16 = 30
};

struct gguf_string {
    const char *text; // not NUL-terminated
    size_t size;
};

struct gguf_tensor {
    struct gguf_string name;
    uint32_t dim_count;
    uint64_t dims[GGUF_DIMS_MAX]; // dims[0] is the contiguous one (a row's width); unused are 1
    uint32_t type;                // enum gguf_tensor_type, or a number that we do not know
    const void *data;             // in the mapping, aligned to `general.alignment`
    uint64_t size;                // bytes; 0 with data NULL when the type is unknown to us
};

struct gguf;

/* Map a file read-only. ERR_IO, ERR_FORMAT. */
enum err gguf_open(struct gguf **out, const char *path);
/* Read an image in memory; `bytes` stays the caller's and must outlive the gguf. A tensor's data is
 * aligned as far as `bytes` itself is. ERR_FORMAT. */
enum err gguf_parse(struct gguf **out, const void *bytes, size_t size);
void gguf_close(struct gguf *gguf);

/* Where the image lies (for digests and for releasing pages after packing). */
const void *gguf_bytes(const struct gguf *gguf, size_t *size);

bool gguf_has(const struct gguf *gguf, const char *key);
/* Integers of any width that fit the asked one; floats from F32 or F64. ERR_NOT_FOUND when the key
 * is absent, ERR_FORMAT when it has another type or does not fit; the note names the key. */
enum err gguf_get_u32(const struct gguf *gguf, const char *key, uint32_t *out);
enum err gguf_get_f32(const struct gguf *gguf, const char *key, float *out);
enum err gguf_get_bool(const struct gguf *gguf, const char *key, bool *out);
enum err gguf_get_string(const struct gguf *gguf, const char *key, struct gguf_string *out);

/* An array's element type and count. */
enum err gguf_get_array(const struct gguf *gguf, const char *key, enum gguf_value_type *type,
                        size_t *count);
/* Fill `out` [count] from an array of strings (views), of integers, or of floats; `count` must be
 * the array's own. */
enum err gguf_get_strings(const struct gguf *gguf, const char *key, struct gguf_string *out,
                          size_t count);
enum err gguf_get_ints(const struct gguf *gguf, const char *key, int32_t *out, size_t count);
enum err gguf_get_floats(const struct gguf *gguf, const char *key, float *out, size_t count);

size_t gguf_tensor_count(const struct gguf *gguf);
const struct gguf_tensor *gguf_tensor_at(const struct gguf *gguf, size_t index);
/* NULL when there is no such tensor. Hashed: cheap. */
const struct gguf_tensor *gguf_find_tensor(const struct gguf *gguf, const char *name);
/* "Q8_0"; "type 77" for a number that we do not know (in a thread-local buffer). */
const char *gguf_tensor_type_name(uint32_t type);

/* The text pack of a model: a GGUF image of the metadata alone, the pairs of which the key starts
 * with "tokenizer." or "general." or is one of "<architecture>.context_length|vocab_size|
 * embedding_length|block_count|item_ids", in the file's order, byte for byte. Deterministic: equal models give
 * equal packs. ERR_TOO_LARGE beyond GGUF_PACK_MAX. */
enum err gguf_write_pack(const struct gguf *gguf, struct buf *out);

/* A writer for tools and tests. Pairs first, then tensors (their data is copied as it is added),
 * then finish, which appends the whole image to `out`. Mistakes are ours: must(). */
struct gguf_writer;
struct gguf_writer *gguf_writer_new(void);
void gguf_writer_free(struct gguf_writer *writer);
void gguf_write_u32(struct gguf_writer *writer, const char *key, uint32_t value);
void gguf_write_i32(struct gguf_writer *writer, const char *key, int32_t value);
void gguf_write_f32(struct gguf_writer *writer, const char *key, float value);
void gguf_write_bool(struct gguf_writer *writer, const char *key, bool value);
void gguf_write_string(struct gguf_writer *writer, const char *key, const char *value);
void gguf_write_strings(struct gguf_writer *writer, const char *key, const char *const *values,
                        const size_t *sizes, size_t count);
void gguf_write_ints(struct gguf_writer *writer, const char *key, const int32_t *values,
                     size_t count);
void gguf_write_floats(struct gguf_writer *writer, const char *key, const float *values,
                       size_t count);
void gguf_write_tensor(struct gguf_writer *writer, const char *name, uint32_t type,
                       const uint64_t *dims, uint32_t dim_count, const void *data, size_t size);
/* For files that are too large to be held: only the directory's line of a tensor of `size` bytes. The image that
 * gguf_writer_finish() then appends ends where the tensors' data begins, and the caller writes the data of every
 * tensor behind it, in the order of these calls, each padded with zeros to a multiple of GGUF_WRITER_ALIGNMENT. A
 * writer gets all of its tensors by this call or none. */
void gguf_announce_tensor(struct gguf_writer *writer, const char *name, uint32_t type,
                          const uint64_t *dims, uint32_t dim_count, uint64_t size);
void gguf_writer_finish(struct gguf_writer *writer, struct buf *out);

#endif
