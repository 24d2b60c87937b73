#include "text/redact_internal.h"

#include <stdlib.h>
#include <string.h>

enum {
    DIGITS_MAX = 24,
    GROUPS_MAX = 8,
    IDENTITY_SIZE = 18, // digits; the last may be an X
    OLD_IDENTITY_SIZE = 15,
    CARD_MIN = 13,
    CARD_MAX = 19,
    E164_MIN = 8, // digits behind the '+'
    E164_MAX = 15,
    NANP_SIZE = 10
};

/* Digits in groups, each parted from the next by one separator. */
struct number {
    char digits[DIGITS_MAX + 1];
    size_t ends[GROUPS_MAX];   // characters, of each group
    size_t totals[GROUPS_MAX]; // digits up to the end of each group
    size_t groups;
    size_t dotted; // the first group behind a dot
    bool plus, paren;
};

static bool is_separator(int32_t code)
{
    return code == ' ' || code == '-' || code == '.';
}

/* From the end of a group to the next; `at` itself when there is none. A ')' may have a separator behind it. */
static size_t next_group(const struct redact_text *text, size_t at, struct number *number)
{
    size_t i = at;
    if (number->paren && number->groups == 1 && redact_at(text, i) == ')') i++;
    if (is_separator(redact_at(text, i))) {
        if (redact_at(text, i) == '.' && number->dotted > number->groups)
            number->dotted = number->groups;
        i++;
    }
    return redact_is_digit(redact_at(text, i)) ? i : at;
}

static void read_number(const struct redact_text *text, size_t at, struct number *out)
{
    size_t count = 0;
    *out = (struct number){.dotted = GROUPS_MAX,
                           .plus = redact_at(text, at) == '+',
                           .paren = redact_at(text, at) == '('};
    at += out->plus || out->paren;
    while (out->groups < GROUPS_MAX) {
        while (redact_is_digit(redact_at(text, at)) && count < DIGITS_MAX)
            out->digits[count++] = (char)redact_at(text, at++);
        if (redact_is_digit(redact_at(text, at))) return; // this group is no end of anything
        out->ends[out->groups] = at;
        out->totals[out->groups++] = count;
        size_t next = next_group(text, at, out);
        if (next == at) return;
        at = next;
    }
}

static size_t group_size(const struct number *number, size_t group)
{
    return number->totals[group] - (group ? number->totals[group - 1] : 0);
}

/* Spaces and hyphens alone. */
static bool is_bare(const struct number *number, size_t groups)
{
    return !number->plus && !number->paren && groups <= number->dotted;
}

// ---- identity cards ----------------------------------------------------------------------------

static int two(const char *digits)
{
    return 10 * (digits[0] - '0') + digits[1] - '0';
}

static bool is_province(int code)
{
    static const struct {
        int first, last;
    } ranges[] = {{11, 15}, {21, 23}, {31, 37}, {41, 46}, {50, 54},
                  {61, 65}, {71, 71}, {81, 83}, {91, 91}};

    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
        if (code >= ranges[i].first && code <= ranges[i].last) return true;
    return false;
}

/* MMDD */
static bool is_day(const char *digits)
{
    int month = two(digits), day = two(digits + 2);
    return month >= 1 && month <= 12 && day >= 1 && day <= 31;
}

/* GB 11643: the weighted sum of the first 17, modulo 11, says the last. */
static bool is_identity(const char *digits, char last)
{
    static const int weights[] = {7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2};
    int sum = 0, century = two(digits + 6);
    if (!is_province(two(digits)) || century < 18 || century > 20 || !is_day(digits + 10))
        return false;
    for (size_t i = 0; i < IDENTITY_SIZE - 1; i++)
        sum += weights[i] * (digits[i] - '0');
    return "10X98765432"[sum % 11] == last;
}

static size_t identity_end(const struct redact_text *text, const struct number *number,
                           size_t groups)
{
    size_t count = number->totals[groups - 1], end = number->ends[groups - 1];
    int32_t next = redact_at(text, end);
    if (!is_bare(number, groups)) return 0;
    if (count == IDENTITY_SIZE)
        return is_identity(number->digits, number->digits[IDENTITY_SIZE - 1]) ? end : 0;
    if (count == IDENTITY_SIZE - 1 && (next == 'X' || next == 'x'))
        return is_identity(number->digits, 'X') ? end + 1 : 0;
    bool old = count == OLD_IDENTITY_SIZE && groups == 1 && is_province(two(number->digits)) &&
               is_day(number->digits + 8);
    return old ? end : 0;
}

// ---- bank cards --------------------------------------------------------------------------------

static bool is_luhn(const char *digits, size_t count)
{
    int sum = 0;
    for (size_t i = 0; i < count; i++) {
        int digit = digits[count - 1 - i] - '0';
        if (i % 2 == 1) digit = digit > 4 ? 2 * digit - 9 : 2 * digit;
        sum += digit;
    }
    return sum % 10 == 0;
}

/* Alone, by fours, or 4-6-5. */
static bool is_card_shape(const struct number *number, size_t groups)
{
    if (groups == 1) return true;
    if (groups == 3 && group_size(number, 0) == 4 && group_size(number, 1) == 6)
        return group_size(number, 2) == 5;
    for (size_t i = 0; i + 1 < groups; i++)
        if (group_size(number, i) != 4) return false;
    return group_size(number, groups - 1) <= 4;
}

/* ISO/IEC 7812: 3 to 6 are the payment networks', 2 and 9 begin some others of banks. */
static bool is_card(const struct number *number, size_t groups)
{
    size_t count = number->totals[groups - 1];
    return is_bare(number, groups) && count >= CARD_MIN && count <= CARD_MAX &&
           strchr("234569", number->digits[0]) && is_card_shape(number, groups) &&
           is_luhn(number->digits, count);
}

// ---- phones ------------------------------------------------------------------------------------

static bool is_mobile(const char *digits, size_t count)
{
    return count == 11 && digits[0] == '1' && digits[1] >= '3';
}

/* 010 and 02x are areas of three digits, 03xx to 09xx of four; a line has 7 or 8 and begins with 2 to 9. */
static bool is_fixed(const char *digits, size_t count)
{
    if (count < 10 || digits[0] != '0' || digits[1] == '0') return false;
    size_t area = digits[1] <= '2' ? 3 : 4, line = count - area;
    return (line == 7 || line == 8) && digits[area] >= '2';
}

static bool is_phone(const struct number *number, size_t groups)
{
    size_t count = number->totals[groups - 1];
    const char *digits = number->digits;
    if (number->plus) return count >= E164_MIN && count <= E164_MAX && digits[0] != '0';
    for (size_t i = 0; i < groups; i++)
        if (group_size(number, i) < 2) return false;
    if (is_mobile(digits, count) || is_fixed(digits, count)) return true;
    size_t head = strncmp(digits, "0086", 4) == 0 ? 4 : strncmp(digits, "86", 2) == 0 ? 2 : 0;
    if (head > 0 && count > head && is_mobile(digits + head, count - head)) return true;
    return groups == 3 && count == NANP_SIZE && group_size(number, 0) == 3 &&
           group_size(number, 1) == 3 && digits[0] >= '2' && digits[3] >= '2';
}

// ---- which -------------------------------------------------------------------------------------

static bool wants(uint32_t kinds, enum redact_kind kind)
{
    return kinds & (1u << kind);
}

static size_t judge(const struct redact_text *text, const struct number *number, size_t groups,
                    uint32_t kinds, enum redact_kind *kind)
{
    size_t end = number->ends[groups - 1], identity;
    *kind = REDACT_IDENTITY;
    if (wants(kinds, *kind) && (identity = identity_end(text, number, groups))) return identity;
    *kind = REDACT_CARD;
    if (wants(kinds, *kind) && is_card(number, groups)) return end;
    *kind = REDACT_PHONE;
    return wants(kinds, *kind) && is_phone(number, groups) ? end : 0;
}

bool redact_number(const struct redact_text *text, size_t at, uint32_t kinds,
                   struct redact_span *out)
{
    struct number number;
    bool fraction =
        at >= 2 && redact_at(text, at - 1) == '.' && redact_is_digit(redact_at(text, at - 2));
    if (fraction) return false;
    read_number(text, at, &number);
    for (size_t groups = number.groups; groups > 0; groups--) {
        size_t end = judge(text, &number, groups, kinds, &out->kind);
        if (end == 0) continue;
        out->begin = at;
        out->end = end;
        return true;
    }
    return false;
}
