#include "scheduler/state/owner.h"

#include <sodium.h>

#include <string.h>

enum {
    HASH_SIZE = 16
};

void owner_key_init(struct owner_key *key, const unsigned char root[OWNER_ROOT_SIZE])
{
    _Static_assert(OWNER_ROOT_SIZE == crypto_kdf_KEYBYTES, "a key of libsodium");
    crypto_kdf_derive_from_key(key->bytes, sizeof key->bytes, 1, "qiaoname", root);
}

void owner_write(char out[OWNER_TEXT_SIZE], const struct owner_key *key, const char *tenant,
                 const char *user)
{
    unsigned char hash[HASH_SIZE];
    crypto_generichash_state state;
    crypto_generichash_init(&state, key->bytes, sizeof key->bytes, HASH_SIZE);
    // The NUL of the tenant's text parts the two names.
    crypto_generichash_update(&state, (const unsigned char *)tenant, strlen(tenant) + 1);
    crypto_generichash_update(&state, (const unsigned char *)user, strlen(user));
    crypto_generichash_final(&state, hash, HASH_SIZE);
    sodium_bin2hex(out, OWNER_TEXT_SIZE, hash, HASH_SIZE);
}
