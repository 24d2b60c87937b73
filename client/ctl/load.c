/* models load: check a model's file, put it where the nodes have theirs, and have them serve it, one after another.
 *
 *      FILE --checked--> PATH.part --rename--> PATH (what was there: PATH.previous)
 *      each node: /admin/reload, then look until it serves the digest */
#include "client/ctl/call.h"

#include "base/buf.h"
#include "base/digest.h"
#include "base/gguf.h"
#include "base/mem.h"

#include <jansson.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    LOOK_MS = 100,
    NODES_MAX = 1024,
    NAME_MAX_SIZE = 128,
    BLOCK = 1 << 20
};

struct load {
    const struct ctl_conf *conf;
    struct qiao *qiao;
    const char *path;
    char name[NAME_MAX_SIZE + 1], architecture[NAME_MAX_SIZE + 1];
    char digest[DIGEST_TEXT_SIZE], pack[DIGEST_TEXT_SIZE];
    uint64_t words; // of the vocabulary, or items
    size_t size;
    char *nodes[NODES_MAX]; // names
    size_t node_count;
};

// ---- the file ----------------------------------------------------------------------------------

static enum err copy_string(const struct gguf *gguf, const char *key, char out[NAME_MAX_SIZE + 1])
{
    struct gguf_string text;
    enum err err = gguf_get_string(gguf, key, &text);
    if (err) return err;
    if (text.size == 0 || text.size > NAME_MAX_SIZE)
        return err_note(ERR_FORMAT, "gguf: '%s' must have 1 to %d bytes", key, NAME_MAX_SIZE);
    memcpy(out, text.text, text.size);
    out[text.size] = '\0';
    return ERR_OK;
}

/* What answers are made of: a recommender's items are as many as its rows, anything else has a tokenizer. */
static enum err count_words(const struct gguf *gguf, struct load *load)
{
    enum gguf_value_type type;
    size_t count = 0;
    uint32_t rows = 0;
    if (strcmp(load->architecture, "sasrec") != 0) {
        enum err err = gguf_get_array(gguf, "tokenizer.ggml.tokens", &type, &count);
        load->words = count;
        return err;
    }
    enum err err = gguf_get_u32(gguf, "sasrec.vocab_size", &rows);
    load->words = rows;
    if (err || !gguf_has(gguf, "sasrec.item_ids")) return err;
    err = gguf_get_array(gguf, "sasrec.item_ids", &type, &count);
    if (!err && (type != GGUF_STRING || count != rows))
        err = err_note(ERR_FORMAT, "gguf: sasrec.item_ids must be %" PRIu32 " texts, one a row",
                       rows);
    return err;
}

static enum err read_model(const struct gguf *gguf, struct load *load)
{
    struct buf pack = {0};
    struct digest digest;
    const void *bytes = gguf_bytes(gguf, &load->size);
    enum err err = copy_string(gguf, "general.architecture", load->architecture);
    if (!err) err = copy_string(gguf, "general.name", load->name);
    if (!err) err = count_words(gguf, load);
    if (!err && gguf_tensor_count(gguf) == 0)
        err = err_note(ERR_FORMAT, "gguf: there are no tensors: a vocabulary alone is no model");
    for (size_t i = 0; !err && i < gguf_tensor_count(gguf); i++)
        if (!gguf_tensor_at(gguf, i)->data)
            err = err_note(ERR_UNSUPPORTED, "gguf: a tensor is of %s, which nodes do not read",
                           gguf_tensor_type_name(gguf_tensor_at(gguf, i)->type));
    if (!err) err = gguf_write_pack(gguf, &pack);
    if (!err) {
        digest = digest_of(pack.data, pack.size);
        digest_text(&digest, load->pack);
        digest = digest_of(bytes, load->size);
        digest_text(&digest, load->digest);
    }
    buf_fini(&pack);
    return err;
}

static enum ctl_exit check(struct load *load)
{
    struct gguf *gguf;
    enum err err = gguf_open(&gguf, load->path);
    if (!err) {
        err = read_model(gguf, load);
        gguf_close(gguf);
    }
    if (err) return call_wrong(load->path, err_text());
    if (!load->conf->json)
        printf("%s: %s, %s, %" PRIu64 " %s, %zu bytes, digest %s, text pack %s\n", load->path,
               load->name, load->architecture, load->words,
               strcmp(load->architecture, "sasrec") == 0 ? "items" : "tokens", load->size,
               load->digest, load->pack);
    return CTL_GOOD;
}

static enum ctl_exit copy_bytes(const struct load *load, FILE *from, FILE *to)
{
    struct digester *digester = digester_new();
    char *block = mem_new(BLOCK, 1), text[DIGEST_TEXT_SIZE];
    long long done = 0;
    bool good = true;
    for (size_t got; good && (got = fread(block, 1, BLOCK, from)) > 0; done += (long long)got) {
        digester_add(digester, block, got);
        good = fwrite(block, 1, got, to) == got;
        if (done >> 26 != (done + (long long)got) >> 26)
            call_progress("copied", done, (long long)load->size);
    }
    struct digest digest = digester_end(digester);
    mem_free(block);
    good = good && !ferror(from) && fflush(to) == 0 && fsync(fileno(to)) == 0;
    if (!good) return call_wrong("copying the file", strerror(errno));
    if (strcmp(digest_text(&digest, text), load->digest) != 0)
        return call_wrong(load->path, "it has changed while it was read");
    return CTL_GOOD;
}

/* Whole, or not at all; nodes that have the old file open keep it. */
static enum ctl_exit put(const struct load *load)
{
    const char *path = load->conf->to;
    struct buf draft = {0}, previous = {0};
    buf_addf(&draft, "%s.part", path);
    buf_addf(&previous, "%s.previous", path);
    FILE *from = fopen(load->path, "re"), *to = fopen(buf_text(&draft), "we");
    enum ctl_exit code = from && to
                             ? copy_bytes(load, from, to)
                             : call_wrong(from ? buf_text(&draft) : load->path, strerror(errno));
    if (from) fclose(from);
    if (to && fclose(to) != 0 && !code) code = call_wrong(buf_text(&draft), strerror(errno));
    if (!code) {
        (void)unlink(buf_text(&previous));
        if (link(path, buf_text(&previous)) != 0 && errno != ENOENT)
            code = call_wrong(buf_text(&previous), strerror(errno));
        else if (rename(buf_text(&draft), path) != 0)
            code = call_wrong(path, strerror(errno));
    }
    if (code && to) (void)unlink(buf_text(&draft));
    buf_fini(&draft);
    buf_fini(&previous);
    return code;
}

// ---- the nodes ---------------------------------------------------------------------------------

static json_t *list_nodes(const struct load *load)
{
    char *body = NULL;
    if (qiao_request(load->qiao, "GET", "/admin/nodes", NULL, &body)) {
        (void)ctl_fail(load->conf, load->qiao);
        return NULL;
    }
    json_t *root = json_loads(body, 0, NULL);
    qiao_free_text(body);
    return root;
}

/* The node's model of the name has the digest; `digest` NULL: any. */
static bool serves(const struct load *load, const json_t *node, const char *digest)
{
    const json_t *list = json_object_get(node, "serves");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *model = json_array_get(list, i);
        const char *name = json_string_value(json_object_get(model, "name")),
                   *found = json_string_value(json_object_get(model, "digest"));
        if (name && found && strcmp(name, load->name) == 0 &&
            (!digest || strcmp(found, digest) == 0))
            return true;
    }
    return false;
}

static bool is_wanted(const struct load *load, const char *name)
{
    for (size_t i = 0; i < load->conf->node.count; i++)
        if (strcmp(load->conf->node.items[i], name) == 0) return true;
    return false;
}

static bool is_chosen(const struct load *load, const char *name)
{
    for (size_t i = 0; i < load->node_count; i++)
        if (strcmp(load->nodes[i], name) == 0) return true;
    return false;
}

/* Those that are named, or those that serve a model of this name. */
static enum ctl_exit choose_nodes(struct load *load)
{
    json_t *root = list_nodes(load);
    if (!root) return CTL_FAILED;
    const json_t *nodes = json_object_get(root, "nodes");
    size_t wanted = load->conf->node.count;
    for (size_t i = 0; i < json_array_size(nodes) && load->node_count < NODES_MAX; i++) {
        const json_t *node = json_array_get(nodes, i);
        const char *name = json_string_value(json_object_get(node, "name"));
        if (!name || is_chosen(load, name))
            continue; // one that was swapped just now is there twice
        if (wanted ? is_wanted(load, name) : serves(load, node, NULL))
            load->nodes[load->node_count++] = mem_copy_text(name);
    }
    json_decref(root);
    if (wanted && load->node_count != wanted)
        return call_wrong("--node", "the cluster has not all of these nodes");
    if (load->node_count == 0)
        return call_wrong(load->name,
                          "no node serves a model of this name; --node says which one shall");
    return CTL_GOOD;
}

static double seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* 1: it serves the file; 0: not yet; -1: the cluster does not answer. */
static int has_swapped(const struct load *load, const char *name)
{
    json_t *root = list_nodes(load);
    const json_t *nodes = json_object_get(root, "nodes");
    int found = root ? 0 : -1;
    for (size_t i = 0; i < json_array_size(nodes); i++) {
        const json_t *node = json_array_get(nodes, i);
        const char *one = json_string_value(json_object_get(node, "name")),
                   *state = json_string_value(json_object_get(node, "state"));
        if (one && state && strcmp(one, name) == 0 && strcmp(state, "ready") == 0 &&
            !json_is_true(json_object_get(node, "arriving")) && serves(load, node, load->digest))
            found = 1;
    }
    json_decref(root);
    return found;
}

static enum ctl_exit swap(const struct load *load, const char *name)
{
    const struct timespec pause = {.tv_nsec = LOOK_MS * 1000000L};
    double begin_s = seconds_now(), waited_s = 0;
    json_t *answer = NULL;
    int swapped = has_swapped(load, name);
    if (swapped == 0) {
        enum ctl_exit code = call_post_json(load->conf, load->qiao, "/admin/reload",
                                            json_pack("{s:s}", "node", name), NULL, &answer);
        json_decref(answer);
        if (code) return code;
    }
    while (swapped == 0 && waited_s < (double)load->conf->wait) {
        nanosleep(&pause, NULL);
        swapped = has_swapped(load, name);
        waited_s = seconds_now() - begin_s;
    }
    if (swapped == 1 && !load->conf->json)
        printf("%s: serves %s %s (%.1f s)\n", name, load->name, load->digest, waited_s);
    if (swapped == 0)
        fprintf(stderr,
                "qiaoctl: %s does not serve it after %.0f s, and goes on with what it has; its log "
                "says why (model_refused, model_same). The file that was there before is the one "
                "with .previous\n",
                name, waited_s);
    return swapped == 1 ? CTL_GOOD : CTL_FAILED;
}

enum ctl_exit ctl_load(const struct ctl_conf *conf, struct qiao *qiao, const char *path)
{
    struct load *load = mem_new(1, sizeof *load);
    *load = (struct load){.conf = conf, .qiao = qiao, .path = path};
    enum ctl_exit code = check(load);
    if (!code) code = choose_nodes(load);
    if (!code && *conf->to) code = put(load);
    size_t swapped = 0;
    for (; !code && swapped < load->node_count; swapped += !code)
        code = swap(load, load->nodes[swapped]);
    if (conf->json && !code)
        call_print_json(json_pack("{s:s, s:s, s:s, s:s, s:I, s:I}", "model", load->name,
                                  "architecture", load->architecture, "digest", load->digest,
                                  "pack", load->pack, "vocabulary", (json_int_t)load->words,
                                  "nodes", (json_int_t)swapped));
    for (size_t i = 0; i < load->node_count; i++)
        mem_free(load->nodes[i]);
    mem_free(load);
    return code;
}
