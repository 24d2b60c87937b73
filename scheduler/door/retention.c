#include "scheduler/door/retention.h"

#include "scheduler/door/context.h"
#include "scheduler/door/door.h"
#include "scheduler/policy/policy.h"
#include "scheduler/settings.h"

#include "base/clock.h"

#include <stddef.h>

static uint32_t less(uint32_t days, const struct rules *rules)
{
    uint32_t most = rules->privacy.history_days;
    return most > 0 && most < days ? most : days;
}

uint32_t retention_history_days(const struct door *door, const char *tenant, const char *region)
{
    uint32_t days = (uint32_t)door->settings->history_days;
    const struct rules *rules;
    if (!door->policies) return days;
    if (policies_find(door->policies, region, tenant, clock_wall_ms() / 1000, &rules) ==
        REASON_NONE)
        return less(days, rules);
    for (size_t i = 0; (rules = policies_at(door->policies, i)); i++)
        days = less(days, rules);
    return days;
}

uint32_t retention_session_seconds(const struct context *context)
{
    return context->rules ? context->rules->privacy.session_seconds : 0;
}
