#include "client/ctl/call.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/sign.h"

#include <sodium.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* It may be otherwise in a moment: nobody there, Redis away, too much to do. */
static bool may_change(const struct qiao *qiao, enum qiao_status status)
{
    int http = qiao_http_status(qiao);
    return status == QIAO_UNREACHABLE || status == QIAO_BROKEN ||
           (status == QIAO_REFUSED && (http == 429 || http == 503));
}

enum ctl_exit call_post(const struct ctl_conf *conf, struct qiao *qiao, const char *path,
                        const char *text, int *http_status, json_t **out)
{
    char *body = NULL;
    enum qiao_status status = QIAO_OK;
    for (int tries = 0; tries < CALL_TRIES; tries++) {
        status = qiao_request(qiao, "POST", path, text, &body);
        if (!status || !may_change(qiao, status)) break;
        unsigned after = qiao_retry_after(qiao);
        const struct timespec pause = {.tv_sec = after ? (time_t)(after < 5 ? after : 5) : 0,
                                       .tv_nsec = after ? 0 : 500000000L};
        nanosleep(&pause, NULL);
    }
    if (http_status) *http_status = status ? qiao_http_status(qiao) : 200;
    if (status) return http_status && *http_status == 409 ? CTL_FAILED : ctl_fail(conf, qiao);
    *out = json_loads(body, 0, NULL);
    qiao_free_text(body);
    if (json_is_object(*out)) return CTL_GOOD;
    json_decref(*out);
    fprintf(stderr, "qiaoctl: the server's answer to %s is not what it should be\n", path);
    return CTL_FAILED;
}

enum ctl_exit call_post_json(const struct ctl_conf *conf, struct qiao *qiao, const char *path,
                             json_t *object, int *http_status, json_t **out)
{
    char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;
    json_decref(object);
    if (!text) {
        fprintf(stderr, "qiaoctl: a name is not valid UTF-8\n");
        return CTL_USAGE;
    }
    enum ctl_exit code = call_post(conf, qiao, path, text, http_status, out);
    free(text);
    return code;
}

long long call_count(const json_t *object, const char *name)
{
    return json_integer_value(json_object_get(object, name));
}

void call_progress(const char *what, long long done, long long total)
{
    bool person = isatty(STDERR_FILENO), whole = done >= total;
    if (!person && !whole) return;
    fprintf(stderr, "%s%s %lld of %lld (%.0f%%)%s", person ? "\r" : "", what, done, total,
            total > 0 ? 100.0 * (double)done / (double)total : 100.0, whole ? "\n" : "\033[K");
    fflush(stderr);
}

void call_print_json(json_t *object)
{
    if (object) json_dumpf(object, stdout, JSON_COMPACT | JSON_REAL_PRECISION(6));
    putchar('\n');
    json_decref(object);
}

enum ctl_exit call_wrong(const char *what, const char *why)
{
    fprintf(stderr, "qiaoctl: %s: %s\n", what, why);
    return CTL_FAILED;
}

enum ctl_exit call_wrong_err(void)
{
    fprintf(stderr, "qiaoctl: %s\n", err_text());
    return CTL_FAILED;
}

enum ctl_exit call_read_keys(const struct ctl_conf *conf, struct sign_keys *keys)
{
    if (sodium_init() < 0) return CTL_FAILED;
    if (!*conf->keys) {
        fprintf(stderr, "qiaoctl: --keys must name the file of the public keys that count\n");
        return CTL_USAGE;
    }
    return sign_read_keys(keys, conf->keys) ? call_wrong_err() : CTL_GOOD;
}

char *call_read_file(const char *path, size_t most, size_t *size)
{
    FILE *file = fopen(path, "re");
    if (!file) {
        fprintf(stderr, "qiaoctl: cannot read '%s': %s\n", path, strerror(errno));
        return NULL;
    }
    char *bytes = mem_new(most + 2, 1);
    *size = fread(bytes, 1, most + 1, file);
    bool failed = ferror(file) != 0;
    fclose(file);
    if (!failed && *size <= most) {
        bytes[*size] = '\0';
        return bytes;
    }
    fprintf(stderr, "qiaoctl: '%s' %s\n", path, failed ? "cannot be read" : "is too large");
    mem_free(bytes);
    return NULL;
}
