/* audit seal, verify, export: the sealed records of what happened, checked without the cluster. */
#include "client/ctl/call.h"
#include "client/ctl/compliance.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/ledger_file.h"
#include "base/mem.h"

#include <jansson.h>
#include <sodium.h>

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
    FILES_MAX = 100000
};

/* A walk through files in their order. */
struct walk {
    const struct ctl_conf *conf;
    struct sign_keys keys;
    struct ledger_seal before; // the latest file that was read
    bool begun;
    bool has_keys; // else signatures are not looked at
    bool exports;
    bool quiet;       // about gaps
    const char *name; // of the file
    uint64_t number;  // that is to come; 0: unknown
    uint64_t files, records, gaps;
};

enum ctl_exit ctl_audit_seal(const struct ctl_conf *conf, struct qiao *qiao)
{
    json_t *answer = NULL;
    enum ctl_exit code = call_post(conf, qiao, "/admin/audit/seal", "{}", NULL, &answer);
    if (code) return code;
    if (conf->json) {
        call_print_json(answer);
        return CTL_GOOD;
    }
    const json_t *file = json_object_get(answer, "file");
    const char *root = json_string_value(json_object_get(file, "root"));
    if (root)
        printf("file %lld: %lld records, root %s\n", call_count(file, "number"),
               call_count(file, "records"), root);
    else
        printf("there was nothing to seal\n");
    json_decref(answer);
    return CTL_GOOD;
}

// ---- one file ----------------------------------------------------------------------------------

static void export_record(const struct walk *walk, const struct ledger_record *record)
{
    char name[LEDGER_NAME_MAX + 1], value[LEDGER_VALUE_MAX + 1], hash[LEDGER_HASH_TEXT_SIZE];
    json_t *fields = json_object();
    for (size_t i = 0; ledger_field_at(record, i, name, value); i++) {
        json_t *text = json_string(value);
        json_object_set_new(fields, name, text ? text : json_string("(not UTF-8)"));
    }
    call_print_json(json_pack("{s:s, s:s, s:I, s:I, s:s#, s:o, s:s}", "file", walk->name, "chain",
                              record->chain.id, "number", (json_int_t)record->chain.seq, "time",
                              (json_int_t)record->time_ms, "class", record->class,
                              (int)record->class_size, "fields", fields, "hash",
                              ledger_hash_text(&record->chain.head, hash)));
}

static void on_record(void *argument, const struct ledger_record *record)
{
    struct walk *walk = argument;
    walk->records++;
    if (walk->exports) export_record(walk, record);
}

static void on_gap(void *argument, const char *text)
{
    struct walk *walk = argument;
    walk->gaps++;
    if (walk->quiet) return;
    if (walk->exports || walk->conf->json)
        fprintf(stderr, "qiaoctl: %s: %s\n", walk->name, text);
    else
        printf("%s: gap: %s\n", walk->name, text);
}

static enum ctl_exit read_one(struct walk *walk, const char *path)
{
    static const struct ledger_seal none;
    char *text, root[LEDGER_HASH_TEXT_SIZE];
    size_t size;
    struct ledger_seal seal;
    const char *slash = strrchr(path, '/');
    const struct ledger_seal *before = walk->begun ? &walk->before : NULL;
    const struct ledger_reader reader = {on_record, on_gap, walk,
                                         walk->has_keys ? &walk->keys : NULL};
    walk->name = slash ? slash + 1 : path;
    if (!before && walk->number == 1) before = &none;
    if (file_read(&text, &size, path, LEDGER_FILE_MAX)) return call_wrong_err();
    enum err err = ledger_file_check(&seal, walk->name, text, size, before, &reader);
    mem_free(text);
    if (err) return call_wrong_err();
    ledger_seal_fini(&walk->before);
    walk->before = seal;
    walk->begun = true;
    walk->files++;
    if (!walk->exports && !walk->conf->json && !walk->quiet)
        printf("%s: %" PRIu64 " records, %zu chains, root %s\n", walk->name, seal.records,
               seal.count, ledger_hash_text(&seal.root, root));
    return CTL_GOOD;
}

// ---- a folder ----------------------------------------------------------------------------------

static int by_number(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

static uint64_t number_of(const char *name)
{
    char *end;
    if (strncmp(name, "audit-", 6) != 0 || name[6] < '0' || name[6] > '9') return 0;
    uint64_t number = strtoull(name + 6, &end, 10);
    return strcmp(end, ".txt") == 0 ? number : 0;
}

static size_t list_files(DIR *listing, uint64_t *numbers)
{
    size_t count = 0;
    for (const struct dirent *entry; (entry = readdir(listing)) != NULL && count < FILES_MAX;) {
        uint64_t number = number_of(entry->d_name);
        if (number > 0) numbers[count++] = number;
    }
    qsort(numbers, count, sizeof *numbers, by_number);
    return count;
}

static enum ctl_exit read_files(struct walk *walk, const char *folder, const uint64_t *numbers,
                                size_t count)
{
    struct buf path = {0};
    enum ctl_exit code = CTL_GOOD;
    for (size_t i = 0; i < count && !code; i++) {
        if (i > 0 && numbers[i] != numbers[i - 1] + 1) {
            fprintf(stderr, "qiaoctl: %s: file %" PRIu64 " is missing\n", folder,
                    numbers[i - 1] + 1);
            code = CTL_FAILED;
            break;
        }
        walk->number = numbers[i];
        buf_clear(&path);
        buf_addf(&path, "%s/audit-%08" PRIu64 ".txt", folder, numbers[i]);
        code = read_one(walk, buf_text(&path));
    }
    buf_fini(&path);
    return code;
}

static enum ctl_exit read_folder(struct walk *walk, const char *folder)
{
    DIR *listing = opendir(folder);
    if (!listing) {
        fprintf(stderr, "qiaoctl: cannot read '%s': %s\n", folder, strerror(errno));
        return CTL_FAILED;
    }
    uint64_t *numbers = mem_new(FILES_MAX, sizeof *numbers);
    size_t count = list_files(listing, numbers);
    closedir(listing);
    enum ctl_exit code = CTL_FAILED;
    if (count > 0)
        code = read_files(walk, folder, numbers, count);
    else
        fprintf(stderr, "qiaoctl: '%s' has no audit-NUMBER.txt\n", folder);
    mem_free(numbers);
    return code;
}

/* The last file is the one whose root was published. */
static enum ctl_exit check_root(const struct walk *walk)
{
    char root[LEDGER_HASH_TEXT_SIZE];
    ledger_hash_text(&walk->before.root, root);
    if (!*walk->conf->root || strcmp(walk->conf->root, root) == 0) return CTL_GOOD;
    fprintf(stderr,
            "qiaoctl: the newest file's root is %s, not --root: a file is missing, or all "
            "were written anew\n",
            root);
    return CTL_FAILED;
}

static enum ctl_exit walk_path(struct walk *walk, const char *path)
{
    struct stat status;
    if (sodium_init() < 0) return CTL_FAILED;
    walk->has_keys = *walk->conf->keys != '\0';
    if (walk->has_keys && sign_read_keys(&walk->keys, walk->conf->keys)) return call_wrong_err();
    bool folder = stat(path, &status) == 0 && S_ISDIR(status.st_mode);
    enum ctl_exit code = folder ? read_folder(walk, path) : read_one(walk, path);
    if (!code) code = check_root(walk);
    return code;
}

enum ctl_exit ctl_audit_verify(const struct ctl_conf *conf, struct qiao *qiao, const char *path)
{
    struct walk walk = {.conf = conf};
    char root[LEDGER_HASH_TEXT_SIZE];
    (void)qiao;
    enum ctl_exit code = walk_path(&walk, path);
    if (!code && conf->json)
        call_print_json(json_pack("{s:b, s:I, s:I, s:I, s:s}", "verified", 1, "files",
                                  (json_int_t)walk.files, "records", (json_int_t)walk.records,
                                  "gaps", (json_int_t)walk.gaps, "root",
                                  ledger_hash_text(&walk.before.root, root)));
    else if (!code)
        printf("verified: %" PRIu64 " files, %" PRIu64 " records, %" PRIu64 " gaps%s\n", walk.files,
               walk.records, walk.gaps,
               *conf->keys ? "" : "; signatures were not checked (--keys)");
    ledger_seal_fini(&walk.before);
    return code;
}

enum ctl_exit ctl_audit_export(const struct ctl_conf *conf, struct qiao *qiao, const char *path)
{
    struct walk walk = {.conf = conf, .exports = true};
    (void)qiao;
    enum ctl_exit code = walk_path(&walk, path);
    ledger_seal_fini(&walk.before);
    return code;
}

enum ctl_exit audit_check(const struct ctl_conf *conf, const char *folder,
                          const struct sign_keys *keys, struct audit_found *out)
{
    struct walk walk = {.conf = conf, .keys = *keys, .has_keys = keys->count > 0, .quiet = true};
    enum ctl_exit code = read_folder(&walk, folder);
    *out = (struct audit_found){walk.files, walk.records, walk.gaps, ""};
    if (!code) ledger_hash_text(&walk.before.root, out->root);
    ledger_seal_fini(&walk.before);
    return code;
}
