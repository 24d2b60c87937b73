#include "node/probe/synth.h"

#include "base/gguf.h"
#include "base/mem.h"
#include "base/must.h"

#include <stdio.h>
#include <string.h>

/* The pieces, in the order of ids:
 *
 *      256 bytes                       in GPT-2's printable alphabet
 *      words, one merge each           " x", " xy", " xyz", then "xy", "xyz", then " wxyz" in a scattered order
 *      control pieces                  Qwen's first names, then [PADn]
 *
 * So an English word is one to three pieces, as in a real vocabulary, and any other text its bytes. Merges are ranked
 * by id: the ones that begin a word go first. */
enum {
    BYTE_PIECES = 256,
    LETTERS = 26,
    WORDS_MAX = 151643 - BYTE_PIECES, // of Qwen
    FOUR_LETTERS = LETTERS * LETTERS * LETTERS * LETTERS,
    SCATTER = 100003, // has no common divisor with FOUR_LETTERS
    PIECE_MAX = 20,
    LINE_MAX = 12
};

static const char *const controls[] = {
    "<|endoftext|>",      "<|im_start|>",     "<|im_end|>",     "<|object_ref_start|>",
    "<|object_ref_end|>", "<|box_start|>",    "<|box_end|>",    "<|quad_start|>",
    "<|quad_end|>",       "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>",
    "<|image_pad|>",      "<|video_pad|>",    "<tool_call>",    "</tool_call>",
    "<|fim_prefix|>",     "<|fim_middle|>",   "<|fim_suffix|>", "<|fim_pad|>",
    "<|repo_name|>",      "<|file_sep|>",
};

static const char chat_template[] =
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] "
    "+ '<|im_end|>' + '\n' }}{% endfor %}{% if add_generation_prompt %}{{ "
    "'<|im_start|>assistant\n' }}{% endif %}";

enum {
    CONTROLS = sizeof controls / sizeof *controls
};

/* tokenizer.ggml.token_type */
enum {
    TYPE_NORMAL = 1,
    TYPE_CONTROL = 3,
    TYPE_UNUSED = 5
};

/* U+0120, which stands for the space. */
#define SPACE "\xC4\xA0"

/* GPT-2's alphabet: a byte that prints stands for itself, the others for U+0100 and on. */
static void spell_byte(char out[PIECE_MAX], unsigned byte)
{
    unsigned hidden = 0;
    unsigned code = byte;
    for (unsigned at = 0; at <= byte; at++) {
        bool prints = (at >= 33 && at <= 126) || (at >= 161 && at <= 172) || at >= 174;
        if (at == byte) code = prints ? byte : 256 + hidden;
        if (!prints) hidden++;
    }
    if (code < 0x80)
        snprintf(out, PIECE_MAX, "%c", (int)code);
    else
        snprintf(out, PIECE_MAX, "%c%c", (int)(0xC0 | code >> 6), (int)(0x80 | (code & 0x3F)));
}

/* Word `index` as its merge: what stands left and its last letter. */
static void split_word(uint32_t index, char left[LINE_MAX], char *last)
{
    static const struct kind {
        const char *prefix;
        uint32_t letters, count;
    } kinds[] = {
        {SPACE, 1, LETTERS},
        {SPACE, 2, LETTERS * LETTERS},
        {SPACE, 3, LETTERS * LETTERS * LETTERS},
        {"", 2, LETTERS * LETTERS},
        {"", 3, LETTERS * LETTERS * LETTERS},
        {SPACE, 4, FOUR_LETTERS},
    };
    const struct kind *kind = kinds;
    while (index >= kind->count)
        index -= kind++->count;
    uint64_t code = index;
    if (kind->letters == 4) code = code * SCATTER % FOUR_LETTERS;
    char letters[5] = "";
    for (uint32_t i = kind->letters; i-- > 0; code /= LETTERS)
        letters[i] = (char)('a' + code % LETTERS);
    snprintf(left, LINE_MAX, "%s%.*s", kind->prefix, (int)kind->letters - 1, letters);
    *last = letters[kind->letters - 1];
}

struct vocab {
    uint32_t words;
    char (*pieces)[PIECE_MAX];
    char (*lines)[PIECE_MAX];
    const char **texts;
    int32_t *types;
};

static void spell_words(struct vocab *vocab)
{
    for (uint32_t i = 0; i < vocab->words; i++) {
        char left[LINE_MAX];
        char last;
        split_word(i, left, &last);
        snprintf(vocab->pieces[BYTE_PIECES + i], PIECE_MAX, "%s%c", left, last);
        snprintf(vocab->lines[i], PIECE_MAX, "%s %c", left, last);
    }
}

static void write_merges(struct gguf_writer *writer, struct vocab *vocab)
{
    for (uint32_t i = 0; i < vocab->words; i++)
        vocab->texts[i] = vocab->lines[i];
    gguf_write_strings(writer, "tokenizer.ggml.merges", vocab->texts, NULL, vocab->words);
}

static void write_pieces(struct gguf_writer *writer, struct vocab *vocab, uint32_t size)
{
    for (unsigned i = 0; i < BYTE_PIECES; i++)
        spell_byte(vocab->pieces[i], i);
    spell_words(vocab);
    uint32_t first = BYTE_PIECES + vocab->words;
    for (uint32_t i = 0; i < size; i++) {
        vocab->types[i] = i < first              ? TYPE_NORMAL
                          : i < first + CONTROLS ? TYPE_CONTROL
                                                 : TYPE_UNUSED;
        if (i >= first + CONTROLS) snprintf(vocab->pieces[i], PIECE_MAX, "[PAD%u]", i);
        bool named = i >= first && i < first + CONTROLS;
        vocab->texts[i] = named ? controls[i - first] : vocab->pieces[i];
    }
    gguf_write_strings(writer, "tokenizer.ggml.tokens", vocab->texts, NULL, size);
    gguf_write_ints(writer, "tokenizer.ggml.token_type", vocab->types, size);
}

void synth_write_vocab(struct gguf_writer *writer, uint32_t size)
{
    must(size >= SYNTH_PIECES_LEAST);
    uint32_t words = size - BYTE_PIECES - CONTROLS;
    if (words > WORDS_MAX) words = WORDS_MAX;
    struct vocab vocab = {
        .words = words,
        .pieces = mem_new(size, PIECE_MAX),
        .lines = mem_new(words, PIECE_MAX),
        .texts = mem_new(size, sizeof *vocab.texts),
        .types = mem_new(size, sizeof *vocab.types),
    };
    uint32_t first = BYTE_PIECES + words; // <|endoftext|>; <|im_end|> is two further on
    gguf_write_string(writer, "tokenizer.ggml.model", "gpt2");
    gguf_write_string(writer, "tokenizer.ggml.pre", "qwen2");
    write_pieces(writer, &vocab, size);
    write_merges(writer, &vocab);
    gguf_write_u32(writer, "tokenizer.ggml.eos_token_id", first + 2);
    gguf_write_u32(writer, "tokenizer.ggml.bos_token_id", first);
    gguf_write_u32(writer, "tokenizer.ggml.padding_token_id", first);
    gguf_write_bool(writer, "tokenizer.ggml.add_bos_token", false);
    gguf_write_string(writer, "tokenizer.chat_template", chat_template);
    mem_free(vocab.pieces);
    mem_free(vocab.lines);
    mem_free(vocab.texts);
    mem_free(vocab.types);
}
