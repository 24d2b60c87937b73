/* text/vocab.h -- a model's vocabulary, read from the tokenizer.* keys of its GGUF and checked.
 *
 * The keys and their meaning are those of the GGUF specification (ggml, docs/gguf.md) as llama.cpp
 * writes them: tokenizer.ggml.model, .pre, .tokens, .token_type, .scores, .merges, .*_token_id,
 * .add_bos_token, .add_space_prefix. The image may be a stranger's: every count, id and length is
 * checked, and what fails is named by its key.
 *
 * Pieces are kept as the bytes that they stand for: a byte-level piece is decoded from GPT-2's
 * printable alphabet, a SentencePiece or WordPiece piece has its U+2581 turned into spaces and <0xNN>
 * into its byte. Control and user-defined pieces are kept as they are written.
 *
 * Ownership: everything is copied; the GGUF may be closed. Thread: immutable after vocab_read(). */
#ifndef TEXT_VOCAB_H
#define TEXT_VOCAB_H

#include "text/piece_map.h"

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct gguf;

enum {
    VOCAB_SIZE_MAX = 1 << 20,   // pieces
    VOCAB_MERGES_MAX = 1 << 21, // merges
    VOCAB_PIECE_MAX = 1024,     // bytes of one piece as the file writes it
    VOCAB_ENDS_MAX = 16,        // ids that end a text
    VOCAB_NONE = -1             // no such id
};

enum vocab_model {
    VOCAB_BPE,      // tokenizer.ggml.model = gpt2: byte-level byte pair encoding
    VOCAB_SPM,      // tokenizer.ggml.model = llama: SentencePiece, merged by score
    VOCAB_WORDPIECE // tokenizer.ggml.model = bert: words of the longest pieces (text/wordpiece.h)
};

/* How a text is parted before byte pairs are merged; names as in tokenizer.ggml.pre. */
enum vocab_pre {
    VOCAB_PRE_GPT2,
    VOCAB_PRE_LLAMA3,
    VOCAB_PRE_QWEN2
};

/* tokenizer.ggml.token_type */
enum vocab_type {
    VOCAB_NORMAL = 1,
    VOCAB_UNKNOWN = 2,
    VOCAB_CONTROL = 3,
    VOCAB_USER = 4,
    VOCAB_UNUSED = 5,
    VOCAB_BYTE = 6
};

struct vocab_merge {
    int32_t left, right, merged; // ids; a merge's rank is its index
};

struct vocab {
    enum vocab_model model;
    enum vocab_pre pre;
    bool whole_words; // llama-bpe: a word that is a piece is that piece, whatever the merges say
    bool add_bos;
    bool add_space_prefix;
    int32_t size;
    uint32_t *starts; // [size + 1] offsets into bytes
    char *bytes;
    uint8_t *types;             // [size] enum vocab_type
    float *scores;              // [size]; NULL but for SPM
    struct vocab_merge *merges; // [merge_count]; NULL but for BPE
    size_t merge_count;
    struct piece_map map; // NORMAL pieces by the bytes that they stand for; views into `bytes`
    int32_t bos, eos, eot, eom, pad, unk; // VOCAB_NONE where there is none; WordPiece: [CLS], [SEP]
    int32_t byte_ids[256]; // the piece of each single byte; VOCAB_NONE where absent (SPM only)
    int32_t ends[VOCAB_ENDS_MAX]; // ids that end a text, ascending
    size_t end_count;
};

/* ERR_FORMAT for bytes that break a rule, ERR_UNSUPPORTED for a tokenizer that we do not speak
 * (named, with those that we do), ERR_TOO_LARGE beyond the maxima. On failure nothing is held. */
enum err vocab_read(struct vocab *out, const struct gguf *gguf);
void vocab_fini(struct vocab *vocab);

/* The bytes of an id within the vocabulary; borrowed. */
const char *vocab_piece(const struct vocab *vocab, int32_t id, size_t *size);

#endif
