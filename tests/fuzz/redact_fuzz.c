/* Any bytes as a text, any kinds: what is not found is kept, and what is written has nothing left to find of those that are no address
 * (a placeholder's neighbours may make a new one). Built with libFuzzer, or with tests/fuzz/corpus.c. */
#include "text/redact.h"

#include "base/buf.h"
#include "base/must.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint32_t counts[REDACT_KINDS], sum = 0;
    struct buf out = {0}, again = {0};
    uint32_t kinds = size ? data[0] % (1u << REDACT_KINDS) : 0;
    size_t count = redact_text(kinds, (const char *)data, size, &out, counts);
    for (size_t i = 0; i < REDACT_KINDS; i++) {
        must(counts[i] == 0 || kinds & (1u << i));
        sum += counts[i];
    }
    must(sum == count && (count > 0 || out.size == 0));
    if (count > 0) {
        must(memchr(out.data, '[', out.size));
        uint32_t numbers = kinds & ~(1u << REDACT_ADDRESS) & ~(1u << REDACT_EMAIL);
        must(kinds != numbers || redact_text(numbers, out.data, out.size, &again, NULL) == 0);
    }
    buf_fini(&out);
    buf_fini(&again);
    return 0;
}
