/* Drain and undrain: say it, then wait until nothing of the node runs any more. */
#include "client/ctl/ctl.h"

#include <jansson.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    LOOK_MS = 200,
    QUIET_LOOKS = 2 // a node's word about its load is up to 50 ms old
};

struct drain {
    const struct ctl_conf *conf;
    struct qiao *qiao;
    const char *node;
    long long left; // requests there, of all schedulers; -1: the node is gone
};

static double seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static enum ctl_exit say(const struct drain *drain, bool on)
{
    json_t *root = json_pack("{s:s}", "node", drain->node);
    char *json = root ? json_dumps(root, JSON_COMPACT) : NULL;
    json_decref(root);
    if (!json) {
        fprintf(stderr, "qiaoctl: the node's name is not valid UTF-8\n");
        return CTL_USAGE;
    }
    enum qiao_status status =
        qiao_request(drain->qiao, "POST", on ? "/admin/drain" : "/admin/undrain", json, NULL);
    free(json);
    return status ? ctl_fail(drain->conf, drain->qiao) : CTL_GOOD;
}

static enum ctl_exit look(struct drain *drain)
{
    char *body = NULL;
    if (qiao_request(drain->qiao, "GET", "/admin/nodes", NULL, &body))
        return ctl_fail(drain->conf, drain->qiao);
    json_t *root = json_loads(body, 0, NULL);
    json_t *nodes = json_object_get(root, "nodes"), *node;
    size_t i;
    drain->left = -1;
    json_array_foreach(nodes, i, node)
    {
        const char *name = json_string_value(json_object_get(node, "name"));
        if (name && strcmp(name, drain->node) == 0) drain->left = ctl_left(node);
    }
    json_decref(root);
    qiao_free_text(body);
    return CTL_GOOD;
}

static void print_json(json_t *root)
{
    if (root) json_dumpf(root, stdout, JSON_COMPACT | JSON_REAL_PRECISION(6));
    putchar('\n');
    json_decref(root);
}

static void tell(const struct drain *drain, double waited_s)
{
    bool done = drain->left <= 0;
    if (drain->conf->json)
        print_json(json_pack("{s:s, s:b, s:b, s:I, s:f}", "node", drain->node, "draining", 1,
                             "gone", drain->left < 0, "left", (json_int_t)(done ? 0 : drain->left),
                             "seconds", waited_s));
    else if (drain->left < 0)
        printf("%s: gone\n", drain->node);
    else if (done)
        printf("%s: draining, nothing runs there any more (%.1f s)\n", drain->node, waited_s);
    if (!done)
        fprintf(stderr, "qiaoctl: %s still has %lld requests after %.1f s; it goes on draining\n",
                drain->node, drain->left, waited_s);
}

/* Until nothing is left, or the time is up. What is left is said whenever it has changed. */
static enum ctl_exit wait_until_idle(struct drain *drain)
{
    const struct timespec pause = {.tv_nsec = LOOK_MS * 1000000L};
    double begin_s = seconds_now(), waited_s = 0;
    long long told = -1;
    for (int quiet = 0; quiet < QUIET_LOOKS;) {
        nanosleep(&pause, NULL);
        enum ctl_exit code = look(drain);
        if (code) return code;
        waited_s = seconds_now() - begin_s;
        quiet = drain->left > 0 ? 0 : quiet + 1;
        if (drain->left < 0 || waited_s >= (double)drain->conf->wait) break;
        if (drain->left > 0 && drain->left != told)
            fprintf(stderr, "%s: %lld left (%.0f s)\n", drain->node, drain->left, waited_s);
        told = drain->left;
    }
    tell(drain, waited_s);
    return drain->left > 0 ? CTL_FAILED : CTL_GOOD;
}

enum ctl_exit ctl_drain(const struct ctl_conf *conf, struct qiao *qiao, const char *node, bool on)
{
    struct drain drain = {.conf = conf, .qiao = qiao, .node = node};
    enum ctl_exit code = say(&drain, on);
    if (code) return code;
    if (on && conf->wait > 0) return wait_until_idle(&drain);
    if (conf->json)
        print_json(json_pack("{s:s, s:b}", "node", node, "draining", on));
    else
        printf("%s: %s\n", node, on ? "draining" : "taking requests");
    return CTL_GOOD;
}
