/* qiao-probe logits: the last position's logits of each sequence of a JSON file, as little-endian float32. */
#include "node/engine/kv.h"
#include "node/probe/probe.h"

#include "base/mem.h"

#include <jansson.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    FILE_MAX = 64 << 20
};

static enum err read_json(const char *path, json_t **out)
{
    json_error_t error;
    FILE *file = fopen(path, "rb");
    if (!file) return err_note(ERR_IO, "%s: %s", path, strerror(errno));
    bool fits = fseek(file, 0, SEEK_END) == 0 && ftell(file) <= FILE_MAX;
    rewind(file);
    json_t *root = fits ? json_loadf(file, 0, &error) : NULL;
    fclose(file);
    if (!fits) return err_note(ERR_TOO_LARGE, "%s: more than %d bytes", path, FILE_MAX);
    if (!root) return err_note(ERR_FORMAT, "%s:%d: %s", path, error.line, error.text);
    *out = root;
    return ERR_OK;
}

/* Sequence `index` into ids[count]; every id is checked by decoder_extend(). */
static enum err read_ids(const json_t *sequence, size_t index, int32_t *ids, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const json_t *id = json_array_get(sequence, i);
        json_int_t value = json_is_integer(id) ? json_integer_value(id) : -1;
        if (value < 0 || value > INT32_MAX)
            return err_note(ERR_FORMAT, "tokens: [%zu][%zu] is no id", index, i);
        ids[i] = (int32_t)value;
    }
    return ERR_OK;
}

static enum err run_sequence(struct decoder *decoder, const json_t *sequence, size_t index,
                             FILE *out)
{
    size_t count = json_array_size(sequence);
    if (count < 1 || count > decoder->limits.context_max) {
        return err_note(ERR_TOO_LONG, "tokens: [%zu] has %zu ids, not 1..%" PRIu32, index, count,
                        decoder->limits.context_max);
    }
    int32_t *ids = mem_new(count, sizeof *ids);
    struct kv_table table;
    kv_table_init(&table, (uint32_t)count);
    enum err err = read_ids(sequence, index, ids, count);
    if (!err) err = decoder_extend(decoder, &table, ids, (uint32_t)count, 0);
    size_t vocab_size = model_shape(decoder->model)->vocab_size;
    if (!err &&
        fwrite(forward_logits(decoder->forward, 0), sizeof(float), vocab_size, out) != vocab_size)
        err = err_note(ERR_IO, "--out: %s", strerror(errno));
    kv_table_fini(decoder->pool, &table);
    mem_free(ids);
    return err;
}

static enum err run_all(struct decoder *decoder, const json_t *sequences, const char *path)
{
    if (!json_is_array(sequences)) return err_note(ERR_FORMAT, "tokens: no array of arrays of ids");
    FILE *out = fopen(path, "wb");
    if (!out) return err_note(ERR_IO, "%s: %s", path, strerror(errno));
    enum err err = ERR_OK;
    for (size_t i = 0; i < json_array_size(sequences) && !err; i++)
        err = run_sequence(decoder, json_array_get(sequences, i), i, out);
    if (fclose(out) != 0 && !err) err = err_note(ERR_IO, "%s: %s", path, strerror(errno));
    return err;
}

enum err probe_logits(const struct probe_conf *conf)
{
    if (!*conf->tokens) return err_note(ERR_INVALID, "--tokens FILE is missing: which sequences?");
    if (!*conf->out) return err_note(ERR_INVALID, "--out FILE is missing: where to?");
    struct decoder_options options;
    TRY(probe_decoder_options(conf, &options));
    json_t *sequences;
    TRY(read_json(conf->tokens, &sequences));
    struct decoder *decoder;
    enum err err = decoder_new(&decoder, &options);
    if (!err) {
        err = run_all(decoder, sequences, conf->out);
        decoder_free(decoder);
    }
    json_decref(sequences);
    return err;
}
