#include "wire/message.h"

#include "wire/layout.h"

#include "base/must.h"

#include <assert.h>
#include <math.h>

static_assert(sizeof(enum wire_kind) == sizeof(uint32_t), "enums are read and written as 32 bits");
static_assert(sizeof(struct wire_bias) == sizeof(struct wire_top) &&
                  offsetof(struct wire_bias, bias) == offsetof(struct wire_top, logprob),
              "one kind of field, PAIRS, serves both");
static_assert(sizeof(struct digest) == LAYOUT_FIXED_SIZE, "a digest is a FIXED");

// The rows of the table, once as the fields of each layout.
#define NEED true
#define MAY  false
#define MESSAGE(TYPE, member, body_max)
#define LAYOUT(s) static const struct field s##_fields[] = {
#define END(s)                                                                                  \
    }                                                                                           \
    ;                                                                                           \
    static_assert(sizeof s##_fields / sizeof *s##_fields <= LAYOUT_FIELDS_MAX, "a longer map"); \
    static const struct layout s##_layout = {                                                   \
        #s, s##_fields, sizeof s##_fields / sizeof *s##_fields, sizeof(struct wire_##s)};
#define ONE(s, k, KIND, member, needed, least, most) \
    {.key = k,                                       \
     .kind = FIELD_##KIND,                           \
     .need = needed,                                 \
     .at = offsetof(struct wire_##s, member),        \
     .min = least,                                   \
     .max = most,                                    \
     .name = #member},
#define MANY(s, k, KIND, member, counter, needed, most) \
    {.key = k,                                          \
     .kind = FIELD_##KIND,                              \
     .need = needed,                                    \
     .at = offsetof(struct wire_##s, member),           \
     .count_at = offsetof(struct wire_##s, counter),    \
     .max = most,                                       \
     .name = #member},
#define SAME(s, k, KIND, member, counter)            \
    {.key = k,                                       \
     .kind = FIELD_##KIND,                           \
     .count = COUNT_SAME,                            \
     .at = offsetof(struct wire_##s, member),        \
     .count_at = offsetof(struct wire_##s, counter), \
     .name = #member},
#define TIMES(s, k, KIND, member, counter, factor)   \
    {.key = k,                                       \
     .kind = FIELD_##KIND,                           \
     .count = COUNT_TIMES,                           \
     .at = offsetof(struct wire_##s, member),        \
     .count_at = offsetof(struct wire_##s, counter), \
     .factor_at = offsetof(struct wire_##s, factor), \
     .name = #member},
#define INNER(s, k, member, nested)           \
    {.key = k,                                \
     .kind = FIELD_INNER,                     \
     .need = true,                            \
     .at = offsetof(struct wire_##s, member), \
     .inner = &nested##_layout,               \
     .name = #member},
#define INNERS(s, k, member, counter, nested, most)  \
    {.key = k,                                       \
     .kind = FIELD_INNERS,                           \
     .at = offsetof(struct wire_##s, member),        \
     .count_at = offsetof(struct wire_##s, counter), \
     .max = most,                                    \
     .inner = &nested##_layout,                      \
     .name = #member},
#include "wire/message.def"
#undef MESSAGE
#undef LAYOUT
#undef END
#undef ONE
#undef MANY
#undef SAME
#undef TIMES
#undef INNER
#undef INNERS

// …and once as the list of messages.
#define LAYOUT(s)
#define END(s)
#define ONE(...)
#define MANY(...)
#define SAME(...)
#define TIMES(...)
#define INNER(...)
#define INNERS(...)
#define MESSAGE(TYPE, m, most) \
    [WIRE_##TYPE] = {#TYPE, &m##_layout, offsetof(struct wire_message, m), most},

static const struct {
    const char *name;
    const struct layout *layout;
    size_t at; // of its struct in struct wire_message
    size_t body_max;
} messages[WIRE_TYPE_COUNT] = {

#include "wire/message.def"
};

static bool is_known(enum wire_type type)
{
    return type > 0 && type < WIRE_TYPE_COUNT;
}

const char *wire_type_name(enum wire_type type)
{
    return is_known(type) ? messages[type].name : "UNKNOWN";
}

size_t wire_body_max(enum wire_type type)
{
    return is_known(type) ? messages[type].body_max : 0;
}

void message_encode(const struct wire_message *message, struct buf *out)
{
    must(is_known(message->type));
    layout_encode(messages[message->type].layout,
                  (const char *)message + messages[message->type].at, out);
}

/* What no single field can say: how the numbers of a message fit one another. */

static enum err check_submit(const struct wire_submit *submit)
{
    if (submit->prompt_length > submit->id_count)
        return err_note(ERR_FORMAT, "submit.prompt_length is %u of %zu ids", submit->prompt_length,
                        submit->id_count);
    if (submit->next_position != submit->id_count)
        return err_note(ERR_FORMAT, "submit.next_position is %u; the ids end at %zu",
                        submit->next_position, submit->id_count);
    for (size_t i = 0; i < submit->query_size; i++)
        if (!(fabsf(submit->query[i]) <= WIRE_SCALE_MAX))
            return err_note(ERR_FORMAT, "submit.query: entry %zu is beyond %g", i,
                            (double)WIRE_SCALE_MAX);
    return ERR_OK;
}

static enum err check_result(const struct wire_result *result)
{
    if (result->top_count > 0 && result->id_count > 0 && !result->tops)
        return err_note(ERR_FORMAT, "result.tops is missing; result.top_count is %zu",
                        result->top_count);
    if (result->id_count > WIRE_IDS_MAX - result->position)
        return err_note(ERR_FORMAT, "result.position %u with %zu ids is beyond %d",
                        result->position, result->id_count, WIRE_IDS_MAX);
    return ERR_OK;
}

static enum err check_pack_part(const struct wire_pack_part *part)
{
    if (part->offset > part->total || part->size > part->total - part->offset)
        return err_note(ERR_FORMAT, "pack_part: %zu bytes at %llu do not fit in %llu", part->size,
                        (unsigned long long)part->offset, (unsigned long long)part->total);
    return ERR_OK;
}

static enum err check_shard_put(const struct wire_shard_put *put)
{
    if (put->rows_size != put->row_count * put->dims)
        return err_note(ERR_FORMAT, "shard_put.rows has %zu bytes; %zu rows of %u need %zu",
                        put->rows_size, put->row_count, put->dims, put->row_count * put->dims);
    if (put->row_count > 0 && !put->scales)
        return err_note(ERR_FORMAT, "shard_put.scales is missing; there are %zu rows",
                        put->row_count);
    for (size_t i = 0; i < put->row_count; i++)
        if (!(put->scales[i] >= 0.0f && put->scales[i] <= WIRE_SCALE_MAX))
            return err_note(ERR_FORMAT, "shard_put.scales: entry %zu is not from 0 to %g", i,
                            (double)WIRE_SCALE_MAX);
    return ERR_OK;
}

static enum err check(const struct wire_message *message)
{
    switch (message->type) {
    case WIRE_SUBMIT: return check_submit(&message->submit);
    case WIRE_RESULT: return check_result(&message->result);
    case WIRE_PACK_PART: return check_pack_part(&message->pack_part);
    case WIRE_SHARD_PUT: return check_shard_put(&message->shard_put);
    default: return ERR_OK;
    }
}

enum err message_decode(struct wire_message *out, enum wire_type type, const uint8_t *body,
                        size_t size, struct arena *arena)
{
    if (!is_known(type)) return err_note(ERR_FORMAT, "message type %d is unknown", (int)type);
    struct wire_message message = {.type = type};
    TRY(layout_decode(messages[type].layout, (char *)&message + messages[type].at, body, size,
                      arena));
    TRY(check(&message));
    *out = message;
    return ERR_OK;
}
