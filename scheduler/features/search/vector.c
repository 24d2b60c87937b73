#include "scheduler/features/search/vector.h"

#include "base/buf.h"
#include "base/must.h"

#include <math.h>
#include <string.h>

enum {
    FORMAT = 1,
    AMAX = 127
};

static void put(uint8_t *out, uint64_t value, size_t size)
{
    for (size_t i = 0; i < size; i++)
        out[i] = (uint8_t)(value >> 8 * i);
}

static uint64_t get(const uint8_t *in, size_t size)
{
    uint64_t value = 0;
    for (size_t i = 0; i < size; i++)
        value |= (uint64_t)in[i] << 8 * i;
    return value;
}

bool vector_read(struct vector *out, const char *record, size_t size)
{
    const uint8_t *bytes = (const uint8_t *)record;
    if (size < VECTOR_HEAD_SIZE || bytes[0] != FORMAT) return false;
    uint32_t scale = (uint32_t)get(bytes + 13, 4);
    *out = (struct vector){.number = (uint32_t)get(bytes + 1, 4),
                           .digest = get(bytes + 5, 8),
                           .size = (uint32_t)get(bytes + 17, 2),
                           .values = (const int8_t *)(bytes + VECTOR_HEAD_SIZE)};
    memcpy(&out->scale, &scale, sizeof scale);
    return out->size > 0 && out->size <= VECTOR_SIZE_MAX && size == VECTOR_HEAD_SIZE + out->size &&
           out->number < VECTOR_NUMBERS_MAX && isfinite(out->scale) && out->scale >= 0;
}

void vector_write(struct buf *out, const struct vector *vector)
{
    uint8_t head[VECTOR_HEAD_SIZE] = {FORMAT};
    uint32_t scale;
    must(vector->size > 0 && vector->size <= VECTOR_SIZE_MAX);
    memcpy(&scale, &vector->scale, sizeof scale);
    put(head + 1, vector->number, 4);
    put(head + 5, vector->digest, 8);
    put(head + 13, scale, 4);
    put(head + 17, vector->size, 2);
    buf_add(out, head, sizeof head);
    buf_add(out, vector->values, vector->size);
}

bool vector_quantise(const float *numbers, size_t size, int8_t *values, float *scale)
{
    float most = 0;
    for (size_t i = 0; i < size; i++) {
        if (!isfinite(numbers[i])) return false;
        if (fabsf(numbers[i]) > most) most = fabsf(numbers[i]);
    }
    *scale = most / AMAX;
    for (size_t i = 0; i < size; i++) {
        float value = *scale > 0 ? rintf(numbers[i] / *scale) : 0;
        values[i] = (int8_t)(value > AMAX ? AMAX : value < -AMAX ? -AMAX : value);
    }
    return true;
}

uint64_t vector_digest(const struct digest *model, const struct digest *adapter, const char *text,
                       size_t size)
{
    struct digester *digester = digester_new();
    digester_add(digester, model->bytes, sizeof model->bytes);
    digester_add(digester, adapter->bytes, sizeof adapter->bytes);
    digester_add(digester, text, size);
    struct digest digest = digester_end(digester);
    uint64_t value = get(digest.bytes, 8);
    return value ? value : 1;
}
