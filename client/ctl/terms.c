/* terms compile, sign, check, show, reload: the bundles that filters look for; strikes forgive: who ran into them. */
#include "base/terms.h"

#include "client/ctl/call.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"

#include <jansson.h>
#include <sodium.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The file and what it says. */
static enum err read_terms(const char *path, char **text, size_t *size, struct terms **terms)
{
    TRY(file_read(text, size, path, TERMS_FILE_MAX));
    enum err err = terms_parse(terms, path, *text, *size);
    if (err) mem_free(*text);
    return err;
}

enum ctl_exit ctl_terms_compile(const struct ctl_conf *conf, struct qiao *qiao, const char *path)
{
    struct terms *terms;
    struct buf name = {0}, fresh = {0}, out = {0};
    char *text;
    size_t size;
    (void)qiao;
    if (read_terms(path, &text, &size, &terms)) return call_wrong_err();
    mem_free(text);
    terms_write(&out, terms);
    buf_addf(&name, "%s/%s.terms", *conf->out ? conf->out : ".", terms->name);
    buf_addf(&fresh, "%s.new", buf_text(&name));
    unlink(buf_text(&fresh)); // of a call that was cut off
    enum err err = file_create(buf_text(&fresh), 0644, out.data, out.size);
    if (!err && rename(buf_text(&fresh), buf_text(&name)) != 0)
        err = err_note(ERR_IO, "cannot write '%s'", buf_text(&name));
    if (!err)
        printf("%s: %zu terms in %zu categories, serial %" PRIu64 "\n", buf_text(&name),
               terms->count, terms->category_count, terms->serial);
    terms_free(terms);
    buf_fini(&name);
    buf_fini(&fresh);
    buf_fini(&out);
    return err ? call_wrong_err() : CTL_GOOD;
}

enum ctl_exit ctl_terms_sign(const struct ctl_conf *conf, struct qiao *qiao, const char *path)
{
    struct terms *terms;
    char *text;
    size_t size;
    (void)qiao;
    if (read_terms(path, &text, &size, &terms))
        return call_wrong_err(); // what cannot be read is not signed
    mem_free(text);
    terms_free(terms);
    return ctl_sign_file(conf, path, TERMS_PURPOSE, TERMS_FILE_MAX);
}

/* The cluster's schedulers know which terms can be looked for. */
enum ctl_exit ctl_terms_check(const struct ctl_conf *conf, struct qiao *qiao, const char *path)
{
    struct terms *terms;
    json_t *answer = NULL;
    char *text;
    size_t size;
    if (read_terms(path, &text, &size, &terms)) return call_wrong_err();
    json_t *ask = json_pack("{s:s, s:s}", "name", terms->name, "text", text);
    enum ctl_exit code = call_post_json(conf, qiao, "/admin/terms/check", ask, NULL, &answer);
    json_decref(answer);
    if (!code && sodium_init() >= 0 && *conf->policy_keys &&
        ctl_check_signatures(conf, path, TERMS_PURPOSE, text, size))
        code = call_wrong_err();
    if (!code) printf("%s: nothing is wrong with its %zu terms\n", path, terms->count);
    terms_free(terms);
    mem_free(text);
    return code;
}

enum ctl_exit ctl_terms_show(const struct ctl_conf *conf, struct qiao *qiao)
{
    static const char *const columns[] = {"name",   "serial", "made",  "signer",
                                          "digest", "terms",  "bytes", NULL};
    return ctl_show(conf, qiao, "/admin/terms", "bundles", columns);
}

enum ctl_exit ctl_terms_reload(const struct ctl_conf *conf, struct qiao *qiao)
{
    json_t *answer = NULL;
    enum ctl_exit code = call_post(conf, qiao, "/admin/terms/reload", "{}", NULL, &answer);
    if (!code)
        printf("in force: %zu bundles\n", json_array_size(json_object_get(answer, "bundles")));
    json_decref(answer);
    return code;
}

enum ctl_exit ctl_strikes_forgive(const struct ctl_conf *conf, struct qiao *qiao)
{
    json_t *answer = NULL;
    if (!*conf->user || !*conf->tenant) {
        fprintf(stderr, "qiaoctl: --user and --tenant must name who is let in again\n");
        return CTL_USAGE;
    }
    json_t *ask = json_pack("{s:s, s:s}", "tenant", conf->tenant, "user", conf->user);
    enum ctl_exit code = call_post_json(conf, qiao, "/admin/strikes/forgive", ask, NULL, &answer);
    if (!code)
        puts(json_is_true(json_object_get(answer, "forgiven"))
                 ? "the user is let in again"
                 : "the user had no strikes, and was not suspended");
    json_decref(answer);
    return code;
}
