#include "scheduler/door/openings.h"

#include "base/mem.h"

#include <sodium.h>

#include <stdint.h>
#include <string.h>

/* At the place that its hash says; a newer one takes it. */
struct opening {
    uint64_t text, user; // hashes; text 0: none
    bool common;
};

struct openings {
    unsigned char key[crypto_generichash_KEYBYTES]; // of this process
    struct opening slots[OPENINGS_MAX];
};

struct openings *openings_new(void)
{
    struct openings *openings = mem_new(1, sizeof *openings);
    randombytes_buf(openings->key, sizeof openings->key);
    return openings;
}

void openings_free(struct openings *openings)
{
    mem_free(openings);
}

/* Of the tenant and what stands behind it; never 0. */
static uint64_t hash_of(const struct openings *openings, const char *tenant, const char *text,
                        size_t size)
{
    crypto_generichash_state state;
    unsigned char hash[crypto_generichash_BYTES_MIN];
    uint64_t out;
    crypto_generichash_init(&state, openings->key, sizeof openings->key, sizeof hash);
    crypto_generichash_update(&state, (const unsigned char *)tenant, strlen(tenant) + 1);
    crypto_generichash_update(&state, (const unsigned char *)text, size);
    crypto_generichash_final(&state, hash, sizeof hash);
    memcpy(&out, hash, sizeof out);
    return out ? out : 1;
}

bool openings_is_common(struct openings *openings, const char *tenant, const char *user,
                        const char *text, size_t size)
{
    uint64_t what = hash_of(openings, tenant, text, size);
    uint64_t who = hash_of(openings, tenant, user, strlen(user));
    struct opening *slot = &openings->slots[what % OPENINGS_MAX];
    if (slot->text != what) *slot = (struct opening){.text = what, .user = who};
    slot->common |= slot->user != who;
    return slot->common;
}
