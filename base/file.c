#include "base/file.h"

#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum err file_read(char **out, size_t *size, const char *path, size_t most)
{
    FILE *file = fopen(path, "re");
    if (!file) return err_note(ERR_IO, "cannot read '%s': %s", path, strerror(errno));
    char *bytes = mem_new(1, most + 2);
    size_t got = fread(bytes, 1, most + 1, file);
    int failed = ferror(file) ? errno : 0;
    fclose(file);
    enum err err = ERR_OK;
    if (failed)
        err = err_note(ERR_IO, "cannot read '%s': %s", path, strerror(failed));
    else if (got > most)
        err = err_note(ERR_TOO_LARGE, "%s: larger than %zu bytes", path, most);
    if (err) {
        mem_free(bytes);
        return err;
    }
    *out = bytes;
    *size = got;
    return ERR_OK;
}

static enum err write_all(int fd, const char *bytes, size_t size)
{
    while (size > 0) {
        ssize_t put = write(fd, bytes, size);
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) return ERR_IO;
        bytes += put;
        size -= (size_t)put;
    }
    return fsync(fd) == 0 ? ERR_OK : ERR_IO;
}

enum err file_create(const char *path, unsigned mode, const void *bytes, size_t size)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, (mode_t)mode);
    if (fd < 0 && errno == EEXIST)
        return err_note(ERR_CONFLICT, "'%s' is there already, and stays as it is", path);
    if (fd < 0) return err_note(ERR_IO, "cannot write '%s': %s", path, strerror(errno));
    enum err err = write_all(fd, bytes, size);
    if (err) err = err_note(ERR_IO, "cannot write '%s': %s", path, strerror(errno));
    close(fd);
    if (err) unlink(path);
    return err;
}
