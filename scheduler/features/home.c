#include "scheduler/features/home.h"

#include <sodium.h>

#include <string.h>

enum {
    HASH_SIZE = 8 // a user has few regions
};

void home_write(char out[HOME_SIZE], const struct keyring *keys, const char *owner,
                const char *region)
{
    unsigned char key[crypto_kdf_KEYBYTES], hash[crypto_generichash_BYTES_MIN];
    crypto_generichash_state state;
    out[0] = '\0';
    if (!*region) return;
    crypto_kdf_derive_from_key(key, sizeof key, 1, "qiaohome", keys->root);
    crypto_generichash_init(&state, key, sizeof key, sizeof hash);
    // The NUL parts the names.
    crypto_generichash_update(&state, (const unsigned char *)owner, strlen(owner) + 1);
    crypto_generichash_update(&state, (const unsigned char *)region, strlen(region));
    crypto_generichash_final(&state, hash, sizeof hash);
    out[0] = '@';
    sodium_bin2hex(out + 1, HOME_SIZE - 1, hash, HASH_SIZE);
    sodium_memzero(key, sizeof key);
}
