/* scheduler/door/redaction.h -- identifiers of people in what a request says, put out of sight where its region's rules say so.
 *
 *      redaction_ask     the texts of a completion, before anything is made of them: the filter, the session, grounding, tokens
 *      redaction_talk    the turns of a session that was begun before the rules, or elsewhere
 *      redaction_add     a text of embeddings, rerank, or a search's question
 *
 * What is looked for is context->rules' `privacy.redact` (text/redact.h); nothing is without rules. Found ones are counted by kind, never
 * kept. Thread: the loop's. */
#ifndef SCHEDULER_DOOR_REDACTION_H
#define SCHEDULER_DOOR_REDACTION_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

struct ask;
struct buf;
struct context;
struct door;
struct redaction_text;
struct talk;

/* The texts that stand for those of an ask. A zeroed one is empty. */
struct redaction {
    struct redaction_text *texts;
};

bool redaction_wants(const struct context *context);
/* What is found stands redacted in `ask`, until redaction_fini(). ERR_INVALID: ids instead of a text, which nobody can look through. */
enum err redaction_ask(struct redaction *redaction, struct door *door,
                       const struct context *context, struct ask *ask);
void redaction_fini(struct redaction *redaction);
void redaction_talk(struct door *door, const struct context *context, struct talk *talk);
/* Append the text, redacted. */
void redaction_add(struct door *door, const struct context *context, const char *text, size_t size,
                   struct buf *out);
/* The failure of a field that has ids. */
enum err redaction_refuse_ids(const char *param);

#endif
