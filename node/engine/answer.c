#include "node/engine/answer.h"

#include <math.h>

static bool are_finite(const float *values, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!isfinite(values[i])) return false;
    return true;
}

bool answer_is_finite(const struct answer *answer)
{
    return are_finite(answer->vector, answer->vector_size) &&
           are_finite(answer->scores, answer->row_count) &&
           are_finite(answer->weights, answer->weight_count);
}
