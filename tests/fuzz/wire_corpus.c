/* The fuzzer's corpus as a plain test: every golden body of tests/data/wire, grown ones too, whole, and 2,000
 * seeded mutations of each, through the same entry as libFuzzer's. */
#include "wire/frame.h"
#include "wire/message.h"

#include "base/must.h"
#include "base/rand.h"

#include <stdio.h>
#include <string.h>

enum {
    INPUT_MAX = 4096,
    MUTATIONS = 2000
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* 0: this type has no golden body of this edition, which is not the first. */
static size_t read_input(enum wire_type type, const char *edition, uint8_t input[INPUT_MAX])
{
    char path[256];
    snprintf(path, sizeof path, "tests/data/wire/%s%s.hex", wire_type_name(type), edition);
    FILE *file = fopen(path, "r");
    must(file || *edition);
    if (!file) return 0;
    size_t count = FRAME_HEADER_SIZE;
    for (unsigned byte; count < INPUT_MAX && fscanf(file, "%2x", &byte) == 1;)
        input[count++] = (uint8_t)byte;
    fclose(file);
    frame_write(input, &(struct frame){.type = type, .size = (uint32_t)count - FRAME_HEADER_SIZE});
    // The fuzzer's entry takes types modulo their number, from 1.
    input[5] = (uint8_t)(type - 1);
    return count;
}

static size_t play(enum wire_type type, const char *edition, struct rand *rand)
{
    uint8_t whole[INPUT_MAX], input[INPUT_MAX];
    size_t size = read_input(type, edition, whole);
    if (size == 0) return 0;
    LLVMFuzzerTestOneInput(whole, size);
    for (int i = 0; i < MUTATIONS; i++) {
        memcpy(input, whole, size);
        for (uint64_t hits = 1 + rand_below(rand, 8); hits > 0; hits--)
            input[rand_below(rand, size)] ^= (uint8_t)(1u << rand_below(rand, 8));
        LLVMFuzzerTestOneInput(input, size - rand_below(rand, 4));
    }
    return MUTATIONS;
}

int main(void)
{
    static const char *const editions[] = {"", ".grown", ".candidates", ".scan"};
    struct rand rand;
    rand_init(&rand, 42);
    size_t inputs = 0;
    for (enum wire_type type = 1; type < WIRE_TYPE_COUNT; type++)
        for (size_t i = 0; i < sizeof editions / sizeof *editions; i++)
            inputs += play(type, editions[i], &rand);
    printf("%zu inputs\n", inputs);
    return 0;
}
