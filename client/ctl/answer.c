#include "client/ctl/answer.h"

#include <string.h>

void answer_fini(struct answer *answer)
{
    for (size_t i = 0; i < ANSWER_CHOICES_MAX; i++)
        buf_fini(&answer->texts[i]);
    json_decref(answer->label);
}

static bool read_aigc(const json_t *object, struct aigc *out)
{
    for (size_t i = 0; i < AIGC_FIELDS; i++) {
        const struct aigc_field *field = &aigc_fields[i];
        const char *value = json_string_value(json_object_get(object, field->name));
        if (!value || strlen(value) > field->max) return false;
        memcpy((char *)out + field->offset, value, strlen(value) + 1);
    }
    return true;
}

static const json_t *text_of(const json_t *choice)
{
    const json_t *delta = json_object_get(choice, "delta"),
                 *message = json_object_get(choice, "message");
    if (delta || message) return json_object_get(delta ? delta : message, "content");
    return json_object_get(choice, "text");
}

/* False: there are more choices than any answer has, or metadata that is none. */
static bool take_object(struct answer *answer, const json_t *root)
{
    const json_t *choice, *aigc = json_object_get(root, "AIGC");
    json_t *label = json_object_get(root, "label");
    size_t i;
    json_array_foreach(json_object_get(root, "choices"), i, choice)
    {
        json_int_t index = json_integer_value(json_object_get(choice, "index"));
        const json_t *text = text_of(choice);
        if (index < 0 || index >= ANSWER_CHOICES_MAX) return false;
        if (answer->count <= (size_t)index) answer->count = (size_t)index + 1;
        if (json_is_string(text))
            buf_add(&answer->texts[index], json_string_value(text), json_string_length(text));
    }
    if (json_is_object(label)) {
        json_decref(answer->label);
        answer->label = json_incref(label);
    }
    if (!aigc) return true;
    answer->has_aigc = read_aigc(aigc, &answer->aigc);
    return answer->has_aigc;
}

static bool read_events(struct answer *answer, const char *text, size_t size)
{
    bool good = true;
    for (const char *at = text; good && at < text + size;) {
        const char *newline = memchr(at, '\n', (size_t)(text + size - at));
        const char *end = newline ? newline : text + size;
        if (end - at > 6 && memcmp(at, "data: ", 6) == 0) {
            json_t *event = json_loadb(at + 6, (size_t)(end - at - 6), 0, NULL);
            good = take_object(answer, event); // of "[DONE]": nothing
            json_decref(event);
        }
        at = end + 1;
    }
    return good;
}

bool answer_read(struct answer *answer, const char *text, size_t size)
{
    json_t *root = json_loadb(text, size, 0, NULL);
    bool good = root ? take_object(answer, root) : read_events(answer, text, size);
    json_decref(root);
    return good && answer->count > 0 && answer->has_aigc;
}

enum aigc_wrong answer_check(const struct answer *answer, const struct sign_keys *keys,
                             struct aigc_code *code)
{
    const char *texts[ANSWER_CHOICES_MAX], *before, *behind;
    size_t sizes[ANSWER_CHOICES_MAX];
    enum aigc_wrong found = aigc_check(&answer->aigc, keys, code);
    if (found) return found;
    for (size_t i = 0; i < answer->count; i++) {
        texts[i] = buf_text(&answer->texts[i]);
        sizes[i] = answer->texts[i].size;
    }
    before = json_string_value(json_object_get(answer->label, "before"));
    behind = json_string_value(json_object_get(answer->label, "behind"));
    struct aigc_content content = {.texts = texts,
                                   .sizes = sizes,
                                   .count = answer->count,
                                   .has_label = answer->label != NULL,
                                   .before = before ? before : "",
                                   .behind = behind ? behind : ""};
    return aigc_check_content(code, &content);
}
