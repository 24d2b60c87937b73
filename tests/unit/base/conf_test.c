#include "tests/test.h"

#include "base/buf.h"
#include "base/conf.h"

#include <string.h>

struct sample_conf {
    char *model;
    uint64_t kv_bytes;
    double share;
    bool verbose;
    struct conf_list scheduler;
};

static const struct conf_row rows[] = {
    CONF_ROW(struct sample_conf, string, model, "", 1, 20, "path", "the file")
        CONF_ROW(struct sample_conf, count, kv_bytes, "1M", 1024, 1073741824, "bytes", "the pool")
            CONF_ROW(struct sample_conf, real, share, "0.5", 0, 1, "", "of memory")
                CONF_ROW(struct sample_conf, flag, verbose, "false", 0, 0, "", "say more")
                    CONF_ROW(struct sample_conf, list, scheduler, "", 0, 3, "urls", "to dial")};
static const struct conf_table table = {
    .program = "sample", .summary = "a sample", .usage = "[flags]", .rows = rows, .row_count = 5};

static enum err load(struct sample_conf *conf, int *rest, int argc, const char *const *argv,
                     char **copy)
{
    enum conf_next next;
    copy[0] = (char *)(uintptr_t) "sample";
    for (int i = 0; i < argc; i++)
        copy[i + 1] = (char *)(uintptr_t)argv[i];
    *conf = (struct sample_conf){0};
    return conf_load(&table, conf, argc + 1, copy, rest, &next);
}

#define LOAD(...)                                                                     \
    load(&conf, &rest, (int)(sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *)), \
         (const char *[]){__VA_ARGS__}, copy)

static struct sample_conf conf;
static int rest;
static char *copy[32];

static void flags_win_over_variables_over_file_over_presets(void **state)
{
    (void)state;
    char path[] = "/tmp/qiao-conf-XXXXXX";
    int file = mkstemp(path);
    const char text[] = "# a comment\nkv_bytes = 4K   # behind\nshare=0.25\n\nscheduler = x,y\n";
    assert_int_equal(write(file, text, sizeof text - 1), sizeof text - 1);
    close(file);

    assert_int_equal(LOAD("--verbose"), ERR_OK);
    assert_int_equal(conf.kv_bytes, 1 << 20);
    assert_true(conf.verbose);
    assert_string_equal(conf.model, "");
    conf_fini(&table, &conf);

    setenv("QIAO_SHARE", "0.75", 1);
    assert_int_equal(LOAD("--config", path, "one", "--kv-bytes=8k", "--scheduler", "a",
                          "--scheduler", "b,c", "two", "--", "--three"),
                     ERR_OK);
    assert_int_equal(conf.kv_bytes, 8192);
    assert_true(conf.share == 0.75);
    assert_int_equal(conf.scheduler.count, 3);
    assert_string_equal(conf.scheduler.items[2], "c");
    assert_string_equal(copy[rest], "one");
    assert_string_equal(copy[rest + 2], "--three");
    conf_fini(&table, &conf);
    unsetenv("QIAO_SHARE");

    assert_int_equal(LOAD("--config", path, "--no-verbose"), ERR_OK);
    assert_int_equal(conf.kv_bytes, 4096);
    assert_int_equal(conf.scheduler.count, 2);
    conf_fini(&table, &conf);
    unlink(path);
}

static void assert_refused(enum err err, const char *one, const char *two)
{
    assert_int_equal(err, ERR_INVALID);
    if (!strstr(err_text(), one) || !strstr(err_text(), two)) fail_msg("note: %s", err_text());
}

static void a_wrong_value_names_its_source_and_what_would_be_right(void **state)
{
    (void)state;
    assert_refused(LOAD("--kv-bytes", "12"), "--kv-bytes: '12'", "1024 to 1073741824");
    assert_refused(LOAD("--kv-bytes", "-5"), "--kv-bytes", "whole number");
    assert_refused(LOAD("--kv-bytes", "99999999999999999999"), "--kv-bytes", "whole number");
    assert_refused(LOAD("--kv-bytes", "4Q"), "4Q", "K, M or G");
    assert_refused(LOAD("--share=nan"), "--share: 'nan'", "0 to 1");
    assert_refused(LOAD("--verbose=maybe"), "maybe", "true or false");
    assert_refused(LOAD("--model"), "--model", "a value must follow");
    assert_refused(LOAD("--model", "0123456789012345678901"), "--model", "1 to 20 bytes");
    assert_refused(LOAD("--scheduler", "a,b,c,d"), "--scheduler", "more than 3");
    assert_refused(LOAD("--kv-byte", "1"), "'--kv-byte'", "did you mean '--kv-bytes'?");
    assert_refused(LOAD("--kv-byte=123"), "'--kv-byte'", "did you mean '--kv-bytes'?");
    assert_refused(LOAD("--zzzzzzzz"), "zzzzzzzz", "--help");
    setenv("QIAO_SHARE", "x", 1);
    assert_refused(LOAD("one"), "QIAO_SHARE: 'x'", "number");
    unsetenv("QIAO_SHARE");
}

static enum err load_text(const char *text, char *path)
{
    int file = mkstemp(path);
    assert_int_equal(write(file, text, strlen(text)), strlen(text));
    close(file);
    enum err err = LOAD("--config", path);
    unlink(path);
    return err;
}

static void a_list_grows_within_a_file_and_an_error_names_its_line(void **state)
{
    (void)state;
    char one[] = "/tmp/qiao-conf-XXXXXX", two[] = "/tmp/qiao-conf-XXXXXX";
    char three[] = "/tmp/qiao-conf-XXXXXX", four[] = "/tmp/qiao-conf-XXXXXX";
    assert_int_equal(load_text("scheduler = a\nscheduler = b, c\n", one), ERR_OK);
    assert_int_equal(conf.scheduler.count, 3);
    assert_string_equal(conf.scheduler.items[0], "a");
    assert_string_equal(conf.scheduler.items[2], "c");
    conf_fini(&table, &conf);
    assert_refused(load_text("\n# x\nshare = 2\n", two), ":3: '2'", "0 to 1");
    assert_refused(load_text("shar = 1\n", three), ":1: there is no setting 'shar'",
                   "did you mean 'share'?");
    assert_refused(load_text("share\n", four), ":1: 'share'", "name = value");
    assert_int_equal(LOAD("--config", "/nowhere.conf"), ERR_IO);
    assert_non_null(strstr(err_text(), "/nowhere.conf"));
}

static void help_and_markdown_show_every_row(void **state)
{
    (void)state;
    struct buf help = {0}, page = {0};
    conf_help(&table, &help);
    conf_markdown(&table, &page);
    for (size_t i = 0; i < table.row_count; i++) {
        assert_non_null(strstr(help.data, rows[i].text));
        assert_non_null(strstr(page.data, rows[i].text));
    }
    assert_non_null(strstr(help.data, "--kv-bytes bytes"));
    buf_fini(&help);
    buf_fini(&page);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flags_win_over_variables_over_file_over_presets),
        cmocka_unit_test(a_wrong_value_names_its_source_and_what_would_be_right),
        cmocka_unit_test(a_list_grows_within_a_file_and_an_error_names_its_line),
        cmocka_unit_test(help_and_markdown_show_every_row),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
