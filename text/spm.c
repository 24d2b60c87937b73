#include "text/spm.h"

#include "text/tokenizer.h"
#include "text/utf8.h"
#include "text/vocab.h"

#include "base/mem.h"
#include "base/must.h"

#include <stdlib.h>

enum {
    SPACE_MARK = 0x2581,  // SentencePiece's own sign for a space
    CODE_BYTE = 0x110000, // + byte: what is not UTF-8
    PIECE_CHARACTERS_MAX = SPM_PIECE_MAX
};

/* A character that is in no piece goes through the merging as a negative symbol, which never
 * merges. */
static int32_t symbol_of_code(int32_t code)
{
    return -2 - code;
}

static int32_t code_of_symbol(int32_t symbol)
{
    return -2 - symbol;
}

static size_t next_code(const char *text, size_t size, int32_t *code)
{
    size_t step = utf8_next(text, size, code);
    if (*code >= 0) return step;
    *code = CODE_BYTE + (uint8_t)text[0];
    return 1;
}

/* The pieces in descending order of score; equal scores share a rank. */
struct scored {
    float score;
    int32_t id;
};

static int by_score(const void *a, const void *b)
{
    float left = ((const struct scored *)a)->score, right = ((const struct scored *)b)->score;
    return (left < right) - (left > right);
}

static uint32_t *ranks_new(const struct vocab *vocab)
{
    size_t size = (size_t)vocab->size;
    struct scored *scored = mem_new(size, sizeof *scored);
    uint32_t *ranks = mem_new(size, sizeof *ranks);
    for (size_t i = 0; i < size; i++)
        scored[i] = (struct scored){.score = vocab->scores[i], .id = (int32_t)i};
    qsort(scored, size, sizeof *scored, by_score);
    uint32_t rank = 0;
    for (size_t i = 0; i < size; i++) {
        if (i > 0 && scored[i].score != scored[i - 1].score) rank++;
        ranks[scored[i].id] = rank;
    }
    mem_free(scored);
    return ranks;
}

/* Give every character of a piece a symbol, and count the piece's cuts. */
static size_t add_characters(struct spm *spm, const char *text, size_t size, size_t *inner_room)
{
    size_t count = 0;
    for (size_t at = 0, step; at < size; at += step, count++) {
        int32_t code;
        step = next_code(text + at, size - at, &code);
        if (piece_map_find(&spm->characters, text + at, step) != PIECE_MAP_NONE) continue;
        int32_t id = piece_map_find(&spm->vocab->map, text + at, step);
        if (id == PIECE_MAP_NONE) {
            if (spm->inner_count == *inner_room) {
                *inner_room = *inner_room ? *inner_room * 2 : 256;
                spm->inner = mem_resize(spm->inner, *inner_room, sizeof *spm->inner);
            }
            spm->inner[spm->inner_count] = code;
            id = spm->vocab->size + (int32_t)spm->inner_count++;
        }
        piece_map_add(&spm->characters, text + at, step, id);
    }
    return count - 1;
}

/* A symbol that may stand at one side of a cut: a piece, or a single character. */
static int32_t side(const struct spm *spm, const char *text, size_t size, bool single)
{
    return single ? piece_map_find(&spm->characters, text, size)
                  : piece_map_find(&spm->vocab->map, text, size);
}

static void add_cuts(struct spm *spm, int32_t id, uint32_t rank)
{
    size_t size, starts[PIECE_CHARACTERS_MAX + 1], count = 0;
    const char *text = vocab_piece(spm->vocab, id, &size);
    for (size_t at = 0, step; at < size; at += step) {
        int32_t code;
        step = next_code(text + at, size - at, &code);
        starts[count++] = at;
    }
    for (size_t i = 1; i < count; i++) {
        int32_t left = side(spm, text, starts[i], i == 1);
        if (left < 0) continue;
        int32_t right = side(spm, text + starts[i], size - starts[i], i == count - 1);
        if (right >= 0) merge_table_add(&spm->merges, left, right, rank, id);
    }
}

/* Does `id` own its bytes? Of two pieces with equal bytes only the first does. */
static bool is_merged_piece(const struct vocab *vocab, int32_t id)
{
    size_t size;
    const char *text = vocab_piece(vocab, id, &size);
    return vocab->types[id] == VOCAB_NORMAL && size > 0 &&
           piece_map_find(&vocab->map, text, size) == id;
}

static bool space_within(const char *text, size_t size)
{
    for (size_t i = 1; i < size; i++)
        if (text[i] == ' ' && text[i - 1] != ' ') return true;
    return false;
}

static enum err collect(struct spm *spm, size_t *cuts)
{
    const struct vocab *vocab = spm->vocab;
    size_t inner_room = 0;
    *cuts = 0;
    spm->words_part = true;
    for (int32_t id = 0; id < vocab->size; id++) {
        size_t size;
        if (!is_merged_piece(vocab, id)) continue;
        const char *text = vocab_piece(vocab, id, &size);
        if (size > SPM_PIECE_MAX)
            return err_note(ERR_TOO_LARGE,
                            "tokenizer.ggml.tokens[%d] has %zu bytes; a SentencePiece piece has at "
                            "most %d",
                            id, size, SPM_PIECE_MAX);
        if (space_within(text, size)) spm->words_part = false;
        *cuts += add_characters(spm, text, size, &inner_room);
        if (*cuts > SPM_CUTS_MAX)
            return err_note(ERR_TOO_LARGE,
                            "tokenizer.ggml.tokens: the pieces have more than %d cuts together",
                            SPM_CUTS_MAX);
    }
    return ERR_OK;
}

enum err spm_init(struct spm *out, const struct vocab *vocab)
{
    must(vocab->model == VOCAB_SPM);
    struct spm spm = {.vocab = vocab};
    size_t characters = vocab->starts[vocab->size]; // no more than bytes
    piece_map_init(&spm.characters, characters < 0x110100 ? characters : 0x110100);
    size_t cuts;
    enum err err = collect(&spm, &cuts);
    if (err != ERR_OK) {
        spm_fini(&spm);
        return err;
    }
    merge_table_init(&spm.merges, cuts);
    uint32_t *ranks = ranks_new(vocab);
    for (int32_t id = 0; id < vocab->size; id++)
        if (is_merged_piece(vocab, id)) add_cuts(&spm, id, ranks[id]);
    mem_free(ranks);
    for (int code = 0; code < 128; code++) {
        char c = (char)code;
        int32_t id = piece_map_find(&spm.characters, &c, 1);
        spm.ascii[code] = id == PIECE_MAP_NONE ? symbol_of_code(code) : id;
    }
    *out = spm;
    return ERR_OK;
}

void spm_fini(struct spm *spm)
{
    merge_table_fini(&spm->merges);
    piece_map_fini(&spm->characters);
    mem_free(spm->inner);
    *spm = (struct spm){0};
}

static int32_t symbol_at(const struct spm *spm, const char *text, size_t size, size_t *step)
{
    int32_t code;
    *step = next_code(text, size, &code);
    if (code == SPACE_MARK) code = ' ';
    if (code < 128) return spm->ascii[code];
    int32_t id = piece_map_find(&spm->characters, text, *step);
    return id == PIECE_MAP_NONE ? symbol_of_code(code) : id;
}

/* A character without a piece: its bytes, or once the unknown piece. */
static void add_bytes(const struct spm *spm, int32_t code, struct token_ids *out)
{
    char bytes[UTF8_CHARACTER_MAX] = {(char)(code - CODE_BYTE)};
    size_t count = code >= CODE_BYTE ? 1 : utf8_write(bytes, code);
    const int32_t *ids = spm->vocab->byte_ids;
    for (size_t i = 0; i < count; i++) {
        if (ids[(uint8_t)bytes[i]] != VOCAB_NONE) continue;
        token_ids_add(out, spm->vocab->unk);
        return;
    }
    for (size_t i = 0; i < count; i++)
        token_ids_add(out, ids[(uint8_t)bytes[i]]);
}

static void merge_and_add(const struct spm *spm, struct merge_scratch *scratch, int32_t *symbols,
                          size_t count, struct token_ids *out)
{
    count = merge_run(&spm->merges, scratch, symbols, count);
    for (size_t i = 0; i < count; i++) {
        int32_t symbol = symbols[i];
        if (symbol < 0)
            add_bytes(spm, code_of_symbol(symbol), out);
        else if (symbol >= spm->vocab->size)
            add_bytes(spm, spm->inner[symbol - spm->vocab->size], out);
        else
            token_ids_add(out, symbol);
    }
}

void spm_encode(const struct spm *spm, struct merge_scratch *scratch, const char *text, size_t size,
                bool add_space, struct token_ids *out)
{
    int32_t *symbols = mem_new(size + 1, sizeof *symbols);
    int32_t space = spm->ascii[' '];
    size_t count = 0;
    if (add_space) symbols[count++] = space;
    for (size_t at = 0, step; at < size; at += step) {
        int32_t symbol = symbol_at(spm, text + at, size - at, &step);
        if (spm->words_part && symbol == space && count > 0 && symbols[count - 1] != space) {
            merge_and_add(spm, scratch, symbols, count, out);
            count = 0;
        }
        symbols[count++] = symbol;
    }
    merge_and_add(spm, scratch, symbols, count, out);
    mem_free(symbols);
}
