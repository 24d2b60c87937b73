/* An audit and a real Redis that goes away, forgets, and is full: what is in the stream then. */
#include "scheduler/policy/audit.h"
#include "scheduler/state/store.h"
#include "tests/test.h"
#include "tests/unit/scheduler/state/store_scene.h"

#include "base/buf.h"
#include "base/ledger_file.h"

#include <hiredis/hiredis.h>

#include <stdio.h>
#include <string.h>

static struct store *store_of_audit;

static struct audit *given_audit_over(struct store *its, uint64_t records_max, uint64_t given_up_ms)
{
    (void)store_loop_ask(base, store, "FLUSHALL", NULL);
    store_of_audit = its;
    return audit_new(&(struct audit_options){
        .base = base, .store = its, .records_max = records_max, .given_up_ms = given_up_ms});
}

static struct audit *given_audit(uint64_t records_max, uint64_t given_up_ms)
{
    return given_audit_over(store, records_max, given_up_ms);
}

static void note(struct audit *audit, enum audit_class class, const char *value)
{
    audit_note(audit, class, &(struct audit_field){"reason", value}, 1);
}

static void note_many(struct audit *audit, size_t count)
{
    for (size_t i = 0; i < count; i++)
        note(audit, AUDIT_DENIAL, "suspended");
}

static struct audit_facts facts_of(const struct audit *audit)
{
    struct audit_facts facts;
    audit_read_facts(audit, &facts);
    return facts;
}

static void until_written(const struct audit *audit)
{
    assert_soon_on(base, facts_of(audit).waiting == 0);
}

static void over(struct audit *audit)
{
    audit_leave(audit);
    store_loop_settle(base, store_of_audit);
    audit_free(audit);
}

static void on_lines(void *argument, enum err err, const redisReply *reply)
{
    assert_int_equal(err, ERR_OK);
    for (size_t i = 0; i < reply->elements; i++) {
        const redisReply *fields = reply->element[i]->element[1];
        buf_add(argument, fields->element[1]->str, fields->element[1]->len);
        buf_add_byte(argument, '\n');
    }
}

/* The records of the stream, sealed and read again. */
struct content {
    size_t records, gaps;
    char classes[4096]; // the names' first letters, in order
    char last[LEDGER_VALUE_MAX + 1];
};

static void on_record(void *argument, const struct ledger_record *record)
{
    struct content *content = argument;
    char name[LEDGER_NAME_MAX + 1];
    if (content->records < sizeof content->classes - 1)
        content->classes[content->records] = *record->class;
    content->records++;
    (void)ledger_field_at(record, 0, name, content->last);
}

static void on_gap(void *argument, const char *text)
{
    (void)text;
    ((struct content *)argument)->gaps++;
}

static void read_stream(struct content *content)
{
    static const char *const words[] = {"XRANGE", AUDIT_RECORDS_KEY, "-", "+"};
    struct buf lines = {0}, file = {0};
    struct ledger_seal none = {0}, seal = {0}, again = {0};
    const struct ledger_reader reader = {on_record, on_gap, content, NULL};
    *content = (struct content){0};
    store_command(store, on_lines, &lines, 4, words, NULL);
    store_loop_settle(base, store);
    const struct ledger_sealing sealing = {
        .before = &none, .lines = buf_text(&lines), .size = lines.size};
    assert_int_equal(ledger_seal_write(&file, &seal, &sealing), ERR_OK);
    if (ledger_file_check(&again, "stream", file.data, file.size, &none, &reader))
        fail_msg("%s", err_text());
    ledger_seal_fini(&seal);
    ledger_seal_fini(&again);
    buf_fini(&lines);
    buf_fini(&file);
}

static void records_stand_in_the_stream_as_one_chain(void **state)
{
    (void)state;
    if (!base) skip();
    struct content content;
    struct audit_facts facts;
    struct audit *audit = given_audit(1000000, 0);
    note(audit, AUDIT_START, "0.1.0");
    note_many(audit, 500);
    until_written(audit);
    audit_read_facts(audit, &facts);
    assert_int_equal(facts.written, 501);
    over(audit);
    read_stream(&content);
    assert_int_equal(content.records, 502);
    assert_int_equal(content.gaps, 0);
    assert_int_equal(content.classes[0], 'S');
    assert_int_equal(content.classes[501], 'E');
}

static void two_schedulers_have_a_chain_each(void **state)
{
    (void)state;
    if (!base) skip();
    struct content content;
    struct audit *first = given_audit(1000000, 0);
    struct audit *second =
        audit_new(&(struct audit_options){.base = base, .store = store, .records_max = 1000000});
    for (int i = 0; i < 100; i++) {
        note(first, AUDIT_DENIAL, "a");
        note(second, AUDIT_LABEL, "b");
    }
    until_written(first);
    until_written(second);
    over(first);
    over(second);
    read_stream(&content);
    assert_int_equal(content.records, 202);
    assert_int_equal(content.gaps, 0);
}

static void a_redis_that_forgot_gets_the_latest_again(void **state)
{
    (void)state;
    if (!base) skip();
    struct content content;
    struct audit *audit = given_audit(1000000, 0);
    note_many(audit, 300);
    until_written(audit);
    test_redis_kill(&redis);
    store_loop_until_up(base, store, false);
    note_many(audit, 20); // wait
    test_redis_restart(&redis);
    until_written(audit);
    over(audit);
    read_stream(&content);
    assert_int_equal(content.records, 321);
    assert_int_equal(content.gaps, 0);
}

static void what_is_not_kept_any_more_is_a_gap(void **state)
{
    (void)state;
    if (!base) skip();
    struct content content;
    struct audit *audit = given_audit(1000000, 0);
    note_many(audit, AUDIT_KEPT + 400);
    until_written(audit);
    (void)store_loop_ask(base, store, "DEL", AUDIT_RECORDS_KEY, AUDIT_CHAINS_KEY, NULL);
    note(audit, AUDIT_DENIAL, "one more");
    until_written(audit);
    over(audit);
    read_stream(&content);
    assert_int_equal(content.records, AUDIT_KEPT + 2);
    assert_int_equal(content.gaps, 1);
}

static void a_call_whose_answer_was_lost_is_not_written_twice(void **state)
{
    (void)state;
    if (!base) skip();
    struct content content;
    struct store *hasty =
        store_new(base, &(struct store_options){.host = redis.socket, .timeout_ms = 500});
    store_loop_until_up(base, hasty, true);
    struct audit *audit = given_audit_over(hasty, 1000000, 0);
    note_many(audit, 10);
    until_written(audit);
    test_redis_freeze(&redis, true);
    note_many(audit, 10);
    store_loop_until_up(base, hasty, false); // the call is late, and comes again
    note_many(audit, 10);
    test_redis_freeze(&redis, false);
    until_written(audit);
    over(audit);
    store_free(hasty);
    read_stream(&content);
    assert_int_equal(content.records, 31);
    assert_int_equal(content.gaps, 0);
}

static void what_must_be_written_stops_serving_when_it_is_not(void **state)
{
    (void)state;
    if (!base) skip();
    uint32_t denials = audit_class_bit("denial"), labels = audit_class_bit("label");
    struct audit *audit = given_audit(1000000, 0);
    assert_true(audit_stands(NULL, denials));
    note_many(audit, 1);
    until_written(audit);
    test_redis_kill(&redis);
    store_loop_until_up(base, store, false);
    note_many(audit, 1);
    assert_true(audit_stands(audit, denials));
    assert_soon_on(base, !audit_stands(audit, denials));
    assert_true(audit_stands(audit, labels));
    test_redis_restart(&redis);
    until_written(audit);
    assert_true(audit_stands(audit, denials));
    over(audit);
}

static void what_cannot_even_wait_is_told(void **state)
{
    (void)state;
    if (!base) skip();
    struct content content;
    struct audit_facts facts;
    struct audit *audit = given_audit(1000000, 0);
    test_redis_kill(&redis);
    store_loop_until_up(base, store, false);
    note_many(audit, AUDIT_WAITING_MAX);
    note_many(audit, 7);
    assert_false(audit_stands(audit, audit_class_bit("DENIAL")));
    assert_true(audit_stands(audit, audit_class_bit("LABEL")));
    audit_read_facts(audit, &facts);
    assert_int_equal(facts.lost, 7);
    test_redis_restart(&redis);
    until_written(audit);
    note(audit, AUDIT_LABEL, "after");
    until_written(audit);
    assert_true(audit_stands(audit, audit_class_bit("DENIAL")));
    over(audit);
    read_stream(&content);
    assert_int_equal(content.records, AUDIT_WAITING_MAX + 3);
    assert_int_equal(content.gaps, 0);
}

static void a_stream_that_is_full_takes_no_more(void **state)
{
    (void)state;
    if (!base) skip();
    struct audit_facts facts;
    struct audit *audit = given_audit(100, 0);
    note_many(audit, 300);
    assert_soon_on(base, facts_of(audit).full);
    audit_read_facts(audit, &facts);
    assert_in_range(facts.written, 100, 100 + AUDIT_BATCH);
    (void)store_loop_ask(base, store, "DEL", AUDIT_RECORDS_KEY, NULL); // as if it were sealed
    assert_soon_on(base, facts_of(audit).written >= 200);
    store_loop_run(base, 600); // it is full again, and stays so
    audit_read_facts(audit, &facts);
    assert_in_range(facts.written, 200, 200 + 2 * AUDIT_BATCH);
    (void)store_loop_ask(base, store, "DEL", AUDIT_RECORDS_KEY, NULL);
    until_written(audit);
    over(audit);
}

static void who_was_given_up_begins_a_new_chain(void **state)
{
    (void)state;
    if (!base) skip();
    struct content content;
    struct audit_facts facts;
    char chain[17];
    struct audit *audit = given_audit(1000000, 200);
    note(audit, AUDIT_START, "0.1.0");
    until_written(audit);
    audit_read_facts(audit, &facts);
    memcpy(chain, facts.chain, sizeof chain);
    (void)store_loop_ask(base, store, "DEL", AUDIT_CHAINS_KEY, NULL);
    store_loop_run(base, 300);
    note(audit, AUDIT_DENIAL, "suspended");
    until_written(audit);
    audit_read_facts(audit, &facts);
    assert_string_not_equal(facts.chain, chain);
    assert_int_equal(facts.written, 2); // a START that names the chain before, and the denial
    over(audit);
    read_stream(&content);
    assert_string_equal(content.classes, "SSDE");
    assert_int_equal(content.gaps, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_stand_in_the_stream_as_one_chain),
        cmocka_unit_test(two_schedulers_have_a_chain_each),
        cmocka_unit_test(a_redis_that_forgot_gets_the_latest_again),
        cmocka_unit_test(what_is_not_kept_any_more_is_a_gap),
        cmocka_unit_test(a_call_whose_answer_was_lost_is_not_written_twice),
        cmocka_unit_test(what_must_be_written_stops_serving_when_it_is_not),
        cmocka_unit_test(what_cannot_even_wait_is_told),
        cmocka_unit_test(a_stream_that_is_full_takes_no_more),
        cmocka_unit_test(who_was_given_up_begins_a_new_chain),
    };
    return cmocka_run_group_tests(tests, store_scene_set_up, store_scene_tear_down);
}
