#include "scheduler/policy/edition.h"

#include "scheduler/policy/schema.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

// ---- the folder --------------------------------------------------------------------------------

struct names {
    char list[POLICY_DOCUMENTS_MAX][DOCUMENT_FILE_MAX];
    size_t count;
};

static bool ends_with(const char *name, const char *end)
{
    size_t size = strlen(name), end_size = strlen(end);
    return size > end_size && strcmp(name + size - end_size, end) == 0;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* The files NAME.json, sorted. */
static enum err list_documents(struct names *out, const char *folder)
{
    const struct dirent *entry;
    DIR *directory = opendir(folder);
    if (!directory)
        return err_note(ERR_IO, "policy: cannot read the folder '%s': %s", folder, strerror(errno));
    enum err err = ERR_OK;
    while (!err && (entry = readdir(directory)) != NULL) {
        if (*entry->d_name == '.' || !ends_with(entry->d_name, ".json")) continue;
        if (strlen(entry->d_name) >= DOCUMENT_FILE_MAX)
            err = err_note(ERR_INVALID, "policy: '%.60s…': a file's name has at most %d bytes",
                           entry->d_name, DOCUMENT_FILE_MAX - 1);
        else if (out->count == POLICY_DOCUMENTS_MAX)
            err = err_note(ERR_TOO_LARGE, "policy: '%s' has more than %d documents", folder,
                           POLICY_DOCUMENTS_MAX);
        else
            memcpy(out->list[out->count++], entry->d_name, strlen(entry->d_name) + 1);
    }
    closedir(directory);
    if (!err && out->count == 0)
        err = err_note(ERR_INVALID,
                       "policy: '%s' has no document: a file NAME.json, and its "
                       "signatures NAME.json.sig",
                       folder);
    if (!err) qsort(out->list, out->count, sizeof out->list[0], compare_names);
    return err;
}

enum err edition_look(const char *folder, struct digest *out)
{
    struct names *names = mem_new(1, sizeof *names);
    struct buf facts = {0}, path = {0};
    enum err err = list_documents(names, folder);
    for (size_t i = 0; !err && i < 2 * names->count; i++) {
        struct stat status = {0};
        buf_clear(&path);
        buf_addf(&path, "%s/%s%s", folder, names->list[i / 2], i % 2 ? ".sig" : "");
        bool there = stat(buf_text(&path), &status) == 0;
        buf_addf(&facts, "%s %d %lld %lld.%09ld %llu\n", names->list[i / 2], there,
                 (long long)status.st_size, (long long)status.st_mtim.tv_sec,
                 status.st_mtim.tv_nsec, (unsigned long long)status.st_ino);
    }
    if (!err) *out = digest_of(buf_text(&facts), facts.size);
    buf_fini(&facts);
    buf_fini(&path);
    mem_free(names);
    return err;
}

static enum err read_document(struct document *out, const char *folder, const char *name,
                              const struct sign_keys *keys)
{
    char *text;
    size_t size;
    struct buf path = {0};
    struct sign_signatures *signatures = mem_new(1, sizeof *signatures);
    buf_addf(&path, "%s/%s", folder, name);
    enum err err = file_read(&text, &size, buf_text(&path), POLICY_DOCUMENT_BYTES);
    if (!err) {
        buf_add_text(&path, ".sig");
        err = document_parse(out, name, text, size);
        if (!err) err = sign_read_signatures(signatures, buf_text(&path));
        if (!err) err = document_verify(out, text, size, keys, signatures);
        if (err) json_decref(out->root);
        mem_free(text);
    }
    mem_free(signatures);
    buf_fini(&path);
    return err;
}

static enum err read_documents(struct policy_edition *edition, const char *folder,
                               const struct names *names, const struct sign_keys *keys)
{
    edition->documents = mem_new(names->count, sizeof *edition->documents);
    for (size_t i = 0; i < names->count; i++) {
        struct document document = {0};
        TRY(read_document(&document, folder, names->list[i], keys));
        const struct document *other = edition_find(edition, document.name);
        edition->documents[edition->document_count++] = document;
        if (other)
            return err_note(ERR_INVALID, "%s: /name: '%s' is the name of %s too", document.file,
                            document.name, other->file);
    }
    return ERR_OK;
}

const struct document *edition_find(const struct policy_edition *edition, const char *name)
{
    for (size_t i = 0; i < edition->document_count; i++)
        if (strcmp(edition->documents[i].name, name) == 0) return &edition->documents[i];
    return NULL;
}

// ---- what follows ------------------------------------------------------------------------------

/* From the document down to its lowest, then turned around. */
static enum err find_chain(const struct policy_edition *edition, const struct document *top,
                           struct resolved *out)
{
    const struct document *at = top;
    size_t up[POLICY_DEPTH_MAX];
    for (;;) {
        if (out->chain_count == POLICY_DEPTH_MAX)
            return err_note(ERR_INVALID,
                            "%s: /extends: a chain of more than %d documents, or one that ends "
                            "nowhere",
                            top->file, POLICY_DEPTH_MAX);
        up[out->chain_count++] = (size_t)(at - edition->documents);
        if (!*at->extends) break;
        const struct document *next = edition_find(edition, at->extends);
        if (!next)
            return err_note(ERR_INVALID, "%s: /extends: there is no document '%s'", at->file,
                            at->extends);
        if (next->kind == DOCUMENT_TENANT ||
            (next->kind == DOCUMENT_REGION && at->kind == DOCUMENT_BASE))
            return err_note(ERR_INVALID, "%s: /extends: a %s cannot stand on a %s", at->file,
                            document_kind_name(at->kind), document_kind_name(next->kind));
        at = next;
    }
    for (size_t i = 0; i < out->chain_count; i++)
        out->chain[i] = up[out->chain_count - 1 - i];
    return ERR_OK;
}

/* The tenant's region is the next document under it that is a region's. */
static const char *region_of(const struct policy_edition *edition, const struct resolved *resolved)
{
    for (size_t i = resolved->chain_count; i > 0; i--) {
        const struct document *document = &edition->documents[resolved->chain[i - 1]];
        if (document->kind == DOCUMENT_REGION) return document->name;
    }
    return "";
}

static enum err apply_chain(const struct policy_edition *edition, struct resolved *resolved)
{
    struct rules *rules = &resolved->rules;
    struct digester *digester = digester_new();
    enum err err = ERR_OK;
    for (size_t i = 0; !err && i < resolved->chain_count; i++) {
        const struct document *document = &edition->documents[resolved->chain[i]];
        for (size_t j = 0; !err && j < i; j++)
            err = document_allows(&edition->documents[resolved->chain[j]], document);
        if (!err) err = schema_apply(rules, document->rules);
        digester_add(digester, document->digest.bytes, DIGEST_SIZE);
        if (i == 0 || document->valid_from_s > rules->valid_from_s)
            rules->valid_from_s = document->valid_from_s;
        if (i == 0 || document->valid_until_s < rules->valid_until_s)
            rules->valid_until_s = document->valid_until_s;
    }
    rules->digest = digester_end(digester);
    return err;
}

static enum err resolve(struct policy_edition *edition, const struct document *top,
                        struct resolved *out)
{
    struct rules *rules = &out->rules;
    TRY(find_chain(edition, top, out));
    const char *region = region_of(edition, out);
    if (!*region)
        return err_note(ERR_INVALID, "%s: /extends: must lead to a region's document", top->file);
    rules_preset(rules);
    rules->edition = edition;
    rules->privacy.residency[rules->privacy.residency_count++] = region;
    TRY(apply_chain(edition, out));
    snprintf(rules->region, sizeof rules->region, "%s", region);
    snprintf(rules->tenant, sizeof rules->tenant, "%s", top->tenant);
    for (size_t i = 0; i < rules->privacy.residency_count; i++)
        rules->privacy.residency_tags[i] = digest_tag(rules->privacy.residency[i]);
    if (!schema_check(rules)) return ERR_OK;
    char note[ERR_NOTE_MAX];
    snprintf(note, sizeof note, "%s", err_text());
    return err_note(ERR_INVALID, "%s: /rules%s", top->file, note);
}

static enum err resolve_all(struct policy_edition *edition)
{
    edition->resolved = mem_new(edition->document_count, sizeof *edition->resolved);
    for (size_t i = 0; i < edition->document_count; i++) {
        const struct document *top = &edition->documents[i];
        struct resolved *resolved = &edition->resolved[edition->resolved_count];
        *resolved = (struct resolved){0};
        if (top->kind == DOCUMENT_BASE) { // it has no rules of its own, but a chain
            TRY(find_chain(edition, top, resolved));
            continue;
        }
        TRY(resolve(edition, top, resolved));
        for (size_t j = 0; j < edition->resolved_count; j++) {
            const struct rules *other = &edition->resolved[j].rules;
            if (strcmp(other->region, resolved->rules.region) == 0 &&
                strcmp(other->tenant, resolved->rules.tenant) == 0)
                return err_note(ERR_INVALID, "%s: tenant '%s' has two documents in region '%s'",
                                top->file, other->tenant, other->region);
        }
        edition->resolved_count++;
    }
    return ERR_OK;
}

static void sum_up(struct policy_edition *edition)
{
    struct digester *digester = digester_new();
    for (size_t i = 0; i < edition->document_count; i++)
        digester_add(digester, edition->documents[i].digest.bytes, DIGEST_SIZE);
    edition->digest = digester_end(digester);
}

static enum err fill(struct policy_edition *edition, const char *folder, const char *keys_path)
{
    struct names *names = mem_new(1, sizeof *names);
    struct sign_keys *keys = mem_new(1, sizeof *keys);
    enum err err = sign_read_keys(keys, keys_path);
    if (!err) err = list_documents(names, folder);
    if (!err) err = read_documents(edition, folder, names, keys);
    if (!err) err = resolve_all(edition);
    if (!err) sum_up(edition);
    mem_free(keys);
    mem_free(names);
    return err;
}

enum err edition_read(struct policy_edition **out, const char *folder, const char *keys)
{
    struct policy_edition *edition = mem_new(1, sizeof *edition);
    edition->holds = 1;
    enum err err = fill(edition, folder, keys);
    if (err)
        edition_drop(edition);
    else
        *out = edition;
    return err;
}

void edition_drop(struct policy_edition *edition)
{
    if (!edition || --edition->holds > 0) return;
    for (size_t i = 0; i < edition->document_count; i++)
        document_fini(&edition->documents[i]);
    mem_free(edition->documents);
    mem_free(edition->resolved);
    mem_free(edition);
}
