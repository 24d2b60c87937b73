#include "base/digest.h"

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
