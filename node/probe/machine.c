/* qiao-probe machine: what this machine can do at best, by the number of threads. */
#include "node/probe/peak.h"
#include "node/probe/probe.h"

#include "kernels/team.h"

#include <jansson.h>

#include <inttypes.h>
#include <stdio.h>

static void print_peaks(const struct peaks *peaks)
{
    printf("threads %" PRIu32 "\n", peaks->threads);
    for (size_t i = 0; i < peaks->way_count; i++) {
        const struct peak_way *way = &peaks->ways[i];
        printf("    %-8s %-12s %9.1f %s\n", peak_kind_name(way->kind), way->name,
               way->per_second * 1e-9, way->kind == PEAK_READ ? "GB/s" : "GOP/s");
    }
}

json_t *probe_peaks_json(const struct peaks *peaks)
{
    json_t *ways = json_array();
    for (size_t i = 0; i < peaks->way_count; i++) {
        const struct peak_way *way = &peaks->ways[i];
        json_array_append_new(ways, json_pack("{s:s, s:s, s:f}", "kind", peak_kind_name(way->kind),
                                              "way", way->name, "per_s", way->per_second));
    }
    json_t *best = json_object();
    for (int kind = 0; kind < PEAK_KIND_COUNT; kind++) {
        json_object_set_new(best, peak_kind_name((enum peak_kind)kind),
                            json_real(peaks->best[kind]));
    }
    return json_pack("{s:I, s:o, s:o}", "threads", (json_int_t)peaks->threads, "best_per_s", best,
                     "ways", ways);
}

enum err probe_machine(const struct probe_conf *conf)
{
    uint32_t threads[PROBE_COUNTS_MAX] = {0};
    uint32_t count;
    TRY(probe_read_counts("threads", &conf->threads, TEAM_THREADS_MAX, threads, &count));
    if (count == 0) count = 1; // threads[0] is 0: one a core
    json_t *runs = json_array();
    enum err err = ERR_OK;
    for (uint32_t i = 0; i < count && !err; i++) {
        struct peaks peaks;
        struct peak_options options = {.threads = threads[i]};
        err = peak_measure(&peaks, &options);
        if (!err && conf->json) json_array_append_new(runs, probe_peaks_json(&peaks));
        if (!err && !conf->json) print_peaks(&peaks);
    }
    if (!err && conf->json) {
        json_dumpf(runs, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
        putchar('\n');
    }
    json_decref(runs);
    return err;
}
