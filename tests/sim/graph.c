#include "tests/sim/graph.h"

#include "tests/sim/run.h"

#include <math.h>
#include <stdio.h>

enum {
    RATES = 7,
    TRACES = 2,
    WIDTH = 400, // of one chart's field
    HEIGHT = 220,
    LEFT = 60,
    TOP = 50,
    GAP = 90
};

static const enum route_policy policies[] = {ROUTE_PREDICTED, ROUTE_PREFIX, ROUTE_LEAST_LOADED,
                                             ROUTE_ROUND_ROBIN};

static const char *const colors[] = {"#1a7f37", "#b35900", "#1f6feb", "#8c959f"};

enum {
    POLICIES = sizeof policies / sizeof *policies
};

struct point {
    double rate, p50_ms, p99_ms, goodput;
};

static const char *const units[TRACES] = {"conversations", "requests"};
static struct point points[TRACES][POLICIES][RATES];

static void measure(const struct plan *what, size_t trace)
{
    for (size_t r = 0; r < RATES; r++) {
        for (size_t p = 0; p < POLICIES; p++) {
            struct plan plan = *what;
            plan.shared = trace == 0;
            plan.policy = policies[p];
            plan.rate = what->rate * (double)(r + 1) / RATES * (trace == 0 ? 1 : 1.3);
            struct run_report report = run(&plan);
            struct point *point = &points[trace][p][r];
            *point = (struct point){plan.rate, (double)report.load.first_p50_ns * 1e-6,
                                    (double)report.load.first_p99_ns * 1e-6, report.load.goodput};
            printf("%-6s %-12s %4.0f %s/s, %4.0f requests/s: first token p50 %7.0f ms, p99 "
                   "%7.0f ms, mean %7.0f ms; goodput %6.1f/s\n",
                   trace == 0 ? "shared" : "plain", route_policy_name(plan.policy), plan.rate,
                   units[trace], report.load.offered, point->p50_ms, point->p99_ms,
                   (double)report.load.first_mean_ns * 1e-6, point->goodput);
            fflush(stdout);
        }
    }
}

/* Milliseconds on a logarithmic scale from 10 to 100,000. */
static double height_of_ms(double ms)
{
    double at = (log10(ms < 10 ? 10 : ms) - 1) / 4;
    return HEIGHT * (1 - (at > 1 ? 1 : at));
}

static void draw_field(FILE *file, double x, double y, const char *title, size_t trace,
                       double most_rate)
{
    fprintf(file,
            "<g transform='translate(%.0f %.0f)'><rect width='%d' height='%d' fill='none' "
            "stroke='#d0d7de'/>"
            "<text x='0' y='-10' font-weight='bold'>%s</text>",
            x, y, WIDTH, HEIGHT, title);
    for (int i = 0; i <= 4; i++)
        fprintf(file, "<text x='%d' y='%d' text-anchor='middle'>%.0f</text>", WIDTH * i / 4,
                HEIGHT + 16, most_rate * i / 4);
    fprintf(file, "<text x='%d' y='%d' text-anchor='middle'>%s/s</text>", WIDTH / 2, HEIGHT + 32,
            trace == 0 ? "conversations of 1 to 5 requests" : units[trace]);
}

static void draw_ms(FILE *file, size_t trace, double most_rate)
{
    static const char *const marks[] = {"10 ms", "100 ms", "1 s", "10 s", "100 s"};
    for (int i = 0; i <= 4; i++)
        fprintf(file, "<text x='-6' y='%d' text-anchor='end'>%s</text>", HEIGHT * (4 - i) / 4 + 4,
                marks[i]);
    for (size_t p = 0; p < POLICIES; p++) {
        for (int q = 0; q < 2; q++) { // p99 whole, p50 dashed
            fprintf(file, "<polyline fill='none' stroke-width='2' stroke='%s'%s points='",
                    colors[p], q ? " stroke-dasharray='4 3'" : "");
            for (size_t r = 0; r < RATES; r++) {
                const struct point *at = &points[trace][p][r];
                fprintf(file, "%.1f,%.1f ", WIDTH * at->rate / most_rate,
                        height_of_ms(q ? at->p50_ms : at->p99_ms));
            }
            fprintf(file, "'/>");
        }
    }
    fprintf(file, "</g>\n");
}

/* A round number that no goodput is above. */
static double most_goodput(size_t trace)
{
    double most = 0;
    for (size_t p = 0; p < POLICIES; p++)
        for (size_t r = 0; r < RATES; r++)
            most = fmax(most, points[trace][p][r].goodput);
    return 40 * ceil(most / 40);
}

static void draw_goodput(FILE *file, size_t trace, double most_rate)
{
    double most = most_goodput(trace);
    for (int i = 0; i <= 4; i++)
        fprintf(file, "<text x='-6' y='%d' text-anchor='end'>%.0f/s</text>",
                HEIGHT * (4 - i) / 4 + 4, most * i / 4);
    for (size_t p = 0; p < POLICIES; p++) {
        fprintf(file, "<polyline fill='none' stroke-width='2' stroke='%s' points='", colors[p]);
        for (size_t r = 0; r < RATES; r++) {
            const struct point *at = &points[trace][p][r];
            fprintf(file, "%.1f,%.1f ", WIDTH * at->rate / most_rate,
                    HEIGHT * (1 - at->goodput / most));
        }
        fprintf(file, "'/>");
    }
    fprintf(file, "</g>\n");
}

static void draw(FILE *file, const struct plan *plan)
{
    static const char *const names[] = {"with shared prefixes", "without"};
    int width = LEFT + 2 * WIDTH + GAP + 30;
    int height = TOP + 2 * HEIGHT + GAP + 70;
    fprintf(file,
            "<svg xmlns='http://www.w3.org/2000/svg' width='%d' height='%d' "
            "font-family='sans-serif' font-size='11'>"
            "<rect width='100%%' height='100%%' fill='white'/>\n",
            width, height);
    for (size_t trace = 0; trace < TRACES; trace++) {
        char title[96];
        double most_rate = plan->rate * (trace == 0 ? 1 : 1.3);
        double x = LEFT + (double)trace * (WIDTH + GAP);
        snprintf(title, sizeof title, "time to the first token, %s (p99; dashed p50)",
                 names[trace]);
        draw_field(file, x, TOP, title, trace, most_rate);
        draw_ms(file, trace, most_rate);
        snprintf(title, sizeof title, "goodput (first token within 1 s), %s", names[trace]);
        draw_field(file, x, TOP + HEIGHT + GAP, title, trace, most_rate);
        draw_goodput(file, trace, most_rate);
    }
    for (size_t p = 0; p < POLICIES; p++)
        fprintf(file, "<text x='%zu' y='%d' fill='%s' font-weight='bold'>%s</text>", LEFT + p * 110,
                height - 16, colors[p], route_policy_name(policies[p]));
    fprintf(file, "<text x='%d' y='%d'>%u nodes, %u scheduler(s), simulated</text></svg>\n",
            LEFT + 480, height - 16, plan->nodes, plan->schedulers);
}

int graph_write(const char *path, const struct plan *plan)
{
    for (size_t trace = 0; trace < TRACES; trace++)
        measure(plan, trace);
    FILE *file = fopen(path, "w");
    if (!file) return fprintf(stderr, "sim: cannot write %s\n", path), 1;
    draw(file, plan);
    return fclose(file) ? 1 : 0;
}
