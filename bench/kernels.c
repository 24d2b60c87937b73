/* bench/kernels: the time of every kernel that tests/kernels checks, from the same list, and OpenBLAS's sgemm
 * beside the float ones.
 *
 *      bench-kernels [--rung NAME] [--kernel PREFIX] [--threads N]
 *
 * GB/s are bytes of weights (or of what a row kernel reads and writes) per second, GOP/s count a multiplication
 * and an addition as two. A product's line is "rows x outputs x columns" and includes quantising the rows. */
#include "tests/kernels/check.h"

#include "kernels/cpu.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int count, char **words)
{
    const char *rung = NULL;
    const char *kernel = NULL;
    size_t threads = 1;
    for (int i = 1; i + 1 < count; i += 2) {
        if (strcmp(words[i], "--rung") == 0)
            rung = words[i + 1];
        else if (strcmp(words[i], "--kernel") == 0)
            kernel = words[i + 1];
        else if (strcmp(words[i], "--threads") == 0)
            threads = strtoull(words[i + 1], NULL, 10);
        else
            return fprintf(stderr, "unknown: %s\n", words[i]), 2;
    }
    if (threads < 1 || threads > 256) return fprintf(stderr, "--threads takes 1 to 256\n"), 2;
    cpu_float_mode_set();
    check_run_bench(rung, kernel, threads);
    return 0;
}
