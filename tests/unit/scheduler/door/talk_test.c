#include "scheduler/door/talk.h"
#include "tests/test.h"

#include "base/buf.h"

#include <string.h>

static struct session_turn turn_of(const char *role, const char *content)
{
    return (struct session_turn){
        .role = role, .content = content, .content_size = strlen(content), .version = 1};
}

static void assert_holds(const struct talk *talk, const char *want)
{
    char have[200] = "";
    size_t bytes = 0;
    for (size_t i = 0; i < talk->count; i++) {
        strncat(have, talk->turns[i].role, 1);
        strncat(have, talk->turns[i].content, 20);
        strcat(have, " ");
        bytes += talk->turns[i].content_size;
    }
    assert_string_equal(have, want);
    assert_int_equal(talk->bytes, bytes);
}

static void the_oldest_question_goes_with_its_answer_and_what_is_new_stays(void **state)
{
    (void)state;
    struct session_turn turns[] = {
        turn_of("system", "be kind"), turn_of("user", "1"),       turn_of("user", "2"),
        turn_of("assistant", "a2"),   turn_of("system", "more"),  turn_of("assistant", "a3"),
        turn_of("user", "4"),         turn_of("assistant", "a4"),
    };
    struct session session = {.version = 4, .turns = turns, .turn_count = 8};
    struct talk talk = {0};
    talk_load(&talk, &session);
    talk_add(&talk, "user", "new", 3);
    assert_true(talk_drop_oldest(&talk, NULL));
    assert_holds(&talk, "sbe kind u2 aa2 smore aa3 u4 aa4 unew ");
    assert_true(talk_drop_oldest(&talk, NULL));
    assert_holds(&talk, "sbe kind smore aa3 u4 aa4 unew ");
    assert_true(talk_drop_oldest(&talk, NULL));
    assert_true(talk_drop_oldest(&talk, NULL));
    assert_holds(&talk, "sbe kind smore unew ");
    assert_int_equal(talk.dropped, 6);
    assert_false(talk_drop_oldest(&talk, NULL));
    struct session out = talk_session(&talk);
    assert_int_equal(out.version, 4);
    assert_int_equal(out.turns[0].version, 1);
    assert_int_equal(out.turns[2].version, 0); // to be given by the write
    talk_fini(&talk);
}

static void a_summary_takes_the_place_of_what_went_and_goes_itself(void **state)
{
    (void)state;
    struct session_turn turns[] = {turn_of("system", "be kind"), turn_of("user", "1"),
                                   turn_of("assistant", "a1"), turn_of("user", "2")};
    struct session session = {.version = 2, .turns = turns, .turn_count = 4};
    struct talk talk = {0};
    struct buf transcript = {0};
    talk_load(&talk, &session);
    talk_add(&talk, "user", "new", 3);
    assert_true(talk_drop_oldest(&talk, &transcript));
    assert_string_equal(transcript.data, "user: 1\n\nassistant: a1\n\n");
    talk_put_summary(&talk, "he said 1", 9);
    assert_holds(&talk, "sbe kind sSummary of the conve u2 unew ");
    assert_string_equal(talk.turns[1].content, "Summary of the conversation so far: he said 1");
    buf_clear(&transcript);
    assert_true(talk_drop_oldest(&talk, &transcript)); // it is the oldest now
    assert_true(talk_drop_oldest(&talk, &transcript));
    assert_false(talk_drop_oldest(&talk, &transcript));
    assert_string_equal(transcript.data,
                        "system: Summary of the conversation so far: he said 1\n\nuser: 2\n\n");
    assert_holds(&talk, "sbe kind unew ");
    talk_fini(&talk);
    buf_fini(&transcript);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_oldest_question_goes_with_its_answer_and_what_is_new_stays),
        cmocka_unit_test(a_summary_takes_the_place_of_what_went_and_goes_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
