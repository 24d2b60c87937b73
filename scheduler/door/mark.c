#include "scheduler/door/mark.h"

#include "scheduler/door/context.h"
#include "scheduler/door/door.h"
#include "scheduler/door/govern.h"
#include "scheduler/door/http.h"
#include "scheduler/door/json.h"
#include "scheduler/door/receipts.h"
#include "scheduler/door/shape.h"
#include "scheduler/policy/audit.h"
#include "scheduler/policy/policy.h"

#include "base/clock.h"

#include <stdio.h>
#include <string.h>

static const char *place_of(const struct label *label)
{
    static const char *const names[] = {[RULES_PLACE_NONE] = "none",
                                        [RULES_PLACE_START] = "start",
                                        [RULES_PLACE_END] = "end",
                                        [RULES_PLACE_BOTH] = "both"};
    return label->is_waived ? "waived" : names[label->place];
}

static void note(const struct mark *mark)
{
    const struct audit_field fields[] = {{"answer", mark->id},
                                         {"region", mark->region},
                                         {"feature", feature_name(mark->feature)},
                                         {"visible", place_of(&mark->label)},
                                         {"metadata", mark->label.implicit ? "yes" : "no"},
                                         {"agreement", mark->agreement}};
    size_t count = sizeof fields / sizeof *fields;
    audit_note(mark->door->audit, AUDIT_LABEL, fields, mark->agreement ? count : count - 1);
}

void mark_set_header(const struct mark *mark, struct http_request *request)
{
    struct buf text = {0};
    label_write_aigc(&text, &mark->label);
    if (text.size > 0) http_set_header(request, "X-Qiao-AIGC", text.data);
    buf_fini(&text);
    if (mark->label.is_there) note(mark);
}

/* As the label has been signed last. */
static const char *write_members(struct mark *mark)
{
    buf_clear(&mark->members);
    label_write(&mark->members, &mark->label);
    return buf_text(&mark->members);
}

/* Of an answer that is whole. */
static void add_receipt(struct mark *mark, const struct shape *shape)
{
    struct buf receipt = {0};
    const struct receipts_order order = {.door = mark->door,
                                         .governed = mark->order.governed,
                                         .model = mark->order.model,
                                         .answer = shape->id,
                                         .label = mark->label.implicit ? shape->id : "",
                                         .time_ms = shape->created * 1000};
    if (receipts_write(&receipt, &order))
        buf_addf(&mark->members, "%s\"receipt\":%s", mark->members.size > 0 ? "," : "",
                 receipt.data);
    buf_fini(&receipt);
}

void mark_begin(struct mark *mark, struct door *door, const struct mark_order *order,
                struct shape *shape)
{
    const struct governed *governed = order->governed;
    if (!governed || !governed->rules) return;
    struct label_order label = {.labeller = door->labeller,
                                .rules = &governed->rules->labels,
                                .language = governed->language,
                                .id = shape->id,
                                .first = order->first,
                                .waived = order->agreement != NULL};
    mark->door = door;
    mark->order = *order;
    mark->region = governed->rules->region;
    mark->agreement = order->agreement;
    mark->feature = governed->feature;
    snprintf(mark->id, sizeof mark->id, "%s", shape->id);
    label_init(&mark->label, &label);
    label_open(&mark->label);
    shape->before = buf_text(&mark->label.before);
    shape->behind = buf_text(&mark->label.behind);
    shape->opening = write_members(mark);
}

void mark_add(struct mark *mark, uint32_t choice, const void *bytes, size_t size)
{
    if (!mark->label.implicit || size == 0) return;
    if (!mark->texts[choice]) mark->texts[choice] = aigc_hasher_new();
    aigc_hasher_add(mark->texts[choice], bytes, size);
}

void mark_end(struct mark *mark, struct shape *shape, uint32_t choices)
{
    struct aigc_hash texts[ASK_CHOICES_MAX];
    if (!mark->label.is_there) return;
    for (uint32_t i = 0; i < choices; i++)
        texts[i] = mark->texts[i] ? aigc_hasher_hash(mark->texts[i]) : aigc_hash_text("", 0);
    label_seal(&mark->label, texts, choices);
    (void)write_members(mark);
    add_receipt(mark, shape);
    shape->opening = shape->marks = buf_text(&mark->members);
}

void mark_fini(struct mark *mark)
{
    for (uint32_t i = 0; i < ASK_CHOICES_MAX; i++)
        aigc_hasher_free(mark->texts[i]);
    label_fini(&mark->label);
    buf_fini(&mark->members);
}

const char *mark_of_turns(const struct door *door, const struct context *context)
{
    const struct rules *rules;
    const char *label = NULL;
    if (!door->policies) return NULL;
    if (policies_find(door->policies, context->region, context->key->tenant, clock_wall_ms() / 1000,
                      &rules) == REASON_NONE)
        return label_of_list(&rules->labels, context->language);
    for (size_t i = 0; !label && (rules = policies_at(door->policies, i)) != NULL; i++)
        label = label_of_list(&rules->labels, context->language);
    return label;
}

void mark_write_turn(struct buf *out, const char *label, const char *role)
{
    if (!label || strcmp(role, "assistant") != 0) return;
    buf_add_text(out, ",\"label\":");
    json_write_string(out, label);
}
