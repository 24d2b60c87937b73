/* text/tokenizer.h -- text -> ids, ids -> bytes.
 *
 * Made once from a model's vocabulary, immutable after: any number of threads may use it at once.
 * Encoding takes O(n log n) whatever the text is. Any bytes encode: what is not valid UTF-8 goes
 * byte by byte (callers who want to refuse such text ask utf8_valid() first). */
#ifndef TEXT_TOKENIZER_H
#define TEXT_TOKENIZER_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;
struct gguf;
struct tokenizer;

enum {
    TOKENIZER_TEXT_MAX = 4 << 20, // bytes of one encoding
    TOKENIZER_NONE = -1           // no such id
};

enum tokenizer_flags {
    TOKENIZER_ADD_BOS = 1, // begin with the BOS id when the model wants one (tokenizer_adds_bos)
    TOKENIZER_PARSE_SPECIAL = 2 // "<|im_end|>" in the text means the id, not its letters
};

/* A growable list of ids; a zeroed struct is empty. An encoding adds at most twice
 * the text's bytes + 2. */
struct token_ids {
    int32_t *ids;
    size_t count;
    size_t capacity;
};

void token_ids_fini(struct token_ids *list);
void token_ids_add(struct token_ids *list, int32_t id);
/* Room for `count` more behind the last one; the caller fills some and raises `count`. */
int32_t *token_ids_room(struct token_ids *list, size_t count);

/* Copies what it keeps; `gguf` may be closed after. Errors of vocab_read(). */
enum err tokenizer_new(struct tokenizer **out, const struct gguf *gguf);
void tokenizer_free(struct tokenizer *tokenizer);

/* Append the ids of `text` to `out`. `flags` is a set of enum tokenizer_flags. User-defined pieces
 * ("<think>") are found in any text, control pieces only with TOKENIZER_PARSE_SPECIAL.
 * ERR_TOO_LARGE beyond TOKENIZER_TEXT_MAX; `out` is then as it was. */
enum err tokenizer_encode(const struct tokenizer *tokenizer, const char *text, size_t size,
                          unsigned flags, struct token_ids *out);

/* A stretch of text that is written by us (control pieces count) or by a user (they do not). */
struct token_part {
    const char *text;
    size_t size;
    bool parse_special;
};

/* Encode the parts as the one text that they make together: borders between them leave no trace,
 * except that a control piece is only seen when it lies within one part that may hold it. So a
 * user's text cannot forge one. `add_bos` as TOKENIZER_ADD_BOS. */
enum err tokenizer_encode_parts(const struct tokenizer *tokenizer, const struct token_part *parts,
                                size_t count, bool add_bos, struct token_ids *out);

/* How a model that reads a text as a whole (an encoder; a decoder whose last token is the text's vector) wants it:
 *      WordPiece    [CLS] first [SEP]                and of a pair also    second [SEP]
 *      others       BOS if it wants one, first, EOS  (a pair: first, second, EOS)
 * Appends to `out`; *segment is the place where the second text begins, 0 where there is none (`second`
 * NULL). tokenizer_frame_size(): how many ids it puts around. */
void tokenizer_frame(const struct tokenizer *tokenizer, const struct token_ids *first,
                     const struct token_ids *second, struct token_ids *out, uint32_t *segment);
size_t tokenizer_frame_size(const struct tokenizer *tokenizer, bool pair);

/* The bytes that an id stands for (a control piece: its name), not NUL-terminated, borrowed; NULL
 * and size 0 when there is no such id. Bytes of one id need not be whole characters: see
 * text/stream.h. */
const char *tokenizer_piece(const struct tokenizer *tokenizer, int32_t id, size_t *size);
/* How many ids there are; they run from 0. */
int32_t tokenizer_size(const struct tokenizer *tokenizer);

/* TOKENIZER_NONE where the model has none. */
int32_t tokenizer_bos(const struct tokenizer *tokenizer);
int32_t tokenizer_eos(const struct tokenizer *tokenizer);
bool tokenizer_adds_bos(const struct tokenizer *tokenizer);
bool tokenizer_adds_space(const struct tokenizer *tokenizer);

/* The ids that end an answer (eos, end of turn, end of message), ascending; borrowed. */
const int32_t *tokenizer_ends(const struct tokenizer *tokenizer, size_t *count);
bool tokenizer_is_end(const struct tokenizer *tokenizer, int32_t id);
/* Control, unknown and unused ids, and ids out of range: those that give no text to a reader. */
bool tokenizer_is_control(const struct tokenizer *tokenizer, int32_t id);

/* The id of a control or user-defined piece by its exact text; TOKENIZER_NONE. */
int32_t tokenizer_find(const struct tokenizer *tokenizer, const char *text);

/* Decode a whole list: the bytes of every id that is not control, no repair. For tools and tests;
 * answers go through text/stream.h. `at_begin` drops the space that a SentencePiece encoding puts
 * before a text. */
void tokenizer_decode(const struct tokenizer *tokenizer, const int32_t *ids, size_t count,
                      bool at_begin, struct buf *out);

#endif
