/* label verify: whether an answer has the label that it was made with, checked without the cluster; label waive, unwaive: agreements. */
#include "client/ctl/call.h"

#include "base/aigc.h"
#include "base/buf.h"
#include "base/mem.h"

#include <jansson.h>
#include <sodium.h>

#include <stdio.h>
#include <string.h>

enum {
    ANSWER_MAX = 16 << 20,
    AGREEMENT_MAX = 64 << 20,
    CHOICES_MAX = 128
};

/* An answer as it was saved: a body, or the events of a stream. */
struct answer {
    struct buf texts[CHOICES_MAX];
    size_t count;
    json_t *label; // the latest that was said
    struct aigc aigc;
    bool has_aigc;
};

static enum ctl_exit wrong(const char *path, const char *what)
{
    fprintf(stderr, "qiaoctl: %s: %s\n", path, what);
    return CTL_FAILED;
}

static void answer_fini(struct answer *answer)
{
    for (size_t i = 0; i < CHOICES_MAX; i++)
        buf_fini(&answer->texts[i]);
    json_decref(answer->label);
}

// ---- reading an answer -------------------------------------------------------------------------

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
    const json_t *choice, *aigc = json_object_get(root, "aigc");
    json_t *label = json_object_get(root, "label");
    size_t i;
    json_array_foreach(json_object_get(root, "choices"), i, choice)
    {
        json_int_t index = json_integer_value(json_object_get(choice, "index"));
        const json_t *text = text_of(choice);
        if (index < 0 || index >= CHOICES_MAX) return false;
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

static bool read_answer(struct answer *answer, const char *text, size_t size)
{
    json_t *root = json_loadb(text, size, 0, NULL);
    bool good = root ? take_object(answer, root) : read_events(answer, text, size);
    json_decref(root);
    return good && answer->count > 0 && answer->has_aigc;
}

// ---- verify ------------------------------------------------------------------------------------

static enum aigc_wrong check(const struct answer *answer, const struct sign_keys *keys,
                             struct aigc_code *code)
{
    const char *texts[CHOICES_MAX], *before, *behind;
    size_t sizes[CHOICES_MAX];
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

static enum ctl_exit say(const struct ctl_conf *conf, const char *path, enum aigc_wrong found,
                         const struct answer *answer, const struct aigc_code *code)
{
    const char *part = aigc_wrong_part(found), *text = aigc_wrong_text(found, code);
    if (conf->json)
        call_print_json(json_pack("{s:b, s:s?, s:s, s:s, s:s}", "valid", found == AIGC_VALID,
                                  "wrong", part, "message", text, "producer", answer->aigc.producer,
                                  "answer", answer->aigc.produce_id));
    else if (found)
        (void)wrong(path, text);
    else
        printf("%s: %s; made by %s, signed by %s\n", answer->aigc.produce_id, text,
               answer->aigc.producer, code->key);
    return found ? CTL_FAILED : CTL_GOOD;
}

enum ctl_exit ctl_label_verify(const struct ctl_conf *conf, struct qiao *qiao, const char *path)
{
    struct sign_keys keys;
    struct answer *answer;
    struct aigc_code code = {0};
    enum ctl_exit exit;
    size_t size;
    (void)qiao;
    if (!*conf->keys) return wrong("--keys", "must name the file of the public keys that count");
    if (sign_read_keys(&keys, conf->keys)) return wrong(conf->keys, err_text());
    char *text = call_read_file(path, ANSWER_MAX, &size);
    if (!text) return CTL_FAILED;
    answer = mem_new(1, sizeof *answer);
    if (read_answer(answer, text, size))
        exit = say(conf, path, check(answer, &keys, &code), answer, &code);
    else
        exit = wrong(path, "has no answer with metadata in it: a body, or the events of a stream");
    answer_fini(answer);
    mem_free(answer);
    mem_free(text);
    return exit;
}

// ---- agreements --------------------------------------------------------------------------------

/* `agreement` NULL: what is on record ends. */
static enum ctl_exit put(const struct ctl_conf *conf, struct qiao *qiao, const char *agreement)
{
    json_t *reply;
    if (!*conf->user) return wrong("--user", "must name the user whose agreement it is");
    json_t *ask = json_pack("{s:s, s:I}", "user", conf->user, "days",
                            agreement ? (json_int_t)conf->days : (json_int_t)0);
    if (agreement) json_object_set_new(ask, "agreement", json_string(agreement));
    enum ctl_exit code = call_post_json(conf, qiao, "/admin/waivers", ask, NULL, &reply);
    if (code) return code;
    if (conf->json)
        call_print_json(json_incref(reply));
    else if (agreement)
        printf("the agreement %s is on record for %llu days\n", agreement,
               (unsigned long long)conf->days);
    else
        printf("no agreement is on record any more\n");
    json_decref(reply);
    return CTL_GOOD;
}

enum ctl_exit ctl_label_waive(const struct ctl_conf *conf, struct qiao *qiao, const char *path)
{
    unsigned char hash[crypto_hash_sha256_BYTES];
    char hex[2 * sizeof hash + 1];
    size_t size;
    char *text = call_read_file(path, AGREEMENT_MAX, &size);
    if (!text) return CTL_FAILED;
    crypto_hash_sha256(hash, (const unsigned char *)text, size);
    mem_free(text);
    sodium_bin2hex(hex, sizeof hex, hash, sizeof hash);
    return put(conf, qiao, hex);
}

enum ctl_exit ctl_label_unwaive(const struct ctl_conf *conf, struct qiao *qiao)
{
    return put(conf, qiao, NULL);
}
