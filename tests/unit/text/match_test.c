#include "tests/support/disguises.h"
#include "tests/test.h"

#include "text/match.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/rand.h"

#include <string.h>

static struct match *given(const char *const *terms, size_t count, enum match_kind kind)
{
    struct match_entry *entries = mem_new(count, sizeof *entries);
    struct match *match = NULL;
    size_t wrong;
    for (size_t i = 0; i < count; i++)
        entries[i] = (struct match_entry){.kind = kind, .text = terms[i], .size = strlen(terms[i])};
    assert_int_equal(match_new(&match, disguise, entries, count, &wrong), ERR_OK);
    mem_free(entries);
    return match;
}

/* What was hit, as "[…][…]" of the text's own bytes. */
struct heard {
    const char *text;
    struct buf hits;
    uint64_t safe; // at any earlier time
};

static void on_hit(void *owner, const struct match_hit *hit)
{
    struct heard *heard = owner;
    assert_true(hit->begin >= heard->safe && hit->begin < hit->end);
    buf_addf(&heard->hits, "[%.*s]", (int)(hit->end - hit->begin), heard->text + hit->begin);
}

/* The hits of a text that comes character by character; what is safe never goes back. */
static void finds_in(const struct match *match, const char *text, const char *want)
{
    struct heard heard = {.text = text};
    struct match_run *run = match_run_new(match);
    for (size_t at = 0, size = strlen(text); at < size;) {
        size_t step = 1;
        while (at + step < size && (text[at + step] & 0xC0) == 0x80)
            step++;
        match_push(run, text + at, step, on_hit, &heard);
        assert_true(match_safe(run) >= heard.safe && match_safe(run) <= at + step);
        heard.safe = match_safe(run);
        at += step;
    }
    match_end(run, on_hit, &heard);
    assert_int_equal(match_safe(run), strlen(text));
    assert_string_equal(buf_text(&heard.hits), want);
    match_run_free(run);
    buf_fini(&heard.hits);
}

static void a_term_is_found_however_it_is_written(void **state)
{
    (void)state;
    static const char *const terms[] = {"kill", "坏东西", "机关", "bad word", "自己"};
    struct match *match = given(terms, 5, MATCH_TERM);
    finds_in(match, "to kill.", "[kill]");
    finds_in(match, "KILL ＫＩＬＬ kıll", "[KILL][ＫＩＬＬ][kıll]");
    finds_in(match, "k1ll ki11 kіll", "[k1ll][ki11][kіll]");
    finds_in(match, "k-i-l-l k i l l k.i.l.l", "[k-i-l-l][k i l l][k.i.l.l]");
    finds_in(match, "ki\xE2\x80\x8Bll k\xCC\x82ill", "[ki\xE2\x80\x8Bll][k\xCC\x82ill]");
    finds_in(match, "🅺🅸🅻🅻 𝓀𝒾𝓁𝓁", "[🅺🅸🅻🅻][𝓀𝒾𝓁𝓁]");
    finds_in(match, "壞東西，坏 东 西，坏、东、西", "[壞東西][坏 东 西][坏、东、西]");
    finds_in(match, "機關 机*关", "[機關][机*关]");
    finds_in(match, "bad word badword bad\nWORD", "[bad word][badword][bad\nWORD]");
    finds_in(match, "自已", "[自已]");
    match_free(match);
}

static void what_only_looks_like_it_is_let_be(void **state)
{
    (void)state;
    static const char *const terms[] = {"kill", "功法", "lol",       "hell",
                                        "fail", "1989", "the rapist"};
    struct match *match = given(terms, 7, MATCH_TERM);
    finds_in(match, "skill killer kilt", "");
    finds_in(match, "成功，法律 成功。法 成功\n法", "");
    finds_in(match, "101 1o1", "");
    finds_in(match, "he'll fall", "");
    finds_in(match, "lg8g", "");
    finds_in(match, "ki ll", "");
    finds_in(match, "k.....ill", "");
    finds_in(match, "therapist", "[therapist]"); // who wants it otherwise names the word in two
    match_free(match);
}

static void a_part_is_found_inside_of_words(void **state)
{
    (void)state;
    static const char *const terms[] = {"kill"};
    struct match *match = given(terms, 1, MATCH_PART);
    finds_in(match, "skills", "[kill]");
    match_free(match);
}

static void terms_within_terms_are_all_found(void **state)
{
    (void)state;
    static const char *const terms[] = {"甲乙", "乙丙丁", "丙丁", "甲乙丙丁戊"};
    struct match *match = given(terms, 4, MATCH_TERM);
    finds_in(match, "甲乙丙丁戊", "[甲乙][乙丙丁][丙丁][甲乙丙丁戊]");
    finds_in(match, "甲乙丙戊", "[甲乙]");
    match_free(match);
}

static void patterns_are_bounded_and_stand_apart(void **state)
{
    (void)state;
    static const char *const patterns[] = {"1[3-9]\\d{9}", "\\a{2,3}\\d{4}x?\\d", "号码\\h?\\d{2}"};
    struct match *match = given(patterns, 3, MATCH_PATTERN);
    finds_in(match, "打13812345678吧", "[13812345678]");
    finds_in(match, "138-1234-5678 １３８12345678", "[138-1234-5678][１３８12345678]");
    finds_in(match, "138123456789 x13812345678", "");
    finds_in(match, "abc12345 ab1234x5", "[abc12345][ab1234x5]");
    finds_in(match, "号码是42。号码42", "[号码是42][号码42]");
    match_free(match);
}

static void refuses(enum match_kind kind, const char *text, const char *note)
{
    struct match_entry entries[] = {{MATCH_TERM, "good one", 8}, {kind, text, strlen(text)}};
    struct match *match;
    size_t wrong = 9;
    assert_int_equal(match_new(&match, disguise, entries, 2, &wrong), ERR_INVALID);
    assert_int_equal(wrong, 1);
    assert_non_null(strstr(err_text(), note));
}

static void what_cannot_be_an_entry_is_refused(void **state)
{
    (void)state;
    refuses(MATCH_TERM, "x", "fewer than 2");
    refuses(MATCH_TERM, "-*-", "fewer than 2");
    refuses(MATCH_TERM,
            "a\xFF"
            "b",
            "not UTF-8");
    refuses(MATCH_TERM, "aaaaaaaaaabbbbbbbbbbaaaaaaaaaabbbbbbbbbbaaaaaaaaaabbbbbbbbbbaaaaabbbb",
            "more than 64");
    refuses(MATCH_PATTERN, "\\d?abc", "the first and the last");
    refuses(MATCH_PATTERN, "ab", "at least 3");
    refuses(MATCH_PATTERN, "\\d{100}", "a count is");
    refuses(MATCH_PATTERN, "\\d{40}\\a{40}", "more than 64 places");
    refuses(MATCH_PATTERN, "abc*", "without an end");
    refuses(MATCH_PATTERN, "[z-a]bc", "goes back");
    refuses(MATCH_PATTERN, "abc\\q", "behind");
    refuses(MATCH_PATTERN, "abc[de", "ends too early");
    refuses(MATCH_PATTERN, "a.bc", "no letter");
}

// ---- against what is plainly so ----------------------------------------------------------------

enum {
    ROUNDS = 3000,
    TEXT_SYMBOLS = 40,
    SYMBOL_BYTES = 3
};

static const char *const alphabet[] = {"甲", "乙", "丙"};

/* So many characters out of the first `kinds`, one behind the other. */
static void draw_text(struct buf *out, struct rand *rand, size_t count, uint64_t kinds)
{
    buf_clear(out);
    for (size_t i = 0; i < count; i++)
        buf_add_text(out, alphabet[rand_below(rand, kinds)]);
}

/* Hits as "BEGIN-END ", in symbols. */
static void on_place(void *owner, const struct match_hit *hit)
{
    buf_addf(owner, "%u:%u-%u ", hit->entry, (unsigned)hit->begin / SYMBOL_BYTES,
             (unsigned)hit->end / SYMBOL_BYTES);
}

static void look_through(const struct match *match, const struct buf *text, struct buf *out)
{
    struct match_run *run = match_run_new(match);
    buf_clear(out);
    match_push(run, text->data, text->size, on_place, out);
    match_end(run, on_place, out);
    match_run_free(run);
}

static void terms_are_found_where_they_stand(void **state)
{
    (void)state;
    struct rand rand;
    struct buf terms[6] = {{0}}, text = {0}, got = {0}, want = {0};
    struct match_entry entries[6];
    rand_init(&rand, 1);
    for (int round = 0; round < ROUNDS; round++) {
        struct match *match;
        size_t wrong, count = 1 + rand_below(&rand, 6);
        for (size_t i = 0; i < count; i++) {
            draw_text(&terms[i], &rand, 2 + rand_below(&rand, 5), 3);
            entries[i] = (struct match_entry){MATCH_TERM, terms[i].data, terms[i].size};
        }
        draw_text(&text, &rand, TEXT_SYMBOLS, 3);
        assert_int_equal(match_new(&match, disguise, entries, count, &wrong), ERR_OK);
        look_through(match, &text, &got);
        buf_clear(&want); // by where they end, the longest first, equal ones in their order
        for (size_t end = SYMBOL_BYTES; end <= text.size; end += SYMBOL_BYTES) {
            for (size_t size = end; size > 0; size -= SYMBOL_BYTES)
                for (size_t i = 0; i < count; i++)
                    if (size == terms[i].size &&
                        memcmp(text.data + end - size, terms[i].data, size) == 0)
                        on_place(&want, &(struct match_hit){(uint32_t)i, end - size, end});
        }
        assert_string_equal(buf_text(&got), buf_text(&want));
        match_free(match);
    }
    for (size_t i = 0; i < 6; i++)
        buf_fini(&terms[i]);
    buf_fini(&text);
    buf_fini(&got);
    buf_fini(&want);
}

/* A pattern as its author thinks of it. */
struct plain_element {
    const char *symbol; // NULL: any
    size_t least, most;
};

/* Whether exactly `size` bytes are what the elements say. */
static bool is_plainly(const struct plain_element *elements, size_t count, const char *text,
                       size_t size)
{
    if (count == 0) return size == 0;
    for (size_t times = 0; times <= elements->most; times++) {
        if (times >= elements->least && is_plainly(elements + 1, count - 1, text, size))
            return true;
        bool goes_on = size >= SYMBOL_BYTES &&
                       (!elements->symbol || memcmp(text, elements->symbol, SYMBOL_BYTES) == 0);
        if (!goes_on) return false;
        text += SYMBOL_BYTES;
        size -= SYMBOL_BYTES;
    }
    return false;
}

static size_t draw_pattern(struct rand *rand, struct plain_element elements[5], struct buf *out)
{
    size_t count = 3 + rand_below(rand, 3);
    buf_clear(out);
    for (size_t i = 0; i < count; i++) {
        bool is_any = rand_below(rand, 4) == 0, is_end = i == 0 || i + 1 == count;
        uint64_t which = rand_below(rand, 2);
        size_t least = is_end ? 1 : rand_below(rand, 3), most = is_end ? 1 : 3;
        elements[i] = (struct plain_element){is_any ? NULL : alphabet[which], least, most};
        buf_addf(out, "%s{%zu,%zu}", is_any ? "\\h" : alphabet[which], least, most);
    }
    return count;
}

static void patterns_are_found_where_they_stand(void **state)
{
    (void)state;
    struct rand rand;
    struct buf pattern = {0}, text = {0}, got = {0}, want = {0};
    rand_init(&rand, 2);
    size_t refused = 0, hits = 0;
    for (int round = 0; round < ROUNDS; round++) {
        struct plain_element elements[5];
        struct match *match;
        size_t wrong, count = draw_pattern(&rand, elements, &pattern);
        struct match_entry entry = {MATCH_PATTERN, pattern.data, pattern.size};
        if (match_new(&match, disguise, &entry, 1, &wrong)) {
            assert_non_null(strstr(err_text(), "at least 3 symbols"));
            refused++;
            continue;
        }
        draw_text(&text, &rand, TEXT_SYMBOLS, 2);
        look_through(match, &text, &got);
        buf_clear(&want); // the longest that ends there
        for (size_t end = SYMBOL_BYTES; end <= text.size; end += SYMBOL_BYTES)
            for (size_t begin = 0; begin < end; begin += SYMBOL_BYTES) {
                if (!is_plainly(elements, count, text.data + begin, end - begin)) continue;
                on_place(&want, &(struct match_hit){0, begin, end});
                hits++;
                break;
            }
        assert_string_equal(buf_text(&got), buf_text(&want));
        match_free(match);
    }
    assert_true(refused < ROUNDS / 2 && hits > ROUNDS);
    buf_fini(&pattern);
    buf_fini(&text);
    buf_fini(&got);
    buf_fini(&want);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_term_is_found_however_it_is_written),
        cmocka_unit_test(what_only_looks_like_it_is_let_be),
        cmocka_unit_test(a_part_is_found_inside_of_words),
        cmocka_unit_test(terms_within_terms_are_all_found),
        cmocka_unit_test(patterns_are_bounded_and_stand_apart),
        cmocka_unit_test(what_cannot_be_an_entry_is_refused),
        cmocka_unit_test(terms_are_found_where_they_stand),
        cmocka_unit_test(patterns_are_found_where_they_stand),
    };
    return cmocka_run_group_tests(tests, given_disguises, end_disguises);
}
