/* base/murmur.h -- MurmurHash3, 32 bits (Austin Appleby, public domain; written from its description): it spreads well and anybody can
 * compute it, so that who is in a rollout can be checked elsewhere. No secret: never where a stranger's choice of input does harm.
 *
 * Thread: any. */
#ifndef BASE_MURMUR_H
#define BASE_MURMUR_H

#include <stddef.h>
#include <stdint.h>

uint32_t murmur3(const void *bytes, size_t size, uint32_t seed);

#endif
