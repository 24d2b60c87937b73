/* policy keygen, sign, check, show, reload, explain: documents and their signatures; what holds in a region. */
#include "client/ctl/call.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/sign.h"

#include <jansson.h>
#include <sodium.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PURPOSE "qiao policy 1" // docs/policy.md

enum {
    DOCUMENT_MAX = 256 << 10
};

enum ctl_exit ctl_read_sign_key(const struct ctl_conf *conf, struct sign_secret *out)
{
    if (sodium_init() < 0) return CTL_FAILED;
    if (!*conf->sign_key) {
        fprintf(stderr, "qiaoctl: --sign-key must name the file of a signing key; `policy keygen "
                        "NAME` makes one\n");
        return CTL_USAGE;
    }
    return sign_read_secret(out, conf->sign_key) ? call_wrong_err() : CTL_GOOD;
}

// ---- keys --------------------------------------------------------------------------------------

/* NAME.key for its owner alone, NAME.pub for everybody. */
enum ctl_exit ctl_policy_keygen(const struct ctl_conf *conf, struct qiao *qiao, const char *name)
{
    struct sign_secret secret;
    struct sign_public public;
    struct buf text = {0}, open_text = {0}, path = {0};
    const char *folder = *conf->out ? conf->out : ".";
    (void)qiao;
    if (sodium_init() < 0) return CTL_FAILED;
    if (sign_make_key(&secret, name)) return call_wrong_err(), CTL_USAGE;
    sign_public_of(&public, &secret);
    sign_write_secret(&text, &secret);
    sign_write_public(&open_text, &public);
    buf_addf(&path, "%s/%s.key", folder, name);
    enum err err = file_create(buf_text(&path), 0600, text.data, text.size);
    buf_clear(&path);
    buf_addf(&path, "%s/%s.pub", folder, name);
    if (!err) err = file_create(buf_text(&path), 0644, open_text.data, open_text.size);
    if (!err) printf("%s/%s.key is secret, %s/%s.pub is not\n", folder, name, folder, name);
    sodium_memzero(text.data, text.size);
    sign_fini(&secret);
    buf_fini(&text);
    buf_fini(&open_text);
    buf_fini(&path);
    return err ? call_wrong_err() : CTL_GOOD;
}

// ---- signatures --------------------------------------------------------------------------------

/* The other signers' records stay, as far as there are any. */
static enum err write_signatures(const char *path, const struct sign_signature *own)
{
    struct sign_signatures *old = mem_new(1, sizeof *old);
    struct buf text = {0}, fresh = {0};
    enum err err = access(path, F_OK) == 0 ? sign_read_signatures(old, path) : ERR_OK;
    for (size_t i = 0; !err && i < old->count; i++)
        if (strcmp(old->list[i].id, own->id) != 0) sign_write_signature(&text, &old->list[i]);
    sign_write_signature(&text, own);
    buf_addf(&fresh, "%s.new", path);
    if (!err) {
        unlink(buf_text(&fresh)); // of a call that was cut off
        err = file_create(buf_text(&fresh), 0644, text.data, text.size);
    }
    if (!err && rename(buf_text(&fresh), path) != 0)
        err = err_note(ERR_IO, "cannot write '%s'", path);
    mem_free(old);
    buf_fini(&text);
    buf_fini(&fresh);
    return err;
}

enum ctl_exit ctl_sign_with(const struct sign_secret *secret, const char *path, const char *purpose,
                            size_t most)
{
    struct sign_signature signature = {0};
    struct buf name = {0};
    char *text;
    size_t size;
    enum err err = file_read(&text, &size, path, most);
    if (!err) {
        memcpy(signature.id, secret->id, sizeof signature.id);
        sign_bytes(signature.bytes, secret, purpose, text, size);
        buf_addf(&name, "%s.sig", path);
        err = write_signatures(buf_text(&name), &signature);
        mem_free(text);
    }
    buf_fini(&name);
    return err ? call_wrong_err() : CTL_GOOD;
}

enum ctl_exit ctl_sign_file(const struct ctl_conf *conf, const char *path, const char *purpose,
                            size_t most)
{
    struct sign_secret secret;
    enum ctl_exit code = ctl_read_sign_key(conf, &secret);
    if (code) return code;
    code = ctl_sign_with(&secret, path, purpose, most);
    sign_fini(&secret);
    if (!code) printf("%s is signed: %s.sig\n", path, path);
    return code;
}

enum ctl_exit ctl_policy_sign(const struct ctl_conf *conf, struct qiao *qiao, const char *path)
{
    (void)qiao;
    return ctl_sign_file(conf, path, PURPOSE, DOCUMENT_MAX);
}

enum err ctl_check_signatures(const struct ctl_conf *conf, const char *path, const char *purpose,
                              const char *text, size_t size)
{
    struct sign_keys *keys = mem_new(1, sizeof *keys);
    struct sign_signatures *list = mem_new(1, sizeof *list);
    struct buf name = {0};
    size_t good = 0;
    buf_addf(&name, "%s.sig", path);
    enum err err = sign_read_keys(keys, conf->policy_keys);
    if (!err) err = sign_read_signatures(list, buf_text(&name));
    for (size_t i = 0; !err && i < list->count; i++) {
        const struct sign_public *key = sign_find(keys, list->list[i].id);
        bool holds = key && sign_check(key->key, purpose, text, size, list->list[i].bytes);
        if (key && !holds)
            err = err_note(ERR_FORBIDDEN, "%s: the signature of '%s' is not one of these bytes",
                           path, key->id);
        good += holds;
    }
    if (!err && good == 0)
        err = err_note(ERR_FORBIDDEN, "%s: nobody whose key is in '%s' signed it", path,
                       conf->policy_keys);
    if (!err && !conf->json) printf("%s: %zu good signatures\n", path, good);
    mem_free(keys);
    mem_free(list);
    buf_fini(&name);
    return err;
}

/* The cluster's schedulers know what a document may say. */
enum ctl_exit ctl_policy_check(const struct ctl_conf *conf, struct qiao *qiao, const char *path)
{
    json_t *answer = NULL;
    size_t size;
    const char *slash = strrchr(path, '/');
    char *text = call_read_file(path, DOCUMENT_MAX, &size);
    if (!text) return CTL_FAILED;
    json_t *ask = json_pack("{s:s, s:s}", "name", slash ? slash + 1 : path, "text", text);
    enum ctl_exit code = call_post_json(conf, qiao, "/admin/policy/check", ask, NULL, &answer);
    json_decref(answer);
    if (!code && sodium_init() >= 0 && *conf->policy_keys &&
        ctl_check_signatures(conf, path, PURPOSE, text, size))
        code = call_wrong_err();
    if (!code) printf("%s says nothing wrong\n", path);
    mem_free(text);
    return code;
}

// ---- what holds --------------------------------------------------------------------------------

enum ctl_exit ctl_policy_show(const struct ctl_conf *conf, struct qiao *qiao)
{
    static const char *const columns[] = {"file",        "kind",    "name",   "extends", "serial",
                                          "valid_until", "signers", "digest", NULL};
    return ctl_show(conf, qiao, "/admin/policy", "documents", columns);
}

enum ctl_exit ctl_policy_reload(const struct ctl_conf *conf, struct qiao *qiao)
{
    json_t *answer = NULL;
    enum ctl_exit code = call_post(conf, qiao, "/admin/policy/reload", "{}", NULL, &answer);
    if (!code) printf("in force: %s\n", json_string_value(json_object_get(answer, "digest")));
    json_decref(answer);
    return code;
}

/* The provisions that are those of the rule before are not said again. */
static void print_rule(const json_t *rule, const json_t *before)
{
    const json_t *document = json_object_get(rule, "document");
    const json_t *provisions = json_object_get(rule, "provision");
    char *value = json_dumps(json_object_get(rule, "value"), JSON_COMPACT | JSON_ENCODE_ANY);
    printf("%s = %s (%s)\n", json_string_value(json_object_get(rule, "rule")), value ? value : "",
           json_is_string(document) ? json_string_value(document) : "no document");
    free(value);
    if (json_equal(provisions, json_object_get(before, "provision"))) return;
    for (size_t i = 0; i < json_array_size(provisions); i++) {
        const json_t *one = json_array_get(provisions, i);
        const char *law = json_string_value(json_object_get(one, "law"));
        const char *article = json_string_value(json_object_get(one, "article"));
        const char *note = json_string_value(json_object_get(one, "note"));
        printf("    %s%s%s%s%s\n", law ? law : "", article ? ", art. " : "", article ? article : "",
               note ? ": " : "", note ? note : "");
    }
}

/* Each rule of --region (and --tenant), who says so, and what it answers. */
enum ctl_exit ctl_policy_explain(const struct ctl_conf *conf, struct qiao *qiao)
{
    struct buf path = {0};
    char *body = NULL;
    if (!*conf->region) {
        fprintf(stderr, "qiaoctl: --region must name the region\n");
        return CTL_USAGE;
    }
    buf_addf(&path, "/admin/policy/explain?region=%s&tenant=%s", conf->region, conf->tenant);
    enum qiao_status status = qiao_request(qiao, "GET", buf_text(&path), NULL, &body);
    buf_fini(&path);
    if (status) return ctl_fail(conf, qiao);
    if (conf->json) {
        puts(body);
    } else {
        json_t *root = json_loads(body, 0, NULL);
        const json_t *rules = json_object_get(root, "rules");
        for (size_t i = 0; i < json_array_size(rules); i++)
            print_rule(json_array_get(rules, i), i ? json_array_get(rules, i - 1) : NULL);
        json_decref(root);
    }
    qiao_free_text(body);
    return CTL_GOOD;
}
