#include "node/engine/draft.h"

#define CLEARLY 1.03 // times the plain step's ids per millisecond

/* The offer whose next draft has the best chance, which is in *chance; -1: there is none. */
static ptrdiff_t best_offer(const struct draft_offer *offers, size_t offer_count, double *chance)
{
    ptrdiff_t best = -1;
    *chance = 0;
    for (size_t i = 0; i < offer_count; i++) {
        if (offers[i].taken == offers[i].count) continue;
        double product = 1;
        for (uint32_t at = 0; at <= offers[i].taken; at++)
            product *= (double)offers[i].rate;
        if (product <= *chance) continue;
        *chance = product;
        best = (ptrdiff_t)i;
    }
    return best;
}

/* Take rows by their chance, at most `rows_max`; the count with the best ids per millisecond so far. */
static uint32_t take_rows(const struct pace *pace, const struct pace_step *plain, double ids,
                          struct draft_offer *offers, size_t offer_count, uint32_t rows_max)
{
    struct pace_step step = *plain;
    double best = pace ? ids / pace_predict(pace, plain) * CLEARLY : 0;
    uint32_t best_rows = 0;
    for (size_t i = 0; i < offer_count; i++)
        offers[i].taken = 0;
    for (uint32_t rows = 1; rows <= rows_max; rows++) {
        double chance;
        ptrdiff_t at = best_offer(offers, offer_count, &chance);
        if (at < 0) break;
        pace_add(&step, offers[at].position + offers[at].taken, 1, 1);
        offers[at].taken++;
        ids += chance;
        double rate = pace ? ids / pace_predict(pace, &step) : ids;
        if (rate <= best) continue;
        best = rate;
        best_rows = rows;
    }
    return best_rows;
}

uint32_t draft_choose(const struct pace *pace, const struct pace_step *plain, uint32_t sequences,
                      struct draft_offer *offers, size_t offer_count, uint32_t rows_max)
{
    uint32_t rows = take_rows(pace, plain, sequences, offers, offer_count, rows_max);
    (void)take_rows(pace, plain, sequences, offers, offer_count, rows); // the same ones again
    return rows;
}
