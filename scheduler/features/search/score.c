#include "scheduler/features/search/score.h"

#include "base/must.h"

#include <math.h>

#define COMMON_SHARE 0.05

void score_init(struct score *score, double k1, double b)
{
    score->k1 = k1;
    score->b = b;
}

void score_count(struct score *score, int sign, uint32_t length)
{
    must(sign > 0 || (score->documents > 0 && score->lengths >= length));
    score->documents += sign > 0 ? 1 : UINT64_MAX;
    score->lengths += sign > 0 ? length : UINT64_MAX - length + 1;
}

void score_query(struct score *score, const struct lexical_term *terms, size_t count)
{
    score->count = 0;
    for (size_t i = 0; i < count && !terms[i].is_unwanted; i++)
        score->phrases[score->count++] = (struct score_phrase){terms[i].weight, terms[i].group};
}

/* What stands in half of the documents and more would count nothing, or against them: it counts little. */
double score_idf(double odds)
{
    return fmax(log(odds), COMMON_SHARE * log(1 + odds));
}

void score_weigh(struct score *score, size_t phrase, uint64_t documents)
{
    double all = (double)score->documents, some = (double)documents;
    if (some > all) some = all;
    double odds = (all - some + 0.5) / (some + 0.5);
    score->phrases[phrase].weight *= documents ? score_idf(odds) * (score->k1 + 1) : 0;
}

void score_norm(const struct score *score, double *base, double *slope)
{
    double average = score->documents ? (double)score->lengths / (double)score->documents : 1;
    *base = score->k1 * (1 - score->b);
    *slope = average > 0 ? score->k1 * score->b / average : 0;
    if (average <= 0) *base = score->k1;
}

double score_best(const struct score *score)
{
    double sum = 0;
    for (size_t i = 0; i < score->count;) {
        double best = 0;
        uint32_t group = score->phrases[i].group;
        for (; i < score->count && score->phrases[i].group == group; i++)
            best = fmax(best, score->phrases[i].weight);
        sum += best;
    }
    return sum;
}
