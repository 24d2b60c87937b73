/* scheduler/master.h -- the keys that seal sessions, from a file of the operator's.
 *
 * All schedulers of a cluster need the same one. Thread: main's, at start. */
#ifndef SCHEDULER_MASTER_H
#define SCHEDULER_MASTER_H

#include "scheduler/state/keyring.h"

#include "base/err.h"

/* Read the file `path` (keyring.h says what stands there). A file that is missing is made, readable for its owner
 * alone, and the log says so. With path "" the keys are random: sessions end with this process, and the log says
 * so. ERR_IO, ERR_INVALID name the file; a file that others may read is refused. */
enum err master_read(struct keyring *out, const char *path);

#endif
