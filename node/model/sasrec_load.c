/* A sasrec from its file: shape, tensors by name, everything widened to float and packed. */
#include "node/model/sasrec_weights.h"

#include "kernels/numerics.h"
#include "kernels/quant.h"
#include "kernels/team.h"

#include "base/gguf.h"
#include "base/mem.h"
#include "base/must.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum {
    TENSOR_NAME_MAX = 80
};

/* What a load goes through. */
struct loading {
    struct sasrec *model;
    const struct gguf *gguf;
    struct team *team;
};

static bool is_sasrec(const struct gguf *gguf)
{
    struct gguf_string name;
    return gguf_get_string(gguf, "general.architecture", &name) == ERR_OK && name.size == 6 &&
           memcmp(name.text, "sasrec", 6) == 0;
}

bool sasrec_is(const char *path)
{
    struct gguf *gguf;
    if (gguf_open(&gguf, path) != ERR_OK) return false;
    bool is = is_sasrec(gguf);
    gguf_close(gguf);
    return is;
}

static enum err read_count(const struct gguf *gguf, const char *key, uint32_t most, uint32_t *out)
{
    uint32_t value;
    TRY(gguf_get_u32(gguf, key, &value));
    if (value < 1 || value > most)
        return err_note(ERR_FORMAT, "model: %s is %" PRIu32 ", not in 1..%" PRIu32, key, value,
                        most);
    *out = value;
    return ERR_OK;
}

/* general.name where it is printable, else the file's stem. */
static void read_name(struct sasrec_shape *shape, const struct gguf *gguf, const char *path)
{
    const char *slash = strrchr(path, '/');
    struct gguf_string name = {slash ? slash + 1 : path, strlen(slash ? slash + 1 : path)};
    if (name.size > 5 && memcmp(name.text + name.size - 5, ".gguf", 5) == 0) name.size -= 5;
    struct gguf_string general;
    if (gguf_get_string(gguf, "general.name", &general) == ERR_OK && general.size > 0) {
        bool printable = general.size < sizeof shape->name;
        for (size_t i = 0; printable && i < general.size; i++)
            printable = (unsigned char)general.text[i] >= 0x20 && general.text[i] != 0x7F;
        if (printable) name = general;
    }
    size_t size = name.size < sizeof shape->name ? name.size : sizeof shape->name - 1;
    memcpy(shape->name, name.text, size);
}

/* How many items there are is the number of rows; an array of their ids has to agree. */
static enum err check_item_ids(const struct sasrec_shape *shape, const struct gguf *gguf)
{
    static const char key[] = "sasrec.item_ids";
    enum gguf_value_type type;
    size_t count;
    if (!gguf_has(gguf, key)) return ERR_OK;
    TRY(gguf_get_array(gguf, key, &type, &count));
    if (type != GGUF_STRING || count != shape->item_count)
        return err_note(ERR_FORMAT,
                        "model: %s has to be %" PRIu32
                        " strings, one for each row of item_embd.weight; it has %zu entries",
                        key, shape->item_count, count);
    return ERR_OK;
}

static enum err read_shape(struct sasrec_shape *shape, const struct gguf *gguf)
{
    if (!is_sasrec(gguf))
        return err_note(ERR_UNSUPPORTED, "model: general.architecture is not sasrec");
    TRY(read_count(gguf, "sasrec.context_length", SASREC_CONTEXT_MAX, &shape->context_length));
    TRY(read_count(gguf, "sasrec.embedding_length", CATALOGUE_DIM_MAX, &shape->dim));
    TRY(read_count(gguf, "sasrec.block_count", SASREC_BLOCKS_MAX, &shape->block_count));
    TRY(read_count(gguf, "sasrec.feed_forward_length", SASREC_FFN_MAX, &shape->ffn_dim));
    TRY(read_count(gguf, "sasrec.attention.head_count", shape->dim, &shape->head_count));
    if (shape->dim % shape->head_count != 0)
        return err_note(ERR_FORMAT,
                        "model: sasrec.attention.head_count is %" PRIu32
                        ", which does not divide sasrec.embedding_length, %" PRIu32,
                        shape->head_count, shape->dim);
    TRY(gguf_get_f32(gguf, "sasrec.attention.layer_norm_epsilon", &shape->norm_epsilon));
    if (!(shape->norm_epsilon >= 0 && shape->norm_epsilon <= 1))
        return err_note(ERR_FORMAT, "model: sasrec.attention.layer_norm_epsilon is %g, not in 0..1",
                        (double)shape->norm_epsilon);
    const struct gguf_tensor *items = gguf_find_tensor(gguf, "item_embd.weight");
    if (!items) return err_note(ERR_FORMAT, "model: tensor 'item_embd.weight' is missing");
    if (items->dims[1] < 1 || items->dims[1] > CATALOGUE_ROWS_MAX)
        return err_note(ERR_FORMAT,
                        "model: tensor 'item_embd.weight' has %" PRIu64 " rows, not 1..%d",
                        items->dims[1], CATALOGUE_ROWS_MAX);
    shape->item_count = (uint32_t)items->dims[1];
    return check_item_ids(shape, gguf);
}

/* A tensor that the model must have, of this shape; rows 0: a vector. */
static enum err find(const struct gguf *gguf, const char *name, uint64_t columns, uint64_t rows,
                     const struct gguf_tensor **out)
{
    const struct gguf_tensor *tensor = gguf_find_tensor(gguf, name);
    if (!tensor) return err_note(ERR_FORMAT, "model: tensor '%s' is missing", name);
    uint64_t lines = rows ? rows : 1;
    if (tensor->dim_count > (rows ? 2u : 1u) || tensor->dims[0] != columns ||
        tensor->dims[1] != lines)
        return err_note(ERR_FORMAT,
                        "model: tensor '%s' is %" PRIu64 " x %" PRIu64 ", not %" PRIu64
                        " x %" PRIu64,
                        name, tensor->dims[0], tensor->dims[1], columns, lines);
    enum err err = quant_check(tensor->type, (size_t)columns);
    if (err)
        return err_note(err, "model: tensor '%s' is %s; what can be run are " QUANT_TYPES, name,
                        gguf_tensor_type_name(tensor->type));
    *out = tensor;
    return ERR_OK;
}

static void *take(struct sasrec *model, size_t size)
{
    unsigned char *area = (unsigned char *)model->memory + model->memory_used;
    model->memory_used += (size + PACK_ALIGN - 1) / PACK_ALIGN * PACK_ALIGN;
    must(model->memory_used <= model->memory_size);
    return area;
}

/* All values of a tensor as floats, into `out`. */
static enum err widen(const struct gguf_tensor *tensor, const char *name, float *out)
{
    size_t columns = (size_t)tensor->dims[0];
    size_t row_size = quant_row_size(tensor->type, columns);
    for (size_t row = 0; row < tensor->dims[1]; row++) {
        const char *data = (const char *)tensor->data + row * row_size;
        quant_row_to_f32(tensor->type, data, out + row * columns, columns);
    }
    for (size_t i = 0; i < columns * tensor->dims[1]; i++)
        if (!isfinite(out[i]))
            return err_note(ERR_FORMAT, "model: tensor '%s' has a value that is no finite number",
                            name);
    return ERR_OK;
}

/* [rows, columns] of plain floats; rows 0: a vector. */
static enum err load_floats(struct loading *loading, const char *name, uint32_t columns,
                            uint32_t rows, const float **out)
{
    const struct gguf_tensor *tensor;
    TRY(find(loading->gguf, name, columns, rows, &tensor));
    float *values = take(loading->model, (size_t)columns * (rows ? rows : 1) * sizeof *values);
    *out = values;
    return widen(tensor, name, values);
}

/* "blk.2.attn_q" + ".bias" */
static const char *name_of(char out[TENSOR_NAME_MAX], uint32_t block, const char *part,
                           const char *what)
{
    snprintf(out, TENSOR_NAME_MAX, "blk.%" PRIu32 ".%s.%s", block, part, what);
    return out;
}

static enum err load_linear(struct loading *loading, uint32_t block, const char *part,
                            uint32_t columns, uint32_t rows, struct sasrec_linear *out)
{
    char name[TENSOR_NAME_MAX];
    const struct gguf_tensor *tensor;
    TRY(find(loading->gguf, name_of(name, block, part, "weight"), columns, rows, &tensor));
    float *values = mem_new((size_t)columns * rows, sizeof *values);
    enum err err = widen(tensor, name, values);
    if (!err) {
        void *area = take(loading->model, packed_size(PACKED_F32, rows, columns));
        packed_init(&out->weight, PACKED_F32, rows, columns, area);
        pack_rows(&out->weight, GGUF_TENSOR_F32, values, 0, packed_tiles(&out->weight));
    }
    mem_free(values);
    if (err) return err;
    return load_floats(loading, name_of(name, block, part, "bias"), rows, 0, &out->bias);
}

static enum err load_norm(struct loading *loading, uint32_t block, const char *part,
                          struct sasrec_norm *out)
{
    char name[TENSOR_NAME_MAX];
    uint32_t dim = loading->model->shape.dim;
    TRY(load_floats(loading, name_of(name, block, part, "weight"), dim, 0, &out->weight));
    return load_floats(loading, name_of(name, block, part, "bias"), dim, 0, &out->bias);
}

static enum err load_block(struct loading *loading, uint32_t i)
{
    struct sasrec_block *block = &loading->model->blocks[i];
    uint32_t dim = loading->model->shape.dim;
    uint32_t ffn = loading->model->shape.ffn_dim;
    TRY(load_linear(loading, i, "attn_q", dim, dim, &block->q));
    TRY(load_linear(loading, i, "attn_k", dim, dim, &block->k));
    TRY(load_linear(loading, i, "attn_v", dim, dim, &block->v));
    TRY(load_linear(loading, i, "attn_output", dim, dim, &block->output));
    TRY(load_norm(loading, i, "attn_output_norm", &block->attention_norm));
    TRY(load_linear(loading, i, "ffn_up", dim, ffn, &block->up));
    TRY(load_linear(loading, i, "ffn_down", ffn, dim, &block->down));
    return load_norm(loading, i, "layer_output_norm", &block->output_norm);
}

/* Room for everything but the items. */
static enum err take_memory(struct sasrec *model)
{
    const struct sasrec_shape *shape = &model->shape;
    size_t dim = shape->dim;
    size_t vectors = 9; // biases and norms of a block that are [dim]
    size_t block =
        4 * packed_size(PACKED_F32, dim, dim) + packed_size(PACKED_F32, shape->ffn_dim, dim) +
        packed_size(PACKED_F32, dim, shape->ffn_dim) +
        vectors * (dim * sizeof(float) + PACK_ALIGN) + shape->ffn_dim * sizeof(float) + PACK_ALIGN;
    size_t top = (shape->context_length + 2) * dim * sizeof(float) + 3 * PACK_ALIGN;
    model->memory_size = top + shape->block_count * block;
    model->memory = mem_map(model->memory_size);
    if (!model->memory)
        return err_note(ERR_NO_MEMORY, "model: the system refused %zu bytes for the weights",
                        model->memory_size);
    return ERR_OK;
}

static enum err load_items(struct loading *loading)
{
    struct sasrec *model = loading->model;
    const struct gguf_tensor *tensor;
    TRY(find(loading->gguf, "item_embd.weight", model->shape.dim, model->shape.item_count,
             &tensor));
    struct catalogue_source source = {
        .type = tensor->type,
        .data = tensor->data,
        .rows = model->shape.item_count,
        .dim = model->shape.dim,
    };
    return catalogue_new(&model->items, &source, model->ops, loading->team);
}

static enum err load(struct loading *loading, const char *path)
{
    struct sasrec *model = loading->model;
    const struct gguf *gguf = loading->gguf;
    TRY(read_shape(&model->shape, gguf));
    read_name(&model->shape, gguf, path);
    TRY(gguf_write_pack(gguf, &model->pack));
    TRY(take_memory(model));
    model->blocks = mem_new(model->shape.block_count, sizeof *model->blocks);
    uint32_t dim = model->shape.dim;
    TRY(load_floats(loading, "position_embd.weight", dim, model->shape.context_length,
                    &model->positions));
    TRY(load_floats(loading, "embd_norm.weight", dim, 0, &model->embedding_norm.weight));
    TRY(load_floats(loading, "embd_norm.bias", dim, 0, &model->embedding_norm.bias));
    for (uint32_t i = 0; i < model->shape.block_count; i++)
        TRY(load_block(loading, i));
    TRY(load_items(loading));
    size_t size;
    const void *bytes = gguf_bytes(gguf, &size);
    model->digest = digest_of(bytes, size);
    char text[64];
    int length = snprintf(text, sizeof text, "qiao numerics version=%d sasrec", NUMERICS_VERSION);
    model->numerics = digest_of(text, (size_t)length);
    return ERR_OK;
}

enum err sasrec_load(struct sasrec **out, const char *path, const struct ops *ops,
                     struct team *team)
{
    struct gguf *gguf;
    TRY(gguf_open(&gguf, path));
    struct sasrec *model = mem_new(1, sizeof *model);
    model->ops = ops;
    struct loading loading = {.model = model, .gguf = gguf, .team = team};
    enum err err = load(&loading, path);
    gguf_close(gguf);
    if (err) {
        sasrec_free(model);
        return err;
    }
    *out = model;
    return ERR_OK;
}

void sasrec_free(struct sasrec *model)
{
    if (!model) return;
    catalogue_free(model->items);
    if (model->memory) mem_unmap(model->memory, model->memory_size);
    mem_free(model->blocks);
    buf_fini(&model->pack);
    mem_free(model);
}

const struct sasrec_shape *sasrec_shape(const struct sasrec *model)
{
    return &model->shape;
}

const struct digest *sasrec_digest(const struct sasrec *model)
{
    return &model->digest;
}

const struct digest *sasrec_numerics(const struct sasrec *model)
{
    return &model->numerics;
}

const struct buf *sasrec_pack(const struct sasrec *model)
{
    return &model->pack;
}
