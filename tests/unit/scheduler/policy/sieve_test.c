#include "scheduler/policy/sieve.h"
#include "tests/support/disguises.h"
#include "tests/support/synthetic.h"
#include "tests/test.h"

#include "text/disguise.h"
#include "text/utf8.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"

#include <string.h>

#define NEAR                                               \
    "qiao terms 1\nname near\nserial 1\nmade 2026-11-01\n" \
    "category veil mask mask\n"

enum {
    TERMS = 10000,
    SENTENCES = 2000
};

static const struct rules_filter no_rules;

static const struct bundle *given(const char *lines)
{
    struct buf text = {0};
    struct terms *terms = NULL;
    const struct bundle *bundle = NULL;
    if (strncmp(lines, "qiao", 4) != 0)
        buf_add_text(&text, "qiao terms 1\nname demo\nserial 1\nmade 2026-11-01\n"
                            "category veil mask mask\ncategory bar block block\n"
                            "category no refuse refuse\ncategory look review review\n"
                            "category odd pass mask\n");
    buf_add_text(&text, lines);
    assert_int_equal(terms_parse(&terms, "demo", buf_text(&text), text.size), ERR_OK);
    enum err err = bundle_new(&bundle, disguise, terms);
    if (err) fail_msg("%s", err_text());
    buf_fini(&text);
    return bundle;
}

/* A text in pieces of `step` characters, or in two that meet at byte `-step`; what comes out at the end. */
static enum rules_action pass_through(const struct bundle *bundle, const struct rules_filter *rules,
                                      enum sieve_side side, const char *text, long step,
                                      struct buf *out)
{
    size_t size = strlen(text);
    struct sieve *sieve = sieve_new(bundle, rules, side);
    if (step < 0) {
        sieve_push(sieve, text, (size_t)-step, out);
        sieve_push(sieve, text - step, size - (size_t)-step, out);
    }
    for (size_t at = 0; step > 0 && at < size;) {
        size_t piece = 0;
        for (long i = 0; i < step && at + piece < size; i++) {
            int32_t code;
            piece += utf8_next(text + at + piece, size - at - piece, &code);
        }
        sieve_push(sieve, text + at, piece, out);
        at += piece;
    }
    sieve_end(sieve, out);
    enum rules_action action = sieve_action(sieve);
    sieve_free(sieve);
    return action;
}

static void becomes(const struct bundle *bundle, const char *text, enum rules_action action,
                    const char *want)
{
    for (long step = 1; step < 8; step++) {
        struct buf out = {0};
        assert_int_equal(pass_through(bundle, &no_rules, SIEVE_OUTPUT, text, step, &out), action);
        assert_string_equal(buf_text(&out), want);
        buf_fini(&out);
    }
}

static void each_action_does_what_it_says(void **state)
{
    (void)state;
    const struct bundle *bundle = given("term veil 坏东西\nterm bar 炸开锅\nterm no nasty\n"
                                        "term look 留意\nterm odd strange\n");
    becomes(bundle, "你好，世界", RULES_PASS, "你好，世界");
    becomes(bundle, "这个坏東西！", RULES_MASK, "这个***！");
    becomes(bundle, "这个坏-东-西！", RULES_MASK, "这个*****！");
    becomes(bundle, "说到炸开锅了", RULES_BLOCK, "说到");
    becomes(bundle, "so nasty a word", RULES_REFUSE, "so ");
    becomes(bundle, "nastygram", RULES_PASS, "nastygram");
    becomes(bundle, "请留意，坏东", RULES_REVIEW, "请留意，坏东");
    becomes(bundle, "strange", RULES_MASK, "*******");
    bundle_drop(bundle);
}

static void rules_say_more_than_the_bundle(void **state)
{
    (void)state;
    const struct bundle *bundle = given("term veil 坏东西\nterm odd strange\n");
    struct rules_filter rules = {.category_count = 1};
    struct buf out = {0};
    rules.categories[0].category = "veil";
    rules.categories[0].input = RULES_BLOCK;
    rules.categories[0].output = RULES_PASS;
    assert_int_equal(pass_through(bundle, &rules, SIEVE_INPUT, "坏东西", 1, &out), RULES_BLOCK);
    assert_int_equal(pass_through(bundle, &rules, SIEVE_OUTPUT, "坏东西", 1, &out), RULES_PASS);
    assert_int_equal(pass_through(bundle, &rules, SIEVE_INPUT, "strange", 1, &out), RULES_PASS);
    assert_string_equal(buf_text(&out), "坏东西strange");
    buf_fini(&out);
    bundle_drop(bundle);
}

static void the_strongest_of_what_ends_together_counts(void **state)
{
    (void)state;
    const struct bundle *bundle = given("term veil 甲乙丙\nterm bar 乙丙\nterm veil 丙丁\n");
    becomes(bundle, "一甲乙丙丁", RULES_BLOCK, "一*");
    bundle_drop(bundle);
    bundle = given("term veil 甲乙\nterm veil 乙丙丁\nterm bar 甲乙丙丁戊\n");
    becomes(bundle, "甲乙丙己", RULES_MASK, "**丙己");
    becomes(bundle, "甲乙丙丁己", RULES_MASK, "****己");
    becomes(bundle, "零甲乙丙丁戊", RULES_BLOCK, "零");
    bundle_drop(bundle);
}

static void what_was_found_is_told_by_category(void **state)
{
    (void)state;
    const struct bundle *bundle = given("term veil 甲乙\nterm look 丙丁\n");
    struct sieve *sieve = sieve_new(bundle, &no_rules, SIEVE_OUTPUT);
    struct sieve_found found;
    struct buf out = {0};
    sieve_text(sieve, "甲乙丙丁甲乙", strlen("甲乙丙丁甲乙"), &out);
    assert_true(sieve_found(sieve, 0, &found));
    assert_string_equal(found.category, "look");
    assert_int_equal(found.action, RULES_REVIEW);
    assert_true(sieve_found(sieve, 1, &found));
    assert_string_equal(found.category, "veil");
    assert_int_equal(found.count, 2);
    assert_false(sieve_found(sieve, 2, &found));
    sieve_free(sieve);
    bundle_drop(bundle);
    buf_fini(&out);
}

// ---- every term, every variant, every split ----------------------------------------------------

static void is_caught(const struct bundle *bundle, const char *text, size_t term_at,
                      enum rules_action action)
{
    struct buf want = {0};
    size_t size = strlen(text);
    enum rules_action got = pass_through(bundle, &no_rules, SIEVE_OUTPUT, text, 1, &want);
    bool holds_another = got > action; // a term that is blocked, within one that is masked
    bool is_gone = holds_another || want.size == term_at || buf_text(&want)[term_at] == '*';
    if (got < action || want.size < term_at || memcmp(buf_text(&want), text, term_at) != 0 ||
        !is_gone)
        fail_msg("'%s' became '%s'", text, buf_text(&want));
    for (size_t at = 1; at < size; at++) {
        if ((text[at] & 0xC0) == 0x80) continue;
        struct buf out = {0};
        pass_through(bundle, &no_rules, SIEVE_OUTPUT, text, -(long)at, &out);
        if (out.size != want.size || memcmp(buf_text(&out), buf_text(&want), want.size) != 0)
            fail_msg("'%s' split at %zu: '%s', not '%s'", text, at, buf_text(&out),
                     buf_text(&want));
        buf_fini(&out);
    }
    buf_fini(&want);
}

static void every_term_is_found_under_every_variant_and_split(void **state)
{
    (void)state;
    struct synthetic_han *han = mem_new(1, sizeof *han);
    struct buf file = {0}, text = {0};
    struct rand rand;
    size_t written[SYNTHETIC_VARIANTS] = {0};
    rand_init(&rand, 6);
    synthetic_all_han(han, fold);
    synthetic_bundle(&file, TERMS, 5, han);
    const struct bundle *bundle = given(buf_text(&file));
    assert_in_range(bundle->terms->count, TERMS - 20, TERMS);
    for (size_t i = 0; i < bundle->terms->count; i++) {
        const struct terms_entry *entry = &bundle->terms->entries[i];
        char *term = mem_text(entry->text, entry->size);
        bool masks = bundle->terms->categories[entry->category].output == TERMS_MASK;
        for (int variant = 0; variant < SYNTHETIC_VARIANTS; variant++) {
            buf_clear(&text);
            buf_add_text(&text, "：（");
            size_t at = text.size;
            if (!synthetic_write(&text, (enum synthetic_variant)variant, term, &rand, fold))
                continue;
            buf_add_text(&text, "）！");
            is_caught(bundle, buf_text(&text), at, masks ? RULES_MASK : RULES_BLOCK);
            written[variant]++;
        }
        mem_free(term);
    }
    for (int variant = 0; variant < SYNTHETIC_VARIANTS; variant++)
        assert_in_range(written[variant], TERMS / 8, TERMS);
    bundle_drop(bundle);
    mem_free(han);
    buf_fini(&file);
    buf_fini(&text);
}

// ---- ordinary sentences ------------------------------------------------------------------------

/* What people say in the dialogues, a line each. */
static void read_sentences(const char *path, struct buf *out, size_t *count)
{
    static const char mark[] = "\"message\": \"";
    char *line = NULL;
    size_t room = 0;
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    while (*count < SENTENCES && getline(&line, &room, file) > 0) {
        char *begin = strstr(line, mark), *end = strrchr(line, '"');
        if (!begin || end <= begin + sizeof mark) continue;
        buf_add(out, begin + sizeof mark - 1, (size_t)(end - begin) - sizeof mark + 1);
        buf_add_byte(out, '\n');
        ++*count;
    }
    fclose(file);
    free(line);
}

/* Terms of the sentences' own characters, so that they are as near to them as can be; those that stand there are not terms. */
static void make_near_han(struct buf *out, const struct buf *sentences)
{
    struct synthetic_han *han = mem_new(1, sizeof *han);
    struct buf term = {0};
    struct rand rand;
    rand_init(&rand, 7);
    for (size_t at = 0; at < sentences->size && han->count < 8192;) {
        int32_t code, folded[FOLD_MAX];
        at += utf8_next(sentences->data + at, sentences->size - at, &code);
        bool is_han = code >= 0x4E00 && code <= 0x9FA5 && fold_character(fold, code, folded) == 1 &&
                      folded[0] == code;
        if (is_han) han->codes[han->count++] = code;
    }
    buf_add_text(out, NEAR);
    for (size_t made = 0; made < TERMS;) {
        buf_clear(&term);
        synthetic_term(&term, &rand, han);
        if (strstr(sentences->data, buf_text(&term))) continue;
        buf_addf(out, "term veil %s\n", buf_text(&term));
        made++;
    }
    buf_fini(&term);
    mem_free(han);
}

/* The sentences of English abstracts, a line each, with the capitals and full stops that the collection leaves out: what stands before two
 * spaces there was a sentence. */
static void read_abstracts(const char *path, struct buf *out, size_t *count)
{
    struct buf text = {0};
    char *line = NULL;
    size_t room = 0;
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    while (*count < SENTENCES && getline(&line, &room, file) > 0) {
        line[strcspn(line, "\n")] = '\0';
        if (strcmp(line, "</DOC>") != 0) {
            if (*line != '<') buf_addf(&text, "%s%s", text.size ? " " : "", line);
            continue;
        }
        for (const char *at = buf_text(&text), *end; *at && *count < SENTENCES; at = end) {
            end = strstr(at, "  ");
            if (!end) end = at + strlen(at);
            if (end - at > 24)
                buf_addf(out, "%c%.*s.\n", *at - 'a' + 'A', (int)(end - at - 1), at + 1);
            *count += end - at > 24;
            end += strspn(end, " ");
        }
        buf_clear(&text);
    }
    fclose(file);
    free(line);
    buf_fini(&text);
}

/* The next word, in lower case with a space before and behind it. */
static const char *next_word(const char *at, struct buf *out)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    at += strcspn(at, letters);
    size_t size = strspn(at, letters);
    buf_clear(out);
    buf_add_byte(out, ' ');
    for (size_t i = 0; i < size; i++)
        buf_add_byte(out, (char)(at[i] | 0x20));
    buf_add_byte(out, ' ');
    return at + size;
}

/* Words of the sentences with one letter changed; two that stand side by side, written as one; and parts of words, changed so that none
 * holds them. */
static void make_near_english(struct buf *out, const struct buf *sentences)
{
    struct buf words = {0}, word = {0}, next = {0}, term = {0};
    struct rand rand;
    rand_init(&rand, 11);
    for (const char *at = sentences->data; *at;) {
        at = next_word(at, &word);
        buf_add(&words, word.data, word.size);
    }
    buf_add_text(out, NEAR);
    for (size_t made = 0; made < TERMS;) {
        const char *at = words.data + rand_below(&rand, (uint32_t)words.size - 256);
        at = next_word(next_word(at, &word), &word); // the first may be cut
        next_word(at, &next);
        buf_clear(&term);
        if (made % 3 == 1)
            buf_addf(&term, "%.*s%s", (int)word.size - 1, word.data, next.data + 1);
        else
            buf_add(&term, word.data, word.size);
        bool is_part = made % 3 == 2;
        if (term.size < 7) continue; // shorter words are other words by each letter
        if (made % 3 != 1)
            term.data[1 + rand_below(&rand, (uint32_t)term.size - 2)] =
                (char)('a' + rand_below(&rand, 26));
        if (is_part) term.data[6] = '\0';
        if (strstr(buf_text(&words), buf_text(&term) + is_part)) continue;
        if (!is_part) term.data[term.size - 1] = '\0';
        buf_addf(out, "%s veil %s\n", is_part ? "part" : "term", term.data + 1);
        made++;
    }
    buf_fini(&words);
    buf_fini(&word);
    buf_fini(&next);
    buf_fini(&term);
}

/* How many lines something was found in that is none of the terms. */
static size_t count_hits(const struct bundle *bundle, struct buf *sentences)
{
    size_t wrong = 0;
    for (char *line = sentences->data; *line;) {
        char *end = strchr(line, '\n');
        struct buf out = {0};
        *end = '\0';
        bool is_hit = pass_through(bundle, &no_rules, SIEVE_OUTPUT, line, 3, &out) != RULES_PASS;
        if (is_hit) print_message("not meant: %s -> %s\n", line, buf_text(&out));
        wrong += is_hit;
        buf_fini(&out);
        line = end + 1;
    }
    return wrong;
}

static void ordinary_sentences_are_let_be(void **state)
{
    static const struct {
        const char *language, *path;
        void (*read)(const char *path, struct buf *out, size_t *count);
        void (*make)(struct buf *out, const struct buf *sentences);
    } rows[] = {
        {"Chinese", "dialogues/kdconv/film-test.json", read_sentences, make_near_han},
        {"English", "search/vaswani/docs.trec", read_abstracts, make_near_english},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct buf sentences = {0}, file = {0}, out = {0};
        size_t count = 0;
        const char *path = test_shared(rows[i].path);
        if (!path) skip();
        rows[i].read(path, &sentences, &count);
        assert_int_equal(count, SENTENCES);
        rows[i].make(&file, &sentences);
        const struct bundle *bundle = given(buf_text(&file));
        size_t wrong = count_hits(bundle, &sentences);
        const struct terms_entry *first = &bundle->terms->entries[0];
        char *term = mem_text(first->text, first->size);
        assert_int_equal(pass_through(bundle, &no_rules, SIEVE_OUTPUT, term, 3, &out), RULES_MASK);
        print_message("%s: %zu of %d sentences were hit, with %zu terms\n", rows[i].language, wrong,
                      SENTENCES, bundle->terms->count);
        assert_true(100 * wrong <= SENTENCES);
        mem_free(term);
        bundle_drop(bundle);
        buf_fini(&sentences);
        buf_fini(&file);
        buf_fini(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_action_does_what_it_says),
        cmocka_unit_test(rules_say_more_than_the_bundle),
        cmocka_unit_test(the_strongest_of_what_ends_together_counts),
        cmocka_unit_test(what_was_found_is_told_by_category),
        cmocka_unit_test(every_term_is_found_under_every_variant_and_split),
        cmocka_unit_test(ordinary_sentences_are_let_be),
    };
    return cmocka_run_group_tests(tests, given_disguises, end_disguises);
}
