#include "scheduler/master.h"

#include "base/log.h"

#include <sodium.h>

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The whole key appears under its name at once: two schedulers that start together agree on one. */
static enum err make_file(const unsigned char master[SESSION_KEY_SIZE], const char *path)
{
    char draft[4200];
    snprintf(draft, sizeof draft, "%s.%ld", path, (long)getpid());
    int file = open(draft, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (file < 0)
        return err_note(ERR_IO, "session_key: cannot make '%s': %s", path, strerror(errno));
    bool written = write(file, master, SESSION_KEY_SIZE) == SESSION_KEY_SIZE && fsync(file) == 0;
    close(file);
    bool linked = written && (link(draft, path) == 0 || errno == EEXIST);
    unlink(draft);
    if (!linked)
        return err_note(ERR_IO, "session_key: cannot write '%s': %s", path, strerror(errno));
    log_info("session_key_made", "file=%s", path);
    return ERR_OK;
}

static enum err read_file(unsigned char master[SESSION_KEY_SIZE], int file, const char *path)
{
    struct stat status;
    unsigned char more;
    if (fstat(file, &status) != 0)
        return err_note(ERR_IO, "session_key: cannot read '%s': %s", path, strerror(errno));
    if (status.st_mode & (S_IRWXG | S_IRWXO))
        return err_note(ERR_INVALID, "session_key: '%s' is open to others; chmod 600 it", path);
    if (read(file, master, SESSION_KEY_SIZE) != SESSION_KEY_SIZE || read(file, &more, 1) != 0)
        return err_note(ERR_INVALID, "session_key: '%s' must have exactly %d bytes", path,
                        SESSION_KEY_SIZE);
    return ERR_OK;
}

enum err master_read(unsigned char master[SESSION_KEY_SIZE], const char *path)
{
    if (!*path) {
        randombytes_buf(master, SESSION_KEY_SIZE);
        log_warn("session_key_random", "sessions=\"end with this process: no session_key is set\"");
        return ERR_OK;
    }
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0 && errno == ENOENT) {
        randombytes_buf(master, SESSION_KEY_SIZE);
        TRY(make_file(master, path));
        file = open(path, O_RDONLY | O_CLOEXEC);
    }
    if (file < 0)
        return err_note(ERR_IO, "session_key: cannot read '%s': %s", path, strerror(errno));
    enum err err = read_file(master, file, path);
    close(file);
    return err;
}
