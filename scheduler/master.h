/* scheduler/master.h -- the key that seals sessions, from a file of the operator's.
 *
 * All schedulers of a cluster need the same one. Thread: main's, at start. */
#ifndef SCHEDULER_MASTER_H
#define SCHEDULER_MASTER_H

#include "scheduler/state/session.h"

#include "base/err.h"

/* Read 32 bytes from `path`. A file that is missing is made, readable for its owner alone, and the
 * log says so. With path "" the key is random: sessions end with this process, and the log says
 * so. ERR_IO, ERR_INVALID name the file; a file that others may read is refused. */
enum err master_read(unsigned char master[SESSION_KEY_SIZE], const char *path);

#endif
