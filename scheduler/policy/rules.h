/* scheduler/policy/rules.h -- what holds for a request: the rules of one region and one tenant, resolved.
 *
 *      documents (policy.h): base <- region <- tenant      signed, checked, merged once
 *            |
 *      struct rules      one for each region, and one for each tenant that has its own there; immutable
 *
 * A member that no document gives has the preset of docs/policy.md, which is the strictest. No region stands in this code: what a region
 * asks for is data. Texts are UTF-8 with a NUL and live as long as the rules; who keeps rules beyond a callback holds them.
 *
 * Thread: immutable; hold and drop on the loop alone. */
#ifndef SCHEDULER_POLICY_RULES_H
#define SCHEDULER_POLICY_RULES_H

#include "base/digest.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;

enum feature {
    FEATURE_ASSISTANT,       // chats and completions
    FEATURE_GROUNDING,       // a chat's `context`
    FEATURE_RECOMMENDATIONS, // Gorse's paths too
    FEATURE_SEARCH,
    FEATURE_EMBEDDINGS,
    FEATURE_RERANK,
    FEATURE_COUNT
};

enum {
    RULES_NAME_MAX = 64, // of a region, a bundle, an evidence type: letters, digits, '-', '_', '.'
    RULES_MODELS_MAX = 64, // of a feature
    RULES_LANGUAGES_MAX = 32,
    RULES_EVIDENCE_MAX = 16,
    RULES_APPROVERS_MAX = 32,
    RULES_TEXT_MAX = 512, // bytes of a label's or a refusal's text
    RULES_PRODUCER_SIZE = 27,
    RULES_KEY_SIZE = 32 // Ed25519, public
};

/* A text in some languages; the first is for those that are not named. */
struct rules_text {
    size_t count; // 0: there is none

    struct {
        const char *language; // a BCP 47 tag: "zh-Hans", "en"
        const char *text;
    } entries[RULES_LANGUAGES_MAX];
};

struct rules_feature {
    bool allowed;
    bool gated;                  // needs an approval (gate.h); else it is open as it stands here
    bool any_model, any_adapter; // else those that are named
    struct digest models[RULES_MODELS_MAX];
    size_t model_count;
    struct digest adapters[RULES_MODELS_MAX];
    size_t adapter_count;
    bool any_language; // of the answer
    const char *languages[RULES_LANGUAGES_MAX];
    size_t language_count;
};

struct rules_approver {
    char id[RULES_NAME_MAX + 1];
    unsigned char key[RULES_KEY_SIZE];
};

struct rules_gate {
    const char *evidence[RULES_EVIDENCE_MAX]; // types that an approval needs, one of each
    size_t evidence_count;
    struct rules_approver approvers[RULES_APPROVERS_MAX];
    size_t approver_count;
    size_t signatures;      // of different approvers, that an approval needs
    uint32_t evidence_days; // after which a filing is over; 0: never by itself
    uint32_t hold_ms;       // how long a stream may be held without a lease
};

enum rules_place {
    RULES_PLACE_NONE,
    RULES_PLACE_START,
    RULES_PLACE_END,
    RULES_PLACE_BOTH
};

struct rules_labels {
    struct rules_text visible; // the explicit label
    enum rules_place place;
    bool implicit; // AIGC metadata
    char producer
        [RULES_PRODUCER_SIZE +
         1]; // the service provider's code, as it was given to it; "": none, and what needs it is denied
    char provider[RULES_NAME_MAX + 1]; // its name, where it has no code; "": it has one
    char propagator[RULES_PRODUCER_SIZE + 1];
    bool waivable;            // with an agreement that is on record
    struct rules_text notice; // once a session, before its first answer
};

enum rules_action {
    RULES_PASS,
    RULES_REVIEW, // let pass, and noted
    RULES_MASK,
    RULES_REFUSE, // the answer is replaced by the refusal
    RULES_BLOCK   // refused, and a strike
};

enum {
    RULES_CATEGORIES_MAX = 32
};

struct rules_filter {
    bool required;         // without a bundle that is valid nothing is answered
    const char *bundle;    // its name
    uint32_t max_age_days; // of the bundle
    uint32_t window;       // bytes that are held back at most, of normalised text

    struct { // by the category of a bundle's term; not named: what the bundle says
        const char *category;
        enum rules_action input, output;
    } categories[RULES_CATEGORIES_MAX];

    size_t category_count;
    struct rules_text refusal;
    uint32_t
        strikes; // in strike_seconds: then the user, or the key without one, is suspended; 0: never
    uint32_t strike_seconds, suspend_seconds;
};

enum rules_redact { // bits
    RULES_REDACT_PHONE = 1 << 0,
    RULES_REDACT_IDENTITY = 1 << 1, // numbers of identity cards
    RULES_REDACT_CARD = 1 << 2,     // of banks
    RULES_REDACT_EMAIL = 1 << 3,
    RULES_REDACT_ADDRESS = 1 << 4
};

struct rules_privacy {
    uint32_t redact; // of enum rules_redact, in prompts, before they leave the scheduler
    uint32_t
        cache_seconds; // how long prompts and KV blocks may outlive their request; 0: not at all
    uint32_t history_days; // 0: what the scheduler's setting says
    uint32_t session_seconds;
    const char *residency[RULES_LANGUAGES_MAX];   // regions of nodes that may see its data
    uint64_t residency_tags[RULES_LANGUAGES_MAX]; // digest_tag() of each
    size_t residency_count;                       // 0: any
};

struct rules_audit {
    uint32_t retention_days;
    uint32_t stops; // bits of enum audit_class: serving stops when such a record cannot be written
};

struct rules_limits { // on top of the key's; 0: none
    uint32_t prompt_tokens, answer_tokens, user_requests_per_minute;
};

struct policy_edition;

struct rules {
    struct policy_edition *edition; // whose texts these are (policy.h)
    char region[RULES_NAME_MAX + 1];
    char tenant[RULES_NAME_MAX + 1];     // "": of every tenant without its own
    struct digest digest;                // of all documents that made it, in order
    int64_t valid_from_s, valid_until_s; // when all of them are valid
    struct rules_feature features[FEATURE_COUNT];
    struct rules_gate gate;
    struct rules_labels labels;
    struct rules_filter filter;
    struct rules_privacy privacy;
    struct rules_audit audit;
    struct rules_limits limits;
};

/* "assistant", …; and back: false for none of them. */
const char *feature_name(enum feature feature);
bool feature_find(const char *name, enum feature *out);
/* All names, parted by commas, for who has said another. */
void feature_list(struct buf *out);

/* The strictest rules: nothing is allowed, and everything is asked for. Texts, names and the residency are the region's to give. */
void rules_preset(struct rules *rules);

/* How well an offered language meets a wanted one, both BCP 47 tags: 0: another language; 1: another script of it; more: it can be read, the
 * best is the same tag. "zh-CN" and "zh" are zh-Hans, "zh-TW" is zh-Hant. */
int rules_language_rank(const char *wanted, const char *offered);
/* Whether the feature may answer in it; "" is any. */
bool rules_allow_language(const struct rules_feature *feature, const char *language);

/* The text for a preferred language ("zh-CN" finds "zh-Hans", then "zh"; "en-GB" finds "en"); the first where none fits, NULL when
 * there is none at all. */
const char *rules_text_for(const struct rules_text *text, const char *language);

#endif
