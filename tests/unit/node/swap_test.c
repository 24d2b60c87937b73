/* When a newer model is loaded, and what becomes of one that does not open. The models are numbers here. */
#include "node/swap.h"
#include "tests/test.h"

#include "base/err.h"

#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct stage {
    char path[64], other[80];
    int reload, bell;
    atomic_int loads, unloads;
    atomic_bool fails;
    struct swapper *swapper;
};

static void *load(void *argument)
{
    struct stage *stage = argument;
    atomic_fetch_add(&stage->loads, 1);
    if (!atomic_load(&stage->fails)) return stage;
    err_note(ERR_FORMAT, "it is no model");
    return NULL;
}

static void unload(void *loaded)
{
    atomic_fetch_add(&((struct stage *)loaded)->unloads, 1);
}

/* Another file takes the name. */
static void replace(struct stage *stage, const char *text)
{
    FILE *file = fopen(stage->other, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    assert_int_equal(rename(stage->other, stage->path), 0);
}

static void ring(int bell)
{
    uint64_t one = 1;
    assert_int_equal(write(bell, &one, sizeof one), sizeof one);
}

static bool rings(int bell, int ms)
{
    uint64_t count;
    struct pollfd one = {.fd = bell, .events = POLLIN};
    return poll(&one, 1, ms) == 1 && read(bell, &count, sizeof count) > 0;
}

static void open_stage(struct stage *stage, bool watch)
{
    memset(stage, 0, sizeof *stage);
    snprintf(stage->path, sizeof stage->path, "/tmp/qiao-swap-%ld", (long)getpid());
    snprintf(stage->other, sizeof stage->other, "%s.new", stage->path);
    replace(stage, "first");
    stage->reload = eventfd(0, EFD_NONBLOCK);
    stage->bell = eventfd(0, EFD_NONBLOCK);
    struct swapper_options options = {.path = stage->path,
                                      .watch = watch,
                                      .reload = stage->reload,
                                      .bell = stage->bell,
                                      .load = load,
                                      .unload = unload,
                                      .argument = stage};
    assert_int_equal(swapper_new(&stage->swapper, &options), ERR_OK);
}

static void close_stage(struct stage *stage)
{
    swapper_free(stage->swapper);
    close(stage->reload);
    close(stage->bell);
    unlink(stage->path);
}

static void another_file_is_loaded_when_that_is_asked_for(void **state)
{
    (void)state;
    struct stage stage;
    open_stage(&stage, false);
    ring(stage.reload); // the same file: nothing to do
    assert_false(rings(stage.bell, 100));
    assert_null(swapper_take(stage.swapper));
    replace(&stage, "second");
    assert_false(rings(stage.bell, 100)); // nobody has asked
    ring(stage.reload);
    assert_true(rings(stage.bell, 5000));
    assert_ptr_equal(swapper_take(stage.swapper), &stage);
    assert_null(swapper_take(stage.swapper));
    assert_int_equal(stage.loads, 1);
    close_stage(&stage);
    assert_int_equal(stage.unloads, 0); // it was taken
}

static void one_that_does_not_open_is_not_told(void **state)
{
    (void)state;
    struct stage stage;
    open_stage(&stage, false);
    stage.fails = true;
    replace(&stage, "no model");
    ring(stage.reload);
    assert_false(rings(stage.bell, 200));
    assert_null(swapper_take(stage.swapper));
    assert_int_equal(stage.loads, 1);
    stage.fails = false;
    replace(&stage, "a model");
    ring(stage.reload);
    assert_true(rings(stage.bell, 5000));
    close_stage(&stage);
    assert_int_equal(stage.unloads, 1); // nobody took it
}

static void who_watches_needs_no_order(void **state)
{
    (void)state;
    struct stage stage;
    open_stage(&stage, true);
    replace(&stage, "second");
    assert_true(rings(stage.bell, 10000));
    assert_ptr_equal(swapper_take(stage.swapper), &stage);
    assert_false(rings(stage.bell, 1500)); // once
    close_stage(&stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(another_file_is_loaded_when_that_is_asked_for),
        cmocka_unit_test(one_that_does_not_open_is_not_told),
        cmocka_unit_test(who_watches_needs_no_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
