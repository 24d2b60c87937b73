/* Any bytes as a policy document, and as a file of keys or signatures. What is accepted has bounds, and says the same each time. Built with
 * libFuzzer, or with tests/fuzz/corpus.c. */
#include "scheduler/policy/document.h"
#include "scheduler/policy/schema.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/must.h"
#include "base/sign.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void look_at_text(const struct rules_text *text)
{
    must(text->count <= RULES_LANGUAGES_MAX);
    for (size_t i = 0; i < text->count; i++)
        must(strlen(text->entries[i].text) <= RULES_TEXT_MAX);
    must((rules_text_for(text, "zh-TW") != NULL) == (text->count > 0));
}

static void look_at_rules(const struct rules *rules)
{
    for (size_t i = 0; i < FEATURE_COUNT; i++) {
        const struct rules_feature *feature = &rules->features[i];
        must(feature->model_count <= RULES_MODELS_MAX &&
             feature->adapter_count <= RULES_MODELS_MAX);
        must(feature->language_count <= RULES_LANGUAGES_MAX);
        (void)rules_allow_language(feature, "en-GB");
    }
    must(rules->gate.evidence_count <= RULES_EVIDENCE_MAX);
    must(rules->gate.approver_count <= RULES_APPROVERS_MAX && rules->gate.signatures > 0);
    must(rules->filter.category_count <= RULES_CATEGORIES_MAX);
    must(rules->labels.place <= RULES_PLACE_BOTH);
    must(strlen(rules->labels.producer) % RULES_PRODUCER_SIZE == 0);
    must(rules->privacy.residency_count <= RULES_LANGUAGES_MAX);
    look_at_text(&rules->labels.visible);
    look_at_text(&rules->labels.notice);
    look_at_text(&rules->filter.refusal);
}

static void find_path(void *argument, const char *path)
{
    const json_t *provision;
    (void)schema_find(argument, path, &provision);
}

static void try_document(const char *text, size_t size)
{
    struct document document;
    enum err err = document_parse(&document, "file", text, size);
    must(err == ERR_OK || err == ERR_INVALID);
    if (err) return;
    must(document.valid_from_s < document.valid_until_s && document.serial > 0);
    must(sign_is_id(document.name) && document.final_count <= DOCUMENT_FINALS_MAX);
    struct rules *rules = mem_new(1, sizeof *rules);
    rules_preset(rules);
    must(schema_apply(rules, document.rules) == ERR_OK);
    look_at_rules(rules);
    (void)schema_check(rules);
    schema_each(find_path, (void *)(uintptr_t)document.rules);
    (void)document_allows(&document, &document);
    mem_free(rules);
    document_fini(&document);
}

static void try_keys(const char *text, size_t size)
{
    struct sign_keys *keys = mem_new(2, sizeof *keys);
    struct sign_signatures *signatures = mem_new(1, sizeof *signatures);
    struct sign_secret secret;
    struct buf again = {0};
    if (!sign_parse_keys(&keys[0], "file", text, size)) {
        for (size_t i = 0; i < keys->count; i++)
            sign_write_public(&again, &keys->keys[i]);
        must(!sign_parse_keys(&keys[1], "file", again.data, again.size));
        must(keys[0].count == keys[1].count && keys[0].count > 0);
    }
    if (!sign_parse_signatures(signatures, "file", text, size)) must(signatures->count > 0);
    if (!sign_parse_secret(&secret, "file", text, size)) must(sign_is_id(secret.id));
    buf_fini(&again);
    mem_free(signatures);
    mem_free(keys);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    try_document((const char *)data, size);
    try_keys((const char *)data, size);
    return 0;
}
