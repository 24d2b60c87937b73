#include "base/aigc.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/must.h"

#include <sodium.h>

#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum {
    LABEL_MAX = 4096,    // bytes of a visible label that is looked for around a text
    BORDERS = 6,         // of paragraphs that are tried, at either end
    HASH_TEXT_SIZE = 44, // in base64, and its NUL
    CODE_PARTS = 5,
    BASE64 = sodium_base64_VARIANT_URLSAFE_NO_PADDING
};

static const char purpose[] = "qiao aigc 1";

#define FIELD(name, member, max)                 \
    {                                            \
        name, offsetof(struct aigc, member), max \
    }

const struct aigc_field aigc_fields[AIGC_FIELDS] = {
    FIELD("Label", label, AIGC_FIELD_MAX),
    FIELD("ContentProducer", producer, AIGC_FIELD_MAX),
    FIELD("ProduceID", produce_id, AIGC_FIELD_MAX),
    FIELD("ReservedCode1", reserved1, AIGC_CODE_MAX),
    FIELD("ContentPropagator", propagator, AIGC_FIELD_MAX),
    FIELD("PropagateID", propagate_id, AIGC_FIELD_MAX),
    FIELD("ReservedCode2", reserved2, AIGC_FIELD_MAX),
};

static const char *field_of(const struct aigc *aigc, const struct aigc_field *field)
{
    return (const char *)aigc + field->offset;
}

/* The hash's state asks for more alignment than the allocator promises, so the room is found within a larger one. */
struct aigc_hasher {
    unsigned char room[sizeof(crypto_generichash_state) + 64];
};

static crypto_generichash_state *state_in(unsigned char *room)
{
    uintptr_t at = (uintptr_t)room;
    return (crypto_generichash_state *)((at + 63) / 64 * 64);
}

struct aigc_hasher *aigc_hasher_new(void)
{
    struct aigc_hasher *hasher = mem_new(1, sizeof *hasher);
    must(crypto_generichash_init(state_in(hasher->room), NULL, 0, AIGC_HASH_SIZE) == 0);
    return hasher;
}

void aigc_hasher_add(struct aigc_hasher *hasher, const void *bytes, size_t size)
{
    must(crypto_generichash_update(state_in(hasher->room), bytes, size) == 0);
}

struct aigc_hash aigc_hasher_hash(const struct aigc_hasher *hasher)
{
    struct aigc_hash hash;
    struct aigc_hasher copy; // its end is of no use to the original
    uintptr_t at = (uintptr_t)hasher->room;
    memcpy(state_in(copy.room), (const void *)((at + 63) / 64 * 64),
           sizeof(crypto_generichash_state));
    must(crypto_generichash_final(state_in(copy.room), hash.bytes, sizeof hash.bytes) == 0);
    sodium_memzero(&copy, sizeof copy);
    return hash;
}

void aigc_hasher_free(struct aigc_hasher *hasher)
{
    if (hasher) sodium_memzero(hasher, sizeof *hasher);
    mem_free(hasher);
}

struct aigc_hash aigc_hash_text(const void *bytes, size_t size)
{
    struct aigc_hash hash;
    must(crypto_generichash(hash.bytes, sizeof hash.bytes, bytes, size, NULL, 0) == 0);
    return hash;
}

struct aigc_hash aigc_hash_list(const struct aigc_hash *texts, size_t count)
{
    return aigc_hash_text(texts, count * sizeof *texts);
}

struct aigc_hash aigc_hash_label(const char *before, const char *behind)
{
    struct aigc_hash parts[2] = {aigc_hash_text(before, strlen(before)),
                                 aigc_hash_text(behind, strlen(behind))};
    return aigc_hash_list(parts, 2);
}

bool aigc_is_field(const char *text)
{
    size_t size = strlen(text);
    for (size_t i = 0; i < size; i++) {
        if (text[i] < ' ' || text[i] > '~' || text[i] == '"' || text[i] == '\\') return false;
    }
    return size <= AIGC_FIELD_MAX;
}

static const char *hash_text(char out[HASH_TEXT_SIZE], bool there, const char *otherwise,
                             const struct aigc_hash *hash)
{
    if (!there) return otherwise;
    return sodium_bin2base64(out, HASH_TEXT_SIZE, hash->bytes, sizeof hash->bytes, BASE64);
}

void aigc_text(struct buf *out, const struct aigc *aigc, const struct aigc_code *code)
{
    char content[HASH_TEXT_SIZE], label[HASH_TEXT_SIZE];
    for (size_t i = 0; i < AIGC_FIELDS; i++) {
        if (aigc_fields[i].offset == offsetof(struct aigc, reserved1)) continue;
        buf_addf(out, "%s %s\n", aigc_fields[i].name, field_of(aigc, &aigc_fields[i]));
    }
    buf_addf(out, "Content %s\nVisibleLabel %s\nKey %s\n",
             hash_text(content, code->has_content, "open", &code->content),
             hash_text(label, code->has_label, "none", &code->label), code->key);
}

void aigc_sign(struct aigc *aigc, const struct sign_secret *secret, const struct aigc_hash *content,
               const struct aigc_hash *label)
{
    char content_text[HASH_TEXT_SIZE], label_text[HASH_TEXT_SIZE];
    char signature[sodium_base64_ENCODED_LEN(SIGN_SIZE, BASE64)];
    struct aigc_code code = {.has_content = content != NULL, .has_label = label != NULL};
    struct buf text = {0};
    if (content) code.content = *content;
    if (label) code.label = *label;
    snprintf(code.key, sizeof code.key, "%s", secret->id);
    aigc_text(&text, aigc, &code);
    sign_bytes(code.signature, secret, purpose, text.data, text.size);
    buf_fini(&text);
    sodium_bin2base64(signature, sizeof signature, code.signature, sizeof code.signature, BASE64);
    int size = snprintf(aigc->reserved1, sizeof aigc->reserved1, "qiao1:%s:%s:%s:%s", code.key,
                        hash_text(content_text, code.has_content, "open", &code.content),
                        hash_text(label_text, code.has_label, "none", &code.label), signature);
    must(size > 0 && (size_t)size < sizeof aigc->reserved1);
}

/* Exactly `size` bytes, in the one way in which they are written: the decoder takes some bytes beyond ASCII for '_'. */
static bool read_base64(const char *text, unsigned char *out, size_t size)
{
    char again[sodium_base64_ENCODED_LEN(SIGN_SIZE, BASE64)];
    size_t count;
    must(sodium_base64_encoded_len(size, BASE64) <= sizeof again);
    if (sodium_base642bin(out, size, text, strlen(text), NULL, &count, NULL, BASE64) != 0 ||
        count != size)
        return false;
    sodium_bin2base64(again, sizeof again, out, size, BASE64);
    return strcmp(text, again) == 0;
}

static bool read_hash(const char *text, const char *otherwise, bool *there, struct aigc_hash *out)
{
    *there = strcmp(text, otherwise) != 0;
    return !*there || read_base64(text, out->bytes, sizeof out->bytes);
}

bool aigc_read_code(struct aigc_code *out, const char *text)
{
    char copy[AIGC_CODE_MAX + 1];
    char *parts[CODE_PARTS];
    *out = (struct aigc_code){0};
    if (strlen(text) > AIGC_CODE_MAX) return false;
    snprintf(copy, sizeof copy, "%s", text);
    char *rest = copy;
    for (size_t i = 0; i < CODE_PARTS; i++) {
        char *colon = strchr(rest, ':');
        if ((colon != NULL) != (i + 1 < CODE_PARTS)) return false;
        parts[i] = rest;
        if (!colon) break;
        *colon = '\0';
        rest = colon + 1;
    }
    if (strcmp(parts[0], "qiao1") != 0 || !sign_is_id(parts[1])) return false;
    snprintf(out->key, sizeof out->key, "%s", parts[1]);
    return read_hash(parts[2], "open", &out->has_content, &out->content) &&
           read_hash(parts[3], "none", &out->has_label, &out->label) &&
           read_base64(parts[4], out->signature, sizeof out->signature);
}

enum aigc_wrong aigc_check(const struct aigc *aigc, const struct sign_keys *keys,
                           struct aigc_code *out)
{
    struct aigc_code code;
    struct buf text = {0};
    if (!aigc_read_code(&code, aigc->reserved1)) return AIGC_WRONG_CODE;
    for (size_t i = 0; i < AIGC_FIELDS; i++) { // a line break in one would make two of it
        bool is_code = aigc_fields[i].offset == offsetof(struct aigc, reserved1);
        if (!is_code && !aigc_is_field(field_of(aigc, &aigc_fields[i])))
            return AIGC_WRONG_SIGNATURE;
    }
    const struct sign_public *key = sign_find(keys, code.key);
    if (!key) return AIGC_WRONG_KEY;
    aigc_text(&text, aigc, &code);
    bool good = sign_check(key->key, purpose, text.data, text.size, code.signature);
    buf_fini(&text);
    if (!good) return AIGC_WRONG_SIGNATURE;
    if (out) *out = code;
    return AIGC_VALID;
}

/* The hash of a text without the label that is said to stand around it; false: it does not. */
static bool hash_inside(const struct aigc_content *content, size_t index, struct aigc_hash *out)
{
    const char *text = content->texts[index];
    size_t before = content->has_label ? strlen(content->before) : 0,
           behind = content->has_label ? strlen(content->behind) : 0, size = content->sizes[index];
    if (size < before + behind) return false;
    if (before > 0 && memcmp(text, content->before, before) != 0) return false;
    if (behind > 0 && memcmp(text + size - behind, content->behind, behind) != 0) return false;
    *out = aigc_hash_text(text + before, size - before - behind);
    return true;
}

static enum aigc_wrong check_inside(const struct aigc_code *code,
                                    const struct aigc_content *content)
{
    struct aigc_hash *texts = mem_new(content->count, sizeof *texts);
    enum aigc_wrong wrong = AIGC_VALID;
    for (size_t i = 0; !wrong && i < content->count; i++) {
        if (!hash_inside(content, i, &texts[i])) wrong = AIGC_WRONG_LABEL;
    }
    struct aigc_hash all = aigc_hash_list(texts, content->count);
    mem_free(texts);
    if (wrong) return wrong;
    return memcmp(&all, &code->content, sizeof all) == 0 ? AIGC_VALID : AIGC_WRONG_CONTENT;
}

static bool is_label(const struct aigc_code *code, const char *before, const char *behind)
{
    struct aigc_hash label = aigc_hash_label(before, behind);
    return code->has_label && memcmp(&label, &code->label, sizeof label) == 0;
}

/* Where paragraphs end in `text`, from its begin, and begin, from its end: as many as a label may have, with 0 for none. */
static size_t find_borders(const char *text, size_t size, bool from_end, size_t out[BORDERS])
{
    size_t count = 0;
    out[count++] = 0;
    for (size_t i = 2; i <= size && i <= LABEL_MAX && count < BORDERS; i++) {
        const char *at = from_end ? text + size - i : text + i - 2;
        if (at[0] == '\n' && at[1] == '\n') out[count++] = i;
    }
    return count;
}

/* The visible label that stands around the first text, by its hash: what was signed is found, and nothing else. */
static bool find_label(const struct aigc_code *code, const struct aigc_content *content,
                       char before[LABEL_MAX + 1], char behind[LABEL_MAX + 1])
{
    const char *text = content->texts[0];
    size_t size = content->sizes[0], fronts[BORDERS], backs[BORDERS];
    size_t front_count = find_borders(text, size, false, fronts),
           back_count = find_borders(text, size, true, backs);
    for (size_t i = 0; i < front_count; i++) {
        for (size_t k = 0; k < back_count; k++) {
            if (fronts[i] + backs[k] > size) continue;
            snprintf(before, LABEL_MAX + 1, "%.*s", (int)fronts[i], text);
            snprintf(behind, LABEL_MAX + 1, "%.*s", (int)backs[k], text + size - backs[k]);
            if (is_label(code, before, behind)) return true;
        }
    }
    return false;
}

enum aigc_wrong aigc_check_content(const struct aigc_code *code, const struct aigc_content *content)
{
    char before[LABEL_MAX + 1], behind[LABEL_MAX + 1];
    struct aigc_content shown = *content;
    if (!code->has_content) return AIGC_WRONG_CONTENT;
    if (content->has_label)
        return is_label(code, content->before, content->behind) ? check_inside(code, content)
                                                                : AIGC_WRONG_LABEL;
    enum aigc_wrong wrong = check_inside(code, content);
    if (!wrong || !code->has_label || content->count == 0) return wrong;
    if (!find_label(code, content, before, behind)) return wrong;
    shown.has_label = true;
    shown.before = before;
    shown.behind = behind;
    return check_inside(code, &shown);
}

const char *aigc_wrong_part(enum aigc_wrong wrong)
{
    static const char *const parts[] = {[AIGC_VALID] = NULL,
                                        [AIGC_WRONG_CODE] = "code",
                                        [AIGC_WRONG_KEY] = "key",
                                        [AIGC_WRONG_SIGNATURE] = "fields",
                                        [AIGC_WRONG_CONTENT] = "content",
                                        [AIGC_WRONG_LABEL] = "label"};
    return parts[wrong];
}

const char *aigc_wrong_text(enum aigc_wrong wrong, const struct aigc_code *code)
{
    switch (wrong) {
    case AIGC_WRONG_CODE: return "ReservedCode1 was not made by a scheduler of qiao";
    case AIGC_WRONG_KEY: return "it is signed by a key that is not known here";
    case AIGC_WRONG_SIGNATURE:
        return "a field of the metadata, or its signature, is not as it was signed";
    case AIGC_WRONG_CONTENT:
        return code->has_content ? "the content is not the one that was signed"
                                 : "the metadata is that of a stream's begin, and is bound to no "
                                   "content: the stream's last event has the one that is";
    case AIGC_WRONG_LABEL:
        return "the label around the content is not the one that was signed: leave `label` out "
               "where the content does not have it";
    case AIGC_VALID: break;
    }
    return "content and metadata are as they were signed";
}

void aigc_write(struct buf *out, const struct aigc *aigc)
{
    for (size_t i = 0; i < AIGC_FIELDS; i++) {
        const char *value = field_of(aigc, &aigc_fields[i]);
        must(strlen(value) <= aigc_fields[i].max);
        buf_addf(out, "%s\"%s\":\"%s\"", i == 0 ? "{" : ",", aigc_fields[i].name, value);
    }
    buf_add_byte(out, '}');
}
