#include "scheduler/master.h"

#include "base/buf.h"
#include "base/log.h"

#include <sodium.h>

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The whole file appears under its name at once: two schedulers that start together agree on one. */
static enum err make_file(const struct buf *text, const char *path)
{
    char draft[4200];
    snprintf(draft, sizeof draft, "%s.%ld", path, (long)getpid());
    int file = open(draft, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (file < 0)
        return err_note(ERR_IO, "session_key: cannot make '%s': %s", path, strerror(errno));
    bool written = write(file, text->data, text->size) == (ssize_t)text->size && fsync(file) == 0;
    close(file);
    bool linked = written && (link(draft, path) == 0 || errno == EEXIST);
    unlink(draft);
    if (!linked)
        return err_note(ERR_IO, "session_key: cannot write '%s': %s", path, strerror(errno));
    log_info("session_key_made", "file=%s", path);
    return ERR_OK;
}

static enum err make(const char *path)
{
    struct keyring ring;
    struct buf text = {0};
    keyring_make(&ring);
    keyring_write(&ring, &text);
    enum err err = make_file(&text, path);
    sodium_memzero(text.data, text.size);
    buf_fini(&text);
    keyring_fini(&ring);
    return err;
}

static enum err read_file(struct keyring *out, int file, const char *path)
{
    struct stat status;
    char bytes[KEYRING_FILE_MAX + 1];
    if (fstat(file, &status) != 0)
        return err_note(ERR_IO, "session_key: cannot read '%s': %s", path, strerror(errno));
    if (status.st_mode & (S_IRWXG | S_IRWXO))
        return err_note(ERR_INVALID, "session_key: '%s' is open to others; chmod 600 it", path);
    ssize_t size = read(file, bytes, sizeof bytes);
    if (size < 0)
        return err_note(ERR_IO, "session_key: cannot read '%s': %s", path, strerror(errno));
    enum err err = size > KEYRING_FILE_MAX
                       ? err_note(ERR_INVALID, "session_key: '%s' must have at most %d bytes", path,
                                  KEYRING_FILE_MAX)
                       : keyring_parse(out, path, bytes, (size_t)size);
    sodium_memzero(bytes, sizeof bytes);
    return err;
}

enum err master_read(struct keyring *out, const char *path)
{
    if (!*path) {
        keyring_make(out);
        log_warn("session_key_random", "sessions=\"end with this process: no session_key is set\"");
        return ERR_OK;
    }
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0 && errno == ENOENT) {
        TRY(make(path));
        file = open(path, O_RDONLY | O_CLOEXEC);
    }
    if (file < 0)
        return err_note(ERR_IO, "session_key: cannot read '%s': %s", path, strerror(errno));
    enum err err = read_file(out, file, path);
    close(file);
    return err;
}
