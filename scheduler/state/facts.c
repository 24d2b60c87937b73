#include "scheduler/state/facts.h"

#include "base/must.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void facts_write(const struct facts *facts, char text[FACTS_TEXT_MAX])
{
    char set[FACTS_SET][DIGEST_TEXT_SIZE];
    must(*facts->id && !strchr(facts->id, ' ') && *facts->model);
    for (size_t i = 0; i < FACTS_SET; i++)
        digest_text(&facts->set[i], set[i]);
    snprintf(text, FACTS_TEXT_MAX, "%" PRIu64 " %" PRId64 " %s %s%s%s%s %s", facts->seed,
             facts->wall_ms, facts->id, set[0], set[1], set[2], set[3], facts->model);
}

static int nibble(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool read_digest(struct digest *out, const char *text)
{
    for (size_t i = 0; i < DIGEST_SIZE; i++) {
        int high = nibble(text[2 * i]);
        int low = high < 0 ? -1 : nibble(text[2 * i + 1]); // a NUL is no digit: never past it
        if (low < 0) return false;
        out->bytes[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

static bool read_all(struct facts *facts, const char *text)
{
    char *at;
    if (*text < '0' || *text > '9') return false;
    facts->seed = strtoull(text, &at, 10);
    if (*at != ' ') return false;
    facts->wall_ms = strtoll(at + 1, &at, 10);
    if (*at != ' ' || facts->wall_ms < 0) return false;
    size_t size = strcspn(++at, " ");
    if (size == 0 || size > FACTS_ID_MAX || at[size] != ' ') return false;
    memcpy(facts->id, at, size);
    at += size + 1;
    for (size_t i = 0; i < FACTS_SET; i++, at += 2 * DIGEST_SIZE)
        if (!read_digest(&facts->set[i], at)) return false;
    size = strlen(at);
    if (*at != ' ' || size < 2 || size - 1 > FACTS_MODEL_MAX) return false;
    memcpy(facts->model, at + 1, size - 1);
    return true;
}

enum err facts_read(struct facts *out, const char *text, size_t size)
{
    struct facts facts = {0};
    if (strlen(text) != size || size >= FACTS_TEXT_MAX || !read_all(&facts, text))
        return err_note(ERR_FORMAT, "the facts of an answer are not \"seed ms id digests name\"");
    *out = facts;
    return ERR_OK;
}
