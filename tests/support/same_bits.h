/* tests/support/same_bits.h -- design promise 1, asked of a model's logits.
 *
 * The logits of every prefix of a few seeded sequences are computed the plain way (scalar kernels, one thread,
 * one token a step, alone) and then every other way that the engine may take: each must give the same bits. */
#ifndef TESTS_SUPPORT_SAME_BITS_H
#define TESTS_SUPPORT_SAME_BITS_H

#include "kernels/attention.h"

#include <stdint.h>

/* `model` is a file's path; `length` the longest sequence; `kv` what keys and values are kept in. Fails the running CMocka test with the way, sequence and
 * position of the first difference. */
void assert_same_bits(const char *model, uint32_t length, enum kv_kind kv);

#endif
