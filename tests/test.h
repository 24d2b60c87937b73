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
