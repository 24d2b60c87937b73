#include "tests/test.h"

#include "base/buf.h"
#include "base/metric.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rendered_text_has_every_series),
        cmocka_unit_test(series_are_bounded_and_nothing_is_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
