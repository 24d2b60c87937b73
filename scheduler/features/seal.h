/* scheduler/features/seal.h -- the records of a history as Redis has them: sealed, as the turns of sessions are.
 *
 *      qiao:{u:OWNER}:event_key            the history's data key, wrapped by a master key (state/keyring.h)
 *      qiao:{u:OWNER}:event_key:SOURCE     that of a partner's events; each with "@HOME" behind it where they are of a region (home.h)
 *
 *      offset  bytes  a record
 *           0      4  "QSV1": a sealed event, format 1
 *           4     24  nonce of XChaCha20-Poly1305, random
 *          28   rest  the event's JSON, sealed, and the tag of 16 bytes
 *
 * Associated data: "QSV1", the owner's 32 digits, the source with its home. So a record that is moved to another user, source or region
 * does not open.
 * The data key is drawn with the first event and goes with the last; each write wraps it by the newest master key. Records of
 * earlier versions are JSON as it is, and read as such. Thread: any; a seal is a value, wipe it with seal_fini(). */
#ifndef SCHEDULER_FEATURES_SEAL_H
#define SCHEDULER_FEATURES_SEAL_H

#include "scheduler/features/home.h"
#include "scheduler/state/keyring.h"
#include "scheduler/state/owner.h"

#include "base/digest.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

struct buf;

struct seal {
    char owner[OWNER_TEXT_SIZE];
    char source[HOME_TAIL_SIZE]; // "": the user's own events, "@HOME": of a region
    unsigned char key[KEYRING_KEY_SIZE];
};

/* With a data key of chance. */
void seal_draw(struct seal *out, const char *owner, const char *source);
/* With the one that is wrapped there. ERR_INTERNAL: it does not open, and the note says why. */
enum err seal_unwrap(struct seal *out, const struct keyring *keys, const char *owner,
                     const char *source, const char *bytes, size_t size);
void seal_wrap(const struct seal *seal, const struct keyring *keys,
               unsigned char out[KEYRING_WRAPPED_SIZE]);
void seal_fini(struct seal *seal);

/* A record of the text is added to `out`. */
void seal_close(const struct seal *seal, const char *text, size_t size, struct buf *out);
/* `out` becomes the record's text. ERR_INTERNAL: it is damaged, or another's. `seal` NULL: there is no key, and only records
 * of earlier versions open. */
enum err seal_open(const struct seal *seal, const char *bytes, size_t size, struct buf *out);
/* What stands for an event's id, keyed: who reads Redis cannot tell which id it was. */
struct digest seal_id(const struct seal *seal, const char *id);

#endif
