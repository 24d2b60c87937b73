#include "scheduler/features/search/standin.h"

#include "scheduler/features/search/words.h"

#include <math.h>
#include <string.h>

enum {
    PREFIX_MIN = 2, // letters of a word's beginning
    SOUND_MIN = 2,  // letters of a word in pinyin
    PIECES_MAX = 4  // Chinese words that are typed as one
};

static const double prefix_weight = 0.8, typo_weight = 0.6, sound_weight = 0.8;

struct standin {
    struct query *query;
    const struct query_options *options;
    uint32_t group;
    double weight;
    size_t count;     // that were added
    size_t word_size; // of the word at hand
};

/* A word's term is the one that spans all of it: its stem, its pair, its entry in the dictionary. */
static bool on_term(void *owner, const struct analyze_term *term)
{
    struct standin *standin = owner;
    struct lexical_term one = {
        .text = term->text, .size = term->size, .weight = standin->weight, .group = standin->group};
    bool spans = term->begin == 0 && term->end == standin->word_size;
    if (spans && term->kind != ANALYZE_CHARACTER) standin->count += query_add(standin->query, one);
    return true;
}

static void add_hits(struct standin *standin, const struct words_hit *hits, size_t count)
{
    double weight = standin->weight;
    for (size_t i = 0; i < count; i++) {
        standin->weight = hits[i].distance ? pow(weight, hits[i].distance) : weight;
        standin->word_size = hits[i].size;
        analyze(standin->options->analyst, standin->options->analyze, hits[i].text, hits[i].size,
                on_term, standin);
    }
    standin->weight = weight;
}

/* Chinese words whose sounds make up the text, the longest first; each is a group. */
static bool add_sounds(struct standin *standin, const char *text, size_t size, size_t pieces)
{
    struct words_hit hits[QUERY_STANDINS_MAX];
    for (size_t end = size; end >= SOUND_MIN; end--) {
        size_t count =
            words_sounding(standin->options->words, text, end, false, hits, QUERY_STANDINS_MAX);
        if (count == 0) continue;
        if (end == size) {
            add_hits(standin, hits, count);
            return true;
        }
        if (pieces > 1) {
            size_t terms = standin->query->count, added = standin->count;
            add_hits(standin, hits, count);
            standin->group++;
            if (add_sounds(standin, text + end, size - end, pieces - 1)) return true;
            standin->group--;
            standin->query->count = terms; // the rest is no word: another cut
            standin->count = added;
        }
    }
    return false;
}

uint32_t standin_add(struct query *query, const struct query_options *options,
                     const struct analyze_term *term, uint32_t group, bool is_last)
{
    struct words_hit hits[QUERY_STANDINS_MAX];
    struct standin standin = {query, options, group, prefix_weight, 0, 0};
    const char *text = term->surface;
    size_t size = term->surface_size;
    if (is_last && size >= PREFIX_MIN) {
        size_t count = words_beginning(options->words, text, size, hits, QUERY_STANDINS_MAX);
        add_hits(&standin, hits, count);
    }
    standin.weight = sound_weight;
    if (size >= SOUND_MIN && (unsigned char)text[0] < 0x80)
        add_sounds(&standin, text, size, PIECES_MAX);
    if (standin.count > 0 || !options->typos || size < options->one_typo) return standin.group;
    uint32_t distance = size >= options->two_typos ? 2 : 1;
    standin.weight = typo_weight;
    add_hits(&standin, hits,
             words_near(options->words, text, size, distance, hits, QUERY_STANDINS_MAX));
    return standin.group;
}
