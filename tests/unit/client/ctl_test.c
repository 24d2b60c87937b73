/* qiaoctl, as a process, against a scheduler that is played. */
#include "tests/test.h"
#include "tests/unit/client/fake_server.h"

#include "base/buf.h"

#include <stdatomic.h>
#include <string.h>
#include <sys/wait.h>

/* One node; how many requests it has at each look, the last number for ever. */
struct cluster {
    const char *left;
    atomic_int looks, drains, undrains;
    bool gone; // after the first look
};

static bool answer(void *argument, int socket, const struct fake_request *request)
{
    struct cluster *cluster = argument;
    struct buf body = {0};
    if (strncmp(request->head, "POST /admin/drain ", 18) == 0) {
        cluster->drains += strstr(request->body, "\"n1\"") != NULL;
        buf_add_text(&body, "{\"draining\":true}");
    } else if (strncmp(request->head, "POST /admin/undrain ", 20) == 0) {
        cluster->undrains += strstr(request->body, "\"n1\"") != NULL;
        buf_add_text(&body, "{\"draining\":false}");
    } else if (cluster->gone && cluster->looks > 0) {
        buf_add_text(&body, "{\"nodes\":[]}");
    } else {
        size_t look = (size_t)cluster->looks++, last = strlen(cluster->left) - 1;
        buf_addf(&body,
                 "{\"nodes\":[{\"name\":\"n0\",\"state\":\"ready\",\"running\":9,\"waiting\":0},"
                 "{\"name\":\"n1\",\"state\":\"draining\",\"running\":%c,\"waiting\":0,"
                 "\"in_flight\":0}]}",
                 cluster->left[look < last ? look : last]);
    }
    fake_json(socket, "200 OK", body.data);
    buf_fini(&body);
    return false;
}

/* Run `qiaoctl FLAGS`; its stdout and stderr together in `out`. */
static int run(struct cluster *cluster, const char *flags, struct buf *out)
{
    struct fake_server server;
    char command[512], bytes[1024];
    fake_server_start(&server, answer, cluster);
    snprintf(command, sizeof command, "env -i %s --url %s %s 2>&1", QIAOCTL, server.url, flags);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    size_t got;
    while ((got = fread(bytes, 1, sizeof bytes, pipe)) > 0)
        buf_add(out, bytes, got);
    int status = pclose(pipe);
    fake_server_stop(&server);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void expect(const struct buf *out, const char *part)
{
    if (!strstr(buf_text(out), part)) fail_msg("no '%s' in: %s", part, buf_text(out));
}

static void a_drain_waits_until_nothing_runs_and_says_what_is_left(void **state)
{
    (void)state;
    struct cluster cluster = {.left = "3310"};
    struct buf out = {0};
    assert_int_equal(run(&cluster, "drain n1", &out), 0);
    assert_int_equal(cluster.drains, 1);
    assert_int_equal(cluster.looks,
                     5); // the fourth says nothing is left, the fifth that it stays so
    expect(&out, "n1: 3 left");
    expect(&out, "n1: 1 left");
    expect(&out, "n1: draining, nothing runs there any more");
    buf_fini(&out);
}

static void a_drain_that_takes_too_long_fails_with_what_is_left(void **state)
{
    (void)state;
    struct cluster cluster = {.left = "2"};
    struct buf out = {0};
    assert_int_equal(run(&cluster, "drain n1 --wait 1 --json", &out), 1);
    expect(&out, "\"left\":2");
    expect(&out, "n1 still has 2 requests");
    buf_clear(&out);
    assert_int_equal(run(&cluster, "drain n1 --wait 0", &out), 0);
    assert_string_equal(buf_text(&out), "n1: draining\n");
    buf_fini(&out);
}

static void a_node_that_ends_while_it_is_drained_has_nothing_left(void **state)
{
    (void)state;
    struct cluster cluster = {.left = "2", .gone = true};
    struct buf out = {0};
    assert_int_equal(run(&cluster, "drain n1", &out), 0);
    expect(&out, "n1: gone");
    buf_fini(&out);
}

static void an_undrain_does_not_wait(void **state)
{
    (void)state;
    struct cluster cluster = {.left = "2"};
    struct buf out = {0};
    assert_int_equal(run(&cluster, "undrain n1", &out), 0);
    assert_string_equal(buf_text(&out), "n1: taking requests\n");
    assert_int_equal(cluster.undrains, 1);
    assert_int_equal(cluster.looks, 0);
    buf_fini(&out);
}

/* Evidence is asked for with all that it needs, or not at all. */
static void controls_say_what_they_need(void **state)
{
    static const struct {
        const char *flags, *part;
        int code;
    } cases[] = {
        {"compliance run", "--region must name", 2},
        {"--region aa --out /nowhere/else compliance run", "by a key of this run alone", 1},
        {"compliance verify /nowhere/else", "--keys must name", 2},
        {"compliance verify", "file's name is missing", 2},
        {"--keys /nowhere/keys compliance verify /nowhere/else", "cannot read '/nowhere/else'", 1},
        {"--region aa --out /nowhere/else --sign-key k compliance run", "", 1}, // no rules there
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct cluster cluster = {.left = "0"};
        struct buf out = {0};
        assert_int_equal(run(&cluster, cases[i].flags, &out), cases[i].code);
        expect(&out, cases[i].part);
        buf_fini(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_drain_waits_until_nothing_runs_and_says_what_is_left),
        cmocka_unit_test(a_drain_that_takes_too_long_fails_with_what_is_left),
        cmocka_unit_test(a_node_that_ends_while_it_is_drained_has_nothing_left),
        cmocka_unit_test(an_undrain_does_not_wait),
        cmocka_unit_test(controls_say_what_they_need),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
