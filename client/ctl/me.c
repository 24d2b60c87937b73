/* me export, me erase, me erasure: what a user may ask for, asked by an operator on the user's behalf (docs/privacy.md). */
#include "client/ctl/ctl.h"

#include "base/buf.h"

#include <jansson.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    ID_SIZE = 32 // hexadecimal digits of an erasure's id
};

/* Nobody is erased or exported because a flag was forgotten. */
static bool has_user(const struct ctl_conf *conf)
{
    if (*conf->user) return true;
    fprintf(stderr, "qiaoctl: --user must say whose data\n");
    return false;
}

/* The last line says whether all came. */
static bool is_whole(const char *lines)
{
    size_t size = strlen(lines);
    while (size > 0 && lines[size - 1] == '\n')
        size--;
    size_t begin = size;
    while (begin > 0 && lines[begin - 1] != '\n')
        begin--;
    json_t *last = json_loadb(lines + begin, size - begin, 0, NULL);
    bool whole = json_is_true(json_object_get(last, "complete"));
    json_decref(last);
    return whole;
}

enum ctl_exit ctl_me_export(const struct ctl_conf *conf, struct qiao *qiao)
{
    char *body = NULL;
    if (!has_user(conf)) return CTL_USAGE;
    if (qiao_request(qiao, "GET", "/v1/me/export", NULL, &body)) return ctl_fail(conf, qiao);
    bool whole = is_whole(body);
    fputs(body, stdout);
    qiao_free_text(body);
    if (whole) return CTL_GOOD;
    fprintf(stderr, "qiaoctl: the export is not whole; ask again\n");
    return CTL_FAILED;
}

/* The receipt, for a person to read or for a script. */
static enum ctl_exit show_receipt(const struct ctl_conf *conf, struct qiao *qiao,
                                  const char *method, const char *path)
{
    char *body = NULL;
    if (qiao_request(qiao, method, path, NULL, &body)) return ctl_fail(conf, qiao);
    json_t *root = json_loads(body, 0, NULL);
    if (conf->json || !root)
        fputs(body, stdout);
    else
        json_dumpf(root, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(root);
    qiao_free_text(body);
    return CTL_GOOD;
}

enum ctl_exit ctl_me_erase(const struct ctl_conf *conf, struct qiao *qiao)
{
    return has_user(conf) ? show_receipt(conf, qiao, "DELETE", "/v1/me") : CTL_USAGE;
}

enum ctl_exit ctl_me_erasure(const struct ctl_conf *conf, struct qiao *qiao, const char *id)
{
    struct buf path = {0};
    if (!has_user(conf)) return CTL_USAGE;
    if (strlen(id) != ID_SIZE || strspn(id, "0123456789abcdef") != ID_SIZE) {
        fprintf(stderr, "qiaoctl: an erasure's id has %d hexadecimal digits\n", ID_SIZE);
        return CTL_USAGE;
    }
    buf_addf(&path, "/v1/me/erasures/%s", id);
    enum ctl_exit code = show_receipt(conf, qiao, "GET", buf_text(&path));
    buf_fini(&path);
    return code;
}
