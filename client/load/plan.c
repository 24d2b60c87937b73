#include "client/load/plan.h"

#include "base/buf.h"
#include "base/must.h"
#include "base/rand.h"

#include <jansson.h>

#include <stdlib.h>
#include <string.h>

// The streams of chance: prompts use rand_at(seed, words), so these begin above any prompt's length.
enum {
    DRAW_PROMPT_TOKENS = PLAN_TOKENS_MAX + 1,
    DRAW_MAX_TOKENS,
    DRAW_SEED
};

static const char *number_at(const char *text, uint64_t *out)
{
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > 9) return NULL;
    *out = strtoull(text, NULL, 10);
    return text + digits;
}

enum err range_parse(struct range *out, const char *setting, const char *text)
{
    struct range range = {0};
    const char *rest = number_at(text, &range.low);
    range.high = range.low;
    if (rest && *rest == '-') rest = number_at(rest + 1, &range.high);
    if (!rest || *rest || range.low < 1 || range.low > range.high || range.high > PLAN_TOKENS_MAX)
        return err_note(ERR_INVALID, "%s: '%s' is not right: must be A or A-B, 1 <= A <= B <= %d",
                        setting, text, PLAN_TOKENS_MAX);
    *out = range;
    return ERR_OK;
}

enum err language_parse(enum prompt_language *out, const char *text)
{
    static const char *const names[] = {"zh", "en", "both"};
    for (int i = 0; i < 3; i++) {
        if (strcmp(text, names[i]) != 0) continue;
        *out = (enum prompt_language)i;
        return ERR_OK;
    }
    return err_note(ERR_INVALID, "--language: '%s' is not right: must be zh, en or both", text);
}

enum err extra_parse(json_t **out, const char *text)
{
    *out = NULL;
    if (!*text) return ERR_OK;
    json_error_t error;
    json_t *root = json_loads(text, 0, &error);
    if (json_is_object(root)) {
        *out = root;
        return ERR_OK;
    }
    const char *why = root ? "it is none" : error.text;
    err_note(ERR_INVALID, "--extra: must be a JSON object: %s", why);
    json_decref(root);
    return ERR_INVALID;
}

static uint64_t draw(const struct plan *plan, uint32_t choice, uint64_t number,
                     const struct range *range)
{
    return range->low + rand_at(plan->seed, choice, number) % (range->high - range->low + 1);
}

static int add_bytes(const char *bytes, size_t size, void *out)
{
    buf_add(out, bytes, size);
    return 0;
}

void plan_write(const struct plan *plan, uint64_t number, struct buf *out)
{
    struct buf prompt = {0};
    prompt_write(&prompt, plan->seed, number,
                 draw(plan, DRAW_PROMPT_TOKENS, number, &plan->prompt_tokens), plan->language);
    // 31 bits: every server's idea of an integer holds them.
    json_t *root =
        json_pack("{s:s, s:[{s:s, s:s}], s:I, s:b, s:I}", "model", plan->model, "messages", "role",
                  "user", "content", buf_text(&prompt), "max_tokens",
                  (json_int_t)draw(plan, DRAW_MAX_TOKENS, number, &plan->max_tokens), "stream",
                  plan->stream, "seed", (json_int_t)(rand_at(plan->seed, DRAW_SEED, number) >> 33));
    must(root); // the model's name was checked to be UTF-8
    if (plan->stream)
        json_object_set_new(root, "stream_options", json_pack("{s:b}", "include_usage", 1));
    if (plan->temperature >= 0)
        json_object_set_new(root, "temperature", json_real(plan->temperature));
    if (plan->extra) must(json_object_update(root, plan->extra) == 0);
    must(json_dump_callback(root, add_bytes, out, JSON_COMPACT) == 0);
    json_decref(root);
    buf_fini(&prompt);
}
