#include "scheduler/policy/often.h"

#include "base/mem.h"

#include <string.h>

bool oftens_come(struct oftens *oftens, int class, const char *said, uint64_t until_ns)
{
    struct often *room = NULL;
    for (unsigned i = 0; i < OFTEN_MAX; i++) {
        struct often *often = &oftens->list[i];
        if (!often->said) {
            room = room ? room : often;

        } else if (often->class == class && strcmp(often->said, said) == 0) {
            often->times++;
            return false;
        }
    }
    if (!room) return true;
    *room = (struct often){.class = class, .said = mem_copy_text(said), .until_ns = until_ns};
    oftens->count++;
    return true;
}

bool oftens_take(struct oftens *oftens, uint64_t now_ns, struct often *out)
{
    for (unsigned i = 0; i < OFTEN_MAX && oftens->count > 0; i++) {
        struct often *often = &oftens->list[i];
        if (!often->said || often->until_ns > now_ns) continue;
        *out = *often;
        *often = (struct often){0};
        oftens->count--;
        return true;
    }
    return false;
}

void oftens_fini(struct oftens *oftens)
{
    for (unsigned i = 0; i < OFTEN_MAX; i++)
        mem_free(oftens->list[i].said);
    *oftens = (struct oftens){0};
}
