/* kernels/x86/avx512_attention.c -- the AVX-512 column: attention over paged keys and values.
 *
 * It is made like a float product. The queries of a call (rows x heads) go in passes of PASS that walk the tiles of
 * positions together, so that a tile is read from the cache; within, GROUP queries at a time hold their
 * accumulators in registers, so that a key or a value is widened once for all of them:
 *
 *      scores   lanes are 16 positions:   vectors of positions x queries, along d
 *      mixing   lanes are 16 dimensions:  vectors of dimensions x queries, along positions
 *
 * Rows end at different positions. A group mixes what all of its queries see at once, and the rest of the last tile
 * query by query. */
#include "kernels/attention.h"
#include "kernels/ops.h"
#include "kernels/x86/avx512.h"

#include <math.h>
#include <string.h>

enum {
    GROUP = 12,
    PASS = 4 * GROUP,
    Q_STRIDE = ATTENTION_DIM_MAX + LANES // a group's rows then lie in different sets of the cache
};

struct pass {
    const struct attention *at;
    size_t queries;
    size_t place[PASS];   // floats from at->q and at->out to each query
    size_t visible[PASS]; // positions that each sees; ascending
    float top[PASS + LANES];
    float sum[PASS + LANES];
    float q[PASS][Q_STRIDE];
};

/* A group of queries at a tile of positions. */
struct tile {
    struct pass *pass;
    size_t from;         // the group's first query in the pass
    size_t begin;        // the tile's first position
    size_t count[GROUP]; // positions of the tile that each query sees; ascending, the last > 0
    float keep[LANES];
    float p[GROUP][ATTENTION_TILE]; // scores, then their exponentials
};

INLINE const uint16_t *area_of(const struct attention *at, size_t position)
{
    const unsigned char *bytes = at->blocks[position / ATTENTION_BLOCK];
    return (const uint16_t *)(const void *)(bytes + at->offset);
}

/* To the second cache: the first has too few misses in flight to keep up with the arithmetic. */
INLINE void fetch(const uint16_t *at)
{
    _mm_prefetch((const char *)at, _MM_HINT_T1);
}

/* Scores of `blocks` blocks (1 or 2) from position `i` of the tile on. Those that the last query does not see are
 * made of zeros and not used. */
INLINE void score_blocks(struct tile *tile, size_t i, size_t blocks, size_t queries)
{
    const struct attention *at = tile->pass->at;
    const float *q = tile->pass->q[tile->from];
    const size_t vectors = 2 * blocks;
    const uint16_t *k[4];
    __mmask16 mask[4];
    __m512 acc[2 * GROUP];
    size_t count = tile->count[queries - 1] - i;
    UNROLL
    for (size_t j = 0; j < vectors; j++) {
        k[j] = area_of(at, tile->begin + i + j / 2 * ATTENTION_BLOCK) + j % 2 * LANES;
        mask[j] = lanes_below(count > j * LANES ? count - j * LANES : 0);
    }
    UNROLL
    for (size_t a = 0; a < vectors * queries; a++)
        acc[a] = _mm512_setzero_ps();
    for (size_t d = 0; d < at->head_dim; d++) {
        __m512 keys[4];
        UNROLL
        for (size_t j = 0; j < vectors; j += 2) // the block's values are next
            fetch(k[j] + (at->head_dim + d) * ATTENTION_BLOCK);
        UNROLL
        for (size_t j = 0; j < vectors; j++)
            keys[j] = _mm512_maskz_cvtph_ps(mask[j], load_halves(k[j] + d * ATTENTION_BLOCK));
        UNROLL
        for (size_t h = 0; h < queries; h++) {
            __m512 factor = _mm512_set1_ps(q[h * Q_STRIDE + d]);
            UNROLL
            for (size_t j = 0; j < vectors; j++)
                acc[h * vectors + j] = _mm512_fmadd_ps(factor, keys[j], acc[h * vectors + j]);
        }
    }
    __m512 scale = _mm512_set1_ps(at->scale);
    UNROLL
    for (size_t h = 0; h < queries; h++) {
        UNROLL
        for (size_t j = 0; j < vectors; j++)
            _mm512_storeu_ps(tile->p[h] + i + j * LANES,
                             _mm512_mul_ps(acc[h * vectors + j], scale));
    }
}

INLINE void score_tile(struct tile *tile, size_t queries)
{
    size_t count = tile->count[queries - 1];
    size_t i = 0;
    if (queries <= GROUP / 2)
        for (; i + ATTENTION_BLOCK < count; i += 2 * ATTENTION_BLOCK)
            score_blocks(tile, i, 2, queries);
    for (; i < count; i += ATTENTION_BLOCK)
        score_blocks(tile, i, 1, queries);
}

/* Scores to exponentials, tops and sums. What a query does not see of the tile, be it all, changes nothing of its
 * own: then its top stays, and it keeps exp(0) = 1 of everything. */
INLINE void soften_tile(struct tile *tile, size_t queries)
{
    struct pass *pass = tile->pass;
    float tops[LANES] = {0};
    float sums[LANES] = {0};
    for (size_t h = 0; h < queries; h++)
        tops[h] = avx512_max(tile->p[h], tile->count[h]);
    __mmask16 mask = lanes_below(queries);
    __m512 before = _mm512_loadu_ps(pass->top + tile->from);
    __m512 top = _mm512_max_ps(_mm512_loadu_ps(tops), before);
    __m512 keep = exp_lanes(_mm512_sub_ps(before, top));
    _mm512_storeu_ps(tops, top);
    _mm512_storeu_ps(tile->keep, keep);
    for (size_t h = 0; h < queries; h++)
        sums[h] = avx512_exp_sum(tile->p[h], tile->p[h], tops[h], tile->count[h]);
    __m512 sum = _mm512_loadu_ps(pass->sum + tile->from);
    sum = _mm512_fmadd_ps(sum, keep, _mm512_loadu_ps(sums));
    _mm512_mask_storeu_ps(pass->sum + tile->from, mask, sum);
    _mm512_mask_storeu_ps(pass->top + tile->from, mask, top);
}

/* Where position i of the next tile has its block: its keys are read after this tile's values. The last tile has
 * its own. */
INLINE const uint16_t *next_keys(const struct tile *tile, size_t i)
{
    const struct pass *pass = tile->pass;
    size_t position = tile->begin + i;
    size_t next = position + ATTENTION_TILE;
    return area_of(pass->at, next < pass->visible[pass->queries - 1] ? next : position);
}

/* Positions [begin, end) of the tile into `vectors` x 16 dimensions from `d` on, of which `mask` are there (all,
 * when vectors > 1), of `queries` queries from `first` on. */
INLINE void mix_lanes(const struct tile *tile, size_t first, size_t begin, size_t end, size_t d,
                      size_t vectors, size_t queries)
{
    const struct attention *at = tile->pass->at;
    const size_t *place = tile->pass->place + tile->from + first;
    size_t head_dim = at->head_dim;
    __mmask16 mask = lanes_below(vectors > 1 ? LANES : head_dim - d);
    __m512 acc[2 * GROUP];
    UNROLL
    for (size_t h = 0; h < queries; h++) {
        __m512 keep = _mm512_set1_ps(tile->keep[first + h]);
        UNROLL
        for (size_t j = 0; j < vectors; j++) {
            const float *from = at->out + place[h] + d + j * LANES;
            acc[h * vectors + j] = _mm512_mul_ps(_mm512_maskz_loadu_ps(mask, from), keep);
        }
    }
    for (size_t i = begin; i < end;) {
        size_t slot = i % ATTENTION_BLOCK;
        size_t stop = i - slot + ATTENTION_BLOCK < end ? i - slot + ATTENTION_BLOCK : end;
        const uint16_t *v = area_of(at, tile->begin + i) + (ATTENTION_BLOCK + slot) * head_dim + d;
        const uint16_t *next = next_keys(tile, i) + slot * head_dim + d;
        for (; i < stop; i++, v += head_dim, next += head_dim) {
            __m512 values[4];
            UNROLL
            for (size_t j = 0; j < vectors; j += 2)
                fetch(next + j * LANES);
            UNROLL
            for (size_t j = 0; j < vectors; j++)
                values[j] = widen(vectors > 1 ? load_halves(v + j * LANES)
                                              : _mm256_maskz_loadu_epi16(mask, v));
            UNROLL
            for (size_t h = 0; h < queries; h++) {
                __m512 p = _mm512_set1_ps(tile->p[first + h][i]);
                UNROLL
                for (size_t j = 0; j < vectors; j++)
                    acc[h * vectors + j] = _mm512_fmadd_ps(p, values[j], acc[h * vectors + j]);
            }
        }
    }
    UNROLL
    for (size_t h = 0; h < queries; h++) {
        UNROLL
        for (size_t j = 0; j < vectors; j++)
            _mm512_mask_storeu_ps(at->out + place[h] + d + j * LANES, mask, acc[h * vectors + j]);
    }
}

INLINE void mix_positions(const struct tile *tile, size_t first, size_t begin, size_t end,
                          size_t queries)
{
    size_t head_dim = tile->pass->at->head_dim;
    size_t d = 0;
    if (queries <= GROUP / 2)
        for (; d + 4 * LANES <= head_dim; d += 4 * LANES)
            mix_lanes(tile, first, begin, end, d, 4, queries);
    for (; d + 2 * LANES <= head_dim; d += 2 * LANES)
        mix_lanes(tile, first, begin, end, d, 2, queries);
    for (; d < head_dim; d += LANES)
        mix_lanes(tile, first, begin, end, d, 1, queries);
}

/* The positions that not the whole group sees. */
static __attribute__((noinline)) void mix_rest(struct tile *tile, size_t queries)
{
    for (size_t h = 0; h < queries; h++) {
        tile->keep[h] = 1; // it was taken with the others
        if (tile->count[h] > tile->count[0])
            mix_positions(tile, h, tile->count[0], tile->count[h], 1);
    }
}

INLINE void attend_tile(struct tile *tile, size_t queries)
{
    score_tile(tile, queries);
    soften_tile(tile, queries);
    mix_positions(tile, 0, 0, tile->count[0], queries);
    if (tile->count[queries - 1] > tile->count[0]) mix_rest(tile, queries);
}

static void attend_group(struct tile *tile, size_t queries)
{
    switch (queries) {
    case 1: attend_tile(tile, 1); break;
    case 2: attend_tile(tile, 2); break;
    case 3: attend_tile(tile, 3); break;
    case 4: attend_tile(tile, 4); break;
    case 5: attend_tile(tile, 5); break;
    case 6: attend_tile(tile, 6); break;
    case 7: attend_tile(tile, 7); break;
    case 8: attend_tile(tile, 8); break;
    case 9: attend_tile(tile, 9); break;
    case 10: attend_tile(tile, 10); break;
    case 11: attend_tile(tile, 11); break;
    default: attend_tile(tile, GROUP); break;
    }
}

static void begin_pass(struct pass *pass, size_t first)
{
    const struct attention *at = pass->at;
    for (size_t i = 0; i < pass->queries; i++) {
        size_t row = (first + i) / at->heads;
        size_t head = (first + i) % at->heads;
        pass->place[i] = row * at->row_stride + head * at->head_dim;
        pass->visible[i] = at->positions + row;
        pass->top[i] = -INFINITY;
        pass->sum[i] = 0;
        memcpy(pass->q[i], at->q + pass->place[i], at->head_dim * sizeof(float));
        memset(at->out + pass->place[i], 0, at->head_dim * sizeof(float));
    }
}

static void walk_tiles(struct pass *pass)
{
    struct tile tile = {.pass = pass};
    size_t groups = (pass->queries + GROUP - 1) / GROUP;
    size_t end = pass->visible[pass->queries - 1];
    for (tile.begin = 0; tile.begin < end; tile.begin += ATTENTION_TILE) {
        for (size_t g = 0; g < groups; g++) {
            tile.from = pass->queries * g / groups;
            size_t queries = pass->queries * (g + 1) / groups - tile.from;
            for (size_t h = 0; h < queries; h++) {
                size_t visible = pass->visible[tile.from + h];
                size_t count = visible > tile.begin ? visible - tile.begin : 0;
                tile.count[h] = count < ATTENTION_TILE ? count : ATTENTION_TILE;
            }
            if (tile.count[queries - 1] > 0) attend_group(&tile, queries);
        }
    }
}

static void end_pass(const struct pass *pass)
{
    const struct attention *at = pass->at;
    for (size_t i = 0; i < pass->queries; i++) {
        float *mix = at->out + pass->place[i];
        for (size_t d = 0; d < at->head_dim; d++)
            mix[d] = mix[d] / pass->sum[i];
    }
}

static void attention(const struct attention *at)
{
    size_t queries = at->rows * at->heads;
    size_t passes = (queries + PASS - 1) / PASS;
    struct pass pass;
    pass.at = at;
    for (size_t i = 0; i < passes; i++) {
        size_t first = queries * i / passes;
        pass.queries = queries * (i + 1) / passes - first;
        begin_pass(&pass, first);
        walk_tiles(&pass);
        end_pass(&pass);
    }
}

static void kv_write(void *area, size_t slot, const float *k, const float *v, size_t head_dim)
{
    uint16_t *keys = area;
    uint16_t *values = keys + (ATTENTION_BLOCK + slot) * head_dim;
    for (size_t d = 0; d < head_dim; d += LANES) {
        __mmask16 mask = lanes_below(head_dim - d);
        uint16_t column[LANES];
        __m256i halves =
            _mm512_cvtps_ph(_mm512_maskz_loadu_ps(mask, k + d), _MM_FROUND_TO_NEAREST_INT);
        _mm256_storeu_si256((__m256i *)(void *)column, halves);
        for (size_t i = 0; i < LANES && d + i < head_dim; i++)
            keys[(d + i) * ATTENTION_BLOCK + slot] = column[i];
        halves = _mm512_cvtps_ph(_mm512_maskz_loadu_ps(mask, v + d), _MM_FROUND_TO_NEAREST_INT);
        _mm256_mask_storeu_epi16(values + d, mask, halves);
    }
}

void avx512_fill_attention(struct ops *ops)
{
    ops->attention[KV_F16] = attention;
    ops->kv_write[KV_F16] = kv_write;
}
