/* bench/filter.c -- what the safety filter costs: ns for a byte of text and for a token, with 10,000 terms.
 *
 *      bench-filter FILE [TERMS]      FILE: any text in UTF-8, a line an answer
 *
 * The text comes in pieces of three bytes or a little more, which is what tokens of Chinese and of English have; the terms are drawn from a
 * seed. A share of a stream's time is ns per token × tokens per second: docs/filter.md has both, measured side by side. */
#include "scheduler/policy/sieve.h"
#include "tests/support/synthetic.h"

#include "text/disguise.h"
#include "text/match.h"
#include "text/utf8.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    PIECE = 3,
    ROUNDS = 5,
    FILE_MAX = 64 << 20
};

struct figures {
    size_t bytes, pieces, hits;
};

/* One answer, piece by piece. */
static void pass(const struct bundle *bundle, const char *text, size_t size, struct buf *out,
                 struct figures *figures)
{
    static const struct rules_filter rules;
    struct sieve *sieve = sieve_new(bundle, &rules, SIEVE_OUTPUT);
    for (size_t at = 0, piece; at < size; at += piece) {
        piece = 0;
        while (piece < PIECE && at + piece < size) {
            int32_t code;
            piece += utf8_next(text + at + piece, size - at - piece, &code);
        }
        sieve_push(sieve, text + at, piece, out);
        figures->pieces++;
    }
    sieve_end(sieve, out);
    figures->bytes += size;
    figures->hits += sieve_action(sieve) != RULES_PASS;
    sieve_free(sieve);
    buf_clear(out);
}

static const struct bundle *make_bundle(const struct disguise *disguise, const struct fold *fold,
                                        size_t count)
{
    struct synthetic_han *han = mem_new(1, sizeof *han);
    struct buf file = {0};
    struct terms *terms;
    const struct bundle *bundle = NULL;
    synthetic_all_han(han, fold);
    synthetic_bundle(&file, count, 1, han);
    uint64_t begin = clock_now_ns();
    if (terms_parse(&terms, "synthetic", buf_text(&file), file.size) ||
        bundle_new(&bundle, disguise, terms))
        fprintf(stderr, "bench-filter: %s\n", err_text());
    else
        printf("%zu terms: compiled in %.1f ms, %.1f MiB\n", bundle->terms->count,
               (double)(clock_now_ns() - begin) / (double)CLOCK_MS,
               (double)match_bytes(bundle->match) / (1 << 20));
    buf_fini(&file);
    mem_free(han);
    return bundle;
}

int main(int argc, char **argv)
{
    char *text = NULL;
    size_t size;
    struct fold *fold;
    struct buf out = {0};
    if (argc < 2 || file_read(&text, &size, argv[1], FILE_MAX) || fold_new(&fold)) {
        fprintf(stderr, "bench-filter: %s\n", argc < 2 ? "FILE is missing" : err_text());
        return 2;
    }
    struct disguise *disguise = disguise_new(fold);
    const struct bundle *bundle =
        make_bundle(disguise, fold, argc > 2 ? (size_t)strtoul(argv[2], NULL, 10) : 10000);
    for (int round = 0; bundle && round < ROUNDS; round++) {
        struct figures figures = {0};
        uint64_t begin = clock_now_ns();
        for (char *line = text; line < text + size;) {
            char *end = memchr(line, '\n', (size_t)(text + size - line));
            end = end ? end : text + size;
            pass(bundle, line, (size_t)(end - line), &out, &figures);
            line = end + 1;
        }
        double ns = (double)(clock_now_ns() - begin);
        printf("%zu bytes in %zu pieces, %zu answers with hits: %.1f ns a byte, %.0f ns a piece\n",
               figures.bytes, figures.pieces, figures.hits, ns / (double)figures.bytes,
               ns / (double)figures.pieces);
    }
    bundle_drop(bundle);
    disguise_free(disguise);
    fold_free(fold);
    mem_free(text);
    buf_fini(&out);
    return bundle ? 0 : 1;
}
