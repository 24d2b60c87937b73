#include "tests/test.h"

#include "base/mailbox.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

enum {
    WRITERS = 4,
    MESSAGES = 5000
};

static int things[WRITERS][MESSAGES];
static struct mailbox *shared;

static void *write_all(void *argument)
{
    int *mine = argument;
    for (int i = 0; i < MESSAGES; i++) {
        mine[i] = i;
        while (!mailbox_put(shared, &mine[i])) // full: the reader is behind
            sched_yield();
    }
    return NULL;
}

static void nothing_is_lost_and_each_writer_keeps_its_order(void **state)
{
    (void)state;
    shared = mailbox_new(64);
    pthread_t threads[WRITERS];
    for (int w = 0; w < WRITERS; w++)
        assert_int_equal(pthread_create(&threads[w], NULL, write_all, things[w]), 0);

    int next[WRITERS] = {0};
    for (int got = 0; got < WRITERS * MESSAGES;) {
        assert_true(mailbox_wait(shared, UINT64_MAX));
        for (int *thing; (thing = mailbox_take(shared)) != NULL; got++) {
            int w = (int)((thing - &things[0][0]) / MESSAGES);
            assert_int_equal(*thing, next[w]);
            next[w]++;
        }
    }
    for (int w = 0; w < WRITERS; w++)
        pthread_join(threads[w], NULL);
    mailbox_free(shared);
}

static void a_full_or_closed_mailbox_refuses(void **state)
{
    (void)state;
    int a = 1;
    struct mailbox *box = mailbox_new(2);
    assert_true(mailbox_put(box, &a));
    assert_true(mailbox_put(box, &a));
    assert_false(mailbox_put(box, &a));
    assert_ptr_equal(mailbox_take(box), &a);
    mailbox_close(box);
    assert_false(mailbox_put(box, &a));
    assert_true(mailbox_wait(box, 0));
    assert_ptr_equal(mailbox_take(box), &a);
    assert_false(mailbox_wait(box, UINT64_MAX)); // closed and empty: does not sleep
    assert_null(mailbox_take(box));
    mailbox_free(box);
}

static atomic_int signals_seen;

static void on_signal(int number)
{
    (void)number;
    signals_seen++;
}

static void *wait_once(void *argument)
{
    struct mailbox *box = argument;
    return mailbox_wait(box, UINT64_MAX) ? mailbox_take(box) : NULL;
}

static void a_signal_does_not_end_the_wait(void **state)
{
    (void)state;
    int thing = 1;
    void *got = NULL;
    struct mailbox *box = mailbox_new(1);
    struct sigaction action = {.sa_handler = on_signal}, before;
    assert_int_equal(sigaction(SIGUSR1, &action, &before), 0);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, wait_once, box), 0);
    for (int i = 1; i <= 20; i++) { // one at a time: each reaches the thread, asleep or not yet
        assert_int_equal(pthread_kill(thread, SIGUSR1), 0);
        for (int tries = 0; signals_seen < i && tries < 2000; tries++)
            usleep(1000);
    }
    assert_true(mailbox_put(box, &thing));
    pthread_join(thread, &got);
    assert_ptr_equal(got, &thing);
    sigaction(SIGUSR1, &before, NULL);
    mailbox_free(box);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_lost_and_each_writer_keeps_its_order),
        cmocka_unit_test(a_full_or_closed_mailbox_refuses),
        cmocka_unit_test(a_signal_does_not_end_the_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
