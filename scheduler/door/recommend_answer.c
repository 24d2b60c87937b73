#include "scheduler/door/recommend_answer.h"

#include "scheduler/door/json.h"
#include "scheduler/door/residence.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/rand.h"

#include <inttypes.h>
#include <string.h>

struct recommend_item *recommend_answer_add(struct recommend_answer *answer, const char *id,
                                            size_t size)
{
    if (answer->count == answer->capacity) {
        answer->capacity = answer->capacity ? 2 * answer->capacity : 16;
        answer->items = mem_resize(answer->items, answer->capacity, sizeof *answer->items);
    }
    struct recommend_item *item = &answer->items[answer->count++];
    *item = (struct recommend_item){.id = id, .size = size};
    return item;
}

void recommend_answer_fini(struct recommend_answer *answer)
{
    mem_free(answer->items);
    mem_free(answer->reasons);
    *answer = (struct recommend_answer){0};
}

const char *recommend_item_id(const struct recommend_item *item)
{
    return item->id ? item->id : item->number;
}

void recommend_item_name(struct recommend_item *item, const struct rows *rows, int32_t row)
{
    const char *id = rows_id(rows, row, item->number, &item->size);
    item->id = id == item->number ? NULL : id; // items move while the list grows
}

static void write_items(struct buf *out, const struct recommend_item *items, size_t count,
                        const char *score)
{
    for (size_t i = 0; i < count; i++) {
        const struct recommend_item *item = &items[i];
        buf_add_text(out, i > 0 ? ",{\"item\":" : "{\"item\":");
        json_write_text(out, recommend_item_id(item), item->size);
        if (item->is_scored) buf_addf(out, ",\"%s\":%.6g", score, (double)item->score);
        if (item->title) {
            buf_add_text(out, ",\"title\":");
            json_write_string(out, item->title);
        }
        buf_add_byte(out, '}');
    }
}

void recommend_answer_write(struct buf *out, const struct recommend_answer *answer)
{
    buf_addf(out,
             "{\"object\":\"recommendations\",\"recommendation_id\":\"rec-%016" PRIx64 "%016" PRIx64
             "\",\"personalized\":%s,\"basis\":\"%s\",\"scenario\":\"%s\",\"model\":",
             rand_entropy(), rand_entropy(), answer->personalized ? "true" : "false", answer->basis,
             answer->scenario);
    json_write_string(out, answer->model);
    buf_add_text(out, ",\"data\":[");
    write_items(out, answer->items, answer->count, "score");
    buf_add_byte(out, ']');
    if (answer->reasons) {
        buf_add_text(out, ",\"because\":[");
        write_items(out, answer->reasons, answer->reason_count, "weight");
        buf_add_byte(out, ']');
    }
    buf_add_text(out, residence_member(answer->withheld));
    if (answer->label) {
        buf_add_text(out, ",\"label\":");
        json_write_string(out, answer->label);
    }
    buf_add_byte(out, '}');
}
