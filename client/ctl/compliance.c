/* compliance run, verify: the controls of a region against a live cluster, and the evidence of it. */
#include "client/ctl/compliance.h"

#include "client/ctl/call.h"

#include "base/clock.h"
#include "base/mem.h"

#include <sodium.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    TRIES = 8, // of a question to which the cluster says that it will have an answer
    PAUSE_SECONDS = 5,
    PAUSE_NS = 250000000
};

static const struct control {
    const char *name, *rule, *title, *test;
    control_fn *run;
} controls[] = {

#define CONTROL(name, rule, title, test) {#name, rule, title, test, control_##name},
#include "client/ctl/compliance.def"
#undef CONTROL
};

static const char *const verdict_names[] = {
    [VERDICT_PASS] = "pass",
    [VERDICT_FAIL] = "fail",
    [VERDICT_NOT_APPLICABLE] = "not applicable",
    [VERDICT_BLOCKED] = "blocked",
};

// ---- what the controls share -------------------------------------------------------------------

void trial_count(struct trial *trial, const char *name, long long value)
{
    json_object_set_new(trial->figures, name, json_integer(value));
}

void trial_text(struct trial *trial, const char *name, const char *value)
{
    json_object_set_new(trial->figures, name, json_string(value ? value : ""));
}

enum verdict trial_say(struct trial *trial, enum verdict verdict, const char *format, ...)
{
    va_list arguments;
    if (trial->note.size > 0) buf_add_text(&trial->note, "; ");
    va_start(arguments, format);
    buf_addv(&trial->note, format, arguments);
    va_end(arguments);
    return verdict;
}

/* Too much to do, or not there yet: it passes. A denial that says 503 is an answer, and stays (docs/policy.md). */
static bool passes(const struct qiao *qiao)
{
    static const char *const denials[] = {"gate_unreachable", "filter_not_ready",
                                          "audit_not_possible"};
    int status = qiao_http_status(qiao);
    for (size_t i = 0; i < sizeof denials / sizeof *denials; i++)
        if (strcmp(qiao_code(qiao), denials[i]) == 0) return false;
    return (status == 429 || status == 503) && qiao_retry_after(qiao) <= PAUSE_SECONDS;
}

enum qiao_status trial_request(struct trial *trial, const char *method, const char *path,
                               json_t *body, char **out)
{
    char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
    enum qiao_status status = QIAO_INVALID;
    json_decref(body);
    for (int tries = 0; tries < TRIES; tries++) {
        status = qiao_request(trial->qiao, method, path, text, out);
        if (status != QIAO_REFUSED || !passes(trial->qiao)) break;
        unsigned after = qiao_retry_after(trial->qiao);
        const struct timespec pause = {.tv_sec = (time_t)after, .tv_nsec = after ? 0 : PAUSE_NS};
        nanosleep(&pause, NULL);
    }
    free(text); // jansson's
    return status;
}

json_t *trial_call(struct trial *trial, const char *method, const char *path, json_t *body)
{
    char *text = NULL;
    if (trial_request(trial, method, path, body, &text)) return NULL;
    json_t *out = json_loads(text, JSON_ALLOW_NUL, NULL);
    qiao_free_text(text);
    return out;
}

bool trial_refused(struct trial *trial, const char *method, const char *path, json_t *body)
{
    char *text = NULL;
    enum qiao_status status = trial_request(trial, method, path, body, &text);
    if (!status) qiao_free_text(text);
    return status == QIAO_REFUSED;
}

json_t *trial_chat_body(const struct trial *trial, const char *text, const char *session,
                        bool stream)
{
    json_t *body = json_pack("{s:[{s:s, s:s}], s:b, s:i, s:i}", "messages", "role", "user",
                             "content", text, "stream", stream, "max_tokens", 32, "temperature", 0);
    if (session) json_object_set_new(body, "session", json_string(session));
    if (*trial->conf->model) json_object_set_new(body, "model", json_string(trial->conf->model));
    return body;
}

char *trial_chat(struct trial *trial, const char *text, const char *session, bool stream)
{
    char *out = NULL;
    json_t *body = trial_chat_body(trial, text, session, stream);
    return trial_request(trial, "POST", "/v1/chat/completions", body, &out) ? NULL : out;
}

void trial_new_user(struct trial *trial, char out[TRIAL_USER_SIZE])
{
    char user[TRIAL_USER_SIZE];
    snprintf(user, sizeof user, "compliance-%s-%u", trial->users, ++trial->user_count);
    qiao_set_user(trial->qiao, user);
    if (out) memcpy(out, user, sizeof user);
}

const json_t *trial_rule(const struct trial *trial, const char *path)
{
    const json_t *rule = json_object_get(trial->rules, path);
    return json_is_string(json_object_get(rule, "document")) ? json_object_get(rule, "value")
                                                             : NULL;
}

const json_t *trial_feature_rule(const struct trial *trial, const char *feature, const char *name)
{
    char path[128];
    snprintf(path, sizeof path, "/features/%s/%s", feature, name);
    return trial_rule(trial, path);
}

bool trial_flag(const struct trial *trial, const char *path, bool strictest)
{
    const json_t *value = trial_rule(trial, path);
    return value ? json_is_true(value) : strictest;
}

bool json_has_text(const json_t *list, const char *text)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *one = json_string_value(json_array_get(list, i));
        if (one && strcmp(one, text) == 0) return true;
    }
    return false;
}

bool trial_has_answer(struct trial *trial, enum verdict *verdict)
{
    if (trial->plain && trial->stream) return true;
    *verdict = trial_flag(trial, "/features/assistant/allowed", false) ? VERDICT_BLOCKED
                                                                       : VERDICT_NOT_APPLICABLE;
    trial_say(trial, *verdict, "no answer can be had: %s", trial->why_not);
    return false;
}

// ---- before the controls -----------------------------------------------------------------------

json_t *trial_rules_of(struct trial *trial, const char *region)
{
    char path[160];
    size_t i;
    json_t *rule;
    snprintf(path, sizeof path, "/admin/policy/explain?region=%s&tenant=", region);
    json_t *answer = trial_call(trial, "GET", path, NULL);
    if (!answer) return NULL;
    json_t *rules = json_object();
    json_array_foreach(json_object_get(answer, "rules"), i, rule)
    {
        const char *name = json_string_value(json_object_get(rule, "rule"));
        if (name) json_object_set(rules, name, rule);
    }
    json_decref(answer);
    return rules;
}

static bool get_rules(struct trial *trial)
{
    trial->rules = trial_rules_of(trial, trial->conf->region);
    if (!trial->rules) return false;
    trial->policy = trial_call(trial, "GET", "/admin/policy", NULL);
    if (trial->policy) trial->transparency = trial_call(trial, "GET", "/v1/transparency", NULL);
    return trial->transparency != NULL;
}

/* The operator's file, or what the cluster says. */
static bool get_keys(struct trial *trial)
{
    size_t i;
    json_t *one;
    trial->own_keys = *trial->conf->keys != '\0';
    if (trial->own_keys) return sign_read_keys(&trial->keys, trial->conf->keys) == ERR_OK;
    json_array_foreach(json_object_get(trial->transparency, "keys"), i, one)
    {
        struct sign_public *key = &trial->keys.keys[trial->keys.count];
        const char *id = json_string_value(json_object_get(one, "id")),
                   *text = json_string_value(json_object_get(one, "key"));
        if (trial->keys.count == SIGN_KEYS_MAX || !id || !sign_is_id(id) || !text) break;
        memcpy(key->id, id, strlen(id) + 1);
        if (sign_decode(text, key->key, SIGN_KEY_SIZE)) trial->keys.count++;
    }
    return true;
}

/* What the gate asks of a system is said with every question. */
static void get_system(struct trial *trial)
{
    char path[160];
    snprintf(path, sizeof path, "/admin/gate/%s/assistant", trial->conf->region);
    json_t *gate = trial_call(trial, "GET", path, NULL);
    const char *system = json_string_value(json_array_get(json_object_get(gate, "os"), 0));
    if (system && strlen(system) < sizeof trial->system)
        memcpy(trial->system, system, strlen(system) + 1);
    json_decref(gate);
    qiao_set_system(trial->qiao, *trial->system ? trial->system : NULL);
}

/* One answer, plain and streamed, that several controls look at. */
static void get_answers(struct trial *trial)
{
    trial_new_user(trial, NULL);
    trial->plain = trial_chat(trial, "Hello", NULL, false);
    if (trial->plain) trial->stream = trial_chat(trial, "Hello", NULL, true);
    if (!trial->stream)
        snprintf(trial->why_not, sizeof trial->why_not, "%s%s%s", qiao_code(trial->qiao),
                 *qiao_code(trial->qiao) ? ": " : "", qiao_error(trial->qiao));
    trial->plain_size = trial->plain ? strlen(trial->plain) : 0;
    trial->stream_size = trial->stream ? strlen(trial->stream) : 0;
}

static enum ctl_exit begin(struct trial *trial)
{
    unsigned char random[4];
    randombytes_buf(random, sizeof random);
    sodium_bin2hex(trial->users, sizeof trial->users, random, sizeof random);
    if (!get_rules(trial)) return ctl_fail(trial->conf, trial->qiao);
    if (!get_keys(trial)) {
        fprintf(stderr, "qiaoctl: %s\n", err_text());
        return CTL_FAILED;
    }
    get_system(trial);
    get_answers(trial);
    return CTL_GOOD;
}

static void finish(struct trial *trial)
{
    json_decref(trial->rules);
    json_decref(trial->policy);
    json_decref(trial->transparency);
    qiao_free_text(trial->plain);
    qiao_free_text(trial->stream);
    buf_fini(&trial->note);
}

// ---- the run -----------------------------------------------------------------------------------

static json_t *time_text(int64_t ms)
{
    char text[32];
    time_t seconds = (time_t)(ms / 1000);
    struct tm parts;
    gmtime_r(&seconds, &parts);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
    return json_string(text);
}

static json_t *run_control(struct trial *trial, const struct control *control, size_t counts[4])
{
    uint64_t begin_ns = clock_now_ns();
    int64_t now_ms = clock_wall_ms();
    const json_t *rule = json_object_get(trial->rules, control->rule);
    json_t *duty = json_object_get(rule, "provision"), *value = json_object_get(rule, "value");
    trial->figures = json_object();
    buf_clear(&trial->note);
    qiao_set_region(trial->qiao, trial->conf->region);
    qiao_set_language(trial->qiao, NULL);
    enum verdict verdict = control->run(trial);
    counts[verdict]++;
    json_object_set_new(trial->figures, "ms",
                        json_integer((json_int_t)((clock_now_ns() - begin_ns) / CLOCK_MS)));
    if (!trial->conf->json)
        printf("%-14s %-22s %s\n", verdict_names[verdict], control->name, buf_text(&trial->note));
    return json_pack("{s:s, s:s, s:s, s:O?, s:O?, s:s, s:s, s:s, s:o, s:o}", "control",
                     control->name, "title", control->title, "rule", control->rule, "value", value,
                     "duty", duty, "test", control->test, "result", verdict_names[verdict], "note",
                     buf_text(&trial->note), "figures", trial->figures, "time", time_text(now_ms));
}

/* What was looked at, by digest. */
static json_t *subject_of(const struct trial *trial)
{
    json_t *out = json_object(), *regions = json_object_get(trial->transparency, "regions"), *one;
    size_t i;
    json_array_foreach(regions, i, one)
    {
        const char *name = json_string_value(json_object_get(one, "region"));
        if (name && strcmp(name, trial->conf->region) == 0)
            json_object_set(out, "rules", json_object_get(one, "policy"));
    }
    json_object_set(out, "build", json_object_get(trial->transparency, "build"));
    json_object_set(out, "policy", json_object_get(trial->policy, "digest"));
    json_object_set(out, "documents", json_object_get(trial->policy, "documents"));
    json_object_set(out, "models", json_object_get(trial->transparency, "models"));
    json_object_set(out, "audit", json_object_get(trial->transparency, "audit"));
    return out;
}

static json_t *run_all(struct trial *trial, size_t counts[4])
{
    int64_t began_ms = clock_wall_ms();
    json_t *rows = json_array();
    for (size_t i = 0; i < sizeof controls / sizeof *controls; i++)
        json_array_append_new(rows, run_control(trial, &controls[i], counts));
    return json_pack("{s:s, s:s, s:s, s:o, s:o, s:s, s:o, s:{s:i, s:i, s:i, s:i}, s:o}", "format",
                     COMPLIANCE_FORMAT, "region", trial->conf->region, "cluster", trial->conf->url,
                     "began", time_text(began_ms), "ended", time_text(clock_wall_ms()), "keys",
                     trial->own_keys ? "of the operator's file" : "as the cluster tells them",
                     "subject", subject_of(trial), "counts", "pass", (int)counts[VERDICT_PASS],
                     "fail", (int)counts[VERDICT_FAIL], "not_applicable",
                     (int)counts[VERDICT_NOT_APPLICABLE], "blocked", (int)counts[VERDICT_BLOCKED],
                     "controls", rows);
}

/* Of --sign-key; without it one that ends with the run: it shows that the pack was not changed, and not who made it. */
static enum ctl_exit get_signer(const struct ctl_conf *conf, struct sign_secret *out)
{
    if (*conf->sign_key) return ctl_read_sign_key(conf, out);
    fprintf(stderr,
            "qiaoctl: without --sign-key the evidence is signed by a key of this run alone: "
            "it shows that nothing was changed, not who made it\n");
    return sign_make_key(out, "run") ? CTL_FAILED : CTL_GOOD;
}

/* The run's row in the pack's head, and its last word. */
static enum ctl_exit conclude(struct trial *trial, json_t *pack, const struct sign_secret *signer,
                              const size_t counts[4])
{
    const struct ctl_conf *conf = trial->conf;
    struct buf folder = {0};
    buf_addf(&folder, "%s%s", *conf->out ? conf->out : "compliance-",
             *conf->out ? "" : conf->region);
    json_object_set_new(
        pack, "signer",
        json_pack("{s:s, s:s}", "id", signer->id, "whose",
                  *conf->sign_key ? "of the operator's file" : "of this run alone"));
    enum ctl_exit code = compliance_write(buf_text(&folder), signer, pack);
    if (!code && conf->json)
        call_print_json(json_incref(pack));
    else if (!code)
        printf("%zu pass, %zu fail, %zu not applicable, %zu blocked: %s/compliance.html\n",
               counts[VERDICT_PASS], counts[VERDICT_FAIL], counts[VERDICT_NOT_APPLICABLE],
               counts[VERDICT_BLOCKED], buf_text(&folder));
    buf_fini(&folder);
    return code;
}

enum ctl_exit ctl_compliance_run(const struct ctl_conf *conf, struct qiao *qiao)
{
    struct trial *trial;
    struct sign_secret signer;
    size_t counts[4] = {0};
    if (sodium_init() < 0) return CTL_FAILED;
    if (!*conf->region) {
        fprintf(stderr, "qiaoctl: --region must name the region\n");
        return CTL_USAGE;
    }
    enum ctl_exit code = get_signer(conf, &signer);
    if (code) return code;
    trial = mem_new(1, sizeof *trial);
    trial->conf = conf;
    trial->qiao = qiao;
    code = begin(trial);
    if (!code) {
        json_t *pack = run_all(trial, counts);
        code = conclude(trial, pack, &signer, counts);
        json_decref(pack);
    }
    if (!code && counts[VERDICT_FAIL] + counts[VERDICT_BLOCKED] > 0) code = CTL_FAILED;
    finish(trial);
    sign_fini(&signer);
    mem_free(trial);
    return code;
}
