/* Metadata that a stranger sends: seven lines, a field each. Nothing but what the key has signed is valid, and ReservedCode1 is read in its one
 * spelling alone. */
#include "base/aigc.h"
#include "base/buf.h"
#include "base/must.h"

#include <sodium.h>

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct sign_secret secret;
static struct sign_keys keys;

static void make_key(void)
{
    if (keys.count > 0) return;
    must(sodium_init() >= 0);
    must(sign_make_key(&secret, "labels-1") == ERR_OK);
    sign_public_of(&keys.keys[0], &secret);
    keys.count = 1;
}

static void read_fields(struct aigc *aigc, const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < AIGC_FIELDS; i++) {
        const uint8_t *newline = size > 0 ? memchr(data, '\n', size) : NULL;
        size_t length = newline ? (size_t)(newline - data) : size;
        size_t taken = length > aigc_fields[i].max ? aigc_fields[i].max : length;
        if (taken > 0) memcpy((char *)aigc + aigc_fields[i].offset, data, taken);
        if (!newline) return;
        data = newline + 1;
        size -= length + 1;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct aigc aigc = {0}, again;
    struct aigc_code code, read;
    make_key();
    read_fields(&aigc, data, size);
    must(aigc_check(&aigc, &keys, NULL) != AIGC_VALID); // the key is younger than the input
    if (!aigc_read_code(&code, aigc.reserved1)) return 0;
    // Signed for the same content, it says the same but for the signature.
    again = aigc;
    aigc_sign(&again, &secret, code.has_content ? &code.content : NULL,
              code.has_label ? &code.label : NULL);
    must(aigc_read_code(&read, again.reserved1));
    must(read.has_content == code.has_content && read.has_label == code.has_label);
    must(memcmp(&read.content, &code.content, sizeof read.content) == 0);
    const char *rest = strchr(strchr(aigc.reserved1, ':') + 1, ':'),
               *same = strchr(strchr(again.reserved1, ':') + 1, ':');
    must(strncmp(rest, same, (size_t)(strrchr(same, ':') - same)) == 0);
    return 0;
}
