#include "node/probe/sequences.h"

#include "base/mem.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    READ_SIZE = 1 << 20
};

static enum err read_text(struct buf *text, const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file) return err_note(ERR_IO, "%s: %s", path, strerror(errno));
    size_t got;
    do {
        got = fread(buf_grow(text, READ_SIZE), 1, READ_SIZE, file);
        text->size -= READ_SIZE - got;
    } while (got > 0 && text->size <= SEQUENCES_FILE_MAX);
    bool failed = ferror(file) != 0;
    fclose(file);
    if (failed) return err_note(ERR_IO, "%s: %s", path, strerror(errno));
    if (text->size > SEQUENCES_FILE_MAX)
        return err_note(ERR_TOO_LARGE, "%s: more than %d bytes", path, SEQUENCES_FILE_MAX);
    return ERR_OK;
}

static size_t count_of(const struct buf *text, char separator)
{
    size_t count = 0;
    for (size_t i = 0; i < text->size; i++)
        count += text->data[i] == separator;
    return count;
}

static const char *skip(const char *at, const char *end, bool blanks)
{
    while (at < end && (*at == ' ' || *at == '\t' || *at == '\r') == blanks)
        at++;
    return at;
}

static enum err parse_id(const char *at, const char *end, uint32_t items, int32_t *out)
{
    uint64_t value = 0;
    bool is_number = at < end && end - at <= 10;
    for (const char *digit = at; is_number && digit < end; digit++) {
        is_number = *digit >= '0' && *digit <= '9';
        value = value * 10 + (uint64_t)(*digit - '0');
    }
    if (!is_number || value >= items)
        return err_note(ERR_FORMAT, "'%.*s' is no item: a whole number below %" PRIu32,
                        (int)(end - at < 20 ? end - at : 20), at, items);
    *out = (int32_t)value;
    return ERR_OK;
}

/* One line without its end. */
static enum err parse_line(struct sequences *out, const char *at, const char *end, uint32_t items,
                           size_t *used)
{
    at = skip(at, end, true);
    if (at == end) return ERR_OK;
    const char *word = skip(at, end, false);
    struct sequence *user = &out->users[out->count++];
    *user = (struct sequence){.user = at, .user_size = (size_t)(word - at), .first = *used};
    for (at = skip(word, end, true); at < end; at = skip(word, end, true)) {
        word = skip(at, end, false);
        TRY(parse_id(at, word, items, &out->ids[*used]));
        ++*used;
    }
    user->count = (uint32_t)(*used - user->first);
    return ERR_OK;
}

enum err sequences_read(struct sequences *out, const char *path, uint32_t items)
{
    *out = (struct sequences){0};
    TRY(read_text(&out->text, path));
    const char *at = buf_text(&out->text);
    const char *end = at + out->text.size;
    size_t lines = count_of(&out->text, '\n') + 1;
    out->users = mem_new(lines, sizeof *out->users);
    // At most one item behind each blank.
    out->ids =
        mem_new(count_of(&out->text, ' ') + count_of(&out->text, '\t') + 1, sizeof *out->ids);
    size_t used = 0;
    for (size_t line = 1; at < end; line++) {
        const char *next = memchr(at, '\n', (size_t)(end - at));
        if (!next) next = end;
        enum err err = parse_line(out, at, next, items, &used);
        if (err) {
            char note[ERR_NOTE_MAX];
            snprintf(note, sizeof note, "%s", err_text());
            return err_note(err, "%s:%zu: %s", path, line, note);
        }
        at = next < end ? next + 1 : end;
    }
    return ERR_OK;
}

void sequences_fini(struct sequences *sequences)
{
    buf_fini(&sequences->text);
    mem_free(sequences->ids);
    mem_free(sequences->users);
}
