#include "scheduler/policy/audit_files.h"

#include "base/file.h"
#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    DRAFT_DIGITS = 16,
    REMOVED_MAX = 1000 // at once
};

static enum err failed(const char *what, const char *path)
{
    return err_note(ERR_IO, "audit: cannot %s '%s': %s", what, path, strerror(errno));
}

static void file_path(char out[AUDIT_PATH_MAX], const char *folder, uint64_t number)
{
    snprintf(out, AUDIT_PATH_MAX, "%s/audit-%08" PRIu64 ".txt", folder, number);
}

static void draft_path(char out[AUDIT_PATH_MAX], const char *folder, uint64_t number,
                       const char *root)
{
    snprintf(out, AUDIT_PATH_MAX, "%s/audit-%08" PRIu64 "-%.*s.draft", folder, number, DRAFT_DIGITS,
             root);
}

static void draft_of(char out[AUDIT_PATH_MAX], const char *folder, const struct ledger_seal *seal)
{
    char root[LEDGER_HASH_TEXT_SIZE];
    draft_path(out, folder, seal->number, ledger_hash_text(&seal->root, root));
}

enum err audit_files_open(const char *folder)
{
    if (mkdir(folder, 0700) != 0 && errno != EEXIST) return failed("make", folder);
    if (access(folder, R_OK | W_OK | X_OK) != 0) return failed("use", folder);
    return ERR_OK;
}

/* Of a file's name; 0: it is another. */
static uint64_t number_of(const char *name)
{
    char *end;
    if (strncmp(name, "audit-", 6) != 0 || name[6] < '0' || name[6] > '9') return 0;
    uint64_t number = strtoull(name + 6, &end, 10);
    return strcmp(end, ".txt") == 0 ? number : 0;
}

/* The lowest and the highest number; 0: there is no file. */
static enum err find_files(const char *folder, uint64_t *lowest, uint64_t *highest)
{
    DIR *listing = opendir(folder);
    *lowest = *highest = 0;
    if (!listing) return failed("read", folder);
    for (const struct dirent *entry; (entry = readdir(listing)) != NULL;) {
        uint64_t number = number_of(entry->d_name);
        if (number == 0) continue;
        if (*lowest == 0 || number < *lowest) *lowest = number;
        if (number > *highest) *highest = number;
    }
    closedir(listing);
    return ERR_OK;
}

/* The folder's own entries are on the disk. */
static enum err sync_folder(const char *folder)
{
    int file = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool synced = file >= 0 && fsync(file) == 0;
    if (file >= 0) close(file);
    return synced ? ERR_OK : failed("sync", folder);
}

/* The draft is the file from now on; where there is no draft, it was before. */
static enum err settle(const char *folder, const char *draft, uint64_t number)
{
    char path[AUDIT_PATH_MAX];
    file_path(path, folder, number);
    if (access(draft, F_OK) != 0) return ERR_OK;
    if (link(draft, path) != 0 && errno != EEXIST) return failed("make", path);
    if (unlink(draft) != 0) return failed("remove", draft);
    return sync_folder(folder);
}

static enum err check_file(const char *path, struct ledger_seal *out)
{
    static const struct ledger_reader quiet;
    char *text;
    size_t size;
    TRY(file_read(&text, &size, path, LEDGER_FILE_MAX));
    enum err err = ledger_file_check(out, path, text, size, NULL, &quiet);
    mem_free(text);
    return err;
}

enum err audit_files_newest(const char *folder, uint64_t number, const char *root,
                            struct ledger_seal *out)
{
    char path[AUDIT_PATH_MAX];
    uint64_t lowest, highest;
    draft_path(path, folder, number, root);
    TRY(settle(folder, path, number));
    TRY(find_files(folder, &lowest, &highest));
    if (highest == 0) {
        *out = (struct ledger_seal){0};
        return ERR_OK;
    }
    file_path(path, folder, highest);
    return check_file(path, out);
}

static bool write_all(int file, const char *bytes, size_t size)
{
    while (size > 0) {
        ssize_t written = write(file, bytes, size);
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) return false;
        bytes += written;
        size -= (size_t)written;
    }
    return true;
}

enum err audit_files_draft(const char *folder, const struct ledger_seal *seal, const char *bytes,
                           size_t size)
{
    char path[AUDIT_PATH_MAX];
    draft_of(path, folder, seal);
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (file < 0) return failed("make", path);
    bool written = write_all(file, bytes, size) && fsync(file) == 0;
    enum err err = written ? ERR_OK : failed("write", path);
    close(file);
    return err ? err : sync_folder(folder);
}

enum err audit_files_settle(const char *folder, const struct ledger_seal *seal)
{
    char draft[AUDIT_PATH_MAX];
    draft_of(draft, folder, seal);
    return settle(folder, draft, seal->number);
}

void audit_files_drop(const char *folder, const struct ledger_seal *seal)
{
    char draft[AUDIT_PATH_MAX];
    draft_of(draft, folder, seal);
    unlink(draft);
}

static bool is_older(const char *path, int64_t before_ms)
{
    struct stat status;
    struct ledger_seal seal;
    if (stat(path, &status) != 0 || (int64_t)status.st_mtime * 1000 >= before_ms) return false;
    if (check_file(path, &seal)) return false; // what was tampered with is evidence
    bool older = seal.last_ms < before_ms;
    ledger_seal_fini(&seal);
    return older;
}

size_t audit_files_remove(const char *folder, int64_t before_ms, uint64_t newest)
{
    char path[AUDIT_PATH_MAX];
    uint64_t lowest, highest;
    size_t removed = 0;
    if (find_files(folder, &lowest, &highest) || lowest == 0) return 0;
    for (; lowest < newest && removed < REMOVED_MAX; lowest++, removed++) {
        file_path(path, folder, lowest);
        if (!is_older(path, before_ms) || unlink(path) != 0) break;
    }
    return removed;
}
