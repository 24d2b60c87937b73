/* qiao-probe: tokens, logits and text of a model, and its speed, without a cluster. */
#include "node/probe/probe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct conf_row rows[] = {
#define CONF(...) CONF_ROW(struct probe_conf, __VA_ARGS__)
#include "node/probe/probe.conf.def"
#undef CONF
};

static const struct conf_table table = {
    .program = "qiao-probe",
    .summary = "the engine's arithmetic without a cluster",
    .usage = "tokenize|logits|generate|embed|bench|recommend --model FILE [settings] | "
             "synth|machine [settings]",
    .rows = rows,
    .row_count = sizeof rows / sizeof *rows,
};

#define VERBS "tokenize, logits, generate, embed, bench, recommend, synth or machine"

static const struct verb {
    const char *name;
    enum err (*run)(const struct probe_conf *conf);
} verbs[] = {
    {"tokenize", probe_tokenize}, {"logits", probe_logits},       {"generate", probe_generate},
    {"embed", probe_embed},       {"bench", probe_bench},         {"synth", probe_synth},
    {"machine", probe_machine},   {"recommend", probe_recommend},
};

static enum err run_verb(const struct probe_conf *conf, int count, char **names)
{
    if (count != 1) return err_note(ERR_INVALID, "one verb is wanted: " VERBS);
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
        if (strcmp(names[0], verbs[i].name) == 0) return verbs[i].run(conf);
    }
    return err_note(ERR_INVALID, "'%.40s' is no verb: " VERBS, names[0]);
}

int main(int argc, char **argv)
{
    struct probe_conf conf = {0};
    int rest;
    enum conf_next next;
    enum err err = conf_load(&table, &conf, argc, argv, &rest, &next);
    if (!err && next == CONF_GO) err = run_verb(&conf, argc - rest, argv + rest);
    if (err) fprintf(stderr, "qiao-probe: %s\n", err_text());
    conf_fini(&table, &conf);
    return err ? EXIT_FAILURE : EXIT_SUCCESS;
}
