#include "text/rows.h"

#include "text/piece_map.h"
#include "text/utf8.h"

#include "base/gguf.h"
#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char key[] = "sasrec.item_ids";

struct rows {
    uint32_t count;
    uint64_t *starts; // [count + 1] offsets into bytes
    char *bytes;
    struct piece_map map; // views into `bytes`
};

static enum err check_id(const struct gguf_string *id, size_t row)
{
    if (id->size == 0 || id->size > ROWS_ID_MAX || !utf8_valid(id->text, id->size))
        return err_note(ERR_FORMAT, "%s[%zu] must be 1 to %d bytes of UTF-8", key, row,
                        ROWS_ID_MAX);
    for (size_t i = 0; i < id->size; i++) {
        if ((uint8_t)id->text[i] < 0x20 || id->text[i] == 0x7F)
            return err_note(ERR_FORMAT, "%s[%zu] holds a control character", key, row);
    }
    return ERR_OK;
}

static enum err fill(struct rows *rows, const struct gguf_string *ids)
{
    uint64_t total = 0;
    for (size_t row = 0; row < rows->count; row++) {
        if (row > 0) TRY(check_id(&ids[row], row)); // row 0 is padding: it may have no name
        total += ids[row].size;
    }
    rows->bytes = mem_new(total + 1, 1);
    for (size_t row = 0; row < rows->count; row++) {
        uint64_t start = rows->starts[row];
        memcpy(rows->bytes + start, ids[row].text, ids[row].size);
        rows->starts[row + 1] = start + ids[row].size;
        if (row == 0) continue;
        if (piece_map_find(&rows->map, rows->bytes + start, ids[row].size) != PIECE_MAP_NONE)
            return err_note(ERR_FORMAT, "%s[%zu] stands there twice", key, row);
        piece_map_add(&rows->map, rows->bytes + start, ids[row].size, (int32_t)row);
    }
    return ERR_OK;
}

enum err rows_read(struct rows **out, const struct gguf *gguf)
{
    enum gguf_value_type type;
    size_t count;
    *out = NULL;
    if (!gguf_has(gguf, key)) return ERR_OK;
    TRY(gguf_get_array(gguf, key, &type, &count));
    if (type != GGUF_STRING || count == 0)
        return err_note(ERR_FORMAT, "%s must be an array of strings, one a row", key);
    struct gguf_string *ids = mem_new(count, sizeof *ids);
    struct rows *rows = mem_new(1, sizeof *rows);
    rows->count = (uint32_t)count; // at most GGUF_ARRAY_MAX
    rows->starts = mem_new(count + 1, sizeof *rows->starts);
    piece_map_init(&rows->map, count);
    enum err err = gguf_get_strings(gguf, key, ids, count);
    if (err == ERR_OK) err = fill(rows, ids);
    mem_free(ids);
    if (err != ERR_OK) {
        rows_free(rows);
        return err;
    }
    *out = rows;
    return ERR_OK;
}

void rows_free(struct rows *rows)
{
    if (!rows) return;
    piece_map_fini(&rows->map);
    mem_free(rows->starts);
    mem_free(rows->bytes);
    mem_free(rows);
}

/* A number as rows_id() writes it, and no other way. */
static int32_t parse_number(const char *id, size_t size, uint32_t count)
{
    uint64_t number = 0;
    if (size == 0 || size > 10 || (size > 1 && id[0] == '0')) return ROWS_NONE;
    for (size_t i = 0; i < size; i++) {
        if (id[i] < '0' || id[i] > '9') return ROWS_NONE;
        number = number * 10 + (uint64_t)(id[i] - '0');
    }
    return number < count && number <= INT32_MAX ? (int32_t)number : ROWS_NONE;
}

int32_t rows_find(const struct rows *rows, const char *id, size_t size, uint32_t count)
{
    if (!rows) return parse_number(id, size, count);
    int32_t row = piece_map_find(&rows->map, id, size);
    return row == PIECE_MAP_NONE || (uint32_t)row >= count ? ROWS_NONE : row;
}

const char *rows_id(const struct rows *rows, int32_t row, char number[ROWS_NUMBER_SIZE],
                    size_t *size)
{
    if (rows && row >= 0 && (uint32_t)row < rows->count) {
        *size = rows->starts[row + 1] - rows->starts[row];
        return rows->bytes + rows->starts[row];
    }
    *size = (size_t)snprintf(number, ROWS_NUMBER_SIZE, "%" PRId32, row);
    return number;
}
