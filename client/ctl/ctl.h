/* client/ctl/ctl.h -- what the parts of qiaoctl share: its settings, its exit codes, its verbs. */
#ifndef CLIENT_CTL_CTL_H
#define CLIENT_CTL_CTL_H

#include "client/qiao.h"

#include "base/conf.h"

#include <stdbool.h>
#include <stdint.h>

struct ctl_conf {
#define CONF(type, name, preset, min, max, unit, text) CONF_FIELD_##type name;
#include "client/ctl/ctl.conf.def"
#undef CONF
};

enum ctl_exit {
    CTL_GOOD = 0,
    CTL_FAILED = 1, // the cluster could not be reached, or refused
    CTL_USAGE = 2   // the command line is not right
};

/* Say why a call failed, in one line on stderr (or as JSON on stdout with --json). */
enum ctl_exit ctl_fail(const struct ctl_conf *conf, const struct qiao *qiao);

/* GET `path` and show it: the array `list` as a table of `columns` (NULL-terminated), or with a NULL `list` the object as lines. */
enum ctl_exit ctl_show(const struct ctl_conf *conf, struct qiao *qiao, const char *path,
                       const char *list, const char *const *columns);

/* Requests that a node of /admin/nodes has, of all schedulers, as far as this one knows. */
struct json_t;
long long ctl_left(const struct json_t *node);

/* Take the node out of the choice (or back into it), and wait until nothing of it runs any more: at most
 * conf->wait seconds, after which CTL_FAILED says what is left. */
enum ctl_exit ctl_drain(const struct ctl_conf *conf, struct qiao *qiao, const char *node, bool on);

/* A partner's feed: FILE, with FILE.manifest and FILE.manifest.sig beside it (docs/operations.md); of the partner conf->source. */
enum ctl_exit ctl_import(const struct ctl_conf *conf, struct qiao *qiao, const char *path);
/* Delete the partner's events, of conf->user or of everybody. */
enum ctl_exit ctl_forget(const struct ctl_conf *conf, struct qiao *qiao);

/* The gate of conf->feature in conf->region: words[0] says what is done with it. */
enum ctl_exit ctl_gate(const struct ctl_conf *conf, struct qiao *qiao, int count, char **words);

/* What a recommender is trained on, into the directory conf->out: events.ndjson and items.ndjson. */
enum ctl_exit ctl_export(const struct ctl_conf *conf, struct qiao *qiao);

/* Check the model's file, copy it to conf->to, and have the nodes serve it, one after another. */
enum ctl_exit ctl_load(const struct ctl_conf *conf, struct qiao *qiao, const char *path);

/* The key of conf->sign_key; what is wrong has been said. sign_fini() it. */
struct sign_secret;
enum ctl_exit ctl_read_sign_key(const struct ctl_conf *conf, struct sign_secret *out);
/* Policies: make a signing key, sign a document, have it checked; what is in force, have it read again, each rule of a region. */
enum ctl_exit ctl_policy_keygen(const struct ctl_conf *conf, struct qiao *qiao, const char *name);
enum ctl_exit ctl_policy_sign(const struct ctl_conf *conf, struct qiao *qiao, const char *path);
enum ctl_exit ctl_policy_check(const struct ctl_conf *conf, struct qiao *qiao, const char *path);
enum ctl_exit ctl_policy_show(const struct ctl_conf *conf, struct qiao *qiao);
enum ctl_exit ctl_policy_reload(const struct ctl_conf *conf, struct qiao *qiao);
enum ctl_exit ctl_policy_explain(const struct ctl_conf *conf, struct qiao *qiao);
/* Sign a file of at most `most` bytes for the purpose, with --sign-key, into FILE.sig beside it. */
enum ctl_exit ctl_sign_file(const struct ctl_conf *conf, const char *path, const char *purpose,
                            size_t most);
enum ctl_exit ctl_sign_with(const struct sign_secret *secret, const char *path,
                            const char *purpose, size_t most);
/* Whether the file's signatures by keys of --policy-keys are of its bytes. */
enum err ctl_check_signatures(const struct ctl_conf *conf, const char *path, const char *purpose,
                              const char *text, size_t size);

/* Bundles of terms (docs/filter.md): put a source into its one form, NAME.terms in --out; sign it; what is wrong in it. */
enum ctl_exit ctl_terms_compile(const struct ctl_conf *conf, struct qiao *qiao, const char *path);
enum ctl_exit ctl_terms_sign(const struct ctl_conf *conf, struct qiao *qiao, const char *path);
enum ctl_exit ctl_terms_check(const struct ctl_conf *conf, struct qiao *qiao, const char *path);
enum ctl_exit ctl_terms_show(const struct ctl_conf *conf, struct qiao *qiao);
/* Let --user of --tenant in again. */
enum ctl_exit ctl_strikes_forgive(const struct ctl_conf *conf, struct qiao *qiao);
enum ctl_exit ctl_terms_reload(const struct ctl_conf *conf, struct qiao *qiao);

/* The audit: seal what is there; check sealed files, or a folder of them, and write their records. */
enum ctl_exit ctl_audit_seal(const struct ctl_conf *conf, struct qiao *qiao);
enum ctl_exit ctl_audit_verify(const struct ctl_conf *conf, struct qiao *qiao, const char *path);
enum ctl_exit ctl_audit_export(const struct ctl_conf *conf, struct qiao *qiao, const char *path);
/* The receipt in an answer's file: its body, or a stream as it came. */
enum ctl_exit ctl_receipt_verify(const struct ctl_conf *conf, struct qiao *qiao, const char *path);

/* What is kept of conf->user, as it comes; delete it; how far that is in Redis' files. */
enum ctl_exit ctl_me_export(const struct ctl_conf *conf, struct qiao *qiao);
enum ctl_exit ctl_me_erase(const struct ctl_conf *conf, struct qiao *qiao);
enum ctl_exit ctl_me_erasure(const struct ctl_conf *conf, struct qiao *qiao, const char *id);

/* Whether the answer in a file has the label that it was made with, by the keys of conf->keys. */
enum ctl_exit ctl_label_verify(const struct ctl_conf *conf, struct qiao *qiao, const char *path);
/* Put the agreement in a file on record for conf->user, or take it off. */
enum ctl_exit ctl_label_waive(const struct ctl_conf *conf, struct qiao *qiao, const char *path);
enum ctl_exit ctl_label_unwaive(const struct ctl_conf *conf, struct qiao *qiao);

/* Try the controls of conf->region against the cluster, and write a pack of evidence; check a file of one (docs/compliance.md). */
enum ctl_exit ctl_compliance_run(const struct ctl_conf *conf, struct qiao *qiao);
enum ctl_exit ctl_compliance_verify(const struct ctl_conf *conf, struct qiao *qiao,
                                    const char *path);

/* One answer to `text`, or with NULL a conversation read line by line from stdin. */
enum ctl_exit ctl_chat(const struct ctl_conf *conf, struct qiao *qiao, const char *text);

#endif
