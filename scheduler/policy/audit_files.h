/* scheduler/policy/audit_files.h -- the folder of sealed audit files.
 *
 *      audit-00000012.txt            file 12 (base/ledger_file.h); never written again
 *      audit-00000013-ROOT.draft     what becomes file 13 once Redis knows its root; ROOT's first 16 digits
 *
 * Calls wait for the disk: they are for a worker. Failures are ERR_IO, ERR_TOO_LARGE, ERR_FORMAT, with notes that name the file.
 *
 * Thread: any, one at a time for a folder. */
#ifndef SCHEDULER_POLICY_AUDIT_FILES_H
#define SCHEDULER_POLICY_AUDIT_FILES_H

#include "base/err.h"
#include "base/ledger_file.h"

#include <stddef.h>
#include <stdint.h>

enum {
    AUDIT_PATH_MAX = 4200
};

/* Make the folder where it is missing; it can be written to. */
enum err audit_files_open(const char *folder);
/* The newest file, checked; a draft that is `root`'s (of the file `number`, the last one that Redis knows) becomes one before. Number 0:
 * there is none. */
enum err audit_files_newest(const char *folder, uint64_t number, const char *root,
                            struct ledger_seal *out);
/* Write what becomes a file, so that it outlives a crash. */
enum err audit_files_draft(const char *folder, const struct ledger_seal *seal, const char *bytes,
                           size_t size);
/* Now it is one. */
enum err audit_files_settle(const char *folder, const struct ledger_seal *seal);
/* It is none. */
void audit_files_drop(const char *folder, const struct ledger_seal *seal);
/* Remove the oldest files whose records and times of change are all older than that; the newest one stays. Counts them. */
size_t audit_files_remove(const char *folder, int64_t before_ms, uint64_t newest);

#endif
