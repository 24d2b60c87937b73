#include "scheduler/policy/producer.h"

#include "scheduler/policy/rules.h"

#include <stdbool.h>
#include <string.h>

enum {
    SUBJECT_AT = 2,
    NUMBER_KIND_AT = 3,
    NUMBER_AT = 4,
    NUMBER_SIZE = 18,
    SERVICE_AT = NUMBER_AT + NUMBER_SIZE
};

/* GB 32100-2015: digits and capitals but I, O, S, V, Z, each worth its place; the last makes the weighted sum a multiple of 31. */
static bool is_credit_code(const char *text)
{
    static const char alphabet[] = "0123456789ABCDEFGHJKLMNPQRTUWXY";
    unsigned sum = 0, weight = 1;
    for (size_t i = 0; i < NUMBER_SIZE; i++) {
        const char *at = memchr(alphabet, text[i], sizeof alphabet - 1);
        if (!at) return false;
        if (i + 1 == NUMBER_SIZE) weight = 1;
        sum += (unsigned)(at - alphabet) * weight;
        weight = weight * 3 % 31;
    }
    return sum % 31 == 0;
}

const char *producer_wrong(const char *code)
{
    static const char bytes[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    if (strlen(code) != RULES_PRODUCER_SIZE || strspn(code, bytes) != RULES_PRODUCER_SIZE)
        return "27 capital letters and digits";
    if (strncmp(code, "00", SUBJECT_AT) != 0 || !strchr("12", code[SUBJECT_AT]))
        return "'001' (an organisation) or '002' (a person) at its begin";
    bool is_organisation = code[SUBJECT_AT] == '1' && code[NUMBER_KIND_AT] == '1';
    if (is_organisation && !is_credit_code(code + NUMBER_AT))
        return "an organisation's credit code from its fifth character on, whose check character "
               "is right";
    if (!strchr("012", code[SERVICE_AT]) ||
        (code[SERVICE_AT] == '0' && strcmp(code + SERVICE_AT, "00000") != 0))
        return "'00000', or '1' (generation) or '2' (propagation) and four more, at its end";
    return NULL;
}
