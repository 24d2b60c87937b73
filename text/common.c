#include "text/common.h"

#include <stdbool.h>
#include <string.h>

static const char *const words[] = {
#include "text/common_words.def"
};

const char *const *common_words(size_t *count)
{
    *count = sizeof words / sizeof *words;
    return words;
}

/* Ideographs, three bytes each, that are words of the closed classes or stand in those alone. */
static const char ideographs[] =
    "的了着吗呢吧啊呀么嘛"                                           // particles
    "是为在有和与及或而且但并若如因所以于从自由向往对把被给让使将之" // what joins
    "我你您他她它们咱己这那此该其某每各"
    "什谁哪几多少何怎样"
    "不没无非也都就才又还再很太最更只已曾可能会要应需请"
    "一个些种";

static bool is_common(const char *ideograph)
{
    for (const char *at = ideographs; *at; at += 3)
        if (memcmp(at, ideograph, 3) == 0) return true;
    return false;
}

bool common_pair(const char *text, size_t size)
{
    return size == 6 && is_common(text) && is_common(text + 3);
}
