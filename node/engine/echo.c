#include "node/engine/echo.h"

#include "node/engine/seq.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/gguf.h"
#include "base/mem.h"
#include "base/must.h"
#include "base/rand.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* Ids 0..255 are the bytes, then one merge (a vocabulary of this kind has at least one), then the controls. */
enum {
    BYTE_IDS = 256,
    ID_MERGED = BYTE_IDS,
    ID_TEXT_END,
    ID_TURN_START,
    ID_TURN_END,
    VOCAB_SIZE,
    PIECE_MAX = 32,
    TOKEN_NORMAL = 1, // of tokenizer.ggml.token_type
    TOKEN_CONTROL = 3
};

/* Far above what bias and penalties of a valid request can move. */
static const float loud = 1e6f;

struct echo {
    float *logits; // [sequences_max][VOCAB_SIZE]
    uint32_t sequences_max;
    uint32_t delay_ms;
};

struct echo *echo_new(uint32_t sequences_max, uint32_t delay_ms)
{
    must(delay_ms <= ECHO_DELAY_MS_MAX);
    struct echo *echo = mem_new(1, sizeof *echo);
    echo->logits = mem_new((size_t)sequences_max * VOCAB_SIZE, sizeof *echo->logits);
    echo->sequences_max = sequences_max;
    echo->delay_ms = delay_ms;
    return echo;
}

void echo_free(struct echo *echo)
{
    if (!echo) return;
    mem_free(echo->logits);
    mem_free(echo);
}

/* Where the part of the prompt that is repeated begins and ends: the words of the last ended turn, behind the
 * line with its role; without such a turn, everything. */
static void find_turn(const struct seq *seq, uint32_t *from, uint32_t *to)
{
    *from = 0;
    *to = seq->prompt_length;
    uint32_t end = seq->prompt_length;
    while (end > 0 && seq->ids[end - 1] != ID_TURN_END)
        end--;
    if (end == 0) return;
    end--; // the place of the turn's end
    uint32_t start = end;
    while (start > 0 && seq->ids[start - 1] != ID_TURN_START)
        start--;
    while (start < end && seq->ids[start] != '\n')
        start++;
    *from = start < end ? start + 1 : start;
    *to = end;
}

static int32_t next_id(const struct seq *seq)
{
    uint32_t from;
    uint32_t to;
    find_turn(seq, &from, &to);
    uint32_t at = from + seq_emitted(seq);
    return at < to ? seq->ids[at] : ID_TURN_END;
}

static void pause_ms(uint32_t delay_ms)
{
    struct timespec left = {.tv_sec = delay_ms / 1000,
                            .tv_nsec = (long)(delay_ms % 1000) * 1000000};
    while (left.tv_sec > 0 || left.tv_nsec > 0) {
        if (nanosleep(&left, &left) == 0) return;
    }
}

static void step(void *self, const struct forward_slice *slices, struct seq *const *seqs,
                 size_t count)
{
    struct echo *echo = self;
    if (echo->delay_ms > 0) pause_ms(echo->delay_ms);
    size_t row = 0;
    for (size_t i = 0; i < count; i++) {
        if (slices[i].logit_count == 0) continue;
        must(row < echo->sequences_max);
        float *logits = echo->logits + row * VOCAB_SIZE;
        memset(logits, 0, VOCAB_SIZE * sizeof *logits);
        logits[next_id(seqs[i])] = loud;
        row++;
    }
}

static float *logits_of(void *self, size_t index)
{
    struct echo *echo = self;
    return echo->logits + index * VOCAB_SIZE;
}

/* Each id adds to one place; the last place is never 0, so that no text is. */
static void embed(const struct seq *seq, float *vector)
{
    double squares = 0;
    for (uint32_t i = 0; i < ECHO_VECTOR; i++)
        vector[i] = i == ECHO_VECTOR - 1;
    for (uint32_t i = 0; i < seq->prompt_length; i++)
        vector[rand_at(1, (uint32_t)seq->ids[i], 0) % (ECHO_VECTOR - 1)] += 1;
    for (uint32_t i = 0; i < ECHO_VECTOR; i++)
        squares += (double)vector[i] * (double)vector[i];
    for (uint32_t i = 0; i < ECHO_VECTOR; i++)
        vector[i] = (float)((double)vector[i] / sqrt(squares));
}

static float score(const struct seq *seq)
{
    uint32_t found = 0;
    for (uint32_t i = seq->segment; i < seq->prompt_length; i++) {
        bool there = false;
        for (uint32_t j = 0; j < seq->segment && !there; j++)
            there = seq->ids[j] == seq->ids[i];
        found += there;
    }
    return (float)found / (float)(seq->prompt_length - seq->segment);
}

static enum err answer(void *self, size_t index, struct seq *seq)
{
    (void)self;
    (void)index;
    seq->answer.vector_size = seq->answer.vector_max;
    if (seq->kind == WIRE_EMBED)
        embed(seq, seq->answer.vector);
    else
        seq->answer.vector[0] = score(seq);
    return ERR_OK;
}

struct engine_backend echo_backend(struct echo *echo)
{
    return (struct engine_backend){.self = echo,
                                   .vocab_size = VOCAB_SIZE,
                                   .step = step,
                                   .logits = logits_of,
                                   .answer = answer};
}

/* The printable character that stands for a byte in a byte-level vocabulary (GPT-2's alphabet): itself where
 * it prints in Latin-1, else U+0100 and on, in order of the bytes. */
static uint32_t alphabet(uint32_t byte)
{
    uint32_t hidden = 0;
    for (uint32_t at = 0; at < byte; at++)
        hidden += !((at >= 33 && at <= 126) || (at >= 161 && at <= 172) || at >= 174);
    bool prints = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
    return prints ? byte : 256 + hidden;
}

static void spell_byte(char piece[PIECE_MAX], uint32_t byte)
{
    uint32_t code = alphabet(byte);
    if (code < 0x80)
        snprintf(piece, PIECE_MAX, "%c", (int)code);
    else
        snprintf(piece, PIECE_MAX, "%c%c", (int)(0xC0 | code >> 6), (int)(0x80 | (code & 0x3F)));
}

static void write_tokens(struct gguf_writer *writer)
{
    char pieces[VOCAB_SIZE][PIECE_MAX];
    const char *texts[VOCAB_SIZE];
    size_t sizes[VOCAB_SIZE];
    int32_t types[VOCAB_SIZE];
    for (uint32_t i = 0; i < BYTE_IDS; i++)
        spell_byte(pieces[i], i);
    snprintf(pieces[ID_MERGED], PIECE_MAX, "%.8s%.8s", pieces[0],
             pieces[0]); // two NULs: in no text
    snprintf(pieces[ID_TEXT_END], PIECE_MAX, "<|endoftext|>");
    snprintf(pieces[ID_TURN_START], PIECE_MAX, "<|im_start|>");
    snprintf(pieces[ID_TURN_END], PIECE_MAX, "<|im_end|>");
    for (uint32_t i = 0; i < VOCAB_SIZE; i++) {
        texts[i] = pieces[i];
        sizes[i] = strlen(pieces[i]);
        types[i] = i <= ID_MERGED ? TOKEN_NORMAL : TOKEN_CONTROL;
    }
    gguf_write_strings(writer, "tokenizer.ggml.tokens", texts, sizes, VOCAB_SIZE);
    gguf_write_ints(writer, "tokenizer.ggml.token_type", types, VOCAB_SIZE);

    char merge[2 * PIECE_MAX];
    snprintf(merge, sizeof merge, "%.8s %.8s", pieces[0], pieces[0]);
    const char *merges[] = {merge};
    size_t merge_sizes[] = {strlen(merge)};
    gguf_write_strings(writer, "tokenizer.ggml.merges", merges, merge_sizes, 1);
}

static const char chat_template[] =
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] "
    "+ '<|im_end|>' + '\\n' }}{% endfor %}{% if add_generation_prompt %}{{ "
    "'<|im_start|>assistant\\n' }}{% endif %}";

void echo_write_pack(struct buf *out)
{
    struct gguf_writer *writer = gguf_writer_new();
    gguf_write_string(writer, "general.architecture", "echo");
    gguf_write_string(writer, "general.name", "echo");
    gguf_write_u32(writer, "echo.context_length", ECHO_CONTEXT);
    gguf_write_u32(writer, "echo.vocab_size", VOCAB_SIZE);
    gguf_write_string(writer, "tokenizer.ggml.model", "gpt2");
    gguf_write_string(writer, "tokenizer.ggml.pre", "qwen2");
    write_tokens(writer);
    gguf_write_u32(writer, "tokenizer.ggml.eos_token_id", ID_TURN_END);
    gguf_write_u32(writer, "tokenizer.ggml.padding_token_id", ID_TEXT_END);
    gguf_write_bool(writer, "tokenizer.ggml.add_bos_token", false);
    gguf_write_string(writer, "tokenizer.chat_template", chat_template);
    gguf_writer_finish(writer, out);
    gguf_writer_free(writer);
}
