#include "scheduler/state/limit_note.h"

#include "base/must.h"

#include <inttypes.h>
#include <stdbool.h>

static const char *const names[] = {[LIMIT_KEY] = "key", [LIMIT_USER] = "user"};

static enum err note_tokens(enum limit_whose whose, uint64_t limit, const char *window,
                            const struct limit_sum *sum, uint64_t left, uint32_t retry_seconds)
{
    return err_note(ERR_LIMITED,
                    "the %s's limit is %" PRIu64 " tokens per %s: the request reserves %" PRIu64
                    ", %" PRIu64 " are left; try again in %" PRIu32
                    " s, or ask for fewer with max_tokens",
                    names[whose], limit, window, sum->tokens, left, retry_seconds);
}

/* The verdict is that of the first who asked; who is refused with it may lack something else. */
static enum meter_verdict verdict_of(const struct meter_answer *told, const struct limit_sum *sum)
{
    const bool lacks[METER_VERDICTS] = {[METER_REQUESTS] = told->requests_left == 0,
                                        [METER_MINUTE] = told->minute_left < sum->tokens,
                                        [METER_DAY] = told->day_left < sum->tokens,
                                        [METER_STREAMS] = told->streams_left < sum->streams};
    must(told->verdict != METER_GRANTED);
    if (lacks[told->verdict]) return told->verdict;
    for (size_t i = 0; i < METER_VERDICTS; i++)
        if (lacks[i]) return (enum meter_verdict)i;
    return told->verdict;
}

enum err limit_note_refused(enum limit_whose whose, const struct limit_rule *rule,
                            const struct limit_sum *sum, const struct meter_answer *told,
                            uint32_t retry_seconds)
{
    enum meter_verdict verdict = verdict_of(told, sum);
    if (verdict == METER_MINUTE)
        return note_tokens(whose, rule->tokens_per_minute, "minute", sum, told->minute_left,
                           retry_seconds);
    if (verdict == METER_DAY)
        return note_tokens(whose, rule->tokens_per_day, "day", sum, told->day_left, retry_seconds);
    if (verdict == METER_REQUESTS)
        return err_note(ERR_LIMITED,
                        "the %s's limit of %" PRIu64
                        " requests per minute is spent; try again in %" PRIu32 " s",
                        names[whose], rule->requests_per_minute, retry_seconds);
    return err_note(ERR_LIMITED,
                    "the %s's limit is %" PRIu64 " streams at once: the request makes %" PRIu32
                    ", %" PRIu64 " are left; try again when one has ended",
                    names[whose], rule->streams, sum->streams, told->streams_left);
}

static enum err note_too_many(enum limit_whose whose, uint64_t limit, const char *window,
                              const struct limit_sum *sum)
{
    return err_note(ERR_TOO_LARGE,
                    "the request reserves %" PRIu64 " tokens, more than the %s's %" PRIu64
                    " tokens per %s; shorten the prompt or max_tokens",
                    sum->tokens, names[whose], limit, window);
}

enum err limit_check_sum(enum limit_whose whose, const struct limit_rule *rule,
                         const struct limit_sum *sum)
{
    if (rule->tokens_per_minute > 0 && sum->tokens > rule->tokens_per_minute)
        return note_too_many(whose, rule->tokens_per_minute, "minute", sum);
    if (rule->tokens_per_day > 0 && sum->tokens > rule->tokens_per_day)
        return note_too_many(whose, rule->tokens_per_day, "day", sum);
    if (rule->streams > 0 && sum->streams > rule->streams)
        return err_note(ERR_TOO_LARGE,
                        "the request makes %" PRIu32 " streams, more than the %s's %" PRIu64
                        " at once; ask for fewer choices with n",
                        sum->streams, names[whose], rule->streams);
    return ERR_OK;
}

static void show_less(struct limit_view *view, uint64_t limit, uint64_t left, uint32_t reset_ms)
{
    if (limit == 0 || (view->limit > 0 && view->left <= left)) return;
    *view = (struct limit_view){limit, left < limit ? left : limit, reset_ms};
}

void limit_show(struct limit_answer *answer, const struct limit_rule *rule,
                const struct meter_answer *told, uint64_t requests_here, uint64_t tokens_here)
{
    show_less(&answer->requests, rule->requests_per_minute, told->requests_left + requests_here,
              told->requests_reset_ms);
    show_less(&answer->minute, rule->tokens_per_minute, told->minute_left + tokens_here,
              told->minute_reset_ms);
    show_less(&answer->day, rule->tokens_per_day, told->day_left + tokens_here, told->day_reset_ms);
}
