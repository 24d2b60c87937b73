#include "scheduler/policy/policy.h"

#include "scheduler/policy/edition.h"

#include "base/mem.h"
#include "base/must.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* The newest edition of a document that was in force here. */
struct serial {
    char name[RULES_NAME_MAX + 1];
    int64_t serial;
};

struct policies {
    char *folder, *keys;
    struct policy_edition *edition; // in force; held
    struct digest looks;            // of the folder, when it was read last
    struct serial *serials;
    size_t serial_count;
    char failure[ERR_NOTE_MAX];
};

static struct serial *find_serial(const struct policies *policies, const char *name)
{
    for (size_t i = 0; i < policies->serial_count; i++)
        if (strcmp(policies->serials[i].name, name) == 0) return &policies->serials[i];
    return NULL;
}

/* A document that was in force does not become an older one, nor come back as one. */
static enum err check_serials(const struct policies *policies, const struct policy_edition *new)
{
    for (size_t i = 0; i < new->document_count; i++) {
        const struct document *document = &new->documents[i];
        const struct serial *known = find_serial(policies, document->name);
        if (!known || document->serial >= known->serial) continue;
        return err_note(ERR_FORBIDDEN,
                        "%s: /serial: %" PRId64 " is less than %" PRId64 ", which was in force",
                        document->file, document->serial, known->serial);
    }
    return ERR_OK;
}

static void note_serials(struct policies *policies)
{
    const struct policy_edition *edition = policies->edition;
    for (size_t i = 0; i < edition->document_count; i++) {
        const struct document *document = &edition->documents[i];
        struct serial *known = find_serial(policies, document->name);
        if (!known) {
            policies->serials = mem_resize(policies->serials, policies->serial_count + 1,
                                           sizeof *policies->serials);
            known = &policies->serials[policies->serial_count++];
            snprintf(known->name, sizeof known->name, "%s", document->name);
        }
        known->serial = document->serial;
    }
}

static enum err load(struct policies *policies)
{
    struct policy_edition *edition;
    // Looked at first: what changes meanwhile is seen the next time.
    (void)edition_look(policies->folder, &policies->looks);
    TRY(edition_read(&edition, policies->folder, policies->keys));
    enum err err = check_serials(policies, edition);
    if (err) {
        edition_drop(edition);
        return err;
    }
    edition_drop(policies->edition);
    policies->edition = edition;
    note_serials(policies);
    return ERR_OK;
}

enum err policies_load(struct policies *policies)
{
    enum err err = load(policies);
    snprintf(policies->failure, sizeof policies->failure, "%s", err ? err_text() : "");
    return err;
}

enum err policies_new(struct policies **out, const char *folder, const char *keys)
{
    struct policies *policies = mem_new(1, sizeof *policies);
    policies->folder = mem_copy_text(folder);
    policies->keys = mem_copy_text(keys);
    enum err err = policies_load(policies);
    if (err)
        policies_free(policies);
    else
        *out = policies;
    return err;
}

void policies_free(struct policies *policies)
{
    if (!policies) return;
    edition_drop(policies->edition);
    mem_free(policies->serials);
    mem_free(policies->folder);
    mem_free(policies->keys);
    mem_free(policies);
}

bool policies_look(struct policies *policies, enum err *err)
{
    struct digest looks;
    if (!edition_look(policies->folder, &looks) && digest_equal(&looks, &policies->looks))
        return false;
    *err = policies_load(policies);
    return true;
}

const char *policies_failure(const struct policies *policies)
{
    return policies->failure;
}

struct digest policies_digest(const struct policies *policies)
{
    return policies->edition->digest;
}

const struct policy_edition *policies_edition(const struct policies *policies)
{
    return policies->edition;
}

/* The tenant's own rules in the region, else everybody's; NULL: the region has none. */
const struct resolved *policies_resolved(const struct policies *policies, const char *region,
                                         const char *tenant)
{
    const struct policy_edition *edition = policies->edition;
    const struct resolved *found = NULL;
    for (size_t i = 0; i < edition->resolved_count; i++) {
        const struct rules *rules = &edition->resolved[i].rules;
        if (strcmp(rules->region, region) != 0) continue;
        if (strcmp(rules->tenant, tenant) == 0) return &edition->resolved[i];
        if (!*rules->tenant) found = &edition->resolved[i];
    }
    return found;
}

enum reason policies_find(const struct policies *policies, const char *region, const char *tenant,
                          int64_t now_s, const struct rules **out)
{
    if (!*region) return REASON_REGION_REQUIRED;
    const struct resolved *resolved = policies_resolved(policies, region, tenant);
    if (!resolved) return REASON_REGION_NOT_APPROVED;
    const struct rules *rules = &resolved->rules;
    if (now_s < rules->valid_from_s || now_s >= rules->valid_until_s) return REASON_POLICY_EXPIRED;
    *out = rules;
    return REASON_NONE;
}

const struct rules *rules_hold(const struct rules *rules)
{
    rules->edition->holds++;
    return rules;
}

void rules_drop(const struct rules *rules)
{
    if (rules) edition_drop(rules->edition);
}

const struct rules *policies_at(const struct policies *policies, size_t index)
{
    const struct policy_edition *edition = policies->edition;
    return index < edition->resolved_count ? &edition->resolved[index].rules : NULL;
}

enum err policy_check(const char *name, const char *text, size_t size)
{
    struct document document;
    TRY(document_parse(&document, name, text, size));
    document_fini(&document);
    return ERR_OK;
}
