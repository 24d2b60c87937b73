/* Chains of records and the files that they are sealed into: whatever is changed is named. */
#include "tests/test.h"

#include "base/buf.h"
#include "base/ledger_file.h"
#include "base/mem.h"
#include "base/rand.h"

#include <sodium.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    WRITERS = 3
};

static const char *const chain_names[WRITERS] = {"00000000000000aa", "0123456789abcdef",
                                                 "ffffffffffffff00"};

static int set_up(void **state)
{
    (void)state;
    return sodium_init() < 0;
}

static void write_one(struct buf *out, struct ledger_chain *chain, const char *class,
                      const char *reason)
{
    struct buf body = {0};
    const struct ledger_field fields[] = {{"region", "cn"}, {"reason", reason}};
    ledger_write_body(&body, 1764150000000 + (int64_t)chain->seq, class, fields, 2);
    ledger_write_record(out, chain, buf_text(&body));
    buf_add_byte(out, '\n');
    buf_fini(&body);
}

/* What a reading of a file told. */
struct told {
    size_t records, gaps;
    char gap[160];
};

static void on_record(void *argument, const struct ledger_record *record)
{
    (void)record;
    ((struct told *)argument)->records++;
}

static void on_gap(void *argument, const char *text)
{
    struct told *told = argument;
    told->gaps++;
    snprintf(told->gap, sizeof told->gap, "%s", text);
}

static enum err check(struct ledger_seal *seal, const struct buf *file,
                      const struct ledger_seal *before, struct told *told)
{
    const struct ledger_reader reader = {on_record, on_gap, told, NULL};
    *told = (struct told){0};
    return ledger_file_check(seal, "file", file->data, file->size, before, &reader);
}

static enum err seal_lines(struct buf *file, struct ledger_seal *seal,
                           const struct ledger_seal *before, const struct buf *lines)
{
    const struct ledger_sealing sealing = {
        .before = before, .lines = buf_text(lines), .size = lines->size};
    return ledger_seal_write(file, seal, &sealing);
}

/* A second file of two chains: one goes on, one begins. */
static void given_files(struct buf *file, struct ledger_seal *before, struct ledger_seal *seal)
{
    struct ledger_chain chains[2];
    struct buf lines = {0}, first = {0};
    const struct ledger_seal none = {0};
    ledger_chain_begin(&chains[0], chain_names[0]);
    ledger_chain_begin(&chains[1], chain_names[1]);
    write_one(&lines, &chains[0], "START", "a");
    assert_int_equal(seal_lines(&first, before, &none, &lines), ERR_OK);
    buf_clear(&lines);
    write_one(&lines, &chains[0], "DENIAL", "gate_unreachable");
    write_one(&lines, &chains[1], "START", "b c%\n");
    write_one(&lines, &chains[0], "POLICY", "");
    write_one(&lines, &chains[1], "END", "done");
    assert_int_equal(seal_lines(file, seal, before, &lines), ERR_OK);
    buf_fini(&lines);
    buf_fini(&first);
}

static void a_value_comes_back_as_it_was(void **state)
{
    (void)state;
    struct ledger_chain chain;
    struct ledger_record record;
    struct buf line = {0};
    char name[LEDGER_NAME_MAX + 1], value[LEDGER_VALUE_MAX + 1], wide[2 * LEDGER_VALUE_MAX];
    memset(wide, '\x80', sizeof wide - 1);
    wide[sizeof wide - 1] = '\0';
    ledger_chain_begin(&chain, chain_names[1]);
    write_one(&line, &chain, "DENIAL", "50 % of\t\xe4\xb8\xad\n=");
    assert_int_equal(ledger_parse(&record, line.data, line.size - 1), ERR_OK);
    assert_int_equal(record.chain.seq, 1);
    assert_int_equal(record.class_size, 6);
    assert_true(ledger_field_at(&record, 1, name, value));
    assert_string_equal(name, "reason");
    assert_string_equal(value, "50 % of\t\xe4\xb8\xad\n=");
    assert_false(ledger_field_at(&record, 2, name, value));
    buf_clear(&line);
    write_one(&line, &chain, "DENIAL", wide);
    assert_int_equal(ledger_parse(&record, line.data, line.size - 1), ERR_OK);
    assert_true(ledger_field_at(&record, 1, name, value));
    assert_int_equal(strlen(value), LEDGER_VALUE_MAX);
    buf_fini(&line);
}

static void the_word_that_was_changed_is_named(void **state)
{
    (void)state;

    static const struct {
        const char *of, *to, *note;
    } cases[] = {
        {"cn", "eu", "record 1 of chain 0123456789abcdef: its field 'region' was changed"},
        {"=suspended", "=suspendeD", "its field 'reason' was changed"},
        {"reason", "season", "its field 'season' was changed"},
        {" 1 ", " 2 ", "its number was changed"},
        {"17641", "17642", "its time was changed"},
        {"DENIAL", "DANIAL", "its class was changed"},
        {"012345", "112345", "its chain was changed"},
        {" region=cn", "", "was changed"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct ledger_chain chain;
        struct ledger_record record;
        struct buf line = {0}, bad = {0};
        ledger_chain_begin(&chain, chain_names[1]);
        write_one(&line, &chain, "DENIAL", "suspended");
        const char *at = strstr(line.data, cases[i].of);
        assert_non_null(at);
        buf_add(&bad, line.data, (size_t)(at - line.data));
        buf_add_text(&bad, cases[i].to);
        buf_add_text(&bad, at + strlen(cases[i].of));
        assert_int_equal(ledger_parse(&record, bad.data, bad.size - 1), ERR_FORMAT);
        assert_non_null(strstr(err_text(), cases[i].note));
        buf_fini(&bad);
        buf_fini(&line);
    }
}

static size_t line_of(const struct buf *file, size_t place)
{
    size_t line = 1;
    for (size_t i = 0; i < place; i++)
        line += file->data[i] == '\n';
    return line;
}

static void any_flipped_bit_of_a_file_is_found_and_its_line_named(void **state)
{
    (void)state;
    struct buf file = {0};
    struct ledger_seal before = {0}, seal = {0}, again = {0};
    struct told told;
    given_files(&file, &before, &seal);
    assert_int_equal(check(&again, &file, &before, &told), ERR_OK);
    assert_int_equal(told.records, 4);
    assert_int_equal(told.gaps, 0);
    ledger_seal_fini(&again);
    for (size_t i = 0; i < file.size; i++)
        for (int bit = 0; bit < 8; bit++) {
            char want[32];
            file.data[i] = (char)(file.data[i] ^ (1 << bit));
            assert_int_equal(check(&again, &file, &before, &told), ERR_FORMAT);
            file.data[i] = (char)(file.data[i] ^ (1 << bit));
            snprintf(want, sizeof want, "line %zu: ", line_of(&file, i));
            if (!strstr(err_text(), want))
                fail_msg("byte %zu, bit %d: %s, not %s", i, bit, err_text(), want);
            for (const char *at = err_text(); *at; at++)
                assert_in_range(*at, ' ', '~');
        }
    for (size_t size = 0; size < file.size; size++) {
        struct buf cut = {.data = file.data, .size = size};
        assert_int_equal(check(&again, &cut, &before, &told), ERR_FORMAT);
    }
    ledger_seal_fini(&before);
    ledger_seal_fini(&seal);
    buf_fini(&file);
}

/* A file without one of its lines, or with two that have changed places. */
static void without_line(struct buf *out, const struct buf *file, size_t number, bool swap)
{
    const char *at = file->data, *end = file->data + file->size, *kept = NULL;
    size_t kept_size = 0;
    buf_clear(out);
    for (size_t line = 1; at < end; line++) {
        const char *next = (const char *)memchr(at, '\n', (size_t)(end - at)) + 1;
        if (line == number) {
            kept = at;
            kept_size = (size_t)(next - at);
        } else {
            buf_add(out, at, (size_t)(next - at));
            if (swap && line == number + 1) buf_add(out, kept, kept_size);
        }
        at = next;
    }
}

static void a_line_that_is_taken_out_or_moved_shows(void **state)
{
    (void)state;
    struct buf file = {0}, bad = {0};
    struct ledger_seal before = {0}, seal = {0}, again = {0};
    struct told told;
    given_files(&file, &before, &seal);
    size_t lines = line_of(&file, file.size) - 1;
    for (size_t line = 1; line <= lines; line++) {
        without_line(&bad, &file, line, false);
        assert_int_equal(check(&again, &bad, &before, &told), ERR_FORMAT);
        if (line == lines) continue;
        without_line(&bad, &file, line, true);
        assert_int_equal(check(&again, &bad, &before, &told), ERR_FORMAT);
    }
    without_line(&bad, &file, 5, false);
    assert_int_equal(check(&again, &bad, &before, &told), ERR_FORMAT);
    assert_non_null(strstr(err_text(), "record 2 of chain 00000000000000aa is missing, and was not "
                                       "when the file was sealed"));
    buf_fini(&bad);
    ledger_seal_fini(&before);
    ledger_seal_fini(&seal);
    buf_fini(&file);
}

static void a_file_that_is_written_anew_is_not_the_one_that_the_next_follows_on(void **state)
{
    (void)state;
    struct ledger_chain chain, other;
    struct buf lines = {0}, first = {0}, forged = {0}, second = {0};
    struct ledger_seal one = {0}, false_one = {0}, two = {0}, again = {0};
    const struct ledger_seal none = {0};
    struct told told;
    ledger_chain_begin(&chain, chain_names[0]);
    ledger_chain_begin(&other, chain_names[0]);
    write_one(&lines, &chain, "START", "true");
    assert_int_equal(seal_lines(&first, &one, &none, &lines), ERR_OK);
    buf_clear(&lines);
    write_one(&lines, &chain, "DENIAL", "true");
    assert_int_equal(seal_lines(&second, &two, &one, &lines), ERR_OK);
    buf_clear(&lines);
    write_one(&lines, &other, "START", "false");
    assert_int_equal(seal_lines(&forged, &false_one, &none, &lines), ERR_OK);
    assert_int_equal(check(&again, &forged, &none, &told), ERR_OK); // by itself it is whole
    assert_int_equal(check(&again, &second, &again, &told), ERR_FORMAT);
    assert_non_null(strstr(err_text(), "the file before is not the one"));
    ledger_seal_fini(&again);
    ledger_seal_fini(&one);
    ledger_seal_fini(&false_one);
    ledger_seal_fini(&two);
    buf_fini(&lines);
    buf_fini(&first);
    buf_fini(&forged);
    buf_fini(&second);
}

static void a_record_that_was_changed_before_it_was_sealed_stays_changed(void **state)
{
    (void)state;
    struct ledger_chain chain;
    struct buf lines = {0}, file = {0};
    struct ledger_seal seal = {0}, again = {0};
    const struct ledger_seal none = {0};
    struct told told;
    ledger_chain_begin(&chain, chain_names[0]);
    write_one(&lines, &chain, "START", "a");
    size_t at = lines.size;
    write_one(&lines, &chain, "DENIAL", "b");
    write_one(&lines, &chain, "DENIAL", "c");
    lines.data[at + 40] ^= 1;
    assert_int_equal(seal_lines(&file, &seal, &none, &lines), ERR_OK);
    assert_int_equal(seal.damaged, 1);
    assert_int_equal(check(&again, &file, &none, &told), ERR_FORMAT);
    assert_non_null(strstr(err_text(), "had been changed before"));
    assert_int_equal(told.gaps, 1); // it is missing in its chain
    ledger_seal_fini(&seal);
    buf_fini(&lines);
    buf_fini(&file);
}

static void a_signature_counts_with_the_key_that_made_it(void **state)
{
    (void)state;
    struct sign_secret secret;
    struct sign_keys keys = {.count = 1};
    struct ledger_chain chain;
    struct buf lines = {0}, file = {0};
    struct ledger_seal seal = {0}, again = {0};
    const struct ledger_seal none = {0};
    assert_int_equal(sign_make_key(&secret, "audit-1"), ERR_OK);
    sign_public_of(&keys.keys[0], &secret);
    ledger_chain_begin(&chain, chain_names[0]);
    write_one(&lines, &chain, "START", "a");
    const struct ledger_sealing sealing = {
        .before = &none, .lines = lines.data, .size = lines.size, .key = &secret};
    assert_int_equal(ledger_seal_write(&file, &seal, &sealing), ERR_OK);
    struct ledger_reader reader = {.keys = &keys};
    assert_int_equal(ledger_file_check(&again, "f", file.data, file.size, &none, &reader), ERR_OK);
    ledger_seal_fini(&again);
    keys.keys[0].key[0] ^= 1;
    assert_int_equal(ledger_file_check(&again, "f", file.data, file.size, &none, &reader),
                     ERR_FORMAT);
    assert_non_null(strstr(err_text(), "signature"));
    keys.count = 0;
    assert_int_equal(ledger_file_check(&again, "f", file.data, file.size, &none, &reader),
                     ERR_FORMAT);
    ledger_seal_fini(&seal);
    buf_fini(&lines);
    buf_fini(&file);
}

// ---- random histories --------------------------------------------------------------------------

struct history {
    struct rand rand;
    struct ledger_chain chains[WRITERS];
    bool ended[WRITERS];
    struct buf lines;
    size_t written, lost; // records that never came
    size_t gaps;          // runs of them, with a record behind
    bool open_gap[WRITERS];
};

static void write_some(struct history *history)
{
    for (uint64_t i = 0, count = rand_below(&history->rand, 12); i < count; i++) {
        uint64_t writer = rand_below(&history->rand, WRITERS);
        bool ends = rand_below(&history->rand, 40) == 0;
        size_t size = history->lines.size;
        if (history->ended[writer]) continue;
        history->ended[writer] = ends;
        write_one(&history->lines, &history->chains[writer], ends ? "END" : "DENIAL", "some");
        if (!ends && rand_below(&history->rand, 10) == 0) {
            history->lines.size = size; // lost on its way
            history->lost++;
            history->open_gap[writer] = true;
            continue;
        }
        if (history->open_gap[writer]) history->gaps++;
        history->open_gap[writer] = false;
        history->written++;
        if (rand_below(&history->rand, 8) > 0) continue;
        struct buf twice = {0}; // it is sent twice
        buf_add(&twice, history->lines.data + size, history->lines.size - size);
        buf_add(&history->lines, twice.data, twice.size);
        buf_fini(&twice);
    }
}

static void histories_are_read_as_they_were_written(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 300; seed++) {
        struct history history = {0};
        struct ledger_seal written = {0}, read = {0};
        size_t records = 0, gaps = 0, old = 0;
        rand_init(&history.rand, seed);
        for (int i = 0; i < WRITERS; i++)
            ledger_chain_begin(&history.chains[i], chain_names[i]);
        for (int i = 0; i < 12; i++) {
            struct ledger_seal next = {0}, next_read = {0};
            struct buf file = {0};
            struct told told;
            write_some(&history);
            assert_int_equal(seal_lines(&file, &next, &written, &history.lines), ERR_OK);
            enum err err = check(&next_read, &file, &read, &told);
            if (err) fail_msg("seed %" PRIu64 ", file %d: %s", seed, i, err_text());
            records += told.records;
            gaps += told.gaps;
            assert_memory_equal(&next.root, &next_read.root, sizeof next.root);
            // What is sealed may be read once more, where it could not be taken away.
            buf_consume(&history.lines, old);
            old = rand_below(&history.rand, 4) > 0 ? history.lines.size : 0;
            buf_consume(&history.lines, old);
            old = history.lines.size;
            ledger_seal_fini(&written);
            ledger_seal_fini(&read);
            written = next;
            read = next_read;
            buf_fini(&file);
        }
        assert_int_equal(records, history.written);
        assert_int_equal(gaps, history.gaps);
        ledger_seal_fini(&written);
        ledger_seal_fini(&read);
        buf_fini(&history.lines);
    }
}

static void a_chain_that_was_given_up_shows_and_may_come_back(void **state)
{
    (void)state;
    struct ledger_chain chain;
    struct buf lines = {0}, first = {0}, second = {0}, third = {0};
    struct ledger_seal one = {0}, two = {0}, three = {0}, again = {0};
    const struct ledger_seal none = {0};
    const char *const lost[] = {chain_names[2]};
    struct told told;
    ledger_chain_begin(&chain, chain_names[2]);
    write_one(&lines, &chain, "START", "a");
    struct ledger_sealing sealing = {&none, lines.data, lines.size, lost, 1, NULL};
    assert_int_equal(ledger_seal_write(&first, &one, &sealing), ERR_OK);
    assert_int_equal(check(&again, &first, &none, &told), ERR_OK);
    assert_int_equal(told.gaps, 1);
    assert_string_equal(told.gap, "chain ffffffffffffff00 has no END: what its scheduler noted "
                                  "after record 1 may be missing");
    ledger_seal_fini(&again);
    buf_clear(&lines);
    assert_int_equal(seal_lines(&second, &two, &one, &lines), ERR_OK); // it is over
    assert_int_equal(two.count, 0);
    assert_int_equal(check(&again, &second, &one, &told), ERR_OK);
    write_one(&lines, &chain, "DENIAL", "b");
    assert_int_equal(seal_lines(&third, &three, &one, &lines), ERR_OK); // or it goes on
    assert_int_equal(check(&again, &third, &one, &told), ERR_OK);
    assert_int_equal(told.gaps, 0);
    ledger_seal_fini(&again);
    ledger_seal_fini(&one);
    ledger_seal_fini(&two);
    ledger_seal_fini(&three);
    buf_fini(&lines);
    buf_fini(&first);
    buf_fini(&second);
    buf_fini(&third);
}

/* RFC 6962, 2.1, word by word. */
static struct ledger_hash tree(const struct ledger_hash *leaves, size_t count)
{
    unsigned char pair[1 + 2 * LEDGER_HASH_SIZE] = {1};
    size_t split = 1;
    if (count == 1) return leaves[0];
    while (split * 2 < count)
        split *= 2;
    struct ledger_hash left = tree(leaves, split), right = tree(leaves + split, count - split);
    memcpy(pair + 1, left.bytes, LEDGER_HASH_SIZE);
    memcpy(pair + 1 + LEDGER_HASH_SIZE, right.bytes, LEDGER_HASH_SIZE);
    return ledger_hash_of(pair, sizeof pair);
}

static void a_root_is_the_one_of_the_rfcs_tree(void **state)
{
    (void)state;
    for (unsigned count = 1; count < 40; count++) {
        struct ledger_hash leaves[40];
        for (unsigned i = 0; i < count; i++)
            leaves[i] = ledger_leaf(&i, sizeof i);
        struct ledger_hash want = tree(leaves, count), got = ledger_root(leaves, count);
        assert_memory_equal(&want, &got, sizeof want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_value_comes_back_as_it_was),
        cmocka_unit_test(the_word_that_was_changed_is_named),
        cmocka_unit_test(any_flipped_bit_of_a_file_is_found_and_its_line_named),
        cmocka_unit_test(a_line_that_is_taken_out_or_moved_shows),
        cmocka_unit_test(a_file_that_is_written_anew_is_not_the_one_that_the_next_follows_on),
        cmocka_unit_test(a_record_that_was_changed_before_it_was_sealed_stays_changed),
        cmocka_unit_test(a_signature_counts_with_the_key_that_made_it),
        cmocka_unit_test(histories_are_read_as_they_were_written),
        cmocka_unit_test(a_chain_that_was_given_up_shows_and_may_come_back),
        cmocka_unit_test(a_root_is_the_one_of_the_rfcs_tree),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
