#include "wire/layout.h"
#include "wire/message.h"

#include "base/buf.h"
#include "base/must.h"

#include <msgpack.h>

#include <math.h>
#include <string.h>

static int append(void *out, const char *bytes, size_t size)
{
    buf_add(out, bytes, size);
    return 0;
}

static const void *at(const void *record, size_t offset)
{
    return (const char *)record + offset;
}

static const void *pointer_at(const void *record, size_t offset)
{
    const void *pointer;
    memcpy(&pointer, at(record, offset), sizeof pointer);
    return pointer;
}

size_t layout_count(const struct field *field, const void *record)
{
    size_t count;
    memcpy(&count, at(record, field->count_at), sizeof count);
    if (field->count != COUNT_TIMES) return count;
    size_t factor;
    memcpy(&factor, at(record, field->factor_at), sizeof factor);
    must(factor == 0 || count <= SIZE_MAX / factor);
    return count * factor;
}

/* Any of the integer kinds. */
static uint64_t integer_at(const struct field *field, const void *record)
{
    if (field->kind == FIELD_U64) return *(const uint64_t *)at(record, field->at);
    if (field->kind == FIELD_SIZE) return *(const size_t *)at(record, field->at);
    return *(const uint32_t *)at(record,
                                 field->at); // an enum has 32 bits too: message.c asserts it
}

static bool is_present(const struct field *field, const void *record)
{
    static const uint8_t zero[LAYOUT_FIXED_SIZE];
    if (field->need) return true;
    switch (field->kind) {
    case FIELD_U32:
    case FIELD_U64:
    case FIELD_SIZE:
    case FIELD_ENUM:
    case FIELD_ERR: return integer_at(field, record) != 0;
    case FIELD_BOOL: return *(const bool *)at(record, field->at);
    case FIELD_F32: return *(const float *)at(record, field->at) != 0.0f;
    case FIELD_TEXT:
    case FIELD_NOTE: return ((const struct wire_text *)at(record, field->at))->size > 0;
    case FIELD_FIXED: return memcmp(at(record, field->at), zero, sizeof zero) != 0;
    case FIELD_INNER: return true;
    default: break;
    }
    if (field->count != COUNT_OWN && !pointer_at(record, field->at)) return false;
    return layout_count(field, record) > 0;
}

static void put_u32(uint8_t *bytes, uint32_t value)
{
    for (size_t i = 0; i < 4; i++)
        bytes[i] = (uint8_t)(value >> (8 * i));
}

static void put_float(uint8_t *bytes, float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    put_u32(bytes, bits);
}

/* The arrays that travel as a bin of little-endian numbers. */
static void encode_packed(msgpack_packer *packer, const struct field *field, const void *things,
                          size_t count)
{
    static const uint8_t width[] = {[FIELD_BYTES] = 1, [FIELD_IDS] = 4,  [FIELD_FLOATS] = 4,
                                    [FIELD_PAIRS] = 8, [FIELD_U64S] = 8, [FIELD_SALTS] = 12};
    msgpack_pack_bin(packer, count * width[field->kind]);
    if (field->kind == FIELD_BYTES) {
        msgpack_pack_bin_body(packer, things, count);
        return;
    }
    uint8_t *bytes = buf_grow(packer->data, count * width[field->kind]);
    must(bytes || count == 0);
    for (size_t i = 0; i < count; i++, bytes += width[field->kind]) {
        if (field->kind == FIELD_IDS) {
            put_u32(bytes, (uint32_t)((const int32_t *)things)[i]);
        } else if (field->kind == FIELD_FLOATS) {
            put_float(bytes, ((const float *)things)[i]);
        } else if (field->kind == FIELD_PAIRS) {
            // struct wire_bias and struct wire_top are the same pair: message.c asserts it.
            put_u32(bytes, (uint32_t)((const struct wire_top *)things)[i].id);
            put_float(bytes + 4, ((const struct wire_top *)things)[i].logprob);
        } else {
            const struct wire_salt *salt = (const struct wire_salt *)things + i;
            bool is_salt = field->kind == FIELD_SALTS;
            uint64_t value = is_salt ? salt->salt : ((const uint64_t *)things)[i];
            if (is_salt) put_u32(bytes, salt->first_block);
            put_u32(bytes + (is_salt ? 4 : 0), (uint32_t)value);
            put_u32(bytes + (is_salt ? 8 : 4), (uint32_t)(value >> 32));
        }
    }
}

static void encode_text(msgpack_packer *packer, struct wire_text text)
{
    msgpack_pack_str(packer, text.size);
    msgpack_pack_str_body(packer, text.text, text.size);
}

/* At most `max` bytes of a note, never half a UTF-8 character. */
static struct wire_text cut_note(struct wire_text note, size_t max)
{
    if (note.size <= max) return note;
    note.size = max;
    while (note.size > 0 && ((unsigned char)note.text[note.size] & 0xc0) == 0x80)
        note.size--;
    return note;
}

static void encode_array(msgpack_packer *packer, const struct field *field, const void *record)
{
    size_t count = layout_count(field, record);
    const char *things = pointer_at(record, field->at);
    must(things || count == 0);
    must(field->count != COUNT_OWN || count <= field->max);
    if (field->kind != FIELD_INNERS && field->kind != FIELD_TEXTS) {
        encode_packed(packer, field, things, count);
        return;
    }
    msgpack_pack_array(packer, count);
    for (size_t i = 0; i < count; i++) {
        if (field->kind == FIELD_INNERS) {
            layout_encode(field->inner, things + i * field->inner->size, packer->data);
        } else {
            struct wire_text text = ((const struct wire_text *)(const void *)things)[i];
            must(text.size > 0 && text.size < WIRE_URL_MAX);
            encode_text(packer, text);
        }
    }
}

static void encode_field(msgpack_packer *packer, const struct field *field, const void *record)
{
    const void *value = at(record, field->at);
    switch (field->kind) {
    case FIELD_U32:
    case FIELD_U64:
    case FIELD_SIZE:
    case FIELD_ENUM: {
        uint64_t integer = integer_at(field, record);
        must(integer >= field->min && integer <= field->max);
        msgpack_pack_uint64(packer, integer);
        break;
    }
    case FIELD_ERR: {
        const char *name = err_name((enum err)integer_at(field, record));
        encode_text(packer, (struct wire_text){name, strlen(name)});
        break;
    }
    case FIELD_BOOL:
        if (*(const bool *)value)
            msgpack_pack_true(packer);
        else
            msgpack_pack_false(packer);
        break;
    case FIELD_F32:
        must(isfinite(*(const float *)value));
        msgpack_pack_float(packer, *(const float *)value);
        break;
    case FIELD_TEXT: {
        struct wire_text text = *(const struct wire_text *)value;
        must(text.size >= field->min && text.size <= field->max);
        encode_text(packer, text);
        break;
    }
    case FIELD_NOTE:
        encode_text(packer, cut_note(*(const struct wire_text *)value, (size_t)field->max));
        break;
    case FIELD_FIXED:
        msgpack_pack_bin(packer, LAYOUT_FIXED_SIZE);
        msgpack_pack_bin_body(packer, value, LAYOUT_FIXED_SIZE);
        break;
    case FIELD_INNER: layout_encode(field->inner, value, packer->data); break;
    default: encode_array(packer, field, record); break;
    }
}

// NOLINTNEXTLINE(misc-no-recursion): as deep as the layouts nest, which is three.
void layout_encode(const struct layout *layout, const void *record, struct buf *out)
{
    msgpack_packer packer;
    msgpack_packer_init(&packer, out, append);
    size_t present = 0;
    for (size_t i = 0; i < layout->field_count; i++)
        present += is_present(&layout->fields[i], record);
    msgpack_pack_map(&packer, present);
    for (size_t i = 0; i < layout->field_count; i++) {
        const struct field *field = &layout->fields[i];
        if (!is_present(field, record)) continue;
        msgpack_pack_uint8(&packer, field->key);
        encode_field(&packer, field, record);
    }
}
