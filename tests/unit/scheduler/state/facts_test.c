#include "scheduler/state/facts.h"
#include "tests/test.h"

#include <string.h>

static struct facts given_facts(void)
{
    struct facts facts = {.seed = UINT64_MAX,
                          .wall_ms = INT64_C(1764124114123),
                          .id = "chatcmpl-1",
                          .model = "a name with spaces"};
    for (size_t i = 0; i < FACTS_SET; i++)
        facts.set[i] = digest_of(&i, sizeof i);
    return facts;
}

static void facts_are_read_back(void **state)
{
    (void)state;
    struct facts facts = given_facts(), again;
    char text[FACTS_TEXT_MAX];
    facts_write(&facts, text);
    assert_int_equal(facts_read(&again, text, strlen(text)), ERR_OK);
    assert_memory_equal(&again, &facts, sizeof facts);
    memset(facts.model, 'm', FACTS_MODEL_MAX);
    memset(facts.id, 'i', FACTS_ID_MAX);
    facts_write(&facts, text);
    assert_int_equal(facts_read(&again, text, strlen(text)), ERR_OK);
    assert_memory_equal(&again, &facts, sizeof facts);
}

static void a_line_that_was_cut_or_changed_is_refused(void **state)
{
    (void)state;
    struct facts facts = given_facts(), again;
    char text[FACTS_TEXT_MAX];
    facts_write(&facts, text);
    size_t name = strlen(facts.model), size = strlen(text);
    for (size_t cut = 0; cut <= size - name; cut++) {
        char part[FACTS_TEXT_MAX];
        memcpy(part, text, cut);
        part[cut] = '\0';
        assert_int_equal(facts_read(&again, part, cut), ERR_FORMAT);
    }
    assert_int_equal(facts_read(&again, text, size - 1), ERR_FORMAT); // a NUL inside
    static const char *const wrong[] = {"-1 1 id", "x 1 id", "1 -1 id", "1 1  id"};
    const char *rest = strstr(text, " chatcmpl-1") + strlen(" chatcmpl-1");
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char line[FACTS_TEXT_MAX];
        snprintf(line, sizeof line, "%s%s", wrong[i], rest);
        assert_int_equal(facts_read(&again, line, strlen(line)), ERR_FORMAT);
    }
    text[size - name - 3] = 'G';
    assert_int_equal(facts_read(&again, text, size), ERR_FORMAT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(facts_are_read_back),
        cmocka_unit_test(a_line_that_was_cut_or_changed_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
