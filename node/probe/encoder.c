#include "node/probe/encoder.h"

#include "node/probe/probe.h"

#include "kernels/cpu.h"
#include "kernels/select.h"
#include "kernels/team.h"

#include "base/gguf.h"

#include <string.h>

enum err encoder_is(const char *path, bool *out)
{
    struct gguf *gguf;
    struct gguf_string name;
    if (!*path) return err_note(ERR_INVALID, "--model FILE is missing: which GGUF file?");
    TRY(gguf_open(&gguf, path));
    enum err err = gguf_get_string(gguf, "general.architecture", &name);
    *out = !err && name.size == 4 && memcmp(name.text, "bert", 4) == 0;
    gguf_close(gguf);
    return err;
}

static enum err build(struct encoder *encoder, const struct decoder_options *options)
{
    uint32_t features;
    if (options->rung && *options->rung)
        TRY(cpu_choose(options->rung, &features));
    else
        TRY(cpu_choose_env(&features));
    ops_select(&encoder->ops, features);
    TRY(team_new(&encoder->team, options->threads ? options->threads : team_cores()));
    struct bert_options bert = {
        .ops = &encoder->ops,
        .team = encoder->team,
        .float_gemm = options->float_gemm == MODEL_FLOAT_BLAS ? FLOAT_GEMM_BLAS : FLOAT_GEMM_EXACT,
        .context_max = options->context_max,
    };
    TRY(bert_load(&encoder->bert, options->model, &bert));
    uint32_t context = bert_shape(encoder->bert)->context_length;
    encoder->limits = (struct bert_limits){
        .rows_max = context > ENCODER_ROWS ? context : ENCODER_ROWS, .texts_max = ENCODER_TEXTS};
    return bert_run_new(&encoder->run, encoder->bert, encoder->team, &encoder->limits);
}

enum err encoder_open(struct encoder *out, const struct probe_conf *conf)
{
    struct decoder_options options;
    *out = (struct encoder){0};
    TRY(probe_decoder_options(conf, &options));
    enum err err = build(out, &options);
    if (err) encoder_close(out);
    return err;
}

void encoder_close(struct encoder *encoder)
{
    bert_run_free(encoder->run);
    bert_free(encoder->bert);
    team_free(encoder->team);
}

enum err encoder_run(struct encoder *encoder, const struct bert_text *texts, size_t count,
                     size_t width, float *out)
{
    uint32_t context = bert_shape(encoder->bert)->context_length;
    for (size_t i = 0; i < count; i++) {
        if (texts[i].count > context)
            return err_note(ERR_TOO_LONG, "text %zu has %u tokens, and the context holds %u", i,
                            texts[i].count, context);
    }
    for (size_t at = 0; at < count;) {
        size_t end = at, rows = 0;
        while (end < count && end - at < encoder->limits.texts_max &&
               rows + texts[end].count <= encoder->limits.rows_max)
            rows += texts[end++].count;
        bert_step(encoder->run, texts + at, end - at);
        for (size_t i = at; i < end; i++)
            memcpy(out + i * width, bert_answer(encoder->run, i - at), width * sizeof *out);
        at = end;
    }
    return ERR_OK;
}
