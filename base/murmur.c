#include "base/murmur.h"

static uint32_t rotate(uint32_t value, unsigned bits)
{
    return (value << bits) | (value >> (32 - bits));
}

static uint32_t scramble(uint32_t block)
{
    return rotate(block * UINT32_C(0xcc9e2d51), 15) * UINT32_C(0x1b873593);
}

/* So that each bit of what comes in changes half of those that go out. */
static uint32_t finish(uint32_t hash)
{
    hash = (hash ^ (hash >> 16)) * UINT32_C(0x85ebca6b);
    hash = (hash ^ (hash >> 13)) * UINT32_C(0xc2b2ae35);
    return hash ^ (hash >> 16);
}

uint32_t murmur3(const void *bytes, size_t size, uint32_t seed)
{
    const unsigned char *at = bytes;
    uint32_t hash = seed, tail = 0;
    size_t whole = size / 4 * 4;
    for (size_t i = 0; i < whole; i += 4) {
        uint32_t block = at[i] | (uint32_t)at[i + 1] << 8 | (uint32_t)at[i + 2] << 16 |
                         (uint32_t)at[i + 3] << 24;
        hash = rotate(hash ^ scramble(block), 13) * 5 + UINT32_C(0xe6546b64);
    }
    for (size_t i = size; i > whole; i--)
        tail = tail << 8 | at[i - 1];
    if (size > whole) hash ^= scramble(tail);
    return finish(hash ^ (uint32_t)size);
}
