#include "scheduler/door/position.h"

#include "scheduler/door/json.h"

#include "base/must.h"

#include <inttypes.h>
#include <stdio.h>

static char *write_number(char *at, uint32_t number)
{
    char digits[10];
    size_t count = 0;
    do
        digits[count++] = (char)('0' + number % 10);
    while (number /= 10);
    while (count > 0)
        *at++ = digits[--count];
    return at;
}

/* By hand: it is made for every event. */
const char *position_write(const struct position *position, uint32_t count,
                           char text[POSITION_TEXT_MAX])
{
    char *at = text;
    must(count > 0 && count <= ASK_CHOICES_MAX);
    for (uint32_t i = 0; i < count; i++) {
        const struct position_place *place = &position->places[i];
        if (i > 0) *at++ = '.';
        if (!place->began) continue;
        at = write_number(at, place->tokens);
        *at++ = '-';
        at = write_number(at, place->bytes);
        if (place->ended) *at++ = 'e';
    }
    if (position->usage) *at++ = 'u';
    *at = '\0';
    return text;
}

/* A number as write_number() writes it; NULL when there is none. */
static const char *read_number(const char *at, uint32_t *number)
{
    uint64_t value = 0;
    const char *begin = at;
    while (*at >= '0' && *at <= '9') {
        value = 10 * value + (uint64_t)(*at++ - '0');
        if (value > UINT32_MAX) return NULL;
    }
    if (at == begin || (*begin == '0' && at > begin + 1)) return NULL;
    *number = (uint32_t)value;
    return at;
}

static const char *read_place(const char *at, struct position_place *place)
{
    if (*at == '.' || *at == '\0') return at;
    place->began = true;
    at = read_number(at, &place->tokens);
    if (!at || *at != '-') return NULL;
    at = read_number(at + 1, &place->bytes);
    if (!at || *at != 'e') return at;
    place->ended = true;
    return at + 1;
}

static bool read_all(struct position *position, const char *at, uint32_t count)
{
    bool ended = true;
    for (uint32_t i = 0; i < count; i++) {
        if (i > 0 && *at++ != '.') return false;
        at = read_place(at, &position->places[i]);
        if (!at) return false;
        ended = ended && position->places[i].ended;
    }
    if (*at == 'u' && ended) {
        position->usage = true;
        at++;
    }
    return *at == '\0';
}

enum err position_parse(struct position *out, const char *text, uint32_t count)
{
    struct position position = {0};
    must(count > 0 && count <= ASK_CHOICES_MAX);
    if (!read_all(&position, text, count))
        return json_wrong("Last-Event-ID",
                          "must be the id of an event of this answer, as it was sent: for %" PRIu32
                          " choice%s such as '%s'",
                          count, count > 1 ? "s" : "", count > 1 ? "17-53.9-20" : "17-53");
    *out = position;
    return ERR_OK;
}

enum err position_wrong(void)
{
    return err_note(ERR_INVALID,
                    "Last-Event-ID is no place in this answer: give the id of the last event that "
                    "came for this Idempotency-Key, or none to have it all again");
}
