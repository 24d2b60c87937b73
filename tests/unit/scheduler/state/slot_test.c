/* Slots by the published rule, and the replies with which a Cluster says who has them. */
#include "scheduler/state/slot.h"
#include "tests/test.h"

#include <hiredis/hiredis.h>

#include <string.h>

static unsigned slot_text(const char *key)
{
    return slot_of(key, strlen(key));
}

static void the_checksum_is_that_of_the_specification(void **state)
{
    (void)state;
    assert_int_equal(slot_crc16("123456789", 9), 0x31C3);
    assert_int_equal(slot_crc16("", 0), 0);
    assert_int_equal(slot_crc16("\xff", 1), 0x1EF0); // one step: the table's last word
}

static void a_key_without_a_tag_counts_whole(void **state)
{
    (void)state;
    assert_int_equal(slot_text("123456789"), 0x31C3);
    assert_int_equal(slot_text("foo"), 12182); // as CLUSTER KEYSLOT says
    assert_int_equal(slot_text("hello"), 866);
    assert_int_not_equal(slot_of("a\0b", 3), slot_text("a")); // a NUL is a byte like others
}

static void only_what_is_in_the_first_braces_counts(void **state)
{
    (void)state;
    assert_int_equal(slot_text("{user1000}.following"), slot_text("user1000"));
    assert_int_equal(slot_text("qiao:{u:abc}:session:1"), slot_text("qiao:{u:abc}:index"));
    assert_int_equal(slot_text("foo{bar}{zap}"), slot_text("bar"));
    assert_int_equal(slot_text("foo{{bar}}zap"), slot_text("{bar"));
    assert_int_not_equal(slot_text("foo{}{bar}"),
                         slot_text("bar")); // empty first braces: the whole key
    assert_int_not_equal(slot_text("foo{bar"), slot_text("bar"));
    assert_int_not_equal(slot_text("}foo{bar"), slot_text("bar"));
}

// ---- CLUSTER SLOTS -----------------------------------------------------------------------------

/* Replies made by hand: one range is [first, last, [host, port]]. */
struct range {
    redisReply first, last, host, port, node, whole;
    redisReply *node_parts[2], *parts[3];
};

static void make_range(struct range *range, long long first, long long last, const char *host,
                       long long port)
{
    range->first = (redisReply){.type = REDIS_REPLY_INTEGER, .integer = first};
    range->last = (redisReply){.type = REDIS_REPLY_INTEGER, .integer = last};
    range->host = (redisReply){.type = REDIS_REPLY_NIL};
    if (host)
        range->host = (redisReply){
            .type = REDIS_REPLY_STRING, .str = (char *)(uintptr_t)host, .len = strlen(host)};
    range->port = (redisReply){.type = REDIS_REPLY_INTEGER, .integer = port};
    range->node_parts[0] = &range->host;
    range->node_parts[1] = &range->port;
    range->node =
        (redisReply){.type = REDIS_REPLY_ARRAY, .elements = 2, .element = range->node_parts};
    range->parts[0] = &range->first;
    range->parts[1] = &range->last;
    range->parts[2] = &range->node;
    range->whole = (redisReply){.type = REDIS_REPLY_ARRAY, .elements = 3, .element = range->parts};
}

static struct slot_map map;

static enum err read_ranges(struct range *ranges, size_t count)
{
    redisReply *parts[8];
    for (size_t i = 0; i < count; i++)
        parts[i] = &ranges[i].whole;
    redisReply reply = {.type = REDIS_REPLY_ARRAY, .elements = count, .element = parts};
    return slot_map_read(&map, &reply, "10.0.0.9");
}

static void a_map_gives_each_slot_its_master(void **state)
{
    (void)state;
    struct range ranges[3];
    make_range(&ranges[0], 0, 99, "10.0.0.1", 6379);
    make_range(&ranges[1], 100, 100, "::1", 6380);
    make_range(&ranges[2], 200, 16383, "10.0.0.1", 6379);
    assert_int_equal(read_ranges(ranges, 3), ERR_OK);
    assert_int_equal(map.master_count, 2);
    assert_int_equal(map.owner[0], 0);
    assert_int_equal(map.owner[99], 0);
    assert_int_equal(map.owner[100], 1);
    assert_int_equal(map.owner[101], -1);
    assert_int_equal(map.owner[16383], 0);
    assert_string_equal(map.masters[1].host, "::1");
    assert_int_equal(map.masters[1].port, 6380);
}

static void a_master_without_a_host_is_where_we_asked(void **state)
{
    (void)state;
    struct range ranges[2];
    make_range(&ranges[0], 0, 99, NULL, 7000);
    make_range(&ranges[1], 100, 199, "", 7001);
    assert_int_equal(read_ranges(ranges, 2), ERR_OK);
    assert_string_equal(map.masters[0].host, "10.0.0.9");
    assert_string_equal(map.masters[1].host, "10.0.0.9");
}

static void a_map_that_makes_no_sense_is_refused(void **state)
{
    (void)state;

    static const struct {
        long long first, last;
        const char *host;
        long long port;
    } wrong[] = {{-1, 5, "a", 1}, {6, 5, "a", 1},     {0, 16384, "a", 1},
                 {0, 1, "a", 0},  {0, 1, "a", 65536}, {0, 1, "?", 1}};
    struct range range;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        make_range(&range, wrong[i].first, wrong[i].last, wrong[i].host, wrong[i].port);
        assert_int_equal(read_ranges(&range, 1), ERR_FORMAT);
    }
    make_range(&range, 0, 1, "a", 1);
    range.whole.elements = 2;
    assert_int_equal(read_ranges(&range, 1), ERR_FORMAT);
    assert_int_equal(read_ranges(&range, 0), ERR_FORMAT);
    redisReply text = {.type = REDIS_REPLY_STRING};
    assert_int_equal(slot_map_read(&map, &text, "a"), ERR_FORMAT);
}

// ---- redirects ---------------------------------------------------------------------------------

static void redirects_say_where_to(void **state)
{
    (void)state;
    struct slot_redirect to;
    assert_true(slot_redirect_read(&to, "MOVED 3999 127.0.0.1:6381", "h"));
    assert_false(to.ask);
    assert_int_equal(to.slot, 3999);
    assert_string_equal(to.to.host, "127.0.0.1");
    assert_int_equal(to.to.port, 6381);
    assert_true(slot_redirect_read(&to, "ASK 16383 2001:db8::7:6382", "h"));
    assert_true(to.ask);
    assert_string_equal(to.to.host, "2001:db8::7");
    assert_int_equal(to.to.port, 6382);
    assert_true(slot_redirect_read(&to, "MOVED 1 :6381", "10.0.0.9"));
    assert_string_equal(to.to.host, "10.0.0.9");
}

static void what_is_no_redirect_is_none(void **state)
{
    (void)state;
    static const char *const texts[] = {"ERR unknown",     "MOVED",
                                        "MOVED 16384 a:1", "MOVED 1 a",
                                        "MOVED 1 a:",      "MOVED 1 a:0",
                                        "MOVED 1 a:1x",    "MOVED 1 a:99999",
                                        "ASK x a:1",       "ASKING 1 127.0.0.1:1",
                                        "MOVED 1 ?:1"};
    struct slot_redirect to;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        assert_false(slot_redirect_read(&to, texts[i], "h"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_checksum_is_that_of_the_specification),
        cmocka_unit_test(a_key_without_a_tag_counts_whole),
        cmocka_unit_test(only_what_is_in_the_first_braces_counts),
        cmocka_unit_test(a_map_gives_each_slot_its_master),
        cmocka_unit_test(a_master_without_a_host_is_where_we_asked),
        cmocka_unit_test(a_map_that_makes_no_sense_is_refused),
        cmocka_unit_test(redirects_say_where_to),
        cmocka_unit_test(what_is_no_redirect_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
