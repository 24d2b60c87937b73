/* base/file.h -- small files, read whole; secrets, written so that nobody else can read them.
 *
 * Thread: any. */
#ifndef BASE_FILE_H
#define BASE_FILE_H

#include "base/err.h"

#include <stddef.h>

/* The bytes with a NUL behind them, to be mem_free()d. ERR_IO: the system's reason; ERR_TOO_LARGE: more than `most` bytes. Notes begin
 * with the path. */
enum err file_read(char **out, size_t *size, const char *path, size_t most);

/* A new file with this mode; ERR_CONFLICT: there is one, and it stays. ERR_IO. */
enum err file_create(const char *path, unsigned mode, const void *bytes, size_t size);

#endif
