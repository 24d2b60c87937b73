#include "base/hex.h"

#include <sodium.h>

#include <string.h>

bool hex_read(unsigned char *out, size_t size, const char *text)
{
    size_t got = 0;
    return text && strlen(text) == 2 * size &&
           sodium_hex2bin(out, size, text, 2 * size, NULL, &got, NULL) == 0 && got == size;
}
