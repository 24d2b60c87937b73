#include "scheduler/policy/reason.h"

#include "base/must.h"

static const struct {
    const char *code, *text;
    enum err err;
} rows[REASON_COUNT] = {
    [REASON_NONE] = {"", "", ERR_OK},

#define REASON(name, code, err, text) [REASON_##name] = {code, text, ERR_##err},
#include "scheduler/policy/reason.def"
#undef REASON
};

const char *reason_code(enum reason reason)
{
    must(reason < REASON_COUNT);
    return rows[reason].code;
}

const char *reason_text(enum reason reason)
{
    must(reason < REASON_COUNT);
    return rows[reason].text;
}

enum err reason_err(enum reason reason)
{
    must(reason < REASON_COUNT);
    return rows[reason].err;
}
