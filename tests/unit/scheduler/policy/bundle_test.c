#include "scheduler/policy/bundle.h"
#include "tests/test.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/sign.h"

#include <sodium.h>

#include <string.h>
#include <sys/stat.h>

static char folder[64], keys[96];
static struct sign_secret secret, stranger;
static struct rules_filter rules = {.bundle = "demo", .max_age_days = 30, .window = 4096};

enum {
    MADE_S = 1793491200 // 2026-11-01
};

static void write_text(const char *path, const char *text)
{
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static int given_folder(void **state)
{
    (void)state;
    struct buf text = {0};
    struct sign_public key;
    if (sodium_init() < 0) return -1;
    snprintf(folder, sizeof folder, "/tmp/qiao-bundle-XXXXXX");
    if (!mkdtemp(folder)) return -1;
    snprintf(keys, sizeof keys, "%s/keys", folder);
    if (sign_make_key(&secret, "alice") || sign_make_key(&stranger, "mallory")) return -1;
    sign_public_of(&key, &secret);
    sign_write_public(&text, &key);
    write_text(keys, buf_text(&text));
    buf_fini(&text);
    return 0;
}

static int end_folder(void **state)
{
    (void)state;
    char command[96];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

/* A file, and its signature by `signer` (NULL: none). */
static void given_file(const char *name, const char *text, const struct sign_secret *signer)
{
    char path[160];
    struct sign_signature signature;
    struct buf out = {0};
    snprintf(path, sizeof path, "%s/%s", folder, name);
    write_text(path, text);
    strncat(path, ".sig", 5);
    remove(path);
    if (!signer) return;
    sign_bytes(signature.bytes, signer, TERMS_PURPOSE, text, strlen(text));
    snprintf(signature.id, sizeof signature.id, "%s", signer->id);
    sign_write_signature(&out, &signature);
    write_text(path, buf_text(&out));
    buf_fini(&out);
}

#define FILE_OF(name, serial) \
    "qiao terms 1\nname " name "\nserial " serial "\nmade 2026-11-01\ncategory veil mask mask\n"

static void a_signed_bundle_is_found_until_it_is_too_old(void **state)
{
    (void)state;
    struct bundles *bundles;
    const struct bundle *bundle;
    given_file("demo.terms", FILE_OF("demo", "2") "term veil 坏东西\n", &secret);
    assert_int_equal(bundles_new(&bundles, folder, keys), ERR_OK);
    assert_int_equal(bundles_find(bundles, &rules, MADE_S, &bundle), ERR_OK);
    assert_string_equal(bundle->signer, "alice");
    assert_int_equal(bundle->terms->count, 1);
    bundle_drop(bundle);
    assert_int_equal(bundles_find(bundles, &rules, MADE_S + 30 * 86400, &bundle), ERR_OK);
    bundle_drop(bundle);
    assert_int_equal(bundles_find(bundles, &rules, MADE_S + 31 * 86400, &bundle), ERR_UNAVAILABLE);
    assert_non_null(strstr(err_text(), "31 days old"));
    assert_int_equal(bundles_find(bundles, &rules, MADE_S - 2 * 86400, &bundle), ERR_UNAVAILABLE);
    struct rules_filter narrow = rules, other = rules;
    narrow.window = 8;
    other.bundle = "other";
    assert_int_equal(bundles_find(bundles, &narrow, MADE_S, &bundle), ERR_UNAVAILABLE);
    assert_non_null(strstr(err_text(), "the window holds 8"));
    assert_int_equal(bundles_find(bundles, &other, MADE_S, &bundle), ERR_UNAVAILABLE);
    assert_int_equal(bundles_find(NULL, &rules, MADE_S, &bundle), ERR_UNAVAILABLE);
    bundles_free(bundles);
}

static void what_nobody_signed_is_no_bundle(void **state)
{
    (void)state;
    struct bundles *bundles;
    given_file("demo.terms", FILE_OF("demo", "2"), NULL);
    assert_int_not_equal(bundles_new(&bundles, folder, keys), ERR_OK);
    given_file("demo.terms", FILE_OF("demo", "2"), &stranger);
    assert_int_equal(bundles_new(&bundles, folder, keys), ERR_FORBIDDEN);
    given_file("demo.terms", FILE_OF("demo", "2"), &secret);
    char path[160];
    snprintf(path, sizeof path, "%s/demo.terms", folder);
    write_text(path, FILE_OF("demo", "3")); // one byte is another
    assert_int_equal(bundles_new(&bundles, folder, keys), ERR_FORBIDDEN);
    assert_non_null(strstr(err_text(), "demo.terms: no key of"));
    given_file("demo.terms", FILE_OF("else", "2"), &secret);
    assert_int_equal(bundles_new(&bundles, folder, keys), ERR_INVALID);
    given_file("demo.terms", FILE_OF("demo", "2") "term veil x\n", &secret);
    assert_int_equal(bundles_new(&bundles, folder, keys), ERR_INVALID);
    assert_non_null(strstr(err_text(), "'x' has fewer than 2"));
}

static uint64_t serial_in_force(struct bundles *bundles)
{
    const struct bundle *bundle;
    assert_int_equal(bundles_find(bundles, &rules, MADE_S, &bundle), ERR_OK);
    uint64_t serial = bundle->terms->serial;
    bundle_drop(bundle);
    return serial;
}

static void a_newer_edition_takes_over_and_no_other(void **state)
{
    (void)state;
    struct bundles *bundles;
    const struct bundle *before;
    given_file("demo.terms", FILE_OF("demo", "2"), &secret);
    assert_int_equal(bundles_new(&bundles, folder, keys), ERR_OK);
    assert_false(bundles_changed(bundles));
    assert_int_equal(bundles_find(bundles, &rules, MADE_S, &before), ERR_OK);
    given_file("demo.terms", FILE_OF("demo", "10") "term veil 坏东西\n", &secret);
    assert_true(bundles_changed(bundles));
    assert_int_equal(bundles_load(bundles), ERR_OK);
    assert_false(bundles_changed(bundles));
    assert_int_equal(serial_in_force(bundles), 10);
    assert_int_equal(before->terms->serial,
                     2); // who filters a text goes on with what was begun with
    bundle_drop(before);
    given_file("demo.terms", FILE_OF("demo", "9") "term veil 坏东\n", &secret);
    assert_int_equal(bundles_load(bundles), ERR_INVALID);
    assert_false(bundles_changed(bundles)); // it is not read over and over
    assert_non_null(strstr(bundles_failure(bundles), "its serial is 9"));
    given_file("demo.terms", "qiao terms 1\nrubbish\n", &secret);
    assert_int_equal(bundles_load(bundles), ERR_FORMAT);
    assert_int_equal(serial_in_force(bundles), 10);
    struct buf shown = {0};
    bundles_show(bundles, &shown);
    assert_non_null(strstr(buf_text(&shown), "\"name\":\"demo\",\"serial\":10"));
    buf_fini(&shown);
    bundles_free(bundles);
}

/* The examples that the repository has are bundles. */
static void the_examples_can_be_compiled(void **state)
{
    (void)state;
    static const char *const names[] = {"base", "cn"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[64], name[16], *text;
        size_t size;
        struct bundles *bundles;
        snprintf(path, sizeof path, "deploy/policy/terms/%s.terms", names[i]);
        snprintf(name, sizeof name, "%s.terms", names[i]);
        assert_int_equal(file_read(&text, &size, path, TERMS_FILE_MAX), ERR_OK);
        given_file("demo.terms", FILE_OF("demo", "2"), &secret);
        given_file(name, text, &secret);
        if (bundles_new(&bundles, folder, keys)) fail_msg("%s", err_text());
        bundles_free(bundles);
        mem_free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_signed_bundle_is_found_until_it_is_too_old),
        cmocka_unit_test(what_nobody_signed_is_no_bundle),
        cmocka_unit_test(a_newer_edition_takes_over_and_no_other),
        cmocka_unit_test(the_examples_can_be_compiled),
    };
    return cmocka_run_group_tests(tests, given_folder, end_folder);
}
