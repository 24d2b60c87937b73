/* Any bytes as a file of terms, and as a text that is looked through: what is read is written and read back alike, and a text gives the same
 * however it is parted. Built with libFuzzer, or with tests/fuzz/corpus.c. */
#include "scheduler/policy/sieve.h"

#include "text/disguise.h"
#include "text/utf8.h"

#include "base/buf.h"
#include "base/must.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char fixed_text[] =
    "qiao terms 1\nname fixed\nserial 1\nmade 2026-11-26\n"
    "category bar block block\ncategory look review review\ncategory veil mask mask\n"
    "term veil 甲乙\npart veil 乙丙丁\npart veil il\nterm veil term\nterm bar 三四\nterm look "
    "mask\n"
    "pattern veil [a-e0-9]x?\\d{2,4}\\w\npattern veil \\a{2}\\d?\\w{0,9}\\w\n";

static struct terms *read_terms(const char *text, size_t size)
{
    struct terms *terms = NULL;
    if (terms_parse(&terms, "fuzz", text, size)) return NULL;
    struct buf once = {0}, twice = {0};
    struct terms *again;
    terms_write(&once, terms);
    must(terms_parse(&again, "fuzz", buf_text(&once), once.size) == ERR_OK);
    terms_write(&twice, again);
    must(once.size == twice.size && memcmp(once.data, twice.data, once.size) == 0);
    terms_free(again);
    buf_fini(&once);
    buf_fini(&twice);
    return terms;
}

/* The text in pieces of `step` characters. */
static enum rules_action look(const struct bundle *bundle, const char *text, size_t size,
                              size_t step, struct buf *out)
{
    static const struct rules_filter rules;
    struct sieve *sieve = sieve_new(bundle, &rules, SIEVE_OUTPUT);
    for (size_t at = 0, piece; at < size; at += piece) {
        piece = 0;
        for (size_t i = 0; i < step && at + piece < size; i++) {
            int32_t code;
            piece += utf8_next(text + at + piece, size - at - piece, &code);
        }
        sieve_push(sieve, text + at, piece, out);
        must(out->size <= at + piece);
    }
    sieve_end(sieve, out);
    enum rules_action action = sieve_action(sieve);
    must(action != RULES_PASS || (out->size == size && memcmp(buf_text(out), text, size) == 0));
    sieve_free(sieve);
    return action;
}

/* The same whatever the pieces. */
static void look_alike(const struct bundle *bundle, const char *text, size_t size)
{
    struct buf want = {0};
    enum rules_action action = look(bundle, text, size, 1, &want);
    for (size_t step = 2; step < 40; step += 7) {
        struct buf out = {0};
        must(look(bundle, text, size, step, &out) == action);
        must(out.size == want.size && memcmp(buf_text(&out), buf_text(&want), want.size) == 0);
        buf_fini(&out);
    }
    buf_fini(&want);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct fold *fold;
    static struct disguise *disguise;
    static const struct bundle *fixed;
    const struct bundle *bundle;
    const char *text = (const char *)data;
    if (!fold) {
        must(fold_new(&fold) == ERR_OK);
        disguise = disguise_new(fold);
        must(bundle_new(&fixed, disguise, read_terms(fixed_text, strlen(fixed_text))) == ERR_OK);
    }
    look_alike(fixed, text, size);
    struct terms *terms = read_terms(text, size);
    if (!terms || bundle_new(&bundle, disguise, terms)) return 0;
    look_alike(bundle, text, size);
    bundle_drop(bundle);
    return 0;
}
