#include "client/load/tally.h"

#include <stdio.h>
#include <string.h>

void tally_error(struct tally *tally, const char *kind)
{
    tally->failed++;
    size_t i = 0;
    while (i < tally->error_count && strcmp(tally->errors[i].kind, kind) != 0)
        i++;
    if (i == TALLY_KINDS_MAX) {
        i--; // "other", see below
    } else if (i == tally->error_count) {
        if (i == TALLY_KINDS_MAX - 1) kind = "other";
        snprintf(tally->errors[i].kind, sizeof tally->errors[i].kind, "%s", kind);
        tally->error_count++;
    }
    tally->errors[i].count++;
}

void tally_outcome(struct tally *tally, const struct outcome *outcome)
{
    if (outcome->end_ns > tally->end_ns) tally->end_ns = outcome->end_ns;
    histogram_add(&tally->lag, outcome->sent_ns - outcome->intended_ns);
    if (outcome->kind[0]) {
        tally_error(tally, outcome->kind);
        return;
    }
    tally->answered++;
    if (outcome->first_ns) histogram_add(&tally->first, outcome->first_ns - outcome->intended_ns);
    histogram_add(&tally->total, outcome->end_ns - outcome->intended_ns);
    tally->without_usage += !outcome->has_usage;
    tally->prompt_tokens += outcome->prompt_tokens;
    tally->cached_tokens += outcome->cached_tokens;
    tally->completion_tokens += outcome->completion_tokens;
}

double tally_elapsed_s(const struct tally *tally)
{
    if (tally->end_ns <= tally->start_ns) return 1e-9;
    return (double)(tally->end_ns - tally->start_ns) * 1e-9;
}
