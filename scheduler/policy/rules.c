#include "scheduler/policy/rules.h"

#include "scheduler/policy/audit.h"

#include "base/buf.h"

#include <string.h>
#include <strings.h>

static const char *const features[FEATURE_COUNT] = {
    [FEATURE_ASSISTANT] = "assistant",
    [FEATURE_GROUNDING] = "grounding",
    [FEATURE_RECOMMENDATIONS] = "recommendations",
    [FEATURE_SEARCH] = "search",
    [FEATURE_EMBEDDINGS] = "embeddings",
    [FEATURE_RERANK] = "rerank",
};

const char *feature_name(enum feature feature)
{
    return features[feature];
}

bool feature_find(const char *name, enum feature *out)
{
    for (size_t i = 0; i < FEATURE_COUNT; i++) {
        if (strcmp(features[i], name) != 0) continue;
        *out = (enum feature)i;
        return true;
    }
    return false;
}

void feature_list(struct buf *out)
{
    for (size_t i = 0; i < FEATURE_COUNT; i++)
        buf_addf(out, "%s%s", i ? ", " : "", features[i]);
}

void rules_preset(struct rules *rules)
{
    *rules = (struct rules){
        .gate = {.signatures = 2, .evidence_days = 365},
        .labels = {.place = RULES_PLACE_BOTH, .implicit = true},
        .filter = {.required = true,
                   .max_age_days = 1,
                   .window = 4096,
                   .strikes = 1,
                   .strike_seconds = 86400,
                   .suspend_seconds = 86400},
        .privacy = {.redact = RULES_REDACT_PHONE | RULES_REDACT_IDENTITY | RULES_REDACT_CARD |
                              RULES_REDACT_EMAIL | RULES_REDACT_ADDRESS,
                    .history_days = 1,
                    .session_seconds = 3600},
        .audit = {.retention_days = 1096, .stops = (1u << AUDIT_COUNT) - 1},
        .limits = {.prompt_tokens = 1024, .answer_tokens = 256, .user_requests_per_minute = 6},
    };
    for (size_t i = 0; i < FEATURE_COUNT; i++)
        rules->features[i].gated = true;
}

// ---- languages ---------------------------------------------------------------------------------

struct tag {
    char language[12], script[8];
};

static bool is_one_of(const char *text, size_t size, const char *const *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strlen(list[i]) == size && strncasecmp(list[i], text, size) == 0) return true;
    return false;
}

/* The language and the script of a tag; those that say no script have the one that is written in the region. */
static struct tag read_tag(const char *text)
{
    static const char *const traditional[] = {"TW", "HK", "MO"};
    struct tag tag = {0};
    size_t size = strcspn(text, "-_");
    bool is_chinese = size == 2 && strncasecmp(text, "zh", 2) == 0;
    if (size < sizeof tag.language) memcpy(tag.language, text, size);
    if (is_chinese) memcpy(tag.script, "Hans", 5);
    while (text[size]) {
        text += size + 1;
        size = strcspn(text, "-_");
        if (size == 4) {
            memcpy(tag.script, text, size);
            break;
        }
        if (is_chinese && is_one_of(text, size, traditional, 3)) memcpy(tag.script, "Hant", 5);
    }
    return tag;
}

int rules_language_rank(const char *wanted, const char *offered)
{
    if (strcasecmp(wanted, offered) == 0) return 4;
    struct tag want = read_tag(wanted), have = read_tag(offered);
    if (!*want.language || strcasecmp(want.language, have.language) != 0) return 0;
    if (strcasecmp(want.script, have.script) != 0) return 1;
    return strpbrk(offered, "-_") && !*have.script ? 2 : 3; // "en" before "en-GB"
}

bool rules_allow_language(const struct rules_feature *feature, const char *language)
{
    if (feature->any_language || !*language) return true;
    for (size_t i = 0; i < feature->language_count; i++)
        if (rules_language_rank(language, feature->languages[i]) > 1) return true;
    return false;
}

const char *rules_text_for(const struct rules_text *text, const char *language)
{
    size_t best = 0;
    int best_rank = 0;
    for (size_t i = 0; i < text->count; i++) {
        int rank = rules_language_rank(language, text->entries[i].language);
        if (rank > best_rank) best = i;
        if (rank > best_rank) best_rank = rank;
    }
    return text->count > 0 ? text->entries[best].text : NULL;
}
