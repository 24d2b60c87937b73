/* client/ctl/compliance.h -- one run of the controls: what they share, and what they find.
 *
 * A control asks a live cluster as a client, a user, an operator would, and judges the answer by the rules that are in force in the region
 * (GET /admin/policy/explain). No region, language or feature is named here. A rule that no document says counts as the strictest, as in the
 * scheduler.
 *
 * Errors: a control that cannot be tried says why, in its note. Ownership: the run's. Thread: one; the drill has another for its stream. */
#ifndef CLIENT_CTL_COMPLIANCE_H
#define CLIENT_CTL_COMPLIANCE_H

#include "client/ctl/ctl.h"

#include "base/buf.h"
#include "base/sign.h"

#include <jansson.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define COMPLIANCE_FORMAT "qiao compliance 1" // of a pack; the purpose of its signatures, too

enum verdict {
    VERDICT_PASS,
    VERDICT_FAIL,
    VERDICT_NOT_APPLICABLE, // the rules ask for nothing, or what is needed to look was not given
    VERDICT_BLOCKED         // another control's failure is in the way
};

enum {
    TRIAL_USER_SIZE = 64,
    TRIAL_LANGUAGES_MAX = 16
};

struct trial {
    const struct ctl_conf *conf;
    struct qiao *qiao;
    json_t *rules;         // "/labels/place" and so on: a rule as explain shows it
    json_t *policy;        // GET /admin/policy
    json_t *transparency;  // GET /v1/transparency, as the run began
    struct sign_keys keys; // that count under labels, receipts, sealed files
    bool own_keys;         // of the operator's file; else the cluster's word
    char users[16];        // how the run's throw-away users begin
    unsigned user_count;
    char system[72];      // X-Qiao-OS that the gate asks for; "": none
    char *plain, *stream; // an answer, both ways; NULL: `why_not`
    size_t plain_size, stream_size;
    char why_not[256];
    bool has_terms; // the filter's bundle is in force
    char root[65];  // of the newest sealed file that was checked; "": none was

    json_t *figures; // of the control that runs
    struct buf note;
};

typedef enum verdict control_fn(struct trial *trial);

#define CONTROL(name, rule, title, test) control_fn control_##name;
#include "client/ctl/compliance.def"
#undef CONTROL

/* What is found, for the row. trial_fail() and its kin add to the note and return the verdict. */
void trial_count(struct trial *trial, const char *name, long long value);
void trial_text(struct trial *trial, const char *name, const char *value);
enum verdict trial_say(struct trial *trial, enum verdict verdict, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* One call, made again while the cluster says that it will be able to; `body` is given away, `out` is to be qiao_free_text()d. */
enum qiao_status trial_request(struct trial *trial, const char *method, const char *path,
                               json_t *body, char **out);
/* The same; the body is parsed. NULL: refused or broken, and qiao_error() says why. json_decref() it. */
json_t *trial_call(struct trial *trial, const char *method, const char *path, json_t *body);
/* The same where a refusal is wanted: false if it was not refused; the handle has status and code. `body` is given away. */
bool trial_refused(struct trial *trial, const char *method, const char *path, json_t *body);
/* A chat of one message, to be qiao_free_text()d. NULL: refused or broken. `session` may be NULL. */
char *trial_chat(struct trial *trial, const char *text, const char *session, bool stream);
json_t *trial_chat_body(const struct trial *trial, const char *text, const char *session,
                        bool stream);
/* A new throw-away user speaks from now on; NULL in `out`: without keeping the name. */
void trial_new_user(struct trial *trial, char out[TRIAL_USER_SIZE]);

/* The value that the region's documents say; NULL: none of them does. Borrowed. */
/* The rules of a region by their names, to be json_decref()ed; NULL: they cannot be had. */
json_t *trial_rules_of(struct trial *trial, const char *region);
const json_t *trial_rule(const struct trial *trial, const char *path);
const json_t *trial_feature_rule(const struct trial *trial, const char *feature, const char *name);
/* Whether a rule that is a flag holds; `strictest` where no document says it. */
bool trial_flag(const struct trial *trial, const char *path, bool strictest);
bool json_has_text(const json_t *list, const char *text);
/* "": what an answer needs is there; else the verdict is in `verdict`, and was said. */
bool trial_has_answer(struct trial *trial, enum verdict *verdict);

/* All sealed files of a folder, each with the one before; signatures are looked at if there are keys. What is wrong is said on stderr, and is
 * in err_text() where a file says it. */
struct audit_found {
    uint64_t files, records, gaps;
    char root[65]; // of the newest
};

enum ctl_exit audit_check(const struct ctl_conf *conf, const char *folder,
                          const struct sign_keys *keys, struct audit_found *out);

/* The pack's files, signed, and the public half of the key. `pack` is borrowed. */
enum ctl_exit compliance_write(const char *folder, const struct sign_secret *secret,
                               const json_t *pack);
void compliance_page(struct buf *out, const json_t *pack);

#endif
