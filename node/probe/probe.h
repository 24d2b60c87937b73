/* node/probe/probe.h -- qiao-probe: the engine's arithmetic without a cluster.
 *
 * Each verb takes the settings and prints its result on stdout; a failure is an error with a note, which main
 * prints. */
#ifndef NODE_PROBE_PROBE_H
#define NODE_PROBE_PROBE_H

#include "node/probe/decoder.h"

#include "base/conf.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct json_t;
struct peaks;

enum {
    PROBE_COUNTS_MAX = 16,
    PROBE_ROWS = 512 // of a step of bench
};

struct probe_conf {
#define CONF(type, name, ...) CONF_FIELD_##type name;
#include "node/probe/probe.conf.def"
#undef CONF
};

enum err probe_tokenize(const struct probe_conf *conf);
enum err probe_logits(const struct probe_conf *conf);
enum err probe_generate(const struct probe_conf *conf);
enum err probe_embed(const struct probe_conf *conf);
enum err probe_bench(const struct probe_conf *conf);
enum err probe_machine(const struct probe_conf *conf);
enum err probe_recommend(const struct probe_conf *conf);
enum err probe_synth(const struct probe_conf *conf);

/* bench of an encoder's file: texts/s (embed.c). */
enum err probe_bench_encoder(const struct probe_conf *conf);

/* What the verbs share (options.c). */

/* A whole number in 1..most; the note names the flag. */
enum err probe_read_count(const char *flag, const char *text, uint32_t most, uint32_t *out);
/* The list of a flag as such numbers; none when it was not given. */
enum err probe_read_counts(const char *flag, const struct conf_list *list, uint32_t most,
                           uint32_t out[PROBE_COUNTS_MAX], uint32_t *count);
/* What machine and bench --roofline measured (machine.c); the caller's. */
struct json_t *probe_peaks_json(const struct peaks *peaks);
/* --model, --cpu, --threads, --float-gemm, --context. */
enum err probe_decoder_options(const struct probe_conf *conf, struct decoder_options *out);

#endif
