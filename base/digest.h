/* base/digest.h -- what a thing is, in 16 bytes: BLAKE2b (RFC 7693) through libsodium, 128 bits.
 *
 * Digests name text packs, models, adapters, numerics and grammars. Equal digests are taken as
 * equal things. Thread: any. */
#ifndef BASE_DIGEST_H
#define BASE_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    DIGEST_SIZE = 16,
    DIGEST_TEXT_SIZE = 2 * DIGEST_SIZE + 1
};

struct digest {
    uint8_t bytes[DIGEST_SIZE];
};

struct digest digest_of(const void *bytes, size_t size);
/* The same of bytes that come piece by piece, in order. digester_end() gives the digest and frees. */
struct digester;
struct digester *digester_new(void);
void digester_add(struct digester *digester, const void *bytes, size_t size);
struct digest digester_end(struct digester *digester);

/* A name in 64 bits, for comparing: the first of its digest. */
uint64_t digest_tag(const char *name);

bool digest_equal(const struct digest *a, const struct digest *b);
bool digest_is_zero(const struct digest *digest);
/* Lower-case hexadecimal into `text`, which is returned. */
char *digest_text(const struct digest *digest, char text[DIGEST_TEXT_SIZE]);

#endif
