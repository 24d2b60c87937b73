#include "scheduler/policy/bundle.h"

#include "text/disguise.h"
#include "text/match.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/must.h"
#include "base/sign.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define SUFFIX ".terms"

enum {
    DAY_SECONDS = 86400
};

_Static_assert((int)TERMS_PASS == (int)RULES_PASS && (int)TERMS_BLOCK == (int)RULES_BLOCK,
               "a bundle's actions are the rules'");

struct held_bundle {
    struct bundle bundle;
    size_t holders; // the loop's
};

struct bundles {
    char *folder, *keys;
    struct fold *fold;
    struct disguise *disguise;
    const struct bundle *list[BUNDLES_MAX];
    size_t count;
    bool is_reading;
    struct digest seen; // of names, sizes and times in the folder
    char failure[ERR_NOTE_MAX];
};

/* The folder being read: its own views of what does not change, and what came of it. */
struct bundles_reading {
    const char *folder, *keys; // the bundles'
    const struct disguise *disguise;
    struct digest known[BUNDLES_MAX]; // files that are in force
    size_t known_count;
    struct digest seen;
    const struct bundle *list[BUNDLES_MAX];
    size_t count;
    enum err err; // the first failure, with its note
    char failure[ERR_NOTE_MAX];
};

// ---- one bundle --------------------------------------------------------------------------------

static struct held_bundle *holder_of(const struct bundle *bundle)
{
    return (struct held_bundle *)(uintptr_t)bundle; // its first member
}

const struct bundle *bundle_hold(const struct bundle *bundle)
{
    holder_of(bundle)->holders++;
    return bundle;
}

static void free_parts(struct match *match, struct terms *terms)
{
    match_free(match);
    terms_free(terms);
}

void bundle_drop(const struct bundle *bundle)
{
    if (!bundle || --holder_of(bundle)->holders > 0) return;
    free_parts((struct match *)(uintptr_t)bundle->match, (struct terms *)(uintptr_t)bundle->terms);
    mem_free(holder_of(bundle));
}

enum err bundle_new(const struct bundle **out, const struct disguise *disguise, struct terms *terms)
{
    static const enum match_kind kinds[] = {
        [TERMS_TERM] = MATCH_TERM, [TERMS_PART] = MATCH_PART, [TERMS_PATTERN] = MATCH_PATTERN};
    struct match_entry *entries = mem_new(terms->count ? terms->count : 1, sizeof *entries);
    struct match *match = NULL;
    size_t wrong = 0;
    for (size_t i = 0; i < terms->count; i++)
        entries[i] = (struct match_entry){.kind = kinds[terms->entries[i].kind],
                                          .text = terms->entries[i].text,
                                          .size = terms->entries[i].size};
    enum err err = match_new(&match, disguise, entries, terms->count, &wrong);
    mem_free(entries);
    if (err) {
        char note[ERR_NOTE_MAX];
        snprintf(note, sizeof note, "%s", err_text());
        err = err_note(ERR_INVALID, "'%.*s' %s", (int)terms->entries[wrong].size,
                       terms->entries[wrong].text, note);
        terms_free(terms);
        return err;
    }
    struct held_bundle *holder = mem_new(1, sizeof *holder);
    *holder = (struct held_bundle){.bundle = {.terms = terms, .match = match}, .holders = 1};
    *out = &holder->bundle;
    return ERR_OK;
}

// ---- the folder --------------------------------------------------------------------------------

/* A file's bytes are signed by one of the keys: by which. */
static enum err check_signature(const char *key_file, const char *path, const char *bytes,
                                size_t size, char signer[RULES_NAME_MAX + 1])
{
    struct buf name = {0};
    struct sign_keys keys;
    struct sign_signatures *signatures = mem_new(1, sizeof *signatures);
    buf_addf(&name, "%s.sig", path);
    enum err err = sign_read_keys(&keys, key_file);
    if (!err) err = sign_read_signatures(signatures, buf_text(&name));
    bool is_signed = false;
    for (size_t i = 0; !err && i < signatures->count && !is_signed; i++) {
        const struct sign_public *key = sign_find(&keys, signatures->list[i].id);
        is_signed =
            key && sign_check(key->key, TERMS_PURPOSE, bytes, size, signatures->list[i].bytes);
        if (is_signed) snprintf(signer, RULES_NAME_MAX + 1, "%s", key->id);
    }
    if (!err && !is_signed)
        err = err_note(ERR_FORBIDDEN, "%s: no key of %s has signed what stands there", path,
                       key_file);
    buf_fini(&name);
    mem_free(signatures);
    return err;
}

static size_t find(const struct bundles *bundles, const char *name)
{
    size_t at = 0;
    while (at < bundles->count && strcmp(bundles->list[at]->terms->name, name) != 0)
        at++;
    return at;
}

/* In the place of the edition before. */
static enum err take(struct bundles *bundles, const struct bundle *bundle)
{
    const char *name = bundle->terms->name;
    size_t at = find(bundles, name);
    if (at == BUNDLES_MAX)
        return err_note(ERR_INVALID, "%s/%s" SUFFIX ": more than %d bundles", bundles->folder, name,
                        BUNDLES_MAX);
    if (at == bundles->count) {
        bundles->list[bundles->count++] = bundle_hold(bundle);
        return ERR_OK;
    }
    const struct bundle *before = bundles->list[at];
    if (digest_equal(&before->digest, &bundle->digest)) return ERR_OK;
    if (bundle->terms->serial <= before->terms->serial)
        return err_note(ERR_INVALID,
                        "%s/%s" SUFFIX ": its serial is %" PRIu64 ", but an edition with %" PRIu64
                        " is in force: a change has a higher one",
                        bundles->folder, name, bundle->terms->serial, before->terms->serial);
    bundles->list[at] = bundle_hold(bundle);
    bundle_drop(before);
    return ERR_OK;
}

static enum err compile(struct bundles_reading *reading, const char *path, const char *name,
                        const char *bytes, size_t size)
{
    struct terms *terms;
    const struct bundle *bundle;
    char signer[RULES_NAME_MAX + 1];
    TRY(check_signature(reading->keys, path, bytes, size, signer));
    TRY(terms_parse(&terms, path, bytes, size));
    size_t stem = strlen(name) - strlen(SUFFIX);
    if (strlen(terms->name) != stem || memcmp(terms->name, name, stem) != 0) {
        terms_free(terms);
        return err_note(ERR_INVALID, "%s: the name in it is another than the file's", path);
    }
    enum err err = bundle_new(&bundle, reading->disguise, terms);
    if (err) {
        char note[ERR_NOTE_MAX];
        snprintf(note, sizeof note, "%s", err_text());
        return err_note(err, "%s: %s", path, note);
    }
    struct held_bundle *holder = holder_of(bundle);
    holder->bundle.digest = digest_of(bytes, size);
    snprintf(holder->bundle.signer, sizeof holder->bundle.signer, "%s", signer);
    reading->list[reading->count++] = bundle;
    return ERR_OK;
}

static enum err read_bundle(struct bundles_reading *reading, const char *name)
{
    struct buf path = {0};
    char *bytes = NULL;
    size_t size;
    if (reading->count == BUNDLES_MAX)
        return err_note(ERR_INVALID, "%s: more than %d bundles", reading->folder, BUNDLES_MAX);
    buf_addf(&path, "%s/%s", reading->folder, name);
    enum err err = file_read(&bytes, &size, buf_text(&path), TERMS_FILE_MAX);
    if (!err) {
        struct digest digest = digest_of(bytes, size);
        bool is_known = false;
        for (size_t i = 0; i < reading->known_count; i++)
            is_known = is_known || digest_equal(&reading->known[i], &digest);
        if (!is_known) err = compile(reading, buf_text(&path), name, bytes, size);
        mem_free(bytes);
    }
    buf_fini(&path);
    return err;
}

static bool is_bundle(const struct dirent *entry)
{
    size_t size = strlen(entry->d_name), suffix = strlen(SUFFIX);
    return entry->d_name[0] != '.' && size > suffix &&
           strcmp(entry->d_name + size - suffix, SUFFIX) == 0;
}

/* Names, sizes and times of all that lies there, whatever its order. */
static struct digest look(const char *path)
{
    struct digest all = {0};
    DIR *folder = opendir(path);
    for (const struct dirent *entry; folder && (entry = readdir(folder));) {
        if (entry->d_name[0] == '.') continue; // the folder above, too, in which others may work
        struct stat status;
        struct buf text = {0};
        if (fstatat(dirfd(folder), entry->d_name, &status, 0) == 0)
            buf_addf(&text, "%s %jd %jd %ld", entry->d_name, (intmax_t)status.st_size,
                     (intmax_t)status.st_mtim.tv_sec, status.st_mtim.tv_nsec);
        struct digest one = digest_of(buf_text(&text), text.size);
        for (size_t i = 0; i < DIGEST_SIZE; i++)
            all.bytes[i] ^= one.bytes[i];
        buf_fini(&text);
    }
    if (folder) closedir(folder);
    return all;
}

/* The first failure counts; the files behind it are read all the same. */
static void fail(struct bundles_reading *reading, enum err err)
{
    if (!err || reading->err) return;
    reading->err = err;
    snprintf(reading->failure, sizeof reading->failure, "%s", err_text());
}

struct bundles_reading *bundles_begin(struct bundles *bundles)
{
    struct bundles_reading *reading = mem_new(1, sizeof *reading);
    bundles->is_reading = true;
    reading->folder = bundles->folder;
    reading->keys = bundles->keys;
    reading->disguise = bundles->disguise;
    for (size_t i = 0; i < bundles->count; i++)
        reading->known[reading->known_count++] = bundles->list[i]->digest;
    return reading;
}

void bundles_work(struct bundles_reading *reading)
{
    if (!*reading->folder) return;
    reading->seen =
        look(reading->folder); // before it is read: what changes meanwhile is seen later
    DIR *folder = opendir(reading->folder);
    if (!folder) fail(reading, err_note(ERR_IO, "%s: %s", reading->folder, strerror(errno)));
    for (const struct dirent *entry; folder && (entry = readdir(folder));)
        if (is_bundle(entry)) fail(reading, read_bundle(reading, entry->d_name));
    if (folder) closedir(folder);
}

enum err bundles_end(struct bundles *bundles, struct bundles_reading *reading)
{
    for (size_t i = 0; i < reading->count; i++) {
        fail(reading, take(bundles, reading->list[i]));
        bundle_drop(reading->list[i]);
    }
    enum err err = reading->err;
    bundles->is_reading = false;
    bundles->seen = reading->seen;
    memcpy(bundles->failure, reading->failure, sizeof bundles->failure);
    mem_free(reading);
    return err ? err_note(err, "%s", bundles->failure) : ERR_OK;
}

enum err bundles_load(struct bundles *bundles)
{
    struct bundles_reading *reading = bundles_begin(bundles);
    bundles_work(reading);
    return bundles_end(bundles, reading);
}

bool bundles_changed(const struct bundles *bundles)
{
    if (!*bundles->folder || bundles->is_reading) return false;
    struct digest now = look(bundles->folder);
    return !digest_equal(&now, &bundles->seen);
}

const char *bundles_failure(const struct bundles *bundles)
{
    return bundles->failure;
}

enum err bundles_new(struct bundles **out, const char *folder, const char *keys)
{
    struct bundles *bundles = mem_new(1, sizeof *bundles);
    bundles->folder = mem_copy_text(folder);
    bundles->keys = mem_copy_text(keys);
    enum err err = *folder ? fold_new(&bundles->fold) : ERR_OK;
    if (bundles->fold) bundles->disguise = disguise_new(bundles->fold);
    if (!err) err = bundles_load(bundles);
    if (err) {
        bundles_free(bundles);
        return err;
    }
    *out = bundles;
    return ERR_OK;
}

void bundles_free(struct bundles *bundles)
{
    if (!bundles) return;
    for (size_t i = 0; i < bundles->count; i++)
        bundle_drop(bundles->list[i]);
    disguise_free(bundles->disguise);
    if (bundles->fold) fold_free(bundles->fold);
    mem_free(bundles->folder);
    mem_free(bundles->keys);
    mem_free(bundles);
}

// ---- who asks ----------------------------------------------------------------------------------

void bundles_show(const struct bundles *bundles, struct buf *out)
{
    char digest[DIGEST_TEXT_SIZE];
    buf_add_byte(out, '[');
    for (size_t i = 0; i < bundles->count; i++) {
        const struct bundle *bundle = bundles->list[i];
        buf_addf(out,
                 "%s{\"name\":\"%s\",\"serial\":%" PRIu64 ",\"made\":%" PRId64
                 ",\"digest\":\"%s\",\"signer\":\"%s\",\"terms\":%zu,\"bytes\":%zu}",
                 i ? "," : "", bundle->terms->name, bundle->terms->serial, bundle->terms->made_s,
                 digest_text(&bundle->digest, digest), bundle->signer, bundle->terms->count,
                 match_bytes(bundle->match));
    }
    buf_add_byte(out, ']');
}

enum err bundles_check(const struct bundles *bundles, const char *name, const char *text,
                       size_t size)
{
    struct terms *terms;
    const struct bundle *bundle;
    TRY(terms_parse(&terms, name, text, size));
    TRY(bundle_new(&bundle, bundles->disguise, terms));
    bundle_drop(bundle);
    return ERR_OK;
}

enum err bundles_find(const struct bundles *bundles, const struct rules_filter *rules,
                      int64_t now_s, const struct bundle **out)
{
    const char *name = rules->bundle ? rules->bundle : "";
    size_t at = bundles ? find(bundles, name) : 0;
    if (!bundles || at == bundles->count)
        return err_note(ERR_UNAVAILABLE, "there is no bundle of terms '%s'", name);
    const struct bundle *bundle = bundles->list[at];
    int64_t age_days = (now_s - bundle->terms->made_s) / DAY_SECONDS;
    if (now_s < bundle->terms->made_s - DAY_SECONDS) // a time zone's worth is none of ours
        return err_note(ERR_UNAVAILABLE, "the bundle of terms '%s' is of a day to come", name);
    if (rules->max_age_days > 0 && age_days > rules->max_age_days)
        return err_note(ERR_UNAVAILABLE,
                        "the bundle of terms '%s' is %" PRId64 " days old; at most %u are allowed",
                        name, age_days, rules->max_age_days);
    if (match_longest(bundle->match) > rules->window)
        return err_note(ERR_UNAVAILABLE,
                        "the bundle of terms '%s' has terms of %zu bytes; the window holds %u",
                        name, match_longest(bundle->match), rules->window);
    *out = bundle_hold(bundle);
    return ERR_OK;
}
