#include "node/settings.h"

#include "base/log.h"
#include "base/private.h"

#include <inttypes.h>
#include <string.h>

enum {
    WAITING_CONTEXTS = 16,
    WAITING_TOKENS_EACH = 256
};

static const struct conf_row rows[] = {
#define CONF(type, name, preset, min, max, unit, text) \
    CONF_ROW(struct settings, type, name, preset, min, max, unit, text)
#include "node/node.conf.def"
#undef CONF
};

const struct conf_table settings_table = {
    .program = "qiao-node",
    .summary = "computes answers for the schedulers that it dials: token ids in, token ids out",
    .usage = "--model FILE [flags]",
    .rows = rows,
    .row_count = sizeof rows / sizeof *rows,
};

static bool is_one_of(const char *text, const char *first, const char *second)
{
    return strcmp(text, first) == 0 || strcmp(text, second) == 0;
}

enum err settings_check(const struct settings *s)
{
    if (!is_one_of(s->engine, "model", "echo"))
        return err_note(ERR_INVALID, "engine: '%s', it must be model or echo", s->engine);
    if (!is_one_of(s->kv, "f16", "int8"))
        return err_note(ERR_INVALID, "kv: '%s', it must be f16 or int8", s->kv);
    if (!is_one_of(s->float_gemm, "exact", "blas"))
        return err_note(ERR_INVALID, "float_gemm: '%s', it must be exact or blas", s->float_gemm);
    if (strcmp(s->engine, "model") == 0 && !*s->model)
        return err_note(ERR_INVALID,
                        "model: no file; name a GGUF with --model, or try --engine echo");
    if (log_level_parse(s->log_level) < 0) {
        return err_note(ERR_INVALID, "log_level: '%s', it must be debug, info, warn or error",
                        s->log_level);
    }
    if (!private_is_choice(s->swap))
        return err_note(ERR_INVALID, "swap: '%s', it must be warn, refuse or lock", s->swap);
    if (s->batch_tokens < s->sequences) {
        return err_note(ERR_INVALID,
                        "batch_tokens: %" PRIu64 ", it must be at least sequences (%" PRIu64
                        "), so that each answer moves on in every step",
                        s->batch_tokens, s->sequences);
    }
    return ERR_OK;
}

uint32_t settings_logits(const struct settings *s)
{
    uint64_t guessed = s->speculate > 0 ? 2 * (s->speculate + 1) : 0;
    uint64_t logits = s->sequences > guessed ? s->sequences : guessed;
    return (uint32_t)(logits < s->batch_tokens ? logits : s->batch_tokens);
}

uint64_t settings_waiting_tokens(const struct settings *s, uint32_t context)
{
    uint64_t contexts = (uint64_t)WAITING_CONTEXTS * context;
    uint64_t requests = WAITING_TOKENS_EACH * s->requests;
    if (s->waiting_tokens > 0) return s->waiting_tokens;
    return contexts > requests ? contexts : requests;
}
