#include "tests/test.h"
#include "tests/unit/wire/samples.h"

#include "wire/frame.h"
#include "wire/message.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/mem.h"
#include "base/rand.h"

#include <string.h>

enum {
    ARENA_SIZE = 1 << 16,
    MUTATIONS = 20000,
    GOLDEN_MAX = 4096
};

static _Alignas(max_align_t) unsigned char memory[ARENA_SIZE];

static enum err decode(struct wire_message *out, enum wire_type type, const void *body, size_t size)
{
    static struct arena arena;
    arena_init(&arena, memory, sizeof memory);
    // A copy of exactly this size, so that ASan sees a byte read beyond it.
    uint8_t *copy = malloc(size ? size : 1);
    memcpy(copy, body, size);
    enum err err = message_decode(out, type, copy, size, &arena);
    // What was decoded lends from the copy: touch all of it by encoding it again.
    struct buf again = {0};
    if (err == ERR_OK) message_encode(out, &again);
    buf_fini(&again);
    free(copy);
    return err;
}

enum edition {
    FIRST,
    GROWN, // with the fields that came later
    CANDIDATES,
    SCAN,
    KEPT
};

static void golden_path(enum wire_type type, enum edition edition, char path[256])
{
    static const char *const names[] = {[FIRST] = "",
                                        [GROWN] = ".grown",
                                        [CANDIDATES] = ".candidates",
                                        [SCAN] = ".scan",
                                        [KEPT] = ".kept"};
    snprintf(path, 256, "tests/data/wire/%s%s.hex", wire_type_name(type), names[edition]);
}

/* The golden bytes of a type: hexadecimal, 32 bytes a line. */
static size_t read_edition(enum wire_type type, enum edition edition, uint8_t bytes[GOLDEN_MAX])
{
    char path[256];
    golden_path(type, edition, path);
    FILE *file = fopen(path, "r");
    if (!file) fail_msg("%s cannot be read", path);
    size_t count = 0;
    for (unsigned byte; count < GOLDEN_MAX && fscanf(file, "%2x", &byte) == 1;)
        bytes[count++] = (uint8_t)byte;
    fclose(file);
    return count;
}

static size_t read_golden(enum wire_type type, uint8_t bytes[GOLDEN_MAX])
{
    return read_edition(type, FIRST, bytes);
}

/* A new message needs its golden file once: QIAO_GOLDEN=write makes those that are missing. */
static void write_golden(enum wire_type type, enum edition edition, const struct buf *body)
{
    char path[256];
    golden_path(type, edition, path);
    FILE *file = access(path, F_OK) == 0 ? NULL : fopen(path, "w");
    if (!file) return;
    for (size_t i = 0; i < body->size; i++)
        fprintf(file, "%02x%s", (uint8_t)body->data[i],
                i % 32 == 31 || i + 1 == body->size ? "\n" : "");
    fclose(file);
}

static void check_golden(const struct wire_message *message, enum edition edition)
{
    const char *mode = getenv("QIAO_GOLDEN");
    enum wire_type type = message->type;
    struct buf body = {0};
    message_encode(message, &body);
    if (mode && strcmp(mode, "write") == 0) write_golden(type, edition, &body);
    uint8_t golden[GOLDEN_MAX];
    size_t size = read_edition(type, edition, golden);
    if (size != body.size || memcmp(golden, body.data, size) != 0)
        fail_msg("%s is not encoded as its golden bytes say", wire_type_name(type));
    assert_true(body.size <= wire_body_max(type));
    buf_fini(&body);
}

static void every_message_has_its_golden_bytes(void **state)
{
    (void)state;
    for (enum wire_type type = 1; type < WIRE_TYPE_COUNT; type++) {
        struct wire_message message = sample(type);
        check_golden(&message, FIRST);
    }
}

static void fields_that_came_later_have_theirs(void **state)
{
    (void)state;
    size_t grown = 0;
    for (enum wire_type type = 1; type < WIRE_TYPE_COUNT; type++) {
        struct wire_message message;
        if (!sample_grown(type, &message)) continue;
        check_golden(&message, GROWN);
        uint8_t golden[GOLDEN_MAX];
        size_t size = read_edition(type, GROWN, golden);
        struct wire_message got;
        assert_int_equal(decode(&got, type, golden, size), ERR_OK);
        if (type == WIRE_LOAD) assert_int_equal(got.load.prefill_tokens, 123456);
        if (type == WIRE_RESULT) assert_int_equal(got.result.cached_tokens, 1024);
        if (type == WIRE_HELLO) assert_int_equal(got.hello.models[0].vector_size, 1024);
        if (type == WIRE_EVICT) assert_true(got.evict.serial == 0x1122334455667788);
        if (type == WIRE_SUBMIT) {
            assert_int_equal(got.submit.segment, 2);
            assert_int_equal(got.submit.top_count, 20);
            assert_int_equal(got.submit.excluded_count, 3);
            assert_int_equal(got.submit.excluded[0], 12102);
            assert_int_equal(got.submit.filter_size, 2);
            assert_true(got.submit.explain && got.submit.want_vector);
        }
        if (type == WIRE_RESULT) assert_true(got.result.weights[2] == -0.25f);
        grown++;
    }
    assert_int_equal(grown, 5);
}

static void a_submit_may_say_how_long_it_is_kept(void **state)
{
    (void)state;
    struct wire_message message = sample(WIRE_SUBMIT), got;
    message.submit.cache_ms = 600000;
    check_golden(&message, KEPT);
    uint8_t golden[GOLDEN_MAX];
    size_t size = read_edition(WIRE_SUBMIT, KEPT, golden);
    assert_int_equal(decode(&got, WIRE_SUBMIT, golden, size), ERR_OK);
    assert_int_equal(got.submit.cache_ms, 600000);
}

static void a_list_may_be_of_candidates_alone(void **state)
{
    (void)state;
    static const int32_t candidates[] = {12102, 7, 300};
    struct wire_message message, got;
    assert_true(sample_grown(WIRE_SUBMIT, &message));
    message.submit.candidates = candidates;
    message.submit.candidate_count = 3;
    check_golden(&message, CANDIDATES);
    uint8_t golden[GOLDEN_MAX];
    size_t size = read_edition(WIRE_SUBMIT, CANDIDATES, golden);
    assert_int_equal(decode(&got, WIRE_SUBMIT, golden, size), ERR_OK);
    assert_int_equal(got.submit.candidate_count, 3);
    assert_int_equal(got.submit.candidates[0], 12102);
    assert_int_equal(got.submit.candidates[2], 300);
}

static void a_search_among_vectors_has_a_query_and_shards(void **state)
{
    (void)state;
    struct wire_message message = sample(WIRE_SUBMIT), got;
    message.submit.kind = WIRE_SCAN;
    grow_scan(&message.submit);
    check_golden(&message, SCAN);
    uint8_t golden[GOLDEN_MAX];
    size_t size = read_edition(WIRE_SUBMIT, SCAN, golden);
    assert_int_equal(decode(&got, WIRE_SUBMIT, golden, size), ERR_OK);
    assert_int_equal(got.submit.query_size, 3);
    assert_true(got.submit.query[1] == -1.0f);
    assert_int_equal(got.submit.shard_count, 2);
    assert_true(got.submit.shards[0] == 0x1020304050607080);
}

static void golden_bytes_decode_to_what_was_encoded(void **state)
{
    (void)state;
    for (enum wire_type type = 1; type < WIRE_TYPE_COUNT; type++) {
        uint8_t golden[GOLDEN_MAX];
        size_t size = read_golden(type, golden);
        struct arena arena;
        arena_init(&arena, memory, sizeof memory);
        struct wire_message message;
        if (message_decode(&message, type, golden, size, &arena) != ERR_OK)
            fail_msg("%s: %s", wire_type_name(type), err_text());
        struct buf again = {0};
        message_encode(&message, &again);
        assert_int_equal(again.size, size);
        assert_memory_equal(again.data, golden, size);
        buf_fini(&again);
    }
}

static void fields_keep_their_values(void **state)
{
    (void)state;
    uint8_t golden[GOLDEN_MAX];
    size_t size = read_golden(WIRE_SUBMIT, golden);
    struct arena arena;
    arena_init(&arena, memory, sizeof memory);
    struct wire_message message;
    assert_int_equal(message_decode(&message, WIRE_SUBMIT, golden, size, &arena), ERR_OK);
    struct wire_submit want = sample_submit();
    const struct wire_submit *got = &message.submit;
    assert_int_equal(got->key.request, want.key.request);
    assert_memory_equal(got->trace, want.trace, sizeof want.trace);
    assert_true(got->sampling.seed == want.sampling.seed);
    assert_true(got->sampling.frequency_penalty == want.sampling.frequency_penalty);
    assert_int_equal(got->sampling.bias[0].id, 13);
    assert_true(got->sampling.bias[0].bias == -100.0f);
    assert_int_equal(got->id_count, 5);
    assert_memory_equal(got->ids, want.ids, 5 * sizeof *want.ids);
    assert_true(got->salts[0].salt == want.salts[0].salt && got->salts[1].first_block == 3);
    assert_int_equal(got->grammar_size, want.grammar_size);
    assert_int_equal(got->priority, WIRE_BATCH);
}

static void the_bytes_are_the_documented_ones(void **state)
{
    (void)state;
    // By hand from the msgpack specification: {1: 300, 2: 2, 3: 1} nested as key 1, retry 250 as
    // key 2.
    static const uint8_t want[] = {0x82, 0x01, 0x83, 0x01, 0xcd, 0x01, 0x2c,
                                   0x02, 0x02, 0x03, 0x01, 0x02, 0xcc, 0xfa};
    struct wire_message busy = sample(WIRE_BUSY);
    struct buf body = {0};
    message_encode(&busy, &body);
    assert_int_equal(body.size, sizeof want);
    assert_memory_equal(body.data, want, sizeof want);
    buf_fini(&body);
}

static void unknown_keys_are_skipped(void **state)
{
    (void)state;
    // {9: [{"a": nil}, ext, 1.5], 1: true, 200: {1: [-1]}}
    static const uint8_t body[] = {0x83, 0x09, 0x93, 0x81, 0xa1, 'a',  0xc0, 0xd4, 0x05,
                                   0x00, 0xcb, 0x3f, 0xf8, 0,    0,    0,    0,    0,
                                   0,    0x01, 0xc3, 0xcc, 0xc8, 0x81, 0x01, 0x91, 0xff};
    struct wire_message message;
    if (decode(&message, WIRE_DRAIN, body, sizeof body) != ERR_OK) fail_msg("%s", err_text());
    assert_true(message.drain.on);
}

static void a_deep_nest_is_skipped_without_a_stack(void **state)
{
    (void)state;
    size_t depth = 1 << 20;
    uint8_t *body = malloc(depth + 5);
    body[0] = 0x82;
    body[1] = 0x07;
    memset(body + 2, 0x91, depth); // an array of an array of…
    body[depth + 2] = 0xc0;
    body[depth + 3] = 0x01;
    body[depth + 4] = 0xc2;
    struct wire_message message;
    if (decode(&message, WIRE_DRAIN, body, depth + 5) != ERR_OK) fail_msg("%s", err_text());
    assert_false(message.drain.on);
    free(body);
}

static void refused(enum wire_type type, const char *body, size_t size, const char *note)
{
    struct wire_message message = {.type = WIRE_TYPE_COUNT};
    assert_int_equal(decode(&message, type, body, size), ERR_FORMAT);
    if (!strstr(err_text(), note)) fail_msg("\"%s\" does not say \"%s\"", err_text(), note);
    assert_int_equal(message.type, WIRE_TYPE_COUNT);
}

#define REFUSED(type, body, note) refused(type, body, sizeof(body) - 1, note)

static void what_is_wrong_is_named(void **state)
{
    (void)state;
    REFUSED(WIRE_DRAIN, "", "not a map");
    REFUSED(WIRE_DRAIN, "\x91\x01", "not a map");
    REFUSED(WIRE_DRAIN, "\x80", "drain.on is missing");
    REFUSED(WIRE_DRAIN, "\x81\x01\x01", "drain.on is not true or false");
    REFUSED(WIRE_DRAIN, "\x82\x01\xc3\x01\xc3", "twice");
    REFUSED(WIRE_DRAIN, "\x81\x01\xc3\x00", "1 bytes follow");
    REFUSED(WIRE_DRAIN, "\x81\xa1x\xc3", "no integer");
    REFUSED(WIRE_DRAIN, "\x81\x09\xc1", "cut off or no msgpack");
    REFUSED(WIRE_DRAIN, "\x81\x09\xdd\xff\xff\xff\xff", "cut off");
    REFUSED(WIRE_DRAIN, "\xdf\xff\xff\xff\xff", "not a map");
    REFUSED(WIRE_HEARTBEAT, "\x81\x01\xff", "heartbeat.count is not a non-negative integer");
    REFUSED(WIRE_HEARTBEAT, "\x82\x01\x01\x02\xcf\0\0\0\1\0\0\0\0", "4294967296; allowed are 0 to");
    REFUSED(WIRE_EVICT, "\x81\x01\xca\0\0\0\0", "non-negative integer");
    REFUSED(WIRE_LOAD, "\x81\x07\xca\x7f\x80\0\0", "load.prefill_rate is not a finite");
    REFUSED(WIRE_PACK_WANT, "\x81\x01\xc4\x03mod", "a bin of 16 bytes");
    REFUSED(WIRE_CANCEL, "\x81\x01\x80", "key.request is missing");
    REFUSED(WIRE_CACHE_DELTA,
            "\x82\x01\x01\x03\xc4\x03"
            "abc",
            "of whole entries");
    REFUSED(WIRE_RESULT, "\x83\x01\x81\x01\x01\x02\x00\x03\xc4\x04\xff\xff\xff\xff",
            "out of range");
    REFUSED(WIRE_RESULT, "\x83\x01\x81\x01\x01\x02\x00\x04\xc4\x04\0\0\0\0", "its message needs 0");
    REFUSED(WIRE_RESULT, "\x84\x01\x81\x01\x01\x02\x00\x03\xc4\x04\1\0\0\0\x05\x02",
            "tops is missing");
    REFUSED(WIRE_WELCOME, "\x83\x01\x01\x02\x01\x03\x91\xa0", "0 bytes; allowed are 1 to 255");
    REFUSED(WIRE_WELCOME,
            "\x83\x01\x01\x02\x01\x03\x91\xa2"
            "a\0",
            "free of NUL");
    REFUSED(WIRE_TYPE_COUNT, "\x80", "unknown");
}

static void numbers_that_contradict_are_refused(void **state)
{
    (void)state;
    struct wire_message message = sample(WIRE_SUBMIT), out;
    for (int i = 0; i < 2; i++) {
        message.submit = sample_submit();
        if (i == 0) message.submit.prompt_length = 6;
        if (i == 1) message.submit.next_position = 4;
        struct buf body = {0};
        message_encode(&message, &body);
        assert_int_equal(decode(&out, WIRE_SUBMIT, body.data, body.size), ERR_FORMAT);
        buf_fini(&body);
    }
    message = sample(WIRE_PACK_PART);
    message.pack_part.offset = message.pack_part.total - 3;
    struct buf body = {0};
    message_encode(&message, &body);
    assert_int_equal(decode(&out, WIRE_PACK_PART, body.data, body.size), ERR_FORMAT);
    buf_fini(&body);
}

static void an_unknown_error_is_internal(void **state)
{
    (void)state;
    struct wire_message message;
    assert_int_equal(decode(&message, WIRE_DONE, "\x83\x01\x81\x01\x05\x02\x00\x03\xa5NEWER", 14),
                     ERR_OK);
    assert_int_equal(message.done.err, ERR_INTERNAL);
}

static void a_long_note_is_cut_between_characters(void **state)
{
    (void)state;
    char note[WIRE_NOTE_MAX + 8];
    memset(note, 'x', sizeof note);
    memcpy(note + WIRE_NOTE_MAX - 1, "桥", 3);
    struct wire_message message = sample(WIRE_DONE), out;
    message.done.note = (struct wire_text){note, sizeof note};
    struct buf body = {0};
    message_encode(&message, &body);
    assert_int_equal(decode(&out, WIRE_DONE, body.data, body.size), ERR_OK);
    assert_int_equal(out.done.note.size, WIRE_NOTE_MAX - 1);
    buf_fini(&body);
}

static void a_full_arena_is_an_answer(void **state)
{
    (void)state;
    uint8_t golden[GOLDEN_MAX];
    size_t size = read_golden(WIRE_SUBMIT, golden);
    struct arena arena;
    arena_init(&arena, memory, 16);
    struct wire_message message;
    assert_int_equal(message_decode(&message, WIRE_SUBMIT, golden, size, &arena), ERR_NO_MEMORY);
}

static void the_largest_submit_fits_its_frame(void **state)
{
    (void)state;
    struct wire_message message = sample(WIRE_SUBMIT), out;
    int32_t *ids = mem_new(WIRE_IDS_MAX, sizeof *ids);
    uint8_t *grammar = mem_new(WIRE_GRAMMAR_MAX, 1);
    struct wire_bias *bias = mem_new(WIRE_LOGIT_BIAS_MAX, sizeof *bias);
    message.submit.ids = ids;
    message.submit.id_count = message.submit.next_position = WIRE_IDS_MAX;
    message.submit.grammar = grammar;
    message.submit.grammar_size = WIRE_GRAMMAR_MAX;
    message.submit.sampling.bias = bias;
    message.submit.sampling.bias_count = WIRE_LOGIT_BIAS_MAX;
    struct buf body = {0};
    message_encode(&message, &body);
    assert_true(body.size <= wire_body_max(WIRE_SUBMIT));
    size_t room = WIRE_BODY_MAX + ARENA_SIZE;
    struct arena arena;
    void *large = mem_new(room, 1);
    arena_init(&arena, large, room);
    assert_int_equal(
        message_decode(&out, WIRE_SUBMIT, (const uint8_t *)body.data, body.size, &arena), ERR_OK);
    mem_free(large);
    mem_free(ids);
    mem_free(grammar);
    mem_free(bias);
    buf_fini(&body);
}

static void every_truncation_is_refused(void **state)
{
    (void)state;
    for (enum wire_type type = 1; type < WIRE_TYPE_COUNT; type++) {
        uint8_t golden[GOLDEN_MAX];
        size_t size = read_golden(type, golden);
        struct wire_message message;
        for (size_t cut = 0; cut < size; cut++)
            assert_int_equal(decode(&message, type, golden, cut), ERR_FORMAT);
    }
}

static void mutated_bodies_do_no_harm(void **state)
{
    (void)state;
    struct rand rand;
    rand_init(&rand, 20250607);
    size_t accepted = 0;
    for (enum wire_type type = 1; type < WIRE_TYPE_COUNT; type++) {
        uint8_t golden[GOLDEN_MAX], body[GOLDEN_MAX];
        size_t size = read_golden(type, golden);
        for (int i = 0; i < MUTATIONS; i++) {
            memcpy(body, golden, size);
            for (uint64_t hits = 1 + rand_below(&rand, 4); hits > 0; hits--)
                body[rand_below(&rand, size)] = (uint8_t)rand_next(&rand);
            struct wire_message message;
            enum err err = decode(&message, type, body, size - rand_below(&rand, 2));
            assert_true(err == ERR_OK || err == ERR_FORMAT || err == ERR_NO_MEMORY);
            accepted += err == ERR_OK;
        }
    }
    assert_true(accepted > 0); // else the mutations never got past the first check
}

static void a_frame_header_reads_as_it_was_written(void **state)
{
    (void)state;
    static const uint8_t want[FRAME_HEADER_SIZE] = {
        'Q', 'I', 'A', 'O', 1, 11, 0, 0, 0x02, 0x01, 0, 0, 0x08, 0x07, 0x06, 5, 4, 3, 2, 1};
    uint8_t header[FRAME_HEADER_SIZE];
    struct frame frame = {WIRE_CANCEL, 0, 0x0102, 0x0102030405060708}, got;
    frame_write(header, &frame);
    assert_memory_equal(header, want, sizeof want);
    assert_int_equal(frame_parse(&got, header), ERR_OK);
    assert_true(got.type == WIRE_CANCEL && got.size == 0x0102 && got.sequence == frame.sequence);
}

static void a_wrong_frame_header_is_named(void **state)
{
    (void)state;

    static const struct {
        size_t at;
        uint8_t value;
        const char *note;
    } wrongs[] = {{0, 'q', "QIAO"},
                  {4, 2, "version 2"},
                  {5, 0, "type 0"},
                  {5, 19, "type 19"},
                  {10, 1, "CANCEL of 65"}};

    for (size_t i = 0; i < sizeof wrongs / sizeof *wrongs; i++) {
        uint8_t header[FRAME_HEADER_SIZE];
        frame_write(header, &(struct frame){.type = WIRE_CANCEL});
        header[wrongs[i].at] = wrongs[i].value;
        struct frame frame;
        assert_int_equal(frame_parse(&frame, header), ERR_FORMAT);
        if (!strstr(err_text(), wrongs[i].note)) fail_msg("%s", err_text());
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_message_has_its_golden_bytes),
        cmocka_unit_test(fields_that_came_later_have_theirs),
        cmocka_unit_test(a_submit_may_say_how_long_it_is_kept),
        cmocka_unit_test(a_list_may_be_of_candidates_alone),
        cmocka_unit_test(a_search_among_vectors_has_a_query_and_shards),
        cmocka_unit_test(golden_bytes_decode_to_what_was_encoded),
        cmocka_unit_test(fields_keep_their_values),
        cmocka_unit_test(the_bytes_are_the_documented_ones),
        cmocka_unit_test(unknown_keys_are_skipped),
        cmocka_unit_test(a_deep_nest_is_skipped_without_a_stack),
        cmocka_unit_test(what_is_wrong_is_named),
        cmocka_unit_test(numbers_that_contradict_are_refused),
        cmocka_unit_test(an_unknown_error_is_internal),
        cmocka_unit_test(a_long_note_is_cut_between_characters),
        cmocka_unit_test(a_full_arena_is_an_answer),
        cmocka_unit_test(the_largest_submit_fits_its_frame),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(mutated_bodies_do_no_harm),
        cmocka_unit_test(a_frame_header_reads_as_it_was_written),
        cmocka_unit_test(a_wrong_frame_header_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
