#include "scheduler/policy/audit.h"

#include <strings.h>

static const char *const class_names[AUDIT_COUNT] = {
#define AUDIT(name, text) #name,
#include "scheduler/policy/audit.def"
#undef AUDIT
};

const char *audit_class_name(enum audit_class class)
{
    return class_names[class];
}

uint32_t audit_class_bit(const char *name)
{
    for (unsigned i = 0; i < AUDIT_COUNT; i++)
        if (strcasecmp(class_names[i], name) == 0) return UINT32_C(1) << i;
    return 0;
}
