#include "scheduler/policy/label.h"

#include "base/mem.h"
#include "base/must.h"

#include <jansson.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct labeller {
    bool can_sign;
    struct sign_secret secret;
    struct sign_keys keys;
};

// ---- keys --------------------------------------------------------------------------------------

static enum err read_keys(struct labeller *labeller, const char *secret, const char *keys)
{
    struct sign_keys others = {0};
    if (*secret) {
        TRY(sign_read_secret(&labeller->secret, secret));
        labeller->can_sign = true;
        sign_public_of(&labeller->keys.keys[labeller->keys.count++], &labeller->secret);
    }
    if (*keys) TRY(sign_read_keys(&others, keys));
    for (size_t i = 0; i < others.count; i++) {
        const struct sign_public *other = &others.keys[i],
                                 *known = sign_find(&labeller->keys, other->id);
        if (known && memcmp(known->key, other->key, sizeof other->key) == 0) continue;
        if (known)
            return err_note(ERR_INVALID, "%s: two different keys have the id '%s'", keys,
                            other->id);
        if (labeller->keys.count == SIGN_KEYS_MAX)
            return err_note(ERR_INVALID, "%s: more than %d keys", keys, SIGN_KEYS_MAX);
        labeller->keys.keys[labeller->keys.count++] = *other;
    }
    return ERR_OK;
}

enum err labeller_new(struct labeller **out, const char *secret, const char *keys)
{
    struct labeller *labeller = mem_new(1, sizeof *labeller);
    enum err err = read_keys(labeller, secret, keys);
    if (err)
        labeller_free(labeller);
    else
        *out = labeller;
    return err;
}

void labeller_free(struct labeller *labeller)
{
    if (labeller) sign_fini(&labeller->secret);
    mem_free(labeller);
}

const struct sign_secret *labeller_secret(const struct labeller *labeller)
{
    return labeller->can_sign ? &labeller->secret : NULL;
}

const struct sign_keys *labeller_keys(const struct labeller *labeller)
{
    return &labeller->keys;
}

const char *labeller_lacks(const struct labeller *labeller, const struct rules_labels *rules,
                           bool generates)
{
    if (rules->place != RULES_PLACE_NONE && rules->visible.count == 0)
        return "the policy names a place for the visible label, and needs /labels/visible";
    if (!rules->implicit || !generates) return NULL;
    if (!*rules->producer && !*rules->provider)
        return "the policy asks for metadata, and needs the provider's code in /labels/producer, "
               "or its name in /labels/provider where it has none";
    if (!labeller->can_sign)
        return "the policy asks for metadata, and the scheduler needs a key that signs it "
               "(label_key)";
    return NULL;
}

const char *label_of_list(const struct rules_labels *rules, const char *language)
{
    return rules->place == RULES_PLACE_NONE ? NULL : rules_text_for(&rules->visible, language);
}

// ---- one answer --------------------------------------------------------------------------------

static void add_before(struct label *label, const char *text)
{
    if (!text) return;
    buf_add_text(&label->before, text);
    buf_add_text(&label->before, "\n\n");
}

static void fill_texts(struct label *label, const struct label_order *order)
{
    const struct rules_labels *rules = order->rules;
    const char *visible = rules_text_for(&rules->visible, order->language);
    if (order->first) add_before(label, rules_text_for(&rules->notice, order->language));
    if (!visible || order->waived) return;
    label->place = rules->place;
    if (rules->place == RULES_PLACE_START || rules->place == RULES_PLACE_BOTH)
        add_before(label, visible);
    if (rules->place == RULES_PLACE_END || rules->place == RULES_PLACE_BOTH) {
        buf_add_text(&label->behind, "\n\n");
        buf_add_text(&label->behind, visible);
    }
}

void label_init(struct label *label, const struct label_order *order)
{
    *label = (struct label){.labeller = order->labeller};
    if (!order->rules) return;
    label->is_there = true;
    label->implicit = order->rules->implicit;
    label->is_waived = order->waived;
    fill_texts(label, order);
    if (!label->implicit) return;
    must(order->labeller && order->labeller->can_sign && aigc_is_field(order->id));
    struct aigc *aigc = &label->aigc;
    snprintf(aigc->label, sizeof aigc->label, "1");
    snprintf(aigc->producer, sizeof aigc->producer, "%s",
             *order->rules->producer ? order->rules->producer : order->rules->provider);
    snprintf(aigc->produce_id, sizeof aigc->produce_id, "%s", order->id);
    if (!*order->rules->propagator) return;
    snprintf(aigc->propagator, sizeof aigc->propagator, "%s", order->rules->propagator);
    snprintf(aigc->propagate_id, sizeof aigc->propagate_id, "%s", order->id);
}

void label_fini(struct label *label)
{
    buf_fini(&label->before);
    buf_fini(&label->behind);
    *label = (struct label){0};
}

static void sign(struct label *label, const struct aigc_hash *content)
{
    if (!label->implicit) return;
    bool is_visible = label->before.size > 0 || label->behind.size > 0;
    struct aigc_hash texts = aigc_hash_label(buf_text(&label->before), buf_text(&label->behind));
    aigc_sign(&label->aigc, &label->labeller->secret, content, is_visible ? &texts : NULL);
}

void label_open(struct label *label)
{
    sign(label, NULL);
}

void label_seal(struct label *label, const struct aigc_hash *texts, size_t count)
{
    struct aigc_hash content = aigc_hash_list(texts, count);
    sign(label, &content);
}

static void write_texts(struct buf *out, const struct label *label)
{
    json_t *object = json_pack("{s:s, s:s}", "before", buf_text(&label->before), "behind",
                               buf_text(&label->behind));
    char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;
    must(text != NULL); // the policy's texts are UTF-8
    buf_addf(out, "\"label\":%s", text);
    free(text); // jansson's
    json_decref(object);
}

void label_write_aigc(struct buf *out, const struct label *label)
{
    if (label->implicit) aigc_write(out, &label->aigc);
}

void label_write(struct buf *out, const struct label *label)
{
    size_t before = out->size;
    if (label->before.size > 0 || label->behind.size > 0) write_texts(out, label);
    if (!label->implicit) return;
    buf_add_text(out, out->size > before ? ",\"AIGC\":" : "\"AIGC\":");
    label_write_aigc(out, label);
}
