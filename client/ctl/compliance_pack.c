/* compliance: the pack: compliance.json and compliance.html in a folder, each with its signature beside it (base/sign.h). */
#include "client/ctl/call.h"
#include "client/ctl/compliance.h"

#include "base/file.h"
#include "base/mem.h"

#include <sodium.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    PACK_MAX = 16 << 20
};

static enum ctl_exit failed(const char *path)
{
    fprintf(stderr, "qiaoctl: cannot write '%s': %s\n", path, strerror(errno));
    return CTL_FAILED;
}

/* In place of what an earlier run left, with its signature. */
static enum ctl_exit write_file(const char *folder, const struct sign_secret *secret,
                                const char *name, const char *text, size_t size)
{
    struct buf path = {0}, fresh = {0}, old = {0};
    enum ctl_exit code = CTL_GOOD;
    buf_addf(&path, "%s/%s", folder, name);
    buf_addf(&fresh, "%s.new", buf_text(&path));
    buf_addf(&old, "%s.sig", buf_text(&path));
    unlink(buf_text(&old)); // of other bytes
    FILE *file = fopen(buf_text(&fresh), "we");
    bool good = file && fwrite(text, 1, size, file) == size;
    if (file && fclose(file) != 0) good = false;
    if (!good || rename(buf_text(&fresh), buf_text(&path)) != 0)
        code = failed(buf_text(&path));
    else
        code = ctl_sign_with(secret, buf_text(&path), COMPLIANCE_FORMAT, PACK_MAX);
    buf_fini(&path);
    buf_fini(&fresh);
    buf_fini(&old);
    return code;
}

/* The public half of the signer's key: who has no other can at least tell whether the pack was changed. */
static enum ctl_exit write_key(const char *folder, const struct sign_secret *secret)
{
    struct sign_public public;
    struct buf path = {0}, text = {0};
    enum ctl_exit code = CTL_GOOD;
    sign_public_of(&public, secret);
    sign_write_public(&text, &public);
    buf_addf(&path, "%s/compliance.pub", folder);
    unlink(buf_text(&path)); // of an earlier run
    if (file_create(buf_text(&path), 0644, text.data, text.size)) {
        fprintf(stderr, "qiaoctl: %s\n", err_text());
        code = CTL_FAILED;
    }
    buf_fini(&path);
    buf_fini(&text);
    return code;
}

enum ctl_exit compliance_write(const char *folder, const struct sign_secret *secret,
                               const json_t *pack)
{
    struct buf page = {0};
    if (mkdir(folder, 0755) != 0 && errno != EEXIST) return failed(folder);
    char *text = json_dumps(pack, JSON_INDENT(2));
    enum ctl_exit code =
        text ? write_file(folder, secret, "compliance.json", text, strlen(text)) : CTL_FAILED;
    free(text); // jansson's
    compliance_page(&page, pack);
    if (!code) code = write_file(folder, secret, "compliance.html", page.data, page.size);
    if (!code) code = write_key(folder, secret);
    buf_fini(&page);
    return code;
}

static void say(const struct ctl_conf *conf, const char *path, const json_t *pack)
{
    const json_t *counts = json_object_get(pack, "counts");
    if (conf->json)
        call_print_json(json_pack("{s:b, s:O?}", "valid", 1, "counts", counts));
    else if (counts)
        printf("%s: %lld pass, %lld fail, %lld not applicable, %lld blocked\n", path,
               call_count(counts, "pass"), call_count(counts, "fail"),
               call_count(counts, "not_applicable"), call_count(counts, "blocked"));
}

/* Either of the two files. */
enum ctl_exit ctl_compliance_verify(const struct ctl_conf *conf, struct qiao *qiao,
                                    const char *path)
{
    struct ctl_conf own = *conf; // its texts are borrowed
    size_t size;
    (void)qiao;
    if (sodium_init() < 0) return CTL_FAILED;
    if (!*conf->keys) {
        fprintf(stderr, "qiaoctl: --keys must name the file of the public keys that count\n");
        return CTL_USAGE;
    }
    char *text = call_read_file(path, PACK_MAX, &size);
    if (!text) return CTL_FAILED;
    own.policy_keys = conf->keys;
    enum err err = ctl_check_signatures(&own, path, COMPLIANCE_FORMAT, text, size);
    json_t *pack = json_loadb(text, size, 0, NULL);
    mem_free(text);
    if (err)
        fprintf(stderr, "qiaoctl: %s\n", err_text());
    else
        say(conf, path, pack);
    json_decref(pack);
    return err ? CTL_FAILED : CTL_GOOD;
}
