/* What a user has written as RediSearch's query (remote_query.h). */
#include "scheduler/features/search/remote_query.h"

#include "scheduler/features/search/redisearch_code.h"
#include "scheduler/features/search/redisearch_tags.h"
#include "scheduler/features/search/remote.h"
#include "scheduler/features/search/score.h"

#include <hiredis/hiredis.h>

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    PHRASE_DOCUMENTS_MAX = 20000
};

/* A query that is being written. */
struct making {
    struct corpus *corpus;
    struct remote_query *out;
    size_t skip; // bytes of a key before the id
    redisReply *
        counts; // in how many documents each weighed word is, in the order in which they are written
    size_t next;
};

void remote_query_fini(struct remote_query *query)
{
    buf_fini(&query->match);
    buf_fini(&query->scores);
}

// ---- words and phrases -------------------------------------------------------------------------

/* `kind`: p in a phrase, x elsewhere (remote_document.h). */
static void write_word(struct buf *out, char kind, const char *text, size_t size)
{
    buf_add_byte(out, (unsigned char)kind);
    code_bytes(out, text, size);
}

static bool is_phrase(const struct lexical_term *term)
{
    return memchr(term->text, LEXICAL_PHRASE_PART, term->size) != NULL;
}

/* The next part of a phrase (or all of another term) behind `at`; NULL: it was the last one. */
static const char *next_part(const struct lexical_term *term, const char *at, size_t *size)
{
    const char *end = term->text + term->size;
    at = at ? at + *size + 1 : term->text;
    if (at >= end) return NULL;
    const char *mark = memchr(at, LEXICAL_PHRASE_PART, (size_t)(end - at));
    *size = (size_t)((mark ? mark : end) - at);
    return at;
}

static size_t count_parts(const struct lexical_term *term)
{
    size_t count = 0, size = 0;
    for (const char *at = next_part(term, NULL, &size); at; at = next_part(term, at, &size))
        count++;
    return count;
}

static void write_phrase(struct buf *out, const struct lexical_term *term)
{
    size_t size = 0;
    buf_add_byte(out, '"');
    for (const char *at = next_part(term, NULL, &size); at; at = next_part(term, at, &size)) {
        if (at > term->text) buf_add_byte(out, ' ');
        write_word(out, 'p', at, size);
    }
    buf_add_byte(out, '"');
}

static enum err refuse_phrase(void)
{
    return err_note(ERR_INVALID,
                    "q: a phrase stands in more than %d documents, which an index in RediSearch "
                    "finds by itself only: leave out the filter and the other words, or the quotes",
                    PHRASE_DOCUMENTS_MAX);
}

/* RediSearch 1.2 compares places only of a phrase that stands alone: anywhere else, one whose words are in a document anyhow would do.
 * There it is asked for first, and its documents' ids stand in the query. */
static enum err write_phrase_ids(struct making *making, const struct lexical_term *term)
{
    struct remote *remote = making->corpus->remote;
    struct redisearch_command command = {0};
    struct buf *out = &making->out->match;
    redisReply *reply;
    redisearch_say(&command, "FT.SEARCH");
    buf_addf(redisearch_word(&command), "q%" PRIu64, remote->head.generation);
    write_phrase(redisearch_word(&command), term);
    REDISEARCH_SAY(&command, "VERBATIM", "NOCONTENT", "LIMIT", "0");
    buf_addf(redisearch_word(&command), "%d", PHRASE_DOCUMENTS_MAX);
    TRY(redisearch_ask(remote->link, &command, &reply));
    bool is_wide = reply->element[0]->integer > PHRASE_DOCUMENTS_MAX;
    buf_add_text(out, reply->elements > 1 ? "(@i:{" : "(@f:{none");
    for (size_t i = 1; i < reply->elements; i++) {
        buf_add_text(out, i > 1 ? "|k" : "k");
        code_bytes(out, reply->element[i]->str + making->skip,
                   reply->element[i]->len - making->skip);
    }
    buf_add_text(out, "})");
    freeReplyObject(reply);
    return is_wide ? refuse_phrase() : ERR_OK;
}

// ---- what matches ------------------------------------------------------------------------------

static bool is_word(const struct lexical_term *term)
{
    return !term->is_prefix && !is_phrase(term);
}

/* Any of the terms [begin, end): the words among them as one list of tags. */
static enum err write_any(struct making *making, size_t begin, size_t end)
{
    const struct lexical_term *terms = making->corpus->query.terms;
    struct buf *out = &making->out->match;
    size_t words = 0, parts = 0;
    buf_add_byte(out, '(');
    for (size_t i = begin; i < end; i++) {
        if (!is_word(&terms[i]) || terms[i].is_extra) continue;
        buf_add_text(out, words++ ? "|" : "(@k:{");
        write_word(out, 'x', terms[i].text, terms[i].size);
    }
    if (words > 0) buf_add_text(out, "})");
    parts += words > 0;
    for (size_t i = begin; i < end; i++) {
        if (is_word(&terms[i])) continue;
        if (parts++ > 0) buf_add_byte(out, '|');
        if (is_phrase(&terms[i])) {
            TRY(write_phrase_ids(making, &terms[i]));
            continue;
        }
        buf_add_byte(out, '(');
        write_word(out, 'x', terms[i].text, terms[i].size);
        buf_add_text(out, "*)");
    }
    buf_add_byte(out, ')');
    return ERR_OK;
}

/* What is wanted; where all must be there, each group by itself. */
static enum err write_wanted(struct making *making, size_t count, bool all)
{
    const struct lexical_term *terms = making->corpus->query.terms;
    for (size_t begin = 0, end; begin < count; begin = end) {
        end = all ? begin + 1 : count;
        if (all && terms[begin].is_extra) continue;
        while (end < count && terms[end].group == terms[begin].group)
            end++;
        buf_add_text(&making->out->match, " (");
        TRY(write_any(making, begin, end));
        buf_add_text(&making->out->match, "=>{$weight:0})");
    }
    return ERR_OK;
}

static enum err write_unwanted(struct making *making, size_t begin)
{
    const struct query *query = &making->corpus->query;
    if (begin == query->count) return ERR_OK;
    buf_add_text(&making->out->match, " -");
    return write_any(making, begin, query->count);
}

// ---- what it weighs ----------------------------------------------------------------------------

/* A word that is weighed, as lexical.h says, by in how many documents it is: what RediSearch weighs it by, a whole number, is divided out. */
static void write_weighed(struct making *making, const char *text, size_t size, double weight)
{
    struct buf *out = &making->out->scores;
    const redisReply *count = making->counts->element[making->next++];
    double all = (double)making->corpus->remote->head.documents;
    double some = count->type == REDIS_REPLY_STRING ? strtod(count->str, NULL) : 0;
    if (some < 1) return; // no document has it
    if (some > all) some = all;
    double theirs = logb(1 + all / some);
    // Written without an exponent, which RediSearch does not read.
    weight *= score_idf((all - some + 0.5) / (some + 0.5)) / (theirs > 0 ? theirs : 1);
    buf_add_text(out, "|((");
    write_word(out, 'x', text, size);
    buf_addf(out, ")=>{$weight:%.9f})", weight);
}

/* Words that are asked for write_weighed(), in its order. */
static enum err read_counts(struct making *making, size_t count)
{
    struct remote *remote = making->corpus->remote;
    struct redisearch_command command = {0};
    redisearch_say(&command, "HMGET");
    buf_addf(redisearch_word(&command), REMOTE_HEAD ":%" PRIu64 ":terms", remote->head.generation);
    for (size_t i = 0; i < count; i++) {
        const struct lexical_term *term = &making->corpus->query.terms[i];
        size_t size = 0;
        if (term->is_prefix) continue;
        for (const char *at = next_part(term, NULL, &size); at; at = next_part(term, at, &size))
            write_word(redisearch_word(&command), 'x', at, size);
    }
    redisearch_say(&command, ""); // it wants one at least
    return redisearch_ask(remote->link, &command, &making->counts);
}

/* A phrase weighs what its words do. */
static void write_term(struct making *making, const struct lexical_term *term)
{
    double weight = term->weight / (double)count_parts(term);
    size_t size = 0;
    if (term->is_prefix) {
        buf_add_text(&making->out->scores, "|((");
        write_word(&making->out->scores, 'x', term->text, term->size);
        buf_addf(&making->out->scores, "*)=>{$weight:%.9f})", term->weight);
        return;
    }
    for (const char *at = next_part(term, NULL, &size); at; at = next_part(term, at, &size))
        write_weighed(making, at, size, weight);
}

/* A union that is skipped through forgets what it has behind the first one, unless the first of its terms is there: so that is the word that
 * every document has. */
static enum err write_scores(struct making *making, size_t count)
{
    struct buf *out = &making->out->scores;
    TRY(read_counts(making, count));
    buf_add_text(out, " (((z)=>{$weight:0})");
    for (size_t i = 0; i < count; i++)
        write_term(making, &making->corpus->query.terms[i]);
    buf_add_byte(out, ')');
    freeReplyObject(making->counts);
    return ERR_OK;
}

// ---- the whole of it ---------------------------------------------------------------------------

static enum err write_words(struct making *making, const struct corpus_search *search)
{
    const struct query *query = &making->corpus->query;
    size_t count = 0;
    while (count < query->count && !query->terms[count].is_unwanted)
        count++;
    making->out->finds = count > 0;
    if (count == 0) return ERR_OK;
    if (query->count == 1 && is_phrase(&query->terms[0]) && !search->filter) {
        write_phrase(&making->out->match, &query->terms[0]);
        return ERR_OK;
    }
    TRY(write_wanted(making, count, search->all));
    TRY(write_unwanted(making, count));
    return write_scores(making, count);
}

enum err remote_query_write(struct remote_query *out, struct corpus *corpus,
                            const struct corpus_search *search)
{
    struct making making = {corpus, out, remote_key_size(corpus->remote), NULL, 0};
    bool all = corpus_asks_all(search);
    out->finds = true;
    if (search->filter) tags_filter(&out->match, search->filter);
    if (all && !search->filter) buf_add_text(&out->match, TAGS_EVERY);
    if (all) return ERR_OK;
    corpus_build_query(corpus, search);
    return write_words(&making, search);
}

bool remote_has(void *owner, const struct lexical_term *term)
{
    struct corpus *corpus = owner;
    struct remote *remote = corpus->remote;
    struct redisearch_command command = {0};
    redisReply *reply;
    redisearch_say(&command, "HGET");
    buf_addf(redisearch_word(&command), REMOTE_HEAD ":%" PRIu64 ":terms", remote->head.generation);
    write_word(redisearch_word(&command), 'x', term->text, term->size);
    if (redisearch_ask(remote->link, &command, &reply)) return true; // the search will fail
    bool has = reply->type == REDIS_REPLY_STRING && strcmp(reply->str, "0") != 0;
    freeReplyObject(reply);
    return has;
}
