#include "tests/test.h"

#include "base/log.h"

#include <string.h>
#include <unistd.h>

/* What stands on stderr after the date while `write_it` runs. */
static const char *written(void (*write_it)(void))
{
    static char line[2048];
    int ends[2], old = dup(STDERR_FILENO);
    assert_int_equal(pipe(ends), 0);
    dup2(ends[1], STDERR_FILENO);
    write_it();
    dup2(old, STDERR_FILENO);
    close(old);
    close(ends[1]);
    ssize_t size = read(ends[0], line, sizeof line - 1);
    close(ends[0]);
    line[size > 0 ? size : 0] = '\0';
    const char *space = strchr(line, ' ');
    return space ? space + 1 : line;
}

static void write_good(void)
{
    log_info("node_up", "node=%s reason=\"%s\" hint=\"raise ulimit -n\" ms=%d", "a1", "gone away",
             5);
}

static void write_unknown(void)
{
    log_warn("node_up", "node=%s user=%s", "a1", "alice");
}

static void write_bare(void)
{
    log_warn("node_up", "%s", "what alice said");
}

static void write_hidden(void)
{
    log_warn("node_up", "node=%s and alice=%s", "a1", "secret");
}

static void write_control(void)
{
    log_error("node_up", "node=%s", "a\nb\x1b");
}

static void a_line_has_its_level_event_and_fields(void **state)
{
    (void)state;
    assert_string_equal(
        written(write_good),
        "info node_up node=a1 reason=\"gone away\" hint=\"raise ulimit -n\" ms=5\n");
    assert_string_equal(written(write_control), "error node_up node=a?b?\n");
}

static void fields_that_are_not_allowed_are_not_written(void **state)
{
    (void)state;
    assert_string_equal(written(write_unknown), "warn node_up fields=refused\n");
    assert_string_equal(written(write_bare), "warn node_up fields=refused\n");
    assert_string_equal(written(write_hidden), "warn node_up fields=refused\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_has_its_level_event_and_fields),
        cmocka_unit_test(fields_that_are_not_allowed_are_not_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
