#include "scheduler/lexicon.h"
#include "scheduler/scribe.h"
#include "scheduler/settings.h"
#include "tests/support/tiny_model.h"
#include "tests/test.h"

#include "text/pack.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/gguf.h"

#include <event2/event.h>

#include <string.h>

struct scene {
    struct event_base *base;
    struct metrics *metrics;
    struct scribe *scribe;
    struct lexicon *lexicon;
    struct buf pack;
    struct digest digest;
    uint64_t asked[16]; // links, in order
    size_t asked_count;
};

static struct scene scene;

static enum err note_want(void *owner, uint64_t link, const struct wire_message *message,
                          bool urgent)
{
    (void)owner;
    (void)urgent;
    assert_int_equal(message->type, WIRE_PACK_WANT);
    assert_true(scene.asked_count < 16);
    scene.asked[scene.asked_count++] = link;
    return ERR_OK;
}

static int set_up(void **state)
{
    (void)state;
    struct buf image = {0};
    struct gguf *gguf;
    scene = (struct scene){.base = event_base_new()};
    scene.metrics = metrics_new(settings_metrics, METRIC_COUNT);
    scene.scribe = scribe_new(scene.base, 1);
    struct lexicon_options options = {
        .scribe = scene.scribe, .metrics = scene.metrics, .send = note_want};
    scene.lexicon = lexicon_new(&options);
    tiny_model_write(&image, &(struct tiny_model){.vocab_only = true});
    assert_int_equal(gguf_parse(&gguf, image.data, image.size), ERR_OK);
    assert_int_equal(gguf_write_pack(gguf, &scene.pack), ERR_OK);
    gguf_close(gguf);
    buf_fini(&image);
    scene.digest = digest_of(scene.pack.data, scene.pack.size);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    scribe_free(scene.scribe);
    lexicon_free(scene.lexicon);
    metrics_free(scene.metrics);
    buf_fini(&scene.pack);
    event_base_free(scene.base);
    return 0;
}

static void announce(uint64_t link, const struct digest *digest)
{
    struct wire_model model = {.pack = *digest};
    struct wire_hello hello = {.models = &model, .model_count = 1};
    lexicon_hello(scene.lexicon, link, &hello, 0);
}

static void send_part(uint64_t link, const struct digest *digest, uint64_t total, uint64_t offset,
                      size_t size)
{
    struct wire_pack_part part = {.pack = *digest,
                                  .total = total,
                                  .offset = offset,
                                  .bytes = (uint8_t *)scene.pack.data + offset,
                                  .size = size};
    lexicon_part(scene.lexicon, link, &part, 0);
}

static void send_all(uint64_t link, const struct digest *digest)
{
    for (size_t offset = 0; offset < scene.pack.size; offset += 1000) {
        size_t left = scene.pack.size - offset;
        send_part(link, digest, scene.pack.size, offset, left < 1000 ? left : 1000);
    }
}

static enum err find(struct lexicon_pack **pack)
{
    enum err err = ERR_UNAVAILABLE;
    for (int wait = 0; wait < TEST_LOOKS_MAX && err == ERR_UNAVAILABLE; wait++) {
        event_base_loop(scene.base, EVLOOP_NONBLOCK);
        err = lexicon_find(scene.lexicon, &scene.digest, pack);
        usleep(1000);
    }
    return err;
}

static void a_pack_is_fetched_once_and_opened(void **state)
{
    (void)state;
    struct lexicon_pack *pack;
    announce(7, &scene.digest);
    announce(8, &scene.digest);
    assert_int_equal(scene.asked_count, 1);
    assert_int_equal(lexicon_find(scene.lexicon, &scene.digest, &pack), ERR_UNAVAILABLE);
    send_all(7, &scene.digest);
    assert_int_equal(find(&pack), ERR_OK);
    assert_string_equal(lexicon_text(pack)->name, "tiny");
    announce(9, &scene.digest);
    assert_int_equal(scene.asked_count, 1);
}

static void a_node_that_sends_it_wrong_is_not_asked_again(void **state)
{
    (void)state;
    struct lexicon_pack *pack;
    announce(7, &scene.digest);
    announce(8, &scene.digest);
    announce(9, &scene.digest);
    announce(10, &scene.digest);
    announce(11, &scene.digest);
    uint64_t asked = scene.asked[0];
    send_part(asked, &scene.digest, scene.pack.size, 10, 10); // out of order
    assert_int_equal(scene.asked_count, 2);
    send_part(asked, &scene.digest, scene.pack.size, 0, 10); // too late
    asked = scene.asked[1];
    send_part(asked, &scene.digest, (uint64_t)GGUF_PACK_MAX + 1, 0, 10); // a size that cannot be
    assert_int_equal(scene.asked_count, 3);
    asked = scene.asked[2];
    send_part(asked, &scene.digest, 20, 0, 20); // other bytes
    assert_int_equal(scene.asked_count, 4);
    asked = scene.asked[3];
    send_part(asked, &scene.digest, 20, 0, 10);
    send_part(asked, &scene.digest, 30, 10, 10); // a size that changes
    assert_int_equal(scene.asked_count, 5);
    send_all(scene.asked[4], &scene.digest);
    assert_int_equal(find(&pack), ERR_OK);
    for (size_t i = 1; i < 5; i++)
        for (size_t j = 0; j < i; j++)
            assert_int_not_equal(scene.asked[i], scene.asked[j]);
}

static void a_silent_or_lost_node_gives_way_to_another(void **state)
{
    (void)state;
    struct lexicon_pack *pack;
    announce(7, &scene.digest);
    announce(8, &scene.digest);
    send_part(7, &scene.digest, scene.pack.size, 0, 10);
    lexicon_tick(scene.lexicon, LEXICON_SILENCE_MS * CLOCK_MS + 1);
    assert_int_equal(scene.asked_count, 2);
    assert_int_equal(scene.asked[1], 8);
    send_part(8, &scene.digest, scene.pack.size, 0, 10);
    lexicon_down(scene.lexicon, 8, 0);
    assert_int_equal(scene.asked_count, 3);
    assert_int_equal(scene.asked[2], 7);
    lexicon_down(scene.lexicon, 7, 0);
    assert_int_equal(scene.asked_count, 3);
    announce(9, &scene.digest);
    send_all(9, &scene.digest);
    assert_int_equal(find(&pack), ERR_OK);
}

static void a_pack_that_does_not_open_is_broken_for_good(void **state)
{
    (void)state;
    struct lexicon_pack *pack;
    scene.pack.size /= 2;
    scene.digest = digest_of(scene.pack.data, scene.pack.size);
    announce(7, &scene.digest);
    send_all(7, &scene.digest);
    enum err err = ERR_OK;
    for (int wait = 0; wait < TEST_LOOKS_MAX; wait++) {
        event_base_loop(scene.base, EVLOOP_NONBLOCK);
        err = lexicon_find(scene.lexicon, &scene.digest, &pack);
        if (strstr(err_text(), "cannot be used")) break;
        usleep(1000);
    }
    assert_int_equal(err, ERR_UNAVAILABLE);
    assert_non_null(strstr(err_text(), "cannot be used"));
    announce(8, &scene.digest);
    assert_int_equal(scene.asked_count, 1);
}

static void the_table_is_bounded_and_forgets_what_nobody_announces(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < LEXICON_PACKS_MAX; i++) {
        struct digest digest = digest_of(&i, sizeof i);
        announce(100 + i, &digest);
        lexicon_down(scene.lexicon, 100 + i, 0);
        scene.asked_count = 0;
    }
    announce(7, &scene.digest);
    assert_int_equal(scene.asked_count, 1);
    struct lexicon_pack *pack;
    send_all(7, &scene.digest);
    assert_int_equal(find(&pack), ERR_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_pack_is_fetched_once_and_opened, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_node_that_sends_it_wrong_is_not_asked_again, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_silent_or_lost_node_gives_way_to_another, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_pack_that_does_not_open_is_broken_for_good, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(the_table_is_bounded_and_forgets_what_nobody_announces,
                                        set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
