#include "scheduler/door/residence.h"

#include "scheduler/door/context.h"
#include "scheduler/door/door.h"
#include "scheduler/features/history.h"
#include "scheduler/policy/policy.h"
#include "scheduler/policy/rules.h"

#include "base/digest.h"

#include <stddef.h>
#include <string.h>

_Static_assert((int)HISTORY_REGIONS_MAX >= (int)POLICY_DOCUMENTS_MAX,
               "a scope has room for all regions");

void residence_complete(const struct door *door, struct context *context)
{
    if (door->policies) context_complete_region(context);
}

const struct rules *residence_rules(const struct door *door, uint64_t region, const char *tenant)
{
    const struct rules *rules, *found = NULL;
    for (size_t i = 0; (rules = policies_at(door->policies, i)) != NULL; i++) {
        if (digest_tag(rules->region) != region) continue;
        if (strcmp(rules->tenant, tenant) == 0) return rules;
        if (!*rules->tenant) found = rules;
    }
    return found;
}

bool residence_allows(const struct rules *from, const struct rules *to)
{
    const struct rules_privacy *outer = &from->privacy, *inner = &to->privacy;
    if (from == to || outer->residency_count == 0) return true;
    for (size_t i = 0; i < inner->residency_count; i++) {
        size_t at = 0;
        while (at < outer->residency_count && outer->residency_tags[at] != inner->residency_tags[i])
            at++;
        if (at == outer->residency_count) return false;
    }
    return inner->residency_count > 0;
}

const char *residence_of(const struct door *door, const char *tenant, const char *region)
{
    if (!door->policies || !*region) return "";
    const struct rules *rules = residence_rules(door, digest_tag(region), tenant);
    return rules ? rules->region : "";
}

/* The next region's rules for the tenant; NULL behind the last. */
static const struct rules *next_rules(const struct door *door, const char *tenant, size_t *at)
{
    const struct rules *rules;
    while ((rules = policies_at(door->policies, (*at)++)) != NULL)
        if (!*rules->tenant) return residence_rules(door, digest_tag(rules->region), tenant);
    return NULL;
}

/* May it be used under the rules `to`, or, where those are NULL, under any? */
static bool allows_any(const struct door *door, const char *tenant, const struct rules *from,
                       const struct rules *to)
{
    const struct rules *each;
    if (to) return residence_allows(from, to);
    for (size_t at = 0; (each = next_rules(door, tenant, &at)) != NULL;)
        if (!residence_allows(from, each)) return false;
    return true;
}

void residence_scope(struct history_scope *out, const struct door *door, const char *tenant,
                     const char *region)
{
    const struct rules *to = NULL, *from;
    *out = (struct history_scope){.all = !door->policies};
    if (out->all) return;
    if (*region) to = residence_rules(door, digest_tag(region), tenant);
    out->homeless = true;
    for (size_t at = 0; (from = next_rules(door, tenant, &at)) != NULL;) {
        if (allows_any(door, tenant, from, to))
            out->regions[out->count++] = from->region;
        else
            out->homeless = false;
    }
}

const char *residence_member(bool withheld)
{
    return withheld ? ",\"withheld\":\"region_not_approved\"" : "";
}
