#include "scheduler/door/urgency.h"

#include "scheduler/door/context.h"
#include "scheduler/door/json.h"

#include <string.h>

static const struct {
    const char *tier;
    enum wire_priority priority;
} tiers[] = {{"flex", WIRE_BATCH}, {"priority", WIRE_INTERACTIVE}};

static enum err read_tier(const char *tier, const struct key *key, enum wire_priority *out)
{
    *out = key->priority;
    if (!tier || strcmp(tier, "auto") == 0 || strcmp(tier, "default") == 0) return ERR_OK;
    for (size_t i = 0; i < sizeof tiers / sizeof *tiers; i++) {
        if (strcmp(tiers[i].tier, tier) != 0) continue;
        if (tiers[i].priority < key->priority) {
            json_wrong("service_tier", "is beyond what this key allows");
            return err_note(ERR_FORBIDDEN,
                            "service_tier: this key's requests cannot be more urgent than its own "
                            "class; leave it out, or ask for flex");
        }
        *out = tiers[i].priority;
        return ERR_OK;
    }
    return json_wrong("service_tier", "must be auto, default, flex or priority");
}

enum err urgency_read(struct urgency *out, const json_t *root, const struct key *key,
                      uint64_t longest_ms)
{
    const char *tier = NULL;
    int64_t deadline_ms = (int64_t)longest_ms;
    TRY(json_take_text(root, "service_tier", 1, 16, &tier));
    TRY(read_tier(tier, key, &out->priority));
    TRY(json_take_integer(root, "deadline_ms", 1, INT64_MAX, &deadline_ms));
    out->deadline_ms = (uint64_t)deadline_ms < longest_ms ? (uint64_t)deadline_ms : longest_ms;
    return ERR_OK;
}
