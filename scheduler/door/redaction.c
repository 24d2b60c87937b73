#include "scheduler/door/redaction.h"

#include "scheduler/door/ask.h"
#include "scheduler/door/context.h"
#include "scheduler/door/door.h"
#include "scheduler/door/json.h"
#include "scheduler/door/talk.h"
#include "scheduler/policy/rules.h"
#include "scheduler/settings.h"

#include "text/redact.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/metric.h"

#include <string.h>

_Static_assert((int)RULES_REDACT_PHONE == 1 << REDACT_PHONE &&
                   (int)RULES_REDACT_IDENTITY == 1 << REDACT_IDENTITY &&
                   (int)RULES_REDACT_CARD == 1 << REDACT_CARD &&
                   (int)RULES_REDACT_EMAIL == 1 << REDACT_EMAIL &&
                   (int)RULES_REDACT_ADDRESS == 1 << REDACT_ADDRESS,
               "the rules' bits are those of text/redact.h");

struct redaction_text {
    struct redaction_text *next;
    struct buf text;
};

static uint32_t kinds_of(const struct context *context)
{
    return context->rules ? context->rules->privacy.redact : 0;
}

bool redaction_wants(const struct context *context)
{
    return kinds_of(context) != 0;
}

/* True: something was found, and `out` has the text without it. */
static bool redact(struct door *door, const struct context *context, const char *text, size_t size,
                   struct buf *out)
{
    uint32_t counts[REDACT_KINDS];
    if (!text || redact_text(kinds_of(context), text, size, out, counts) == 0) return false;
    for (size_t i = 0; i < REDACT_KINDS; i++)
        if (counts[i] > 0)
            metric_add(door->metrics, M_redactions_total, redact_name((enum redact_kind)i), NULL,
                       counts[i]);
    return true;
}

void redaction_add(struct door *door, const struct context *context, const char *text, size_t size,
                   struct buf *out)
{
    if (!redact(door, context, text, size, out)) buf_add(out, text, size);
}

enum err redaction_refuse_ids(const char *param)
{
    return json_wrong(param, "must be text: this region's rules have identifiers taken out of "
                             "prompts, which cannot be done with token ids");
}

static void replace(struct redaction *redaction, struct door *door, const struct context *context,
                    const char **text, size_t *size)
{
    struct buf out = {0};
    if (!redact(door, context, *text, *size, &out)) return;
    struct redaction_text *kept = mem_new(1, sizeof *kept);
    *kept = (struct redaction_text){redaction->texts, out};
    redaction->texts = kept;
    *text = buf_text(&kept->text);
    *size = kept->text.size;
}

enum err redaction_ask(struct redaction *redaction, struct door *door,
                       const struct context *context, struct ask *ask)
{
    if (!redaction_wants(context)) return ERR_OK;
    if (ask->ids) return redaction_refuse_ids("prompt");
    replace(redaction, door, context, &ask->prompt, &ask->prompt_size);
    for (size_t i = 0; i < ask->message_count; i++)
        replace(redaction, door, context, &ask->messages[i].content,
                &ask->messages[i].content_size);
    return ERR_OK;
}

void redaction_fini(struct redaction *redaction)
{
    for (struct redaction_text *text = redaction->texts, *next; text; text = next) {
        next = text->next;
        explicit_bzero(text->text.data, text->text.size);
        buf_fini(&text->text);
        mem_free(text);
    }
    redaction->texts = NULL;
}

void redaction_talk(struct door *door, const struct context *context, struct talk *talk)
{
    for (size_t i = 0; i < talk->count; i++) {
        struct buf out = {0};
        const struct session_turn *turn = &talk->turns[i];
        if (!redact(door, context, turn->content, turn->content_size, &out)) continue;
        size_t size = out.size;
        talk_replace(talk, i, buf_take(&out), size);
    }
}
