#include "node/probe/probe.h"

#include "kernels/team.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum err probe_read_count(const char *flag, const char *text, uint32_t most, uint32_t *out)
{
    char *end;
    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    if (errno || end == text || *end || strchr(text, '-') || value < 1 || value > most) {
        return err_note(ERR_INVALID, "--%s %.40s: not a whole number in 1..%" PRIu32, flag, text,
                        most);
    }
    *out = (uint32_t)value;
    return ERR_OK;
}

enum err probe_read_counts(const char *flag, const struct conf_list *list, uint32_t most,
                           uint32_t out[PROBE_COUNTS_MAX], uint32_t *count)
{
    if (list->count > PROBE_COUNTS_MAX)
        return err_note(ERR_INVALID, "--%s: more than %d numbers", flag, PROBE_COUNTS_MAX);
    for (size_t i = 0; i < list->count; i++)
        TRY(probe_read_count(flag, list->items[i], most, &out[i]));
    *count = (uint32_t)list->count;
    return ERR_OK;
}

static enum err read_float_gemm(const char *text, enum model_float_gemm *out)
{
    if (strcmp(text, "exact") == 0)
        *out = MODEL_FLOAT_EXACT;
    else if (strcmp(text, "blas") == 0)
        *out = MODEL_FLOAT_BLAS;
    else
        return err_note(ERR_INVALID, "--float-gemm %s: not exact or blas", text);
    return ERR_OK;
}

static enum err read_kv(const char *text, enum kv_kind *out)
{
    if (strcmp(text, "f16") == 0)
        *out = KV_F16;
    else if (strcmp(text, "int8") == 0)
        *out = KV_INT8;
    else
        return err_note(ERR_INVALID, "--kv %s: not f16 or int8", text);
    return ERR_OK;
}

/* For a person at a terminal: one line that goes when the model is there. */
static void show_progress(void *argument, uint64_t done, uint64_t total)
{
    (void)argument;
    if (done < total)
        fprintf(stderr, "\rloading %" PRIu64 " of %" PRIu64 " MiB", done >> 20, total >> 20);
    else
        fprintf(stderr, "\r\033[K");
}

enum err probe_decoder_options(const struct probe_conf *conf, struct decoder_options *out)
{
    if (!*conf->model) return err_note(ERR_INVALID, "--model FILE is missing: which GGUF file?");
    uint32_t threads[PROBE_COUNTS_MAX];
    uint32_t thread_counts;
    TRY(probe_read_counts("threads", &conf->threads, TEAM_THREADS_MAX, threads, &thread_counts));
    *out = (struct decoder_options){
        .model = conf->model,
        .rung = conf->cpu,
        .threads = thread_counts ? threads[0] : 0,
        .context_max = (uint32_t)conf->context,
        .progress = isatty(STDERR_FILENO) ? show_progress : NULL,
    };
    TRY(read_kv(conf->kv, &out->kv));
    return read_float_gemm(conf->float_gemm, &out->float_gemm);
}
