/* gate list, show, draft, evidence, submit, approve, roll, pause, live, suspend, retire, explain: which feature is open in which region. */
#include "client/ctl/answer.h"
#include "client/ctl/call.h"

#include "base/approval.h"
#include "base/buf.h"
#include "base/file.h"
#include "base/hex.h"
#include "base/mem.h"
#include "base/sign.h"

#include <jansson.h>
#include <sodium.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    DOCUMENT_MAX = 256 << 20 // bytes of a document that is evidence
};

static enum ctl_exit usage(const char *text)
{
    fprintf(stderr, "qiaoctl: %s\n", text);
    return CTL_USAGE;
}

/* What each body says first; NULL: a flag is missing, and it was said. */
static json_t *begin(const struct ctl_conf *conf)
{
    if (*conf->region && *conf->feature)
        return json_pack("{s:s, s:s}", "region", conf->region, "feature", conf->feature);
    usage("--region and --feature must name the gate");
    return NULL;
}

static json_t *list_of(const struct conf_list *list)
{
    json_t *out = json_array();
    for (size_t i = 0; i < list->count; i++)
        json_array_append_new(out, json_string(list->items[i]));
    return out;
}

static void print_change(const struct ctl_conf *conf, const char *verb, json_t *answer)
{
    const json_t *gate = json_object_get(answer, "gate");
    if (conf->json) {
        call_print_json(json_incref(answer));
        return;
    }
    printf("%s of %s in %s: %s, serial %lld, epoch %lld", verb, conf->feature, conf->region,
           json_string_value(json_object_get(gate, "state")), call_count(gate, "serial"),
           call_count(answer, "epoch"));
    if (call_count(answer, "holders") > 0 &&
        (strcmp(verb, "suspend") == 0 || strcmp(verb, "retire") == 0))
        printf("; %lld of %lld schedulers said that they act on it, the others have no lease any "
               "more; %lld ms",
               call_count(answer, "acknowledged"), call_count(answer, "holders"),
               call_count(answer, "ms"));
    putchar('\n');
}

/* `body` is given away. */
static enum ctl_exit post(const struct ctl_conf *conf, struct qiao *qiao, const char *verb,
                          json_t *body)
{
    char path[64];
    json_t *answer = NULL;
    if (!body) return CTL_USAGE;
    snprintf(path, sizeof path, "/admin/gate/%s", verb);
    enum ctl_exit code = call_post_json(conf, qiao, path, body, NULL, &answer);
    if (!code) print_change(conf, verb, answer);
    json_decref(answer);
    return code;
}

// ---- evidence ----------------------------------------------------------------------------------

/* "2027-06-30": the day's end by UTC, in ms. */
static bool read_day(const char *text, json_int_t *out)
{
    struct tm day = {0};
    const char *end = strptime(text, "%Y-%m-%d", &day);
    if (!end || *end) return false;
    *out = ((json_int_t)timegm(&day) + 86400) * 1000;
    return true;
}

static enum ctl_exit add_evidence(const struct ctl_conf *conf, struct qiao *qiao, const char *path)
{
    unsigned char hash[crypto_hash_sha256_BYTES];
    char hex[2 * sizeof hash + 1];
    char *bytes;
    size_t size;
    json_int_t until = 0;
    if (!*conf->type || !*conf->reference)
        return usage("--type and --reference must say what the document is, as a filing's number");
    if (*conf->until && !read_day(conf->until, &until))
        return usage("--until must be a day such as 2027-06-30");
    json_t *body = begin(conf);
    if (!body) return CTL_USAGE;
    if (file_read(&bytes, &size, path, DOCUMENT_MAX)) {
        json_decref(body);
        fprintf(stderr, "qiaoctl: %s\n", err_text());
        return CTL_FAILED;
    }
    crypto_hash_sha256(hash, (const unsigned char *)bytes, size);
    mem_free(bytes);
    sodium_bin2hex(hex, sizeof hex, hash, sizeof hash);
    json_object_set_new(body, "type", json_string(conf->type));
    json_object_set_new(body, "reference", json_string(conf->reference));
    json_object_set_new(body, "sha256", json_string(hex));
    if (until) json_object_set_new(body, "until", json_integer(until));
    return post(conf, qiao, "evidence", body);
}

// ---- approval ----------------------------------------------------------------------------------

static bool take_text(const json_t *object, const char *field, char *out, size_t size)
{
    const json_t *value = json_object_get(object, field);
    if (!json_is_string(value) || json_string_length(value) >= size) return false;
    memcpy(out, json_string_value(value), json_string_length(value) + 1);
    return true;
}

static bool take_evidence(struct approval_evidence *out, const json_t *one)
{
    out->from_ms = call_count(one, "from");
    out->until_ms = call_count(one, "until");
    return take_text(one, "type", out->type, sizeof out->type) &&
           take_text(one, "reference", out->reference, sizeof out->reference) &&
           hex_read(out->hash, sizeof out->hash, json_string_value(json_object_get(one, "sha256")));
}

/* The content as the server tells it, read into our own fields: what is signed is written from these. */
bool answer_read_approval(struct approval *out, const json_t *gate)
{
    const json_t *systems = json_object_get(gate, "os"), *models = json_object_get(gate, "models"),
                 *evidence = json_object_get(gate, "evidence");
    bool good = take_text(gate, "feature", out->feature, sizeof out->feature) &&
                take_text(gate, "region", out->region, sizeof out->region) &&
                hex_read(out->policy.bytes, sizeof out->policy.bytes,
                         json_string_value(json_object_get(gate, "policy"))) &&
                json_array_size(systems) <= APPROVAL_SYSTEMS_MAX &&
                json_array_size(models) <= APPROVAL_MODELS_MAX &&
                json_array_size(evidence) <= APPROVAL_EVIDENCE_MAX;
    out->serial = (uint64_t)call_count(gate, "serial");
    for (; good && out->system_count < json_array_size(systems); out->system_count++) {
        const char *text = json_string_value(json_array_get(systems, out->system_count));
        good = text && strlen(text) <= APPROVAL_NAME_MAX;
        if (good) memcpy(out->systems[out->system_count], text, strlen(text) + 1);
    }
    for (; good && out->model_count < json_array_size(models); out->model_count++)
        good = hex_read(out->models[out->model_count].bytes, DIGEST_SIZE,
                        json_string_value(json_array_get(models, out->model_count)));
    for (; good && out->evidence_count < json_array_size(evidence); out->evidence_count++)
        good = take_evidence(&out->evidence[out->evidence_count],
                             json_array_get(evidence, out->evidence_count));
    return good && approval_check(out) == ERR_OK;
}

static enum ctl_exit sign_and_post(const struct ctl_conf *conf, struct qiao *qiao,
                                   const struct approval *content, const struct sign_secret *secret)
{
    unsigned char bytes[SIGN_SIZE];
    char signature[SIGN_TEXT_SIZE];
    struct buf text = {0};
    approval_write(&text, content);
    sign_bytes(bytes, secret, APPROVAL_PURPOSE, text.data, text.size);
    sign_text(signature, bytes);
    if (!conf->json) printf("%s signs:\n%s", secret->id, buf_text(&text));
    buf_fini(&text);
    json_t *body = begin(conf);
    json_object_set_new(body, "approver", json_string(secret->id));
    json_object_set_new(body, "signature", json_string(signature));
    json_object_set_new(body, "serial", json_integer((json_int_t)content->serial));
    return post(conf, qiao, "approve", body);
}

/* The gate that --region and --feature name, to be json_decref()ed. */
static enum ctl_exit get_gate(const struct ctl_conf *conf, struct qiao *qiao, json_t **out)
{
    struct buf path = {0};
    char *body = NULL;
    if (!*conf->region || !*conf->feature)
        return usage("--region and --feature must name the gate");
    buf_addf(&path, "/admin/gate/%s/%s", conf->region, conf->feature);
    enum qiao_status status = qiao_request(qiao, "GET", buf_text(&path), NULL, &body);
    buf_fini(&path);
    if (status) return ctl_fail(conf, qiao);
    *out = json_loads(body, 0, NULL);
    qiao_free_text(body);
    return CTL_GOOD;
}

static enum ctl_exit approve(const struct ctl_conf *conf, struct qiao *qiao)
{
    struct sign_secret secret;
    struct approval content = {0};
    json_t *gate = NULL;
    enum ctl_exit code = ctl_read_sign_key(conf, &secret);
    if (code) return code;
    code = get_gate(conf, qiao, &gate);
    if (!code &&
        (!answer_read_approval(&content, gate) || strcmp(content.feature, conf->feature) != 0 ||
         strcmp(content.region, conf->region) != 0)) {
        fprintf(stderr, "qiaoctl: the server's gate is not what it should be\n");
        code = CTL_FAILED;
    }
    if (!code) code = sign_and_post(conf, qiao, &content, &secret);
    sign_fini(&secret);
    json_decref(gate);
    return code;
}

// ---- what there is -----------------------------------------------------------------------------

static enum ctl_exit show(const struct ctl_conf *conf, struct qiao *qiao)
{
    struct buf path = {0};
    if (!*conf->region || !*conf->feature)
        return usage("--region and --feature must name the gate");
    buf_addf(&path, "/admin/gate/%s/%s", conf->region, conf->feature);
    enum ctl_exit code = ctl_show(conf, qiao, buf_text(&path), NULL, NULL);
    buf_fini(&path);
    return code;
}

static enum ctl_exit explain(const struct ctl_conf *conf, struct qiao *qiao)
{
    json_t *answer = NULL, *body = begin(conf);
    if (!body) return CTL_USAGE;
    if (*conf->tenant) json_object_set_new(body, "tenant", json_string(conf->tenant));
    if (*conf->user) json_object_set_new(body, "user", json_string(conf->user));
    if (conf->os.count > 0) json_object_set_new(body, "os", json_string(conf->os.items[0]));
    if (*conf->language) json_object_set_new(body, "language", json_string(conf->language));
    if (conf->models.count > 0)
        json_object_set_new(body, "model", json_string(conf->models.items[0]));
    enum ctl_exit code = call_post_json(conf, qiao, "/admin/gate/explain", body, NULL, &answer);
    if (code) return code;
    if (conf->json) {
        call_print_json(answer);
        return CTL_GOOD;
    }
    bool open = json_is_true(json_object_get(answer, "open"));
    printf("%s in %s is %s%s\n", conf->feature, conf->region, open ? "open" : "closed: ",
           open ? "" : json_string_value(json_object_get(answer, "reason")));
    const json_t *checks = json_object_get(answer, "checks");
    for (size_t i = 0; i < json_array_size(checks); i++) {
        const json_t *one = json_array_get(checks, i);
        printf("  %-4s %-11s %s\n", json_is_true(json_object_get(one, "passed")) ? "yes" : "no",
               json_string_value(json_object_get(one, "check")),
               json_string_value(json_object_get(one, "note")));
    }
    json_decref(answer);
    return CTL_GOOD;
}

static enum ctl_exit draft(const struct ctl_conf *conf, struct qiao *qiao)
{
    json_t *body = begin(conf);
    if (!body) return CTL_USAGE;
    json_object_set_new(body, "os", list_of(&conf->os));
    json_object_set_new(body, "models", list_of(&conf->models));
    return post(conf, qiao, "draft", body);
}

static enum ctl_exit roll(const struct ctl_conf *conf, struct qiao *qiao, const char *percent)
{
    char *end;
    double value = strtod(percent, &end);
    if (*end || end == percent) return usage("gate roll PERCENT: 0.01 to 100");
    json_t *body = begin(conf);
    if (body) json_object_set_new(body, "percent", json_real(value));
    return post(conf, qiao, "roll", body);
}

enum ctl_exit ctl_gate(const struct ctl_conf *conf, struct qiao *qiao, int count, char **words)
{
    static const char *const columns[] = {"region", "feature", "state",    "share", "serial",
                                          "os",     "note",    "revision", NULL};
    static const char *const plain[] = {"submit", "pause", "live", "suspend", "retire"};
    const char *verb = count > 0 ? words[0] : "";
    bool has_word = strcmp(verb, "evidence") == 0 || strcmp(verb, "roll") == 0;
    if (sodium_init() < 0) return CTL_FAILED;
    qiao_set_user(qiao, NULL); // --user is whom it is explained for, not who asks
    if (count > 0 && count != 1 + has_word)
        return usage(has_word ? "gate evidence FILE, gate roll PERCENT" : "too many words");
    if (strcmp(verb, "evidence") == 0) return add_evidence(conf, qiao, words[1]);
    if (strcmp(verb, "roll") == 0) return roll(conf, qiao, words[1]);
    if (strcmp(verb, "list") == 0) return ctl_show(conf, qiao, "/admin/gate", "gates", columns);
    if (strcmp(verb, "show") == 0) return show(conf, qiao);
    if (strcmp(verb, "draft") == 0) return draft(conf, qiao);
    if (strcmp(verb, "approve") == 0) return approve(conf, qiao);
    if (strcmp(verb, "explain") == 0) return explain(conf, qiao);
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
        if (strcmp(verb, plain[i]) == 0) return post(conf, qiao, verb, begin(conf));
    return usage("gate list, show, draft, evidence, submit, approve, roll, pause, live, suspend, "
                 "retire or explain");
}
