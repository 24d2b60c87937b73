/* What a session's keys, turn ids and list promise, against a real redis-server. */
#include "scheduler/state/record.h"
#include "scheduler/state/session.h"
#include "tests/test.h"
#include "tests/unit/scheduler/state/session_loop.h"
#include "tests/unit/scheduler/state/store_loop.h"

#include "base/buf.h"
#include "base/digest.h"
#include "base/mem.h"

#include <hiredis/hiredis.h>
#include <sodium.h>

#include <string.h>

// ---- what the calls answered -------------------------------------------------------------------

static void on_listed(void *argument, enum err err, const struct session_entry *entries,
                      size_t count, size_t total)
{
    struct answer *answer = argument;
    session_loop_keep(answer, err);
    answer->count = count;
    answer->total = total;
    for (size_t i = 0; i < count && i < 5; i++) {
        char entry[80];
        snprintf(entry, sizeof entry, "%s=%d ", entries[i].id, (int)entries[i].version);
        strcat(answer->ids, entry);
    }
}

static struct answer erase(const char *id)
{
    struct answer answer = {0};
    struct session_name name = named(id, NULL);
    session_delete(sessions, &name, session_loop_saved, &answer);
    session_loop_wait(&answer);
    return answer;
}

static struct answer list(void)
{
    struct answer answer = {0};
    struct session_name name = named(NULL, NULL);
    session_list(sessions, &name, SESSION_LIST_MAX, on_listed, &answer);
    session_loop_wait(&answer);
    return answer;
}

/* One field of the session's hash, copied. */
static struct buf field_of(const char *id, const char *field)
{
    struct record_place place = place_of(id);
    struct buf copy = {0};
    const char *words[] = {"HGET", place.key, field};
    redisReply *reply = ask_redis(&redis, 3, words, NULL);
    if (reply->type == REDIS_REPLY_STRING) buf_add(&copy, reply->str, reply->len);
    freeReplyObject(reply);
    return copy;
}

// ---- keys --------------------------------------------------------------------------------------

static struct keyring rotate(const struct keyring *from, uint32_t id)
{
    struct keyring ring = *from;
    memmove(&ring.keys[1], &ring.keys[0], ring.count * sizeof *ring.keys);
    ring.keys[0] = (struct keyring_key){.id = id, .secret = {(unsigned char)id}};
    ring.count++;
    return ring;
}

static uint32_t wrapped_by(const char *id)
{
    struct buf wrapped = field_of(id, "k");
    uint32_t master;
    assert_int_equal(wrapped.size, KEYRING_WRAPPED_SIZE);
    memcpy(&master, wrapped.data + 4, sizeof master);
    buf_fini(&wrapped);
    return master;
}

static void a_session_outlives_a_rotation_and_is_wrapped_anew_when_written(void **state)
{
    (void)state;
    if (!base) skip();
    struct keyring newer = rotate(&keys, 2), newest_alone = newer;
    newest_alone.count = 1;
    struct sessions *after = sessions_with(&newer), *alone = sessions_with(&newest_alone);
    struct session_name name = named("rotated", NULL);
    assert_int_equal(save_turn("rotated", NULL, 0, "before", false).version, 1);
    assert_int_equal(wrapped_by("rotated"), 1);

    struct answer lost = load_by(alone, "rotated", NULL);
    assert_int_equal(lost.err, ERR_INTERNAL); // never a fresh start
    assert_non_null(strstr(lost.note, "master key 1, which is not in the session key file"));

    struct answer kept = load_by(after, "rotated", NULL), saved;
    assert_int_equal(kept.err, ERR_OK);
    begin_save(&saved, after, &name, kept.session, "after", false);
    session_loop_wait(&saved);
    assert_int_equal(saved.version, 2);
    assert_int_equal(wrapped_by("rotated"), 2);
    struct answer found = load_by(alone, "rotated", NULL);
    assert_string_equal(found.last, "assistant@2cut:after");
    assert_memory_equal(found.session.key, kept.session.key, KEYRING_KEY_SIZE);
    sessions_free(after);
    sessions_free(alone);
}

static void sessions_have_keys_of_their_own_that_go_with_them(void **state)
{
    (void)state;
    if (!base) skip();
    save_turn("one", NULL, 0, "x", false);
    save_turn("two", NULL, 0, "x", false);
    struct answer one = load("one"), two = load("two");
    assert_memory_not_equal(one.session.key, two.session.key, KEYRING_KEY_SIZE);
    assert_in_range(one.session.ttl_ms, 90000, 100000);

    struct record_place first = place_of("one"), second = place_of("two");
    struct buf key = field_of("two", "k");
    const char *words[] = {"HSET", first.key, "k", key.data}; // another's key does not fit
    size_t sizes[] = {4, strlen(first.key), 1, key.size};
    freeReplyObject(ask_redis(&redis, 4, words, sizes));
    assert_int_equal(load("one").err, ERR_INTERNAL);
    const char *gone[] = {"HDEL", second.key, "k"};
    freeReplyObject(ask_redis(&redis, 3, gone, NULL));
    struct answer lost = load("two");
    assert_int_equal(lost.err, ERR_INTERNAL);
    assert_non_null(strstr(lost.note, "key is gone"));

    assert_int_equal(erase("one").err, ERR_OK);
    assert_int_equal(erase("two").err, ERR_OK);
    struct buf left = field_of("one", "k");
    assert_int_equal(left.size, 0);
    buf_fini(&key);
}

/* A record as format 1 had it: turns without flags and version, sealed by a key that the master key gives. */
static void store_old_record(const char *id, const char *text)
{
    struct record_place place = place_of(id);
    struct buf plain = {0}, bound = {0}, record = {0};
    unsigned char key[32], nonce[24] = {7};
    uint32_t size = (uint32_t)strlen(text);
    uint64_t version = 3;
    buf_add_byte(&plain, 2);
    buf_add(&plain, &size, sizeof size);
    buf_add_text(&plain, text);
    buf_add_text(&bound, "QSE1");
    buf_add(&bound, place.owner, sizeof place.owner);
    buf_add(&bound, &version, sizeof version);
    buf_add_text(&bound, id);
    buf_add_text(&record, "QSE1");
    buf_add(&record, nonce, sizeof nonce);
    crypto_kdf_derive_from_key(key, sizeof key, 2, "qiaoseal", keys.keys[0].secret);
    unsigned char *sealed = buf_grow(&record, plain.size + 16);
    crypto_aead_xchacha20poly1305_ietf_encrypt(sealed, NULL, (const unsigned char *)plain.data,
                                               plain.size, (const unsigned char *)bound.data,
                                               bound.size, NULL, nonce, key);
    const char *words[] = {"HSET", place.key, "v", "3", "r", record.data};
    size_t sizes[] = {4, strlen(place.key), 1, 1, 1, record.size};
    freeReplyObject(ask_redis(&redis, 6, words, sizes));
    buf_fini(&plain);
    buf_fini(&bound);
    buf_fini(&record);
}

static void a_record_of_format_1_is_read_and_made_new_by_the_next_write(void **state)
{
    (void)state;
    if (!base) skip();
    struct session_name name = named("old", NULL);
    store_old_record("old", "from before");
    struct keyring newer = rotate(&keys, 9); // the key that sealed it is any of the file
    struct sessions *after = sessions_with(&newer);
    struct answer old = load_by(after, "old", NULL), saved;
    assert_int_equal(old.err, ERR_OK);
    assert_string_equal(old.last, "assistant@3:from before");
    begin_save(&saved, after, &name, old.session, "and now", false);
    session_loop_wait(&saved);
    assert_int_equal(saved.version, 4);
    struct buf record = field_of("old", "r");
    assert_memory_equal(record.data, "QSE2", 4);
    assert_int_equal(wrapped_by("old"), 9);
    assert_string_equal(load_by(after, "old", NULL).last, "assistant@4cut:and now");
    buf_fini(&record);
    sessions_free(after);
    erase("old");
}

/* Who said a turn stays with it, and is sealed as it is; a record of turns without it has the format before. */
static void the_model_that_said_a_turn_is_noted(void **state)
{
    (void)state;
    struct session_name name = named("origin", NULL);
    struct record_place place = record_place(&keys, &name);
    struct session_turn turns[SESSION_TURNS_MAX] = {
        {.role = "user", .content = "a", .content_size = 1},
        {.role = "assistant", .content = "bc", .content_size = 2, .cut = true}};
    struct session session = {.turns = turns, .turn_count = 2}, opened = {0};
    struct buf record = {0}, plain = {0};
    unsigned char wrapped[KEYRING_WRAPPED_SIZE];
    turns[1].model = digest_of("model", 5);
    turns[1].adapter = digest_of("adapter", 7);
    turns[0].region = turns[1].region = digest_tag("aa");
    assert_int_equal(record_seal(&keys, &place, &session, 4096, &record, wrapped), ERR_OK);
    assert_memory_equal(record.data, "QSE3", 4);
    struct session_turn *read = mem_new(SESSION_TURNS_MAX, sizeof *read);
    struct record_fields fields = {.version = 1,
                                   .record = record.data,
                                   .record_size = record.size,
                                   .wrapped = (const char *)wrapped,
                                   .wrapped_size = sizeof wrapped};
    assert_int_equal(record_open(&keys, &place, &fields, &opened, &plain, read), ERR_OK);
    assert_int_equal(opened.turn_count, 2);
    assert_true(digest_is_zero(&read[0].model));
    assert_true(digest_equal(&read[1].model, &turns[1].model));
    assert_true(digest_equal(&read[1].adapter, &turns[1].adapter));
    assert_true(read[0].region == digest_tag("aa") && read[1].region == digest_tag("aa"));
    assert_true(read[1].cut && read[1].content_size == 2);
    assert_memory_equal(read[1].content, "bc", 2);
    memcpy(record.data, "QSE2", 4); // what it is called is part of what is sealed
    assert_int_equal(record_open(&keys, &place, &fields, &opened, &plain, read), ERR_INTERNAL);
    mem_free(read);
    buf_fini(&plain);
    buf_fini(&record);
}

// ---- turn ids ----------------------------------------------------------------------------------

static void a_turn_that_comes_again_is_answered_with_its_version(void **state)
{
    (void)state;
    if (!base) skip();
    assert_int_equal(save_turn("t", "a", 0, "first", false).version, 1);
    struct answer again = save_turn("t", "a", 0, "first", false);
    assert_int_equal(again.err, ERR_OK);
    assert_int_equal(again.version, 1);
    assert_true(again.repeated);
    assert_int_equal(save_turn("t", "b", 0, "other", false).err, ERR_CONFLICT);
    assert_int_equal(save_turn("t", "b", 1, "second", false).version, 2);
    assert_int_equal(save_turn("t", "a", 2, "first", false).version, 1); // whatever it believes
    assert_int_equal(load_by(sessions, "t", "a").session.repeated, 1);
    assert_int_equal(load_by(sessions, "t", "b").session.repeated, 2);
    assert_int_equal(load_by(sessions, "t", "c").session.repeated, 0);
    assert_string_equal(load("t").last, "assistant@2cut:second");
    assert_int_equal(load_by(sessions, "elsewhere", "a").session.repeated, 0);

    struct buf seen = field_of("t", "t"); // no client's word stands in Redis
    assert_int_equal(seen.size, 2 * (RECORD_TURN_SIZE + 2) + 1);
    buf_fini(&seen);
}

static void only_the_last_turn_ids_are_kept(void **state)
{
    (void)state;
    if (!base) skip();
    for (int i = 0; i <= SESSION_TURN_IDS; i++) {
        char turn[24];
        snprintf(turn, sizeof turn, "n%d", i);
        assert_int_equal(save_turn("bounded", turn, (uint64_t)i, "x", false).version, i + 1);
    }
    assert_int_equal(load_by(sessions, "bounded", "n0").session.repeated, 0);
    assert_int_equal(load_by(sessions, "bounded", "n1").session.repeated, 2);
    assert_int_equal(save_turn("bounded", "n0", 0, "x", false).err, ERR_CONFLICT);
    // A write without an id forgets none.
    assert_int_equal(save_turn("bounded", NULL, SESSION_TURN_IDS + 1, "x", false).err, ERR_OK);
    assert_int_equal(load_by(sessions, "bounded", "n1").session.repeated, 2);
}

// ---- the owner's list --------------------------------------------------------------------------

static void an_owner_sees_his_sessions_and_no_others(void **state)
{
    (void)state;
    if (!base) skip();
    const char *words[] = {"FLUSHALL"};
    freeReplyObject(ask_redis(&redis, 1, words, NULL));
    assert_int_equal(list().count, 0);
    save_turn("l-1", NULL, 0, "x", false);
    store_loop_run(base, 5);
    save_turn("l-2", NULL, 0, "x", false);
    store_loop_run(base, 5);
    save_turn("l-1", NULL, 1, "x", false);
    struct answer mine = list();
    assert_int_equal(mine.total, 2);
    assert_string_equal(mine.ids, "l-1=2 l-2=1 ");
    erase("l-1");
    assert_string_equal(list().ids, "l-2=1 ");

    struct answer other = {0};
    struct session_name bob = {.tenant = "shop", .user = "bob"};
    session_list(sessions, &bob, SESSION_LIST_MAX, on_listed, &other);
    session_loop_wait(&other);
    assert_int_equal(other.count, 0);
    for (int i = 0; i < SESSION_LIST_MAX + 5; i++) {
        char id[24];
        snprintf(id, sizeof id, "many-%d", i);
        save_turn(id, NULL, 0, "x", false);
    }
    mine = list();
    assert_int_equal(mine.count, SESSION_LIST_MAX);
    assert_int_equal(mine.total, SESSION_LIST_MAX + 6);
}

static void a_session_may_live_shorter_than_the_others(void **state)
{
    (void)state;
    if (!base) skip();
    struct answer answer;
    struct session_name name = named("short", NULL);
    save_turn("long", NULL, 0, "x", false);
    begin_save(&answer, sessions, &name, (struct session){.keep_seconds = 20}, "x", false);
    session_loop_wait(&answer);
    assert_int_equal(answer.err, ERR_OK);
    assert_in_range(load("short").session.ttl_ms, 15000, 20000);
    assert_in_range(load("long").session.ttl_ms, 90000, 100000);
    const char *words[] = {"TTL", place_of("short").index};
    redisReply *reply = ask_redis(&redis, 2, words, NULL);
    assert_in_range(reply->integer, 90, 100); // the list outlives both
    freeReplyObject(reply);
    begin_save(&answer, sessions, &name, (struct session){.version = 1, .keep_seconds = 1000}, "x",
               false);
    session_loop_wait(&answer);
    assert_in_range(load("short").session.ttl_ms, 90000, 100000); // no longer than it is set
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_session_outlives_a_rotation_and_is_wrapped_anew_when_written),
        cmocka_unit_test(a_session_may_live_shorter_than_the_others),
        cmocka_unit_test(sessions_have_keys_of_their_own_that_go_with_them),
        cmocka_unit_test(a_record_of_format_1_is_read_and_made_new_by_the_next_write),
        cmocka_unit_test(the_model_that_said_a_turn_is_noted),
        cmocka_unit_test(a_turn_that_comes_again_is_answered_with_its_version),
        cmocka_unit_test(only_the_last_turn_ids_are_kept),
        cmocka_unit_test(an_owner_sees_his_sessions_and_no_others),
    };
    return cmocka_run_group_tests(tests, session_loop_set_up, session_loop_tear_down);
}
