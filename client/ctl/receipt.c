/* receipt verify: what an answer was made with, checked without the cluster. */
#include "base/receipt.h"

#include "client/ctl/answer.h"
#include "client/ctl/call.h"

#include "base/hex.h"
#include "base/mem.h"

#include <jansson.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    ANSWER_MAX = 16 << 20,
    BLOCK = 64 << 10
};

/* An object that is a receipt, or has one. */
static json_t *receipt_in(const char *text, size_t size)
{
    json_t *root = json_loadb(text, size, JSON_DISABLE_EOF_CHECK, NULL);
    json_t *receipt = json_object_get(root, "receipt");
    if (!receipt && json_object_get(root, "signature")) receipt = root;
    json_incref(receipt);
    json_decref(root);
    return receipt;
}

/* The last one of a stream's events, or the one of a body. */
json_t *answer_find_receipt(const char *text, size_t size)
{
    json_t *found = receipt_in(text, size);
    for (const char *at = text; !found && at < text + size;) {
        const char *newline = memchr(at, '\n', (size_t)(text + size - at));
        const char *end = newline ? newline : text + size;
        if (end - at > 6 && memcmp(at, "data: ", 6) == 0) {
            json_t *next = receipt_in(at + 6, (size_t)(end - at - 6));
            if (next) {
                json_decref(found);
                found = next;
            }
        }
        at = end + 1;
    }
    return found;
}

static bool take_text(const json_t *object, const char *name, char *out, size_t size)
{
    const char *text = json_string_value(json_object_get(object, name));
    if (!text || strlen(text) >= size) return false;
    memcpy(out, text, strlen(text) + 1);
    return true;
}

static bool take_digest(const json_t *object, const char *name, struct digest *out)
{
    return hex_read(out->bytes, sizeof out->bytes,
                    json_string_value(json_object_get(object, name)));
}

bool answer_read_receipt(struct receipt *out, const json_t *object)
{
    *out = (struct receipt){.epoch = (uint64_t)call_count(object, "epoch"),
                            .time_ms = call_count(object, "time")};
    const char *signature = json_string_value(json_object_get(object, "signature"));
    return take_text(object, "answer", out->answer, sizeof out->answer) &&
           take_text(object, "build", out->build, sizeof out->build) &&
           take_digest(object, "model", &out->model) &&
           take_digest(object, "policy", &out->policy) &&
           take_text(object, "region", out->region, sizeof out->region) &&
           take_text(object, "feature", out->feature, sizeof out->feature) &&
           take_text(object, "label", out->label, sizeof out->label) &&
           take_text(object, "key", out->key, sizeof out->key) && signature &&
           sign_decode(signature, out->signature, sizeof out->signature);
}

/* The file has the bytes that the model was read from. */
static enum ctl_exit check_model(const char *path, const struct digest *wanted)
{
    FILE *file = fopen(path, "re");
    if (!file) return call_wrong(path, strerror(errno));
    struct digester *digester = digester_new();
    char *block = mem_new(BLOCK, 1), text[DIGEST_TEXT_SIZE];
    for (size_t got; (got = fread(block, 1, BLOCK, file)) > 0;)
        digester_add(digester, block, got);
    struct digest digest = digester_end(digester);
    bool failed = ferror(file) != 0;
    fclose(file);
    mem_free(block);
    if (failed) return call_wrong(path, "cannot be read");
    if (digest_equal(&digest, wanted)) return CTL_GOOD;
    fprintf(stderr,
            "qiaoctl: %s: it is not the model that the answer was made with: its digest is %s\n",
            path, digest_text(&digest, text));
    return CTL_FAILED;
}

static void show(const struct receipt *receipt)
{
    char model[DIGEST_TEXT_SIZE], policy[DIGEST_TEXT_SIZE];
    printf("valid, signed by %s\nanswer   %s\nbuild    %s\nmodel    %s\npolicy   %s\n"
           "epoch    %" PRIu64 "\nregion   %s\nfeature  %s\nlabel    %s\ntime     %" PRId64
           ".%03d\n",
           receipt->key, receipt->answer, receipt->build, digest_text(&receipt->model, model),
           digest_text(&receipt->policy, policy), receipt->epoch, receipt->region, receipt->feature,
           *receipt->label ? receipt->label : "none", receipt->time_ms / 1000,
           (int)(receipt->time_ms % 1000));
}

static enum ctl_exit check(const struct ctl_conf *conf, const char *path, json_t *object,
                           const struct sign_keys *keys)
{
    struct receipt receipt;
    if (!object) return call_wrong(path, "there is no receipt in it");
    if (!answer_read_receipt(&receipt, object))
        return call_wrong(path, "its receipt lacks a member, or has one of another kind");
    if (receipt_check(&receipt, keys)) return call_wrong(path, err_text());
    if (*conf->model_file && check_model(conf->model_file, &receipt.model)) return CTL_FAILED;
    if (conf->json)
        call_print_json(json_pack("{s:b, s:O}", "valid", 1, "receipt", object));
    else
        show(&receipt);
    return CTL_GOOD;
}

enum ctl_exit ctl_receipt_verify(const struct ctl_conf *conf, struct qiao *qiao, const char *path)
{
    struct sign_keys keys;
    size_t size;
    (void)qiao;
    enum ctl_exit code = call_read_keys(conf, &keys);
    if (code) return code;
    char *text = call_read_file(path, ANSWER_MAX, &size);
    if (!text) return CTL_FAILED;
    json_t *object = answer_find_receipt(text, size);
    code = check(conf, path, object, &keys);
    json_decref(object);
    mem_free(text);
    return code;
}
