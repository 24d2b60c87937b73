/* tests/test.h -- CMocka with what it needs before it, and where the shared data lives. */
#ifndef TESTS_TEST_H
#define TESTS_TEST_H

// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    TEST_LOOKS_MAX = 12000, // of assert_soon(): a minute, and more where the machine is busy
    TEST_LOOK_US = 5000
};

/* Look until the condition holds; a test whose condition does not come to hold within a minute fails. Who waits for
 * something waits with this, never for a while: how long a while must be depends on the machine. */
#define assert_soon(condition)                                    \
    do {                                                          \
        int looks = 0;                                            \
        while (!(condition))                                      \
            if (++looks < TEST_LOOKS_MAX)                         \
                usleep(TEST_LOOK_US);                             \
            else                                                  \
                fail_msg("it did not come to this: " #condition); \
    } while (0)

/* The path of a file of the shared conformance data, QIAO_SHARED/data/`name`; NULL, after saying
 * so, where it is absent: the caller then calls skip(). Borrowed until the next call. */
static inline const char *test_shared(const char *name)
{
    static char path[1024];
    const char *root = getenv("QIAO_SHARED");
    snprintf(path, sizeof path, "%s/data/%s", root && *root ? root : "../shared", name);
    if (access(path, R_OK) == 0) return path;
    print_message("skipped: no shared data (%s)\n", path);
    return NULL;
}

#endif
