#include "scheduler/door/context.h"
#include "scheduler/door/json.h"
#include "scheduler/door/urgency.h"
#include "tests/test.h"

#include <string.h>

static enum err urgency_of(const char *body, enum wire_priority of_key, struct urgency *out)
{
    json_t *root = json_loads(body, 0, NULL);
    struct key key = {.priority = of_key};
    json_param_clear();
    enum err err = urgency_read(out, root, &key, 300000);
    json_decref(root);
    return err;
}

static void a_request_may_be_less_urgent_than_its_key_and_never_more(void **state)
{
    (void)state;
    struct urgency urgency;
    assert_int_equal(urgency_of("{}", WIRE_INTERACTIVE, &urgency), ERR_OK);
    assert_int_equal(urgency.priority, WIRE_INTERACTIVE);
    assert_int_equal(urgency.deadline_ms, 300000);
    assert_int_equal(urgency_of("{\"service_tier\":\"flex\"}", WIRE_INTERACTIVE, &urgency), ERR_OK);
    assert_int_equal(urgency.priority, WIRE_BATCH);
    assert_int_equal(urgency_of("{\"service_tier\":\"auto\"}", WIRE_BATCH, &urgency), ERR_OK);
    assert_int_equal(urgency.priority, WIRE_BATCH);
    assert_int_equal(urgency_of("{\"service_tier\":\"priority\"}", WIRE_DEFAULT, &urgency),
                     ERR_FORBIDDEN);
    assert_string_equal(json_param(), "service_tier");
    assert_int_equal(urgency_of("{\"service_tier\":\"priority\"}", WIRE_INTERACTIVE, &urgency),
                     ERR_OK);
    assert_int_equal(urgency_of("{\"service_tier\":\"gold\"}", WIRE_INTERACTIVE, &urgency),
                     ERR_INVALID);
    assert_non_null(strstr(err_text(), "flex"));
}

static void a_deadline_is_the_sooner_of_the_two(void **state)
{
    (void)state;
    struct urgency urgency;
    assert_int_equal(urgency_of("{\"deadline_ms\":2000}", WIRE_DEFAULT, &urgency), ERR_OK);
    assert_int_equal(urgency.deadline_ms, 2000);
    assert_int_equal(urgency_of("{\"deadline_ms\":9000000}", WIRE_DEFAULT, &urgency), ERR_OK);
    assert_int_equal(urgency.deadline_ms, 300000);
    assert_int_equal(urgency_of("{\"deadline_ms\":0}", WIRE_DEFAULT, &urgency), ERR_INVALID);
    assert_string_equal(json_param(), "deadline_ms");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_may_be_less_urgent_than_its_key_and_never_more),
        cmocka_unit_test(a_deadline_is_the_sooner_of_the_two),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
