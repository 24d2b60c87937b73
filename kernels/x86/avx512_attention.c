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
#include <stdbool.h>
#include <string.h>

enum {
    GROUP = 12,
    PASS = 4 * GROUP,
    Q_STRIDE = ATTENTION_DIM_MAX + LANES // a group's rows then lie in different sets of the cache
};

struct tile;

struct pass {
    const struct attention *at;
    void (*attend_group)(struct tile *tile, size_t queries); // of the areas' kind
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

INLINE const unsigned char *area_of(const struct attention *at, size_t position)
{
    const unsigned char *bytes = at->blocks[position / ATTENTION_BLOCK];
    return bytes + at->offset;
}

INLINE size_t size_of(enum kv_kind kind)
{
    return kind == KV_INT8 ? sizeof(int8_t) : sizeof(uint16_t);
}

/* Scales of 16 positions; `which` is 0 for the keys', 1 for the values'. */
INLINE __m512 load_scales(const struct attention *at, size_t position, size_t which)
{
    const unsigned char *scales = area_of(at, position) + attention_scales_at(at->head_dim);
    size_t index = which * ATTENTION_BLOCK + position % ATTENTION_BLOCK;
    return _mm512_loadu_ps((const float *)(const void *)scales + index);
}

/* Those of 16 positions that `mask` has; the others, which are there, come as zeros. */
INLINE __m512 load_keys(enum kv_kind kind, const unsigned char *k, __mmask16 mask)
{
    if (kind == KV_F16)
        return _mm512_maskz_cvtph_ps(mask, load_halves((const uint16_t *)(const void *)k));
    __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)k);
    return _mm512_cvtepi32_ps(_mm512_maskz_cvtepi8_epi32(mask, bytes));
}

/* Those of 16 dimensions that `mask` has; the others may not be there. */
INLINE __m512 load_values(enum kv_kind kind, const unsigned char *v, bool all, __mmask16 mask)
{
    if (all) return load_keys(kind, v, 0xFFFF);
    if (kind == KV_F16) return widen(_mm256_maskz_loadu_epi16(mask, v));
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(mask, v)));
}

/* To the second cache: the first has too few misses in flight to keep up with the arithmetic. */
INLINE void fetch(const unsigned char *at)
{
    _mm_prefetch((const char *)at, _MM_HINT_T1);
}

/* Scores of `blocks` blocks (1 or 2) from position `i` of the tile on. Those that the last query does not see are
 * made of zeros and not used. */
INLINE void score_blocks(struct tile *tile, size_t i, size_t blocks, size_t queries,
                         enum kv_kind kind)
{
    const struct attention *at = tile->pass->at;
    const float *q = tile->pass->q[tile->from];
    const size_t vectors = 2 * blocks;
    const size_t line = ATTENTION_BLOCK * size_of(kind); // of one dimension
    const unsigned char *k[4];
    __mmask16 mask[4];
    __m512 acc[2 * GROUP];
    size_t count = tile->count[queries - 1] - i;
    UNROLL
    for (size_t j = 0; j < vectors; j++) {
        k[j] =
            area_of(at, tile->begin + i + j / 2 * ATTENTION_BLOCK) + j % 2 * LANES * size_of(kind);
        mask[j] = lanes_below(count > j * LANES ? count - j * LANES : 0);
    }
    UNROLL
    for (size_t a = 0; a < vectors * queries; a++)
        acc[a] = _mm512_setzero_ps();
    for (size_t d = 0; d < at->head_dim; d++) {
        __m512 keys[4];
        UNROLL
        for (size_t j = 0; j < vectors; j += 2) // the block's values are next
            fetch(k[j] + (at->head_dim + d) * line);
        UNROLL
        for (size_t j = 0; j < vectors; j++)
            keys[j] = load_keys(kind, k[j] + d * line, mask[j]);
        UNROLL
        for (size_t h = 0; h < queries; h++) {
            __m512 factor = _mm512_set1_ps(q[h * Q_STRIDE + d]);
            UNROLL
            for (size_t j = 0; j < vectors; j++)
                acc[h * vectors + j] = _mm512_fmadd_ps(factor, keys[j], acc[h * vectors + j]);
        }
    }
    UNROLL
    for (size_t j = 0; j < vectors; j++) {
        __m512 factor = _mm512_set1_ps(at->scale);
        if (kind == KV_INT8)
            factor = _mm512_mul_ps(load_scales(at, tile->begin + i + j * LANES, 0), factor);
        UNROLL
        for (size_t h = 0; h < queries; h++)
            _mm512_storeu_ps(tile->p[h] + i + j * LANES,
                             _mm512_mul_ps(acc[h * vectors + j], factor));
    }
}

INLINE void score_tile(struct tile *tile, size_t queries, enum kv_kind kind)
{
    size_t count = tile->count[queries - 1];
    size_t i = 0;
    if (queries <= GROUP / 2)
        for (; i + ATTENTION_BLOCK < count; i += 2 * ATTENTION_BLOCK)
            score_blocks(tile, i, 2, queries, kind);
    for (; i < count; i += ATTENTION_BLOCK)
        score_blocks(tile, i, 1, queries, kind);
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

/* Exponentials to the weights of the values' bytes. */
INLINE void weigh_tile(struct tile *tile, size_t queries)
{
    for (size_t i = 0; i < tile->count[queries - 1]; i += LANES) {
        __m512 scales = load_scales(tile->pass->at, tile->begin + i, 1);
        for (size_t h = 0; h < queries; h++) {
            float *p = tile->p[h] + i;
            _mm512_storeu_ps(p, _mm512_mul_ps(_mm512_loadu_ps(p), scales));
        }
    }
}

/* Where position i of the next tile has its block: its keys are read after this tile's values. The last tile has
 * its own. */
INLINE const unsigned char *next_keys(const struct tile *tile, size_t i)
{
    const struct pass *pass = tile->pass;
    size_t position = tile->begin + i;
    size_t next = position + ATTENTION_TILE;
    return area_of(pass->at, next < pass->visible[pass->queries - 1] ? next : position);
}

/* Positions [begin, end) of the tile into `vectors` x 16 dimensions from `d` on, of which `mask` are there (all,
 * when vectors > 1), of `queries` queries from `first` on. */
INLINE void mix_lanes(const struct tile *tile, size_t first, size_t begin, size_t end, size_t d,
                      size_t vectors, size_t queries, enum kv_kind kind)
{
    const struct attention *at = tile->pass->at;
    const size_t *place = tile->pass->place + tile->from + first;
    const size_t size = size_of(kind);
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
        const unsigned char *v =
            area_of(at, tile->begin + i) + ((ATTENTION_BLOCK + slot) * head_dim + d) * size;
        const unsigned char *next = next_keys(tile, i) + (slot * head_dim + d) * size;
        for (; i < stop; i++, v += head_dim * size, next += head_dim * size) {
            __m512 values[4];
            UNROLL
            for (size_t j = 0; j < vectors; j += 2)
                fetch(next + j * LANES * size);
            UNROLL
            for (size_t j = 0; j < vectors; j++)
                values[j] = load_values(kind, v + j * LANES * size, vectors > 1, mask);
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
                          size_t queries, enum kv_kind kind)
{
    size_t head_dim = tile->pass->at->head_dim;
    size_t d = 0;
    if (queries <= GROUP / 2)
        for (; d + 4 * LANES <= head_dim; d += 4 * LANES)
            mix_lanes(tile, first, begin, end, d, 4, queries, kind);
    for (; d + 2 * LANES <= head_dim; d += 2 * LANES)
        mix_lanes(tile, first, begin, end, d, 2, queries, kind);
    for (; d < head_dim; d += LANES)
        mix_lanes(tile, first, begin, end, d, 1, queries, kind);
}

/* The positions that not the whole group sees. */
INLINE void mix_rest(struct tile *tile, size_t queries, enum kv_kind kind)
{
    for (size_t h = 0; h < queries; h++) {
        tile->keep[h] = 1; // it was taken with the others
        if (tile->count[h] > tile->count[0])
            mix_positions(tile, h, tile->count[0], tile->count[h], 1, kind);
    }
}

static __attribute__((noinline)) void mix_rest_f16(struct tile *tile, size_t queries)
{
    mix_rest(tile, queries, KV_F16);
}

static __attribute__((noinline)) void mix_rest_int8(struct tile *tile, size_t queries)
{
    mix_rest(tile, queries, KV_INT8);
}

INLINE void attend_tile(struct tile *tile, size_t queries, enum kv_kind kind)
{
    score_tile(tile, queries, kind);
    soften_tile(tile, queries);
    if (kind == KV_INT8) weigh_tile(tile, queries);
    mix_positions(tile, 0, 0, tile->count[0], queries, kind);
    if (tile->count[queries - 1] == tile->count[0]) return;
    kind == KV_INT8 ? mix_rest_int8(tile, queries) : mix_rest_f16(tile, queries);
}

INLINE void attend_queries(struct tile *tile, size_t queries, enum kv_kind kind)
{
    switch (queries) {
    case 1: attend_tile(tile, 1, kind); break;
    case 2: attend_tile(tile, 2, kind); break;
    case 3: attend_tile(tile, 3, kind); break;
    case 4: attend_tile(tile, 4, kind); break;
    case 5: attend_tile(tile, 5, kind); break;
    case 6: attend_tile(tile, 6, kind); break;
    case 7: attend_tile(tile, 7, kind); break;
    case 8: attend_tile(tile, 8, kind); break;
    case 9: attend_tile(tile, 9, kind); break;
    case 10: attend_tile(tile, 10, kind); break;
    case 11: attend_tile(tile, 11, kind); break;
    default: attend_tile(tile, GROUP, kind); break;
    }
}

static void attend_group_f16(struct tile *tile, size_t queries)
{
    attend_queries(tile, queries, KV_F16);
}

static void attend_group_int8(struct tile *tile, size_t queries)
{
    attend_queries(tile, queries, KV_INT8);
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
            if (tile.count[queries - 1] > 0) pass->attend_group(&tile, queries);
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

static void attend(const struct attention *at,
                   void (*attend_group)(struct tile *tile, size_t queries))
{
    size_t queries = at->rows * at->heads;
    size_t passes = (queries + PASS - 1) / PASS;
    struct pass pass;
    pass.at = at;
    pass.attend_group = attend_group;
    for (size_t i = 0; i < passes; i++) {
        size_t first = queries * i / passes;
        pass.queries = queries * (i + 1) / passes - first;
        begin_pass(&pass, first);
        walk_tiles(&pass);
        end_pass(&pass);
    }
}

static void attention_f16(const struct attention *at)
{
    attend(at, attend_group_f16);
}

static void attention_int8(const struct attention *at)
{
    attend(at, attend_group_int8);
}

void avx512_fill_attention(struct ops *ops)
{
    ops->attention[KV_F16] = attention_f16;
    ops->attention[KV_INT8] = attention_int8;
}
