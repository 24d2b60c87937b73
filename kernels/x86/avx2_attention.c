/* kernels/x86/avx2_attention.c -- the AVX2 column: attention over paged keys and values.
 *
 * Made like a float product. The queries of a call (rows x heads) go in passes that walk the tiles of positions
 * together, so that a tile is read from the cache; within, GROUP queries at a time hold their sums in registers, so that
 * a key or a value is widened once for all of them. Lanes are positions in the scores and dimensions in the mix.
 *
 * Rows end at different positions: a group mixes at once what all of its queries see, and the rest of a tile query by
 * query. */
#include "kernels/attention.h"
#include "kernels/mathf.h"
#include "kernels/ops.h"
#include "kernels/x86/avx2.h"

#include <math.h>
#include <string.h>

enum {
    GROUP = 6,
    PASS = 4 * GROUP,
    SUMS = 2 * GROUP, // vectors in registers
    VECTORS = 4       // at most, of positions or dimensions at once
};

struct pass {
    const struct attention *at;
    size_t queries;
    size_t place[PASS];   // floats from at->q and at->out to each query
    size_t visible[PASS]; // positions that each sees; ascending
    float top[PASS];
    float sum[PASS];
};

/* A group of queries at a tile of positions. */
struct tile {
    struct pass *pass;
    size_t from;         // the group's first query in the pass
    size_t begin;        // the tile's first position
    size_t count[GROUP]; // positions of the tile that each query sees; ascending, the last > 0
    float keep[GROUP];
    float p[GROUP][ATTENTION_TILE]; // scores, then their exponentials, then weights
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

/* 8 keys or values. */
INLINE __m256 load_eight(enum kv_kind kind, const unsigned char *from)
{
    if (kind == KV_F16) return load_halves((const uint16_t *)(const void *)from);
    __m128i bytes = _mm_loadl_epi64((const __m128i *)(const void *)from);
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes));
}

/* Scales of 8 positions; `which` is 0 for the keys', 1 for the values'. */
INLINE __m256 load_scales(const struct attention *at, size_t position, size_t which)
{
    const unsigned char *scales = area_of(at, position) + attention_scales_at(at->head_dim);
    size_t index = which * ATTENTION_BLOCK + position % ATTENTION_BLOCK;
    return _mm256_loadu_ps((const float *)(const void *)scales + index);
}

/* To the second cache: the first has too few misses in flight to keep up with the arithmetic. */
INLINE void fetch(const unsigned char *at)
{
    _mm_prefetch((const char *)at, _MM_HINT_T1);
}

/* Scores of `vectors` x 8 positions of one block, from position `i` of the tile on. Those that are not visible have
 * lanes of their own, which are not used. */
INLINE void score_lanes(struct tile *tile, size_t i, size_t vectors, size_t queries,
                        enum kv_kind kind)
{
    const struct attention *at = tile->pass->at;
    const size_t *place = tile->pass->place + tile->from;
    const size_t line = ATTENTION_BLOCK * size_of(kind); // of one dimension
    const unsigned char *k = area_of(at, tile->begin + i) + i % ATTENTION_BLOCK * size_of(kind);
    const float *q[GROUP];
    __m256 acc[SUMS];
    UNROLL
    for (size_t h = 0; h < queries; h++)
        q[h] = at->q + place[h];
    UNROLL
    for (size_t a = 0; a < vectors * queries; a++)
        acc[a] = _mm256_setzero_ps();
    for (size_t d = 0; d < at->head_dim; d++, k += line) {
        __m256 keys[VECTORS];
        fetch(k + at->head_dim * line); // the block's values are next
        UNROLL
        for (size_t j = 0; j < vectors; j++)
            keys[j] = load_eight(kind, k + j * HALF * size_of(kind));
        UNROLL
        for (size_t h = 0; h < queries; h++) {
            __m256 factor = _mm256_set1_ps(q[h][d]);
            UNROLL
            for (size_t j = 0; j < vectors; j++)
                acc[h * vectors + j] = _mm256_fmadd_ps(factor, keys[j], acc[h * vectors + j]);
        }
    }
    UNROLL
    for (size_t j = 0; j < vectors; j++) {
        __m256 factor = _mm256_set1_ps(at->scale);
        if (kind == KV_INT8)
            factor = _mm256_mul_ps(load_scales(at, tile->begin + i + j * HALF, 0), factor);
        UNROLL
        for (size_t h = 0; h < queries; h++)
            _mm256_storeu_ps(tile->p[h] + i + j * HALF,
                             _mm256_mul_ps(acc[h * vectors + j], factor));
    }
}

/* Scores to exponentials, tops and sums. A query that sees nothing of the tile stays as it is. */
INLINE void soften_tile(struct tile *tile, size_t queries)
{
    float *tops = tile->pass->top + tile->from;
    float *sums = tile->pass->sum + tile->from;
    for (size_t h = 0; h < queries; h++) {
        if (tile->count[h] == 0) continue;
        float tile_top = avx2_max(tile->p[h], tile->count[h]);
        float top = tile_top > tops[h] ? tile_top : tops[h];
        tile->keep[h] = mathf_exp(tops[h] - top);
        float sum = avx2_exp_sum(tile->p[h], tile->p[h], top, tile->count[h]);
        sums[h] = fmaf(sums[h], tile->keep[h], sum);
        tops[h] = top;
    }
}

/* Exponentials to the weights of the values' bytes. */
INLINE void weigh_tile(struct tile *tile, size_t queries)
{
    for (size_t i = 0; i < tile->count[queries - 1]; i += HALF) {
        __m256 scales = load_scales(tile->pass->at, tile->begin + i, 1);
        for (size_t h = 0; h < queries; h++) {
            float *p = tile->p[h] + i;
            _mm256_storeu_ps(p, _mm256_mul_ps(_mm256_loadu_ps(p), scales));
        }
    }
}

/* Where position i of the next tile has its block, whose keys are read after this tile's values. The last tile has its
 * own. */
INLINE const unsigned char *next_keys(const struct tile *tile, size_t i)
{
    const struct pass *pass = tile->pass;
    size_t position = tile->begin + i;
    size_t next = position + ATTENTION_TILE;
    return area_of(pass->at, next < pass->visible[pass->queries - 1] ? next : position);
}

/* Positions [begin, end) of the tile into `vectors` x 8 dimensions from `d` on, of `queries` queries from `first`
 * on. */
INLINE void mix_lanes(const struct tile *tile, size_t first, size_t begin, size_t end, size_t d,
                      size_t vectors, size_t queries, enum kv_kind kind)
{
    const struct attention *at = tile->pass->at;
    const size_t *place = tile->pass->place + tile->from + first;
    const size_t row = at->head_dim * size_of(kind); // of one position
    __m256 acc[SUMS];
    UNROLL
    for (size_t h = 0; h < queries; h++) {
        __m256 keep = _mm256_set1_ps(tile->keep[first + h]);
        UNROLL
        for (size_t j = 0; j < vectors; j++)
            acc[h * vectors + j] =
                _mm256_mul_ps(_mm256_loadu_ps(at->out + place[h] + d + j * HALF), keep);
    }
    for (size_t i = begin; i < end;) {
        size_t slot = i % ATTENTION_BLOCK;
        size_t stop = i - slot + ATTENTION_BLOCK < end ? i - slot + ATTENTION_BLOCK : end;
        const unsigned char *v =
            area_of(at, tile->begin + i) + (ATTENTION_BLOCK + slot) * row + d * size_of(kind);
        const unsigned char *next = next_keys(tile, i) + slot * row + d * size_of(kind);
        for (; i < stop; i++, v += row, next += row) {
            __m256 values[VECTORS];
            fetch(next);
            UNROLL
            for (size_t j = 0; j < vectors; j++)
                values[j] = load_eight(kind, v + j * HALF * size_of(kind));
            UNROLL
            for (size_t h = 0; h < queries; h++) {
                __m256 p = _mm256_set1_ps(tile->p[first + h][i]);
                UNROLL
                for (size_t j = 0; j < vectors; j++)
                    acc[h * vectors + j] = _mm256_fmadd_ps(p, values[j], acc[h * vectors + j]);
            }
        }
    }
    UNROLL
    for (size_t h = 0; h < queries; h++) {
        UNROLL
        for (size_t j = 0; j < vectors; j++)
            _mm256_storeu_ps(at->out + place[h] + d + j * HALF, acc[h * vectors + j]);
    }
}

INLINE void mix_positions(const struct tile *tile, size_t first, size_t begin, size_t end,
                          size_t queries, enum kv_kind kind)
{
    size_t head_dim = tile->pass->at->head_dim;
    size_t d = 0;
    if (queries <= SUMS / VECTORS)
        for (; d + VECTORS * HALF <= head_dim; d += VECTORS * HALF)
            mix_lanes(tile, first, begin, end, d, VECTORS, queries, kind);
    for (; d + 2 * HALF <= head_dim; d += 2 * HALF)
        mix_lanes(tile, first, begin, end, d, 2, queries, kind);
    if (d < head_dim) mix_lanes(tile, first, begin, end, d, 1, queries, kind);
}

INLINE void attend_tile(struct tile *tile, size_t queries, enum kv_kind kind)
{
    const size_t vectors = queries <= SUMS / VECTORS ? VECTORS : 2;
    for (size_t i = 0; i < tile->count[queries - 1]; i += vectors * HALF)
        score_lanes(tile, i, vectors, queries, kind);
    soften_tile(tile, queries);
    if (kind == KV_INT8) weigh_tile(tile, queries);
    size_t common = tile->count[0];
    if (common > 0) {
        mix_positions(tile, 0, 0, common, queries, kind);
        for (size_t h = 0; h < queries; h++)
            tile->keep[h] = 1; // what is left comes on top
    }
    UNROLL_NOT
    for (size_t h = 1; h < queries; h++)
        if (tile->count[h] > common) mix_positions(tile, h, common, tile->count[h], 1, kind);
}

INLINE void attend_group(struct tile *tile, size_t queries, enum kv_kind kind)
{
    switch (queries) {
    case 1: attend_tile(tile, 1, kind); break;
    case 2: attend_tile(tile, 2, kind); break;
    case 3: attend_tile(tile, 3, kind); break;
    case 4: attend_tile(tile, 4, kind); break;
    case 5: attend_tile(tile, 5, kind); break;
    default: attend_tile(tile, GROUP, kind); break;
    }
}

INLINE void walk_tiles(struct pass *pass, enum kv_kind kind)
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
            if (tile.count[queries - 1] > 0) attend_group(&tile, queries, kind);
        }
    }
}

static void begin_pass(struct pass *pass, size_t first)
{
    const struct attention *at = pass->at;
    for (size_t i = 0; i < pass->queries; i++) {
        size_t row = (first + i) / at->heads;
        pass->place[i] = row * at->row_stride + (first + i) % at->heads * at->head_dim;
        pass->visible[i] = at->positions + row;
        pass->top[i] = -INFINITY;
        pass->sum[i] = 0;
        memset(at->out + pass->place[i], 0, at->head_dim * sizeof *at->out);
    }
}

static void end_pass(const struct pass *pass)
{
    for (size_t i = 0; i < pass->queries; i++) {
        float *mix = pass->at->out + pass->place[i];
        for (size_t d = 0; d < pass->at->head_dim; d++)
            mix[d] = mix[d] / pass->sum[i];
    }
}

INLINE void attend(const struct attention *at, enum kv_kind kind)
{
    size_t queries = at->rows * at->heads;
    size_t passes = (queries + PASS - 1) / PASS;
    struct pass pass = {.at = at};
    for (size_t i = 0; i < passes; i++) {
        size_t first = queries * i / passes;
        pass.queries = queries * (i + 1) / passes - first;
        begin_pass(&pass, first);
        walk_tiles(&pass, kind);
        end_pass(&pass);
    }
}

static void attention_f16(const struct attention *at)
{
    attend(at, KV_F16);
}

static void attention_int8(const struct attention *at)
{
    attend(at, KV_INT8);
}

void avx2_fill_attention(struct ops *ops)
{
    ops->attention[KV_F16] = attention_f16;
    ops->attention[KV_INT8] = attention_int8;
}
