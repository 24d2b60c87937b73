#include "scheduler/features/search/sweep.h"

#include "base/clock.h"
#include "base/must.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    WORDS = SWEEP_WINDOW / 64
};

/* Sums of bounds and sums of scores are rounded in other orders. */
static const double slack = 1 + 1e-9;

/* One window on its way. */
struct window {
    uint64_t any[WORDS];    // has a list that is wanted
    uint64_t strong[WORDS]; // has one of a group that makes candidates
    uint64_t every[WORDS];  // has all groups so far
    uint64_t refused[WORDS];
    uint64_t begin, end;
};

// ---- places ------------------------------------------------------------------------------------

/* The first number that the list has from its place on; UINT64_MAX at its end. */
static uint64_t next_of(const struct sweep_list *list)
{
    return list->run < list->count ? list->runs[list->run].numbers[list->at] : UINT64_MAX;
}

/* Of the lists that find something. */
static uint64_t first_number(const struct sweep *sweep)
{
    uint64_t first = UINT64_MAX;
    for (size_t i = 0; i < sweep->group_count; i++) {
        if (sweep->groups[i].is_extra) continue;
        for (size_t j = sweep->groups[i].begin; j < sweep->groups[i].end; j++) {
            uint64_t number = next_of(&sweep->lists[j]);
            if (number < first) first = number;
        }
    }
    return first;
}

/* Beyond what is before the window: lists that find nothing have stayed behind. */
static void skip_to(struct sweep_list *list, uint64_t begin)
{
    while (list->run < list->count) {
        const struct postings_run *run = &list->runs[list->run];
        if (run->numbers[run->count - 1] >= begin) {
            while (run->numbers[list->at] < begin)
                list->at++;
            return;
        }
        list->run++;
        list->at = 0;
    }
}

/* The run's places from `at` on that lie before `end`. */
static uint32_t end_in(const struct postings_run *run, uint32_t at, uint64_t end)
{
    if (run->numbers[run->count - 1] < end) return run->count;
    while (run->numbers[at] < end)
        at++;
    return at;
}

/* The list has nothing in the window: the next one begins where this one does. */
static void stay(struct sweep_list *list)
{
    list->next_run = list->run;
    list->next_at = list->at;
}

// ---- bits --------------------------------------------------------------------------------------

/* Set the bits of the list's documents, and know where the next window begins. */
static void mark(struct sweep_list *list, const struct window *window, uint64_t *bits)
{
    size_t run = list->run;
    uint32_t at = list->at;
    for (; run < list->count && list->runs[run].numbers[at] < window->end; run++, at = 0) {
        const struct postings_run *one = &list->runs[run];
        uint32_t end = end_in(one, at, window->end);
        for (; at < end; at++) {
            uint32_t place = one->numbers[at] % SWEEP_WINDOW;
            bits[place / 64] |= UINT64_C(1) << (place % 64);
        }
        if (end < one->count) break;
    }
    list->next_run = run;
    list->next_at = at;
}

static bool is_in(const struct sweep *sweep, const struct sweep_group *group, uint64_t end)
{
    for (size_t i = group->begin; i < group->end; i++)
        if (next_of(&sweep->lists[i]) < end) return true;
    return false;
}

static void mark_groups(struct sweep *sweep, struct window *window, const bool *is_weak)
{
    uint64_t bits[WORDS];
    memset(window->every, 0xFF, sizeof window->every);
    for (size_t i = 0; i < sweep->group_count; i++) {
        const struct sweep_group *group = &sweep->groups[i];
        // Most groups of a long query are of rare words. Where every group must be there, this one is not.
        if (!is_in(sweep, group, window->end) && !sweep->all) {
            for (size_t j = group->begin; j < group->end; j++)
                stay(&sweep->lists[j]);
            continue;
        }
        memset(bits, 0, sizeof bits);
        for (size_t j = group->begin; j < group->end; j++)
            mark(&sweep->lists[j], window, bits);
        for (size_t j = 0; j < WORDS && !group->is_extra; j++) {
            window->any[j] |= bits[j];
            if (!is_weak[i]) window->strong[j] |= bits[j];
            window->every[j] &= bits[j];
        }
    }
    for (size_t i = sweep->wanted; i < sweep->count; i++)
        mark(&sweep->lists[i], window, window->refused);
}

/* What matches is told; what may be among the best stays in `strong`. */
static bool choose(struct sweep *sweep, struct window *window)
{
    size_t first = (size_t)window->begin / 64;
    uint64_t candidates = 0;
    for (size_t i = 0; i < WORDS; i++) {
        uint64_t match = window->any[i] & ~window->refused[i];
        if (sweep->all) match &= window->every[i];
        if (sweep->allowed)
            match &= first + i < sweep->allowed->count ? sweep->allowed->words[first + i] : 0;
        if (match) sweep->matched->words[first + i] |= match;
        window->strong[i] &= match;
        candidates |= window->strong[i];
    }
    return candidates != 0;
}

// ---- bounds ------------------------------------------------------------------------------------

static double bound_of(const struct sweep *sweep, const struct sweep_list *list,
                       const struct window *window)
{
    double bound = 0;
    for (size_t run = list->run; run < list->count; run++) {
        const struct postings_run *one = &list->runs[run];
        if (one->numbers[run == list->run ? list->at : 0] >= window->end) break;
        double most = one->most, norm = sweep->base + sweep->slope * one->shortest;
        bound = fmax(bound, most / (most + norm));
    }
    return bound * list->weight;
}

/* What a group can add to a score at most. */
struct bound {
    double bound;
    size_t group;
};

static int compare_bounds(const void *left, const void *right)
{
    double a = ((const struct bound *)left)->bound, b = ((const struct bound *)right)->bound;
    return (a > b) - (a < b);
}

/* Which groups are too weak to make a candidate where `least` is needed. False: all of them together. */
static bool find_weak(struct sweep *sweep, const struct window *window, double least, bool *is_weak)
{
    struct bound weakest[LEXICAL_TERMS_MAX];
    double sum = 0, weak = 0;
    size_t count = 0;
    memset(is_weak, 0, sweep->group_count * sizeof *is_weak);
    if (!(least > -INFINITY)) return true;
    for (size_t i = 0; i < sweep->group_count; i++) {
        double bound = 0;
        for (size_t j = sweep->groups[i].begin; j < sweep->groups[i].end; j++)
            bound = fmax(bound, bound_of(sweep, &sweep->lists[j], window));
        sum += bound;
        is_weak[i] = sweep->groups[i].is_extra;
        if (is_weak[i])
            weak += bound;
        else
            weakest[count++] = (struct bound){bound, i};
    }
    if (sum * slack <= least) return false;
    qsort(weakest, count, sizeof *weakest, compare_bounds);
    for (size_t i = 0; i < count; i++) {
        weak += weakest[i].bound;
        if (weak * slack > least) break;
        is_weak[weakest[i].group] = true;
    }
    return true;
}

// ---- scores ------------------------------------------------------------------------------------

/* The list's part of each candidate's score: added, or the best of its group. */
static void score_list(struct sweep *sweep, const struct sweep_list *list,
                       const struct window *window, bool is_alone)
{
    size_t run = list->run;
    uint32_t at = list->at;
    for (; run < list->count && list->runs[run].numbers[at] < window->end; run++, at = 0) {
        const struct postings_run *one = &list->runs[run];
        uint32_t end = run == list->next_run ? list->next_at : one->count;
        for (; at < end; at++) {
            uint32_t number = one->numbers[at], place = number % SWEEP_WINDOW;
            if (!(window->strong[place / 64] >> (place % 64) & 1)) continue;
            double frequency = one->frequencies[at];
            double norm = sweep->base + sweep->slope * sweep->lengths[number];
            double part = list->weight * frequency / (frequency + norm);
            if (is_alone)
                sweep->scores[place] += part;
            else if (part > sweep->bests[place])
                sweep->bests[place] = part;
        }
        if (run == list->next_run) return;
    }
}

static void score_groups(struct sweep *sweep, const struct window *window)
{
    for (size_t i = 0; i < sweep->group_count; i++) {
        const struct sweep_group *group = &sweep->groups[i];
        bool is_alone = group->end - group->begin == 1;
        for (size_t j = group->begin; j < group->end; j++)
            score_list(sweep, &sweep->lists[j], window, is_alone);
        if (is_alone) continue;
        for (size_t j = 0; j < SWEEP_WINDOW; j++)
            sweep->scores[j] += sweep->bests[j];
        memset(sweep->bests, 0, sizeof sweep->bests);
    }
}

/* Tell of the candidates, in their order. */
static double tell(struct sweep *sweep, const struct window *window, double least)
{
    for (size_t i = 0; i < WORDS; i++) {
        for (uint64_t left = window->strong[i]; left; left &= left - 1) {
            size_t place = 64 * i + (size_t)__builtin_ctzll(left);
            double score = sweep->scores[place];
            sweep->scores[place] = 0;
            if (score > least)
                least = sweep->hit(sweep->owner, (uint32_t)(window->begin + place), score);
        }
    }
    return least;
}

enum err sweep_run(struct sweep *sweep)
{
    bool is_weak[LEXICAL_TERMS_MAX];
    double least = -INFINITY;
    uint64_t first;
    memset(sweep->scores, 0, sizeof sweep->scores);
    memset(sweep->bests, 0, sizeof sweep->bests);
    while ((first = first_number(sweep)) != UINT64_MAX) {
        struct window window = {.begin = first / SWEEP_WINDOW * SWEEP_WINDOW};
        window.end = window.begin + SWEEP_WINDOW;
        if (sweep->deadline_ns && clock_now_ns() > sweep->deadline_ns)
            return err_note(ERR_TIMEOUT, "the search took longer than its deadline");
        for (size_t i = 0; i < sweep->count; i++)
            skip_to(&sweep->lists[i], window.begin);
        bool may_win = find_weak(sweep, &window, least, is_weak);
        mark_groups(sweep, &window, is_weak);
        if (choose(sweep, &window) && may_win) {
            score_groups(sweep, &window);
            least = tell(sweep, &window, least);
        }
        for (size_t i = 0; i < sweep->count; i++) {
            sweep->lists[i].run = sweep->lists[i].next_run;
            sweep->lists[i].at = sweep->lists[i].next_at;
        }
    }
    return ERR_OK;
}
