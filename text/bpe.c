#include "text/bpe.h"

#include "text/pretokenize.h"
#include "text/tokenizer.h"
#include "text/vocab.h"

#include "base/must.h"

void bpe_init(struct bpe *bpe, const struct vocab *vocab)
{
    must(vocab->model == VOCAB_BPE);
    bpe->vocab = vocab;
    merge_table_init(&bpe->merges, vocab->merge_count);
    for (size_t i = 0; i < vocab->merge_count; i++) {
        const struct vocab_merge *merge = &vocab->merges[i];
        merge_table_add(&bpe->merges, merge->left, merge->right, (uint32_t)i, merge->merged);
    }
}

void bpe_fini(struct bpe *bpe)
{
    merge_table_fini(&bpe->merges);
}

static void encode_word(const struct bpe *bpe, struct merge_scratch *scratch, const char *word,
                        size_t size, struct token_ids *out)
{
    const struct vocab *vocab = bpe->vocab;
    if (vocab->whole_words) {
        int32_t id = piece_map_find(&vocab->map, word, size);
        if (id != PIECE_MAP_NONE) {
            token_ids_add(out, id);
            return;
        }
    }
    int32_t *symbols = token_ids_room(out, size);
    for (size_t i = 0; i < size; i++)
        symbols[i] = vocab->byte_ids[(uint8_t)word[i]];
    out->count += merge_run(&bpe->merges, scratch, symbols, size);
}

void bpe_encode(const struct bpe *bpe, struct merge_scratch *scratch, const char *text, size_t size,
                struct token_ids *out)
{
    while (size > 0) {
        size_t word = pretokenize_next(bpe->vocab->pre, text, size);
        encode_word(bpe, scratch, text, word, out);
        text += word;
        size -= word;
    }
}
