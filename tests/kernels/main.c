/* kernels.check: every rung of this machine against the scalar column.
 *
 *      kernels.check [--rung NAME] [--kernel PREFIX] [--seed N] [--bench [--threads N]]
 *
 * The seed is new each day unless given, and always printed. */
#include "tests/kernels/check.h"

#include "kernels/cpu.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int count, char **words)
{
    const char *rung = NULL;
    const char *kernel = NULL;
    uint64_t seed = (uint64_t)clock_wall_ms() / (24 * 3600 * 1000);
    bool bench = false;
    size_t threads = 1;
    for (int i = 1; i < count; i++) {
        const char *value = i + 1 < count ? words[i + 1] : "";
        if (strcmp(words[i], "--bench") == 0)
            bench = true;
        else if (strcmp(words[i], "--rung") == 0)
            rung = value, i++;
        else if (strcmp(words[i], "--kernel") == 0)
            kernel = value, i++;
        else if (strcmp(words[i], "--seed") == 0)
            seed = strtoull(value, NULL, 10), i++;
        else if (strcmp(words[i], "--threads") == 0)
            threads = strtoull(value, NULL, 10), i++;
        else
            return fprintf(stderr, "unknown: %s\n", words[i]), 2;
    }
    cpu_float_mode_set();
    if (!bench) return check_run(rung, kernel, seed) == 0 ? 0 : 1;
    check_run_bench(rung, kernel, threads);
    return 0;
}
