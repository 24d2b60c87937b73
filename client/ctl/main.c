/* qiaoctl: look at a cluster, steer it, talk to it. */
#include "client/ctl/ctl.h"

#include <jansson.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct conf_row rows[] = {
#define CONF(...) CONF_ROW(struct ctl_conf, __VA_ARGS__)
#include "client/ctl/ctl.conf.def"
#undef CONF
};

static const struct conf_table table = {
    .program = "qiaoctl",
    .summary = "look at a qiao cluster, steer it, talk to it",
    .usage =
        "[flags] VERB\n"
        "  status              the scheduler, its Redis, its counts\n"
        "  nodes               the nodes that it sees\n"
        "  schedulers          the schedulers that it knows\n"
        "  models              the models that can be asked\n"
        "  drain NODE          give the node no new requests, and wait until nothing runs there\n"
        "  undrain NODE        take it back\n"
        "  chat [TEXT]         ask once, or talk line by line\n"
        "  events import FILE  take a partner's signed feed (--source)\n"
        "  events forget       delete a partner's events (--source), of everybody or of --user\n"
        "  me export           everything that is kept of --user, as lines of JSON\n"
        "  me erase            delete it; me erasure ID: how far that is in Redis' files\n"
        "  models load FILE    check a model's file, copy it to --to, and have the nodes serve it\n"
        "  policy keygen NAME  make a signing key, NAME.key and NAME.pub (--out)\n"
        "  policy sign FILE    sign a policy document (--sign-key)\n"
        "  policy check FILE   what is wrong in a policy document, and who signed it\n"
        "  policy show         the documents in force; policy reload reads the folder again\n"
        "  strikes forgive     let --user of --tenant in again, who was suspended\n"
        "  terms compile FILE  put a source of terms into its one form, NAME.terms (--out)\n"
        "  terms sign FILE     sign a bundle of terms (--sign-key)\n"
        "  terms check FILE    what is wrong in a bundle of terms, and who signed it\n"
        "  terms show          the bundles in force; terms reload reads their folder again\n"
        "  policy explain      each rule of --region, who says so, and what it answers\n"
        "  gate VERB           list, show, draft, evidence FILE, submit, approve, roll PERCENT, "
        "pause, live,\n"
        "                      suspend, retire, explain: the gate of --feature in --region\n"
        "  audit seal          have the audit's records sealed into a file\n"
        "  audit verify PATH   check sealed files, or a folder of them (--keys, --root)\n"
        "  audit export PATH   check them, and write their records as lines of JSON\n"
        "  label verify FILE   check the label of an answer, a body or events (--keys)\n"
        "  label waive FILE    --user has agreed to FILE, for --days: no visible label is needed\n"
        "  label unwaive       --user has not, or no more\n"
        "  receipt verify FILE check the receipt of an answer (--keys, --model-file)\n"
        "  compliance run      try the controls of --region, and write what came of it into --out, "
        "signed\n"
        "  compliance verify FILE  whether the evidence is as it was signed (--keys)\n"
        "  recommender export  what a recommender is trained on, into --out\n"
        "Exit codes: 0 done, 1 the cluster failed or refused, 2 the command line is not right.",
    .rows = rows,
    .row_count = sizeof rows / sizeof *rows,
};

enum ctl_exit ctl_fail(const struct ctl_conf *conf, const struct qiao *qiao)
{
    if (conf->json) {
        json_t *root = json_pack("{s:{s:s, s:s, s:i}}", "error", "message", qiao_error(qiao),
                                 "code", qiao_code(qiao), "status", qiao_http_status(qiao));
        if (root) json_dumpf(root, stdout, JSON_COMPACT);
        putchar('\n');
        json_decref(root);
    } else {
        fprintf(stderr, "qiaoctl: %s\n", qiao_error(qiao));
    }
    return CTL_FAILED;
}

static enum ctl_exit usage(const char *text)
{
    fprintf(stderr, "qiaoctl: %s; qiaoctl --help shows the verbs\n", text);
    return CTL_USAGE;
}

/* Verbs of two words; false: it is none. */
static bool run_pair(const struct ctl_conf *conf, struct qiao *qiao, int count, char **words,
                     enum ctl_exit *code)
{
    static const struct {
        const char *first, *second;
        int count; // words
        enum ctl_exit (*alone)(const struct ctl_conf *conf, struct qiao *qiao);
        enum ctl_exit (*with_file)(const struct ctl_conf *conf, struct qiao *qiao,
                                   const char *path);
    } pairs[] = {
        {"audit", "export", 3, NULL, ctl_audit_export},
        {"audit", "seal", 2, ctl_audit_seal, NULL},
        {"audit", "verify", 3, NULL, ctl_audit_verify},
        {"compliance", "run", 2, ctl_compliance_run, NULL},
        {"compliance", "verify", 3, NULL, ctl_compliance_verify},
        {"events", "import", 3, NULL, ctl_import},
        {"events", "forget", 2, ctl_forget, NULL},
        {"label", "unwaive", 2, ctl_label_unwaive, NULL},
        {"label", "verify", 3, NULL, ctl_label_verify},
        {"label", "waive", 3, NULL, ctl_label_waive},
        {"me", "erase", 2, ctl_me_erase, NULL},
        {"me", "erasure", 3, NULL, ctl_me_erasure},
        {"me", "export", 2, ctl_me_export, NULL},
        {"models", "load", 3, NULL, ctl_load},
        {"policy", "check", 3, NULL, ctl_policy_check},
        {"policy", "explain", 2, ctl_policy_explain, NULL},
        {"policy", "keygen", 3, NULL, ctl_policy_keygen},
        {"policy", "reload", 2, ctl_policy_reload, NULL},
        {"policy", "show", 2, ctl_policy_show, NULL},
        {"policy", "sign", 3, NULL, ctl_policy_sign},
        {"strikes", "forgive", 2, ctl_strikes_forgive, NULL},
        {"terms", "check", 3, NULL, ctl_terms_check},
        {"terms", "compile", 3, NULL, ctl_terms_compile},
        {"terms", "reload", 2, ctl_terms_reload, NULL},
        {"terms", "show", 2, ctl_terms_show, NULL},
        {"terms", "sign", 3, NULL, ctl_terms_sign},
        {"receipt", "verify", 3, NULL, ctl_receipt_verify},
        {"recommender", "export", 2, ctl_export, NULL},
    };

    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        if (count < 2 || strcmp(words[0], pairs[i].first) != 0 ||
            strcmp(words[1], pairs[i].second) != 0)
            continue;
        if (count != pairs[i].count)
            *code = usage(count < pairs[i].count ? "the file's name is missing" : "too many words");
        else
            *code = pairs[i].alone ? pairs[i].alone(conf, qiao)
                                   : pairs[i].with_file(conf, qiao, words[2]);
        return true;
    }
    return false;
}

static enum ctl_exit run(const struct ctl_conf *conf, struct qiao *qiao, int count, char **words)
{
    static const char *const node_columns[] = {
        "name",      "state",          "region",           "models",    "running", "waiting",
        "in_flight", "kv_blocks_used", "kv_blocks_cached", "kv_blocks", "threads", "step_age_ms",
        NULL};
    static const char *const scheduler_columns[] = {"url", "self", NULL};
    static const char *const model_columns[] = {"id", "context_length", "nodes", "owned_by", NULL};
    enum ctl_exit code;
    if (count == 0) return usage("a verb is missing");
    const char *verb = words[0];
    if (strcmp(verb, "gate") == 0) return ctl_gate(conf, qiao, count - 1, words + 1);
    if (run_pair(conf, qiao, count, words, &code)) return code;
    bool drains = strcmp(verb, "drain") == 0, undrains = strcmp(verb, "undrain") == 0;
    bool chats = strcmp(verb, "chat") == 0;
    if (count > 2 || (count == 2 && !drains && !undrains && !chats))
        return usage("too many words (quote a text with spaces)");
    if (strcmp(verb, "status") == 0) return ctl_show(conf, qiao, "/admin/status", NULL, NULL);
    if (strcmp(verb, "nodes") == 0)
        return ctl_show(conf, qiao, "/admin/nodes", "nodes", node_columns);
    if (strcmp(verb, "schedulers") == 0)
        return ctl_show(conf, qiao, "/admin/schedulers", "schedulers", scheduler_columns);
    if (strcmp(verb, "models") == 0)
        return ctl_show(conf, qiao, "/v1/models", "data", model_columns);
    if (chats) return ctl_chat(conf, qiao, count == 2 ? words[1] : NULL);
    if (!drains && !undrains) return usage("no such verb");
    if (count != 2) return usage("the node's name is missing");
    return ctl_drain(conf, qiao, words[1], drains);
}

int main(int argc, char **argv)
{
    struct ctl_conf conf = {0};
    int rest;
    enum conf_next next;
    if (conf_load(&table, &conf, argc, argv, &rest, &next)) {
        fprintf(stderr, "qiaoctl: %s\n", err_text());
        return CTL_USAGE;
    }
    if (next == CONF_EXIT) return CTL_GOOD;
    struct qiao *qiao = qiao_new(conf.url, *conf.key ? conf.key : NULL);
    qiao_set_timeout(qiao, (unsigned)conf.timeout);
    if (*conf.user) qiao_set_user(qiao, conf.user);
    if (*conf.region) qiao_set_region(qiao, conf.region);
    enum ctl_exit code = run(&conf, qiao, argc - rest, argv + rest);
    qiao_free(qiao);
    conf_fini(&table, &conf);
    return (int)code;
}
