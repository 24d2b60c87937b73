#include "tests/test.h"

#include "base/buf.h"
#include "base/metric.h"

#include <ctype.h>
#include <pthread.h>
#include <string.h>

enum {
    REQUESTS,
    IN_FLIGHT,
    TTFT
};

static const struct metric_row rows[] = {
    {METRIC_counter, "requests_total", "route,code", "answered requests"},
    {METRIC_gauge, "in_flight", "", "in the air"},
    {METRIC_histogram, "ttft_seconds", "model", "first token"},
};

static void rendered_text_has_every_series(void **state)
{
    (void)state;
    struct metrics *metrics = metrics_new(rows, 3);
    metric_add(metrics, REQUESTS, "chat", "200", 1);
    metric_add(metrics, REQUESTS, "chat", "200", 2);
    metric_add(metrics, REQUESTS, "a\"b\\c\n", "500", 1);
    metric_observe(metrics, TTFT, "m", NULL, 0.003);
    metric_observe(metrics, TTFT, "m", NULL, 1000);
    struct buf text = {0};
    metrics_render(metrics, &text);
    assert_non_null(strstr(text.data, "# TYPE qiao_requests_total counter\n"));
    assert_non_null(strstr(text.data, "qiao_requests_total{route=\"chat\",code=\"200\"} 3\n"));
    assert_non_null(strstr(text.data, "{route=\"a\\\"b\\\\c\\n\",code=\"500\"} 1\n"));
    assert_non_null(strstr(text.data, "\nqiao_in_flight 0\n"));
    assert_non_null(strstr(text.data, "qiao_ttft_seconds_bucket{model=\"m\",le=\"0.0025\"} 0\n"));
    assert_non_null(strstr(text.data, "qiao_ttft_seconds_bucket{model=\"m\",le=\"0.005\"} 1\n"));
    assert_non_null(strstr(text.data, "qiao_ttft_seconds_bucket{model=\"m\",le=\"120\"} 1\n"));
    assert_non_null(strstr(text.data, "qiao_ttft_seconds_bucket{model=\"m\",le=\"+Inf\"} 2\n"));
    assert_non_null(strstr(text.data, "qiao_ttft_seconds_count{model=\"m\"} 2\n"));
    buf_fini(&text);
    metrics_free(metrics);
}

static void series_are_bounded_and_nothing_is_lost(void **state)
{
    (void)state;
    struct metrics *metrics = metrics_new(rows, 3);
    for (int i = 0; i < 1000; i++) {
        char name[16];
        snprintf(name, sizeof name, "r%d", i);
        metric_add(metrics, REQUESTS, name, "200", 1);
    }
    assert_true(metric_value(metrics, REQUESTS, "r0", "200") == 1);
    assert_true(metric_value(metrics, REQUESTS, "r999", "200") == 0);
    assert_true(metric_value(metrics, REQUESTS, "other", "other") ==
                1000 - (METRIC_SERIES_MAX - 1));
    metrics_free(metrics);
}

/* A reader of the exposition format, written from its description: a line is a comment or
 * `name{label="value",...} number`. Returns what stands behind the labels, NULL for a bad line. */
static const char *skip_sample_name(const char *at)
{
    const char *start = at;
    while (isalnum((unsigned char)*at) || *at == '_' || *at == ':')
        at++;
    if (at == start || isdigit((unsigned char)*start)) return NULL;
    if (*at != '{') return at;
    for (at++; *at != '}'; at += *at == ',') {
        start = at;
        while (isalnum((unsigned char)*at) || *at == '_')
            at++;
        if (at == start || strncmp(at, "=\"", 2) != 0) return NULL;
        for (at += 2; *at != '"'; at++) {
            if (!*at || *at == '\n') return NULL;
            if (*at == '\\' && !strchr("\\\"n", *++at)) return NULL;
        }
        at++;
        if (*at != ',' && *at != '}') return NULL;
    }
    return at + 1;
}

static void check_line(const char *line, const char *family)
{
    const char *at = skip_sample_name(line);
    if (!at || *at != ' ') fail_msg("bad sample: %.80s", line);
    assert_memory_equal(line, family, strlen(family));
    char *end;
    (void)strtod(at + 1, &end);
    if (end == at + 1 || *end != '\n') fail_msg("bad number: %.80s", line);
}

/* Every sample stands under its own HELP and TYPE; returns the samples. */
static size_t check_text(const char *text)
{
    char family[128] = "";
    size_t samples = 0;
    for (const char *line = text; *line; line = strchr(line, '\n') + 1) {
        assert_non_null(strchr(line, '\n'));
        if (strncmp(line, "# HELP ", 7) == 0) {
            assert_int_equal(sscanf(line, "# HELP %127s", family), 1);
        } else if (strncmp(line, "# TYPE ", 7) == 0) {
            char name[128], kind[16];
            assert_int_equal(sscanf(line, "# TYPE %127s %15s", name, kind), 2);
            assert_string_equal(name, family);
            assert_true(!strcmp(kind, "counter") || !strcmp(kind, "gauge") ||
                        !strcmp(kind, "histogram"));
        } else {
            check_line(line, family);
            samples++;
        }
    }
    return samples;
}

static void rendered_text_follows_the_format(void **state)
{
    (void)state;
    struct metrics *metrics = metrics_new(rows, 3);
    struct buf text = {0};
    for (int i = 0; i < 300; i++) {
        char name[100];
        snprintf(name, sizeof name, "\"}\\{%d\n,=", i);
        metric_add(metrics, REQUESTS, name, "桥", 0.5);
        metric_observe(metrics, TTFT, name, NULL, i * 0.001);
    }
    metric_set(metrics, IN_FLIGHT, NULL, NULL, -1e300);
    metrics_render(metrics, &text);
    assert_int_equal(check_text(text.data), 256 + 1 + 256 * (22 + 2));
    buf_fini(&text);
    metrics_free(metrics);
}

static void a_long_label_is_cut_between_characters(void **state)
{
    (void)state;
    struct metrics *metrics = metrics_new(rows, 3);
    char longer[100] = {0};
    for (int i = 0; i < 30; i++)
        memcpy(longer + i * 3, "桥", 3); // the 22nd crosses byte 64
    metric_add(metrics, REQUESTS, longer, "200", 1);
    longer[60] = '\0'; // another name: 20 characters
    metric_add(metrics, REQUESTS, longer, "200", 10);
    longer[60] = '\xE6';
    metric_add(metrics, REQUESTS, longer, "200", 1);
    assert_true(metric_value(metrics, REQUESTS, longer, "200") == 2);
    longer[63] = '\0';
    assert_true(metric_value(metrics, REQUESTS, longer, "200") == 2);
    metrics_free(metrics);
}

static void *count_from_a_thread(void *argument)
{
    struct metrics *metrics = argument;
    for (int i = 0; i < 5000; i++) {
        char name[16];
        snprintf(name, sizeof name, "r%d", i % 7);
        metric_add(metrics, REQUESTS, name, "200", 1);
        metric_observe(metrics, TTFT, name, NULL, 0.25);
    }
    return NULL;
}

static void threads_lose_no_count(void **state)
{
    (void)state;
    struct metrics *metrics = metrics_new(rows, 3);
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, count_from_a_thread, metrics), 0);
    struct buf text = {0};
    metrics_render(metrics, &text); // while they count
    (void)check_text(text.data);
    buf_fini(&text);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    double total = 0, seconds = 0;
    for (int i = 0; i < 7; i++) {
        char name[16];
        snprintf(name, sizeof name, "r%d", i);
        total += metric_value(metrics, REQUESTS, name, "200");
        seconds += metric_value(metrics, TTFT, name, NULL);
    }
    assert_true(total == 20000 && seconds == 5000);
    metrics_free(metrics);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rendered_text_has_every_series),
        cmocka_unit_test(rendered_text_follows_the_format),
        cmocka_unit_test(a_long_label_is_cut_between_characters),
        cmocka_unit_test(threads_lose_no_count),
        cmocka_unit_test(series_are_bounded_and_nothing_is_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
