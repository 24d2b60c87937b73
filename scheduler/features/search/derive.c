#include "scheduler/features/search/derive.h"

#include "base/mem.h"
#include "base/must.h"

#include <stdbool.h>
#include <string.h>

enum {
    PARTS_MAX = 64, // of a phrase; what comes behind is left out
    ROOM_FIRST = 256
};

void derived_fini(struct derived *derived)
{
    mem_free(derived->run.numbers);
    mem_free(derived->run.frequencies);
    *derived = (struct derived){0};
}

static void clear(struct derived *derived)
{
    derived->run.count = 0;
    derived->run.most = 0;
    derived->run.shortest = UINT32_MAX;
}

static void add(const struct derive *derive, struct derived *derived, uint32_t number,
                float frequency)
{
    struct postings_run *run = &derived->run;
    if (run->count == run->capacity) {
        run->capacity = run->capacity ? 2 * run->capacity : ROOM_FIRST;
        run->numbers = mem_resize(run->numbers, run->capacity, sizeof *run->numbers);
        run->frequencies = mem_resize(run->frequencies, run->capacity, sizeof *run->frequencies);
    }
    run->numbers[run->count] = number;
    run->frequencies[run->count++] = frequency;
    if (frequency > run->most) run->most = frequency;
    if (derive->lengths[number] < run->shortest) run->shortest = derive->lengths[number];
}

// ---- phrases -----------------------------------------------------------------------------------

/* A place in a term's list that only goes forward. */
struct place {
    const struct postings_run *runs;
    size_t count, run;
    uint32_t at;
};

/* Whether the list has the number; the place is there, or behind it. */
static bool seek(struct place *place, uint32_t number)
{
    while (place->run < place->count) {
        const struct postings_run *run = &place->runs[place->run];
        if (run->numbers[run->count - 1] >= number) {
            while (run->numbers[place->at] < number)
                place->at++;
            return run->numbers[place->at] == number;
        }
        place->run++;
        place->at = 0;
    }
    return false;
}

/* Whether the parts behind the first stand behind `at`, a position each. */
static bool follows(const uint32_t *tokens, size_t count, size_t at, const uint32_t *parts,
                    size_t part_count)
{
    for (size_t part = 1; part < part_count; part++) {
        do {
            at++;
        } while (at < count && (tokens[at] & POSTINGS_BESIDE));
        if (at == count || tokens[at] == POSTINGS_FIELD) return false;
        size_t same = at;
        while (tokens[same] != parts[part] && tokens[same] != (parts[part] | POSTINGS_BESIDE)) {
            same++;
            if (same == count || !(tokens[same] & POSTINGS_BESIDE)) return false;
        }
    }
    return true;
}

static double count_phrase(const struct derive *derive, uint32_t number, const uint32_t *parts,
                           size_t part_count)
{
    size_t count, field = 0;
    const uint32_t *tokens = postings_document(derive->postings, number, &count);
    double sum = 0;
    for (size_t at = 0; at < count; at++) {
        if (tokens[at] == POSTINGS_FIELD)
            field++;
        else if ((tokens[at] & ~POSTINGS_BESIDE) == parts[0] &&
                 follows(tokens, count, at, parts, part_count))
            sum += derive->weights[field];
    }
    return sum;
}

/* The parts' terms; 0: one of them no document has. */
static size_t read_parts(const struct postings *postings, const struct lexical_term *term,
                         uint32_t parts[PARTS_MAX])
{
    size_t count = 0;
    for (size_t at = 0; at < term->size && count < PARTS_MAX;) {
        const char *text = term->text + at, *mark;
        mark = memchr(text, LEXICAL_PHRASE_PART, term->size - at);
        size_t size = mark ? (size_t)(mark - text) : term->size - at;
        parts[count] = postings_find(postings, text, size);
        if (parts[count++] == POSTINGS_NONE) return 0;
        at += size + 1;
    }
    return count;
}

void derive_phrase(const struct derive *derive, const struct lexical_term *term,
                   struct derived *out)
{
    uint32_t parts[PARTS_MAX];
    struct place places[PARTS_MAX] = {0};
    size_t count = read_parts(derive->postings, term, parts), rarest = 0;
    clear(out);
    if (count == 0) return;
    for (size_t i = 0; i < count; i++) {
        places[i].runs = postings_runs(derive->postings, parts[i], &places[i].count);
        if (postings_count(derive->postings, parts[i]) <
            postings_count(derive->postings, parts[rarest]))
            rarest = i;
    }
    for (size_t i = 0; i < places[rarest].count; i++) {
        const struct postings_run *run = &places[rarest].runs[i];
        for (uint32_t j = 0; j < run->count; j++) {
            size_t have = 0;
            while (have < count && (have == rarest || seek(&places[have], run->numbers[j])))
                have++;
            double sum = have == count ? count_phrase(derive, run->numbers[j], parts, count) : 0;
            if (sum > 0) add(derive, out, run->numbers[j], (float)sum);
        }
    }
}

// ---- beginnings --------------------------------------------------------------------------------

/* Terms for themselves first, then those that stand beside: more of them than of the others counts. */
static void gather(const struct derive *derive, const struct lexical_term *term, bool beside,
                   float *sums)
{
    uint32_t id = POSTINGS_NONE;
    while ((id = postings_beginning(derive->postings, term->text, term->size, id)) !=
           POSTINGS_NONE) {
        if (postings_is_beside(derive->postings, id) != beside) continue;
        size_t count;
        const struct postings_run *runs = postings_runs(derive->postings, id, &count);
        for (size_t i = 0; i < count; i++) {
            for (uint32_t j = 0; j < runs[i].count; j++) {
                float *sum = &sums[runs[i].numbers[j]], frequency = runs[i].frequencies[j];
                *sum = !beside ? *sum + frequency : frequency > *sum ? frequency : *sum;
            }
        }
    }
}

void derive_beginning(const struct derive *derive, const struct lexical_term *term,
                      struct derived *out)
{
    clear(out);
    must(term->size > 0);
    float *sums = mem_new(derive->end + 1, sizeof *sums);
    gather(derive, term, false, sums);
    gather(derive, term, true, sums);
    for (size_t i = 0; i < derive->end; i++)
        if (sums[i] > 0) add(derive, out, (uint32_t)i, sums[i]);
    mem_free(sums);
}
