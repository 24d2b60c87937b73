#include "base/digest.h"

#include "base/mem.h"
#include "base/must.h"

#include <sodium.h>

#include <string.h>

struct digest digest_of(const void *bytes, size_t size)
{
    struct digest digest;
    int result = crypto_generichash(digest.bytes, sizeof digest.bytes, bytes, size, NULL, 0);
    must(result == 0);
    return digest;
}

/* The hash's state asks for more alignment than the allocator promises, so the room is found within a larger one. */
struct digester {
    unsigned char room[sizeof(crypto_generichash_state) + 64];
};

static crypto_generichash_state *hash_state(struct digester *digester)
{
    uintptr_t at = (uintptr_t)digester->room;
    return (crypto_generichash_state *)((at + 63) / 64 * 64);
}

struct digester *digester_new(void)
{
    struct digester *digester = mem_new(1, sizeof *digester);
    must(crypto_generichash_init(hash_state(digester), NULL, 0, DIGEST_SIZE) == 0);
    return digester;
}

void digester_add(struct digester *digester, const void *bytes, size_t size)
{
    must(crypto_generichash_update(hash_state(digester), bytes, size) == 0);
}

struct digest digester_end(struct digester *digester)
{
    struct digest digest;
    must(crypto_generichash_final(hash_state(digester), digest.bytes, sizeof digest.bytes) == 0);
    mem_free(digester);
    return digest;
}

uint64_t digest_tag(const char *name)
{
    uint64_t tag;
    struct digest digest = digest_of(name, strlen(name));
    memcpy(&tag, digest.bytes, sizeof tag);
    return tag;
}

bool digest_equal(const struct digest *a, const struct digest *b)
{
    return memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

bool digest_is_zero(const struct digest *digest)
{
    static const struct digest zero;
    return digest_equal(digest, &zero);
}

char *digest_text(const struct digest *digest, char text[DIGEST_TEXT_SIZE])
{
    static const char hex[] = "0123456789abcdef";
    for (size_t i = 0; i < DIGEST_SIZE; i++) {
        text[2 * i] = hex[digest->bytes[i] >> 4];
        text[2 * i + 1] = hex[digest->bytes[i] & 15];
    }
    text[DIGEST_TEXT_SIZE - 1] = '\0';
    return text;
}
