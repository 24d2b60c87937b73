/* scheduler/state/keyring.h -- the master keys of sessions: the newest wraps data keys, all of them unwrap.
 *
 * The operator's file is either 32 bytes, which are the root and the key of id 0, or text:
 *
 *      qiao session keys 1
 *      root  64 hexadecimal digits     owners' names in Redis and the salts of prefix caches; never changes
 *      key 2 64 hexadecimal digits     the newest: what is written is wrapped by it
 *      key 1 64 hexadecimal digits     still unwraps
 *
 * Empty lines and lines that begin with '#' say nothing. docs/redis.md tells how to rotate.
 *
 * A wrapped data key is KEYRING_WRAPPED_SIZE bytes; integers are little-endian:
 *
 *      offset  bytes  field
 *           0      4  "QSK1"
 *           4      4  id of the master key
 *           8     24  nonce of XChaCha20-Poly1305, random
 *          32     48  the data key, sealed, and its tag
 *
 * Associated data: the first 8 bytes and what the caller binds it to. Thread: any; a keyring is a value, wipe it with
 * keyring_fini(). */
#ifndef SCHEDULER_STATE_KEYRING_H
#define SCHEDULER_STATE_KEYRING_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;

enum {
    KEYRING_KEY_SIZE = 32,
    KEYRING_KEYS_MAX = 16,
    KEYRING_FILE_MAX = 4096, // bytes
    KEYRING_WRAPPED_SIZE = 80
};

struct keyring_key {
    uint32_t id;
    unsigned char secret[KEYRING_KEY_SIZE];
};

struct keyring {
    unsigned char root[KEYRING_KEY_SIZE];
    struct keyring_key keys[KEYRING_KEYS_MAX]; // newest first
    size_t count;                              // at least 1
};

/* A root and one key, of chance. */
void keyring_make(struct keyring *out);
/* The text form of a file. */
void keyring_write(const struct keyring *ring, struct buf *out);
/* ERR_INVALID names file, line and what would be right; the note never holds a key. */
enum err keyring_parse(struct keyring *out, const char *name, const char *bytes, size_t size);
void keyring_fini(struct keyring *ring);

/* Seal a data key with the newest master key. */
void keyring_wrap(const struct keyring *ring, const unsigned char key[KEYRING_KEY_SIZE],
                  const struct buf *bound, unsigned char out[KEYRING_WRAPPED_SIZE]);
/* What was wrapped is so by the newest one. */
bool keyring_is_newest(const struct keyring *ring,
                       const unsigned char wrapped[KEYRING_WRAPPED_SIZE]);
/* ERR_INTERNAL: the master key is not in the file (the note says its id), or the bytes are damaged or bound to another
 * thing. */
enum err keyring_unwrap(const struct keyring *ring, const char *bytes, size_t size,
                        const struct buf *bound, unsigned char key[KEYRING_KEY_SIZE]);

#endif
