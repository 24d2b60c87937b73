/* Records of a real Redis sealed into files: each one once, whatever is lost between two steps. */
#include "scheduler/policy/audit.h"
#include "scheduler/policy/audit_files.h"
#include "scheduler/policy/sealer.h"
#include "scheduler/scribe.h"
#include "scheduler/state/store.h"
#include "tests/support/redis.h"
#include "tests/test.h"
#include "tests/unit/scheduler/state/store_loop.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/ledger_file.h"
#include "base/mem.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct test_redis redis;
static struct event_base *base;
static struct store *store;
static struct scribe *scribe;
static struct audit *audit;
static struct sealer *sealer;
static char folder[64];

static int set_up(void **state)
{
    (void)state;
    if (!store_loop_begin(&redis, &base, &store)) return 0;
    scribe = scribe_new(base, 1);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    if (!base) return 0;
    scribe_free(scribe);
    store_loop_end(base, store);
    test_redis_stop(&redis);
    return 0;
}

static void open_sealer_in(const char *place)
{
    assert_int_equal(sealer_new(&sealer, &(struct sealer_options){.base = base,
                                                                  .store = store,
                                                                  .scribe = scribe,
                                                                  .audit = audit,
                                                                  .folder = place,
                                                                  .seconds = 3600,
                                                                  .days = 183,
                                                                  .given_up_ms = 30000}),
                     ERR_OK);
}

static void open_sealer(void)
{
    open_sealer_in(folder);
}

/* What it has given back and written is in Redis. */
static void close_sealer(void)
{
    sealer_stop(sealer);
    store_loop_settle(base, store);
    sealer_free(sealer);
}

static bool is_written(void)
{
    struct audit_facts facts;
    audit_read_facts(audit, &facts);
    return facts.waiting == 0;
}

/* An audit, and a folder of its own with the first file. */
static void given_sealer(void)
{
    snprintf(folder, sizeof folder, "/tmp/qiao-sealer-XXXXXX");
    assert_non_null(mkdtemp(folder));
    (void)store_loop_ask(base, store, "FLUSHALL", NULL);
    audit =
        audit_new(&(struct audit_options){.base = base, .store = store, .records_max = 1000000});
    open_sealer();
}

static void over(void)
{
    close_sealer();
    audit_leave(audit);
    store_loop_settle(base, store);
    audit_free(audit);
    DIR *listing = opendir(folder);
    for (const struct dirent *entry; (entry = readdir(listing)) != NULL;)
        if (*entry->d_name != '.') (void)unlinkat(dirfd(listing), entry->d_name, 0);
    closedir(listing);
    assert_int_equal(rmdir(folder), 0);
}

static void note_many(size_t count)
{
    for (size_t i = 0; i < count; i++)
        audit_note(audit, AUDIT_DENIAL, &(struct audit_field){"reason", "suspended"}, 1);
    assert_soon_on(base, is_written());
}

struct told {
    bool done;
    enum err err;
    struct sealer_state state;
    char note[ERR_NOTE_MAX];
};

static void on_told(void *argument, enum err err, const struct sealer_state *state)
{
    struct told *told = argument;
    told->done = true;
    told->err = err;
    snprintf(told->note, sizeof told->note, "%s", err ? err_text() : "");
    if (state) told->state = *state;
}

static struct sealer_state ask(void)
{
    struct told told = {0};
    (void)sealer_ask(sealer, on_told, &told);
    store_loop_until(base, &told.done);
    if (told.err) fail_msg("%s; %s", told.note, sealer_failure(sealer));
    assert_soon_on(base, is_written());
    return told.state;
}

/* All files of the folder, from the first one on. */
struct content {
    uint64_t files;
    size_t records, gaps;
    char gap[160];
    struct ledger_hash root;
};

static void on_record(void *argument, const struct ledger_record *record)
{
    (void)record;
    ((struct content *)argument)->records++;
}

static void on_gap(void *argument, const char *text)
{
    struct content *content = argument;
    content->gaps++;
    snprintf(content->gap, sizeof content->gap, "%s", text);
}

static void path_of(char out[128], uint64_t number)
{
    snprintf(out, 128, "%s/audit-%08" PRIu64 ".txt", folder, number);
}

static void read_folder(struct content *content)
{
    struct ledger_seal before = {0};
    const struct ledger_reader reader = {on_record, on_gap, content, NULL};
    *content = (struct content){0};
    for (char path[128]; path_of(path, content->files + 1), access(path, F_OK) == 0;) {
        struct ledger_seal seal = {0};
        char *text;
        size_t size;
        assert_int_equal(file_read(&text, &size, path, LEDGER_FILE_MAX), ERR_OK);
        if (ledger_file_check(&seal, path, text, size, &before, &reader))
            fail_msg("%s", err_text());
        mem_free(text);
        ledger_seal_fini(&before);
        before = seal;
        content->files++;
    }
    content->root = before.root;
    ledger_seal_fini(&before);
}

static void records_leave_the_stream_for_files_that_follow_on_each_other(void **state)
{
    (void)state;
    if (!base) skip();
    struct content content;
    char root[LEDGER_HASH_TEXT_SIZE];
    given_sealer();
    note_many(100);
    struct sealer_state first = ask();
    note_many(1500);
    struct sealer_state second = ask();
    assert_in_range(second.number, first.number + 1, first.number + 3);
    read_folder(&content);
    assert_int_equal(content.files, second.number);
    assert_string_equal(ledger_hash_text(&content.root, root), second.root);
    assert_int_equal(content.gaps, 0);
    long long left = store_loop_ask(base, store, "XLEN", AUDIT_RECORDS_KEY, NULL).integer;
    assert_in_range(left, 1, 3); // what tells of the sealing itself
    assert_int_equal(content.records + (size_t)left, 1600 + (size_t)second.number);
    over();
}

static void another_scheduler_goes_on_where_the_last_one_stopped(void **state)
{
    (void)state;
    if (!base) skip();
    struct content content;
    given_sealer();
    note_many(10);
    uint64_t number = ask().number;
    close_sealer();
    open_sealer();
    note_many(10);
    assert_int_equal(ask().number, number + 1);
    read_folder(&content);
    assert_int_equal(content.gaps, 0);
    over();
}

static bool is_locked(void)
{
    return store_loop_ask(base, store, "EXISTS", "qiao:{audit}:lock", NULL).integer == 1;
}

static void a_redis_that_forgot_what_is_sealed_learns_it_from_the_folder(void **state)
{
    (void)state;
    if (!base) skip();
    struct content content;
    given_sealer();
    note_many(30);
    uint64_t number = ask().number;
    (void)store_loop_ask(base, store, "FLUSHALL", NULL);
    assert_soon_on(base, is_locked()); // anew
    note_many(30);                     // all that was kept comes again
    assert_true(ask().number > number);
    read_folder(&content);
    assert_int_equal(content.gaps, 0);
    assert_in_range(content.records, 61, 64);
    over();
}

static void a_crash_before_the_file_has_its_name_loses_nothing(void **state)
{
    (void)state;
    if (!base) skip();
    struct content content;
    char path[128], draft[256];
    given_sealer();
    note_many(30);
    struct sealer_state sealed = ask();
    close_sealer();
    path_of(path, sealed.number);
    snprintf(draft, sizeof draft, "%s/audit-%08" PRIu64 "-%.16s.draft", folder, sealed.number,
             sealed.root);
    assert_int_equal(rename(path, draft), 0);
    open_sealer();
    note_many(10);
    assert_int_equal(ask().number, sealed.number + 1);
    read_folder(&content);
    assert_int_equal(content.files, sealed.number + 1);
    assert_int_equal(content.gaps, 0);
    over();
}

static void until_it_fails(const char *note)
{
    struct told told = {0};
    struct sealer_ticket *ticket = sealer_ask(sealer, on_told, &told);
    assert_soon_on(base, strstr(sealer_failure(sealer), note));
    assert_false(told.done);
    sealer_drop(ticket);
}

static void a_folder_that_is_not_as_it_was_left_is_not_written_to(void **state)
{
    (void)state;
    if (!base) skip();
    char path[128], *text, aside[256];
    size_t size;
    given_sealer();
    note_many(30);
    uint64_t number = ask().number;
    close_sealer();
    path_of(path, number);
    assert_int_equal(file_read(&text, &size, path, LEDGER_FILE_MAX), ERR_OK);
    text[size / 2] ^= 1;
    unlink(path);
    assert_int_equal(file_create(path, 0600, text, size), ERR_OK);
    mem_free(text);
    open_sealer();
    note_many(5);
    until_it_fails("changed"); // a word, or the checks of words: wherever the byte was
    close_sealer();
    snprintf(aside, sizeof aside, "%s/aside", folder);
    assert_int_equal(rename(path, aside), 0);
    open_sealer();
    until_it_fails("it is not the folder where they are");
    over();
}

static void who_has_another_folder_leaves_it_to_who_has_the_right_one(void **state)
{
    (void)state;
    if (!base) skip();
    struct content content;
    char wrong[] = "/tmp/qiao-sealer-XXXXXX";
    given_sealer();
    note_many(30);
    uint64_t number = ask().number;
    close_sealer();
    assert_non_null(mkdtemp(wrong));
    open_sealer_in(wrong);
    struct sealer *other = sealer;
    note_many(5);
    until_it_fails("it is not the folder where they are");
    open_sealer();
    assert_int_equal(ask().number, number + 1);
    read_folder(&content);
    assert_int_equal(content.gaps, 0);
    sealer_stop(other);
    store_loop_settle(base, store);
    sealer_free(other);
    assert_int_equal(rmdir(wrong), 0); // nothing was written there
    over();
}

static void a_scheduler_that_fell_silent_shows_in_the_file(void **state)
{
    (void)state;
    if (!base) skip();
    struct content content;
    struct audit_facts facts;
    given_sealer();
    note_many(5);
    audit_read_facts(audit, &facts);
    (void)store_loop_ask(base, store, "HSET", AUDIT_CHAINS_KEY, facts.chain, "5 1000", NULL);
    (void)ask();
    read_folder(&content);
    assert_int_equal(content.gaps, 1);
    assert_non_null(strstr(content.gap, "has no END"));
    over();
}

static void files_are_kept_as_long_as_they_must_be(void **state)
{
    (void)state;
    if (!base) skip();
    struct content content;
    char path[128];
    int64_t now_ms = clock_wall_ms();
    given_sealer();
    for (int i = 0; i < 3; i++) {
        note_many(2);
        (void)ask();
    }
    read_folder(&content);
    assert_in_range(content.files, 3, 5);
    assert_int_equal(audit_files_remove(folder, now_ms - 86400000, content.files), 0);
    assert_int_equal(audit_files_remove(folder, now_ms + 86400000, content.files),
                     content.files - 1);
    path_of(path, 1);
    assert_int_not_equal(access(path, F_OK), 0);
    path_of(path, content.files);
    assert_int_equal(access(path, F_OK), 0);
    over();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_leave_the_stream_for_files_that_follow_on_each_other),
        cmocka_unit_test(another_scheduler_goes_on_where_the_last_one_stopped),
        cmocka_unit_test(a_redis_that_forgot_what_is_sealed_learns_it_from_the_folder),
        cmocka_unit_test(a_crash_before_the_file_has_its_name_loses_nothing),
        cmocka_unit_test(a_folder_that_is_not_as_it_was_left_is_not_written_to),
        cmocka_unit_test(who_has_another_folder_leaves_it_to_who_has_the_right_one),
        cmocka_unit_test(a_scheduler_that_fell_silent_shows_in_the_file),
        cmocka_unit_test(files_are_kept_as_long_as_they_must_be),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
