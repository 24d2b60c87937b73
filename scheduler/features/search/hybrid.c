#include "scheduler/features/search/hybrid.h"

#include "base/must.h"

bool hybrid_is_asked(const struct hybrid_wishes *wishes)
{
    return wishes->hybrid || wishes->rerank || wishes->personal > 0;
}

void hybrid_init(struct hybrid *hybrid, const struct hybrid_wishes *wishes,
                 const struct hybrid_seams *seams, bool has_words)
{
    *hybrid = (struct hybrid){.seams = *seams, .wishes = *wishes, .has_words = has_words};
    if (wishes->hybrid && wishes->ratio > 0 && has_words) hybrid->parts[RANKING_VECTOR] = HYBRID_ON;
    if (wishes->rerank && has_words) hybrid->parts[RANKING_RERANK] = HYBRID_ON;
    if (wishes->personal > 0) hybrid->parts[RANKING_PERSONAL] = HYBRID_ON;
}

static bool is_open(const struct hybrid *hybrid, enum ranking_part part)
{
    return hybrid->parts[part] == HYBRID_ON || hybrid->parts[part] == HYBRID_OUT;
}

static bool has_judges(const struct hybrid *hybrid)
{
    return is_open(hybrid, RANKING_RERANK) || is_open(hybrid, RANKING_PERSONAL);
}

static void work(struct hybrid *hybrid, unsigned what)
{
    hybrid->parts[RANKING_LEXICAL] = HYBRID_OUT;
    if (what & HYBRID_ANSWER) hybrid->state = HYBRID_ANSWERING;
    hybrid->seams.work(hybrid->seams.owner, what);
}

static void begin(struct hybrid *hybrid, enum ranking_part part)
{
    if (hybrid->parts[part] != HYBRID_ON) return;
    hybrid->parts[part] = HYBRID_OUT;
    hybrid->begins = true;
    hybrid->seams.begin(hybrid->seams.owner, part);
    hybrid->begins = false;
}

/* What comes next once the parts of the step are settled. */
static void advance(struct hybrid *hybrid)
{
    if (hybrid->begins || hybrid->parts[RANKING_LEXICAL] == HYBRID_OUT) return;
    if (hybrid->state == HYBRID_FINDING) {
        if (is_open(hybrid, RANKING_VECTOR)) return;
        hybrid->state = HYBRID_JUDGING;
        work(hybrid, has_judges(hybrid) ? HYBRID_GATHER : HYBRID_ANSWER);
    } else if (hybrid->state == HYBRID_JUDGING && !has_judges(hybrid)) {
        work(hybrid, HYBRID_ANSWER);
    }
}

void hybrid_start(struct hybrid *hybrid)
{
    must(hybrid->state == HYBRID_FINDING && hybrid->parts[RANKING_LEXICAL] == HYBRID_OFF);
    begin(hybrid, RANKING_VECTOR);
    if (is_open(hybrid, RANKING_VECTOR)) {
        work(hybrid, HYBRID_RANK);
    } else if (has_judges(hybrid)) {
        hybrid->state = HYBRID_JUDGING;
        work(hybrid, HYBRID_RANK | HYBRID_GATHER);
    } else {
        work(hybrid, HYBRID_RANK | HYBRID_ANSWER);
    }
}

void hybrid_worked(struct hybrid *hybrid)
{
    if (hybrid->state == HYBRID_ENDED) return;
    must(hybrid->parts[RANKING_LEXICAL] == HYBRID_OUT);
    hybrid->parts[RANKING_LEXICAL] = HYBRID_THERE;
    if (hybrid->state == HYBRID_ANSWERING) {
        hybrid->state = HYBRID_ENDED;
        return;
    }
    if (hybrid->state == HYBRID_JUDGING) {
        begin(hybrid, RANKING_RERANK);
        begin(hybrid, RANKING_PERSONAL);
    }
    advance(hybrid);
}

void hybrid_again(struct hybrid *hybrid)
{
    if (hybrid->state == HYBRID_ENDED) return;
    must(hybrid->parts[RANKING_LEXICAL] == HYBRID_OUT);
    must(hybrid->parts[RANKING_VECTOR] == HYBRID_THERE);
    hybrid->parts[RANKING_LEXICAL] = HYBRID_THERE;
    hybrid->parts[RANKING_VECTOR] = HYBRID_OUT;
    hybrid->state = HYBRID_FINDING;
}

void hybrid_settle(struct hybrid *hybrid, enum ranking_part part, bool is_there)
{
    if (hybrid->state == HYBRID_ENDED || hybrid->parts[part] != HYBRID_OUT) return;
    must(part != RANKING_LEXICAL);
    hybrid->parts[part] = is_there ? HYBRID_THERE : HYBRID_MISSING;
    advance(hybrid);
}

static void drop(struct hybrid *hybrid)
{
    for (size_t i = RANKING_VECTOR; i < RANKING_PARTS; i++) {
        if (hybrid->parts[i] != HYBRID_OUT) continue;
        hybrid->parts[i] = HYBRID_MISSING;
        hybrid->seams.drop(hybrid->seams.owner, (enum ranking_part)i);
    }
}

void hybrid_hurry(struct hybrid *hybrid)
{
    if (hybrid->state == HYBRID_ENDED) return;
    drop(hybrid);
    advance(hybrid);
}

void hybrid_end(struct hybrid *hybrid)
{
    if (hybrid->state == HYBRID_ENDED) return;
    hybrid->state = HYBRID_ENDED;
    drop(hybrid);
}

double hybrid_weight(const struct hybrid *hybrid, enum ranking_part part)
{
    bool vectors = hybrid->parts[RANKING_VECTOR] == HYBRID_THERE;
    if (part == RANKING_LEXICAL && !hybrid->has_words) return HYBRID_ARRIVAL_WEIGHT;
    if (part == RANKING_LEXICAL) return vectors ? 1 - hybrid->wishes.ratio : 1;
    if (hybrid->parts[part] != HYBRID_THERE) return 0;
    switch (part) {
    case RANKING_VECTOR: return hybrid->wishes.ratio;
    case RANKING_RERANK: return hybrid->wishes.rerank_weight;
    default: return hybrid->wishes.personal;
    }
}

bool hybrid_lacks(const struct hybrid *hybrid, enum ranking_part part)
{
    return hybrid->parts[part] == HYBRID_MISSING;
}
