#include "node/model/bind.h"

#include "kernels/quant.h"

#include "base/gguf.h"

#include <inttypes.h>
#include <stdio.h>

enum {
    TENSOR_NAME_MAX = 64
};

/* Dimensions as a person writes them, "64 x 2051", the contiguous one first. */
static void write_dims(char out[96], const struct gguf_tensor *tensor)
{
    size_t used = 0;
    for (uint32_t i = 0; i < tensor->dim_count && i < GGUF_DIMS_MAX; i++) {
        used +=
            (size_t)snprintf(out + used, 96 - used, "%s%" PRIu64, i ? " x " : "", tensor->dims[i]);
    }
    out[used] = 0;
}

static enum err check_type(const struct bind_rule *rule, const char *name,
                           const struct gguf_tensor *tensor, uint32_t columns)
{
    const char *found = gguf_tensor_type_name(tensor->type);
    if (rule->rows == BIND_VECTOR) {
        if (tensor->type == GGUF_TENSOR_F32) return ERR_OK;
        return err_note(ERR_UNSUPPORTED, "tensor '%s' is %s; norms, biases and factors must be F32",
                        name, found);
    }
    enum err err = quant_check(tensor->type, columns);
    if (!err) return ERR_OK;
    if (err == ERR_UNSUPPORTED)
        return err_note(err, "tensor '%s' is %s; this build reads " QUANT_TYPES, name, found);
    return err_note(err, "tensor '%s' is %s with rows of %" PRIu32 ", which are no whole blocks",
                    name, found, columns);
}

static enum err check_tensor(const struct binder *binder, const struct bind_rule *rule,
                             const char *name, const struct gguf_tensor *tensor)
{
    uint32_t columns = binder->extents[rule->columns];
    uint32_t rows = binder->extents[rule->rows];
    uint32_t dim_count = rule->rows == BIND_VECTOR ? 1 : 2;
    bool fits = tensor->dims[0] == columns && tensor->dims[1] == rows && tensor->dims[2] == 1 &&
                tensor->dims[3] == 1;
    if (!fits) {
        char found[96];
        char expected[96];
        struct gguf_tensor wanted = {.dim_count = dim_count, .dims = {columns, rows, 1, 1}};
        write_dims(found, tensor);
        write_dims(expected, &wanted);
        return err_note(ERR_FORMAT, "tensor '%s' is %s; its hyper-parameters say %s", name, found,
                        expected);
    }
    TRY(check_type(rule, name, tensor, columns));
    uint64_t size = (uint64_t)rows * quant_row_size(tensor->type, columns);
    if (tensor->size != size) {
        return err_note(ERR_FORMAT, "tensor '%s' has %" PRIu64 " bytes, not %" PRIu64, name,
                        tensor->size, size);
    }
    return ERR_OK;
}

static enum err bind_rule(struct binder *binder, const struct bind_rule *rule, void *owner,
                          const char *prefix)
{
    if (!(rule->groups & binder->group)) return ERR_OK;
    char name[TENSOR_NAME_MAX];
    snprintf(name, sizeof name, "%s%s", prefix, rule->name);
    const struct gguf_tensor *tensor = gguf_find_tensor(binder->gguf, name);
    if (!tensor) {
        if (rule->optional) return ERR_OK;
        return err_note(ERR_FORMAT, "tensor '%s' is missing; %s has it", name,
                        binder->architecture);
    }
    TRY(check_tensor(binder, rule, name, tensor));
    struct binding *binding = &binder->bindings[binder->count++];
    void *place = (char *)owner + rule->place;
    *binding = (struct binding){.tensor = tensor};
    if (rule->rows == BIND_VECTOR)
        binding->vector = place;
    else
        binding->matrix = place;
    return ERR_OK;
}

enum err bind_rules(struct binder *binder, const struct bind_rule *rules, size_t count, void *owner,
                    const char *prefix)
{
    for (size_t i = 0; i < count; i++)
        TRY(bind_rule(binder, &rules[i], owner, prefix));
    return ERR_OK;
}

enum err bind_refuse_others(const struct binder *binder)
{
    size_t count = gguf_tensor_count(binder->gguf);
    if (count == binder->count) return ERR_OK;
    for (size_t i = 0; i < count; i++) {
        const struct gguf_tensor *tensor = gguf_tensor_at(binder->gguf, i);
        size_t at = 0;
        while (at < binder->count && binder->bindings[at].tensor != tensor)
            at++;
        if (at == binder->count) {
            return err_note(
                ERR_UNSUPPORTED, "tensor '%.*s' is unknown to %s with %" PRIu32 " layers",
                (int)tensor->name.size, tensor->name.text, binder->architecture, binder->layers);
        }
    }
    return ERR_OK;
}
