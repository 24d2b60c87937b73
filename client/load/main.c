/* qiao-load -- puts load on schedulers and measures what their users would feel. docs/load.md. */
#include "client/load/drive.h"
#include "client/load/plan.h"
#include "client/load/report.h"
#include "client/qiao.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/conf.h"
#include "base/mem.h"

#include <jansson.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum exit_code {
    EXIT_GOOD = 0,
    EXIT_FAILED = 1, // a request failed
    EXIT_WRONG = 2   // settings, or nobody answers
};

enum {
    FILES_ASIDE = 32, // descriptors that are not connections
    PROBE_SECONDS = 10
};

struct load_conf {
#define CONF(type, name, ...) CONF_FIELD_##type name;
#include "client/load/load.conf.def"
#undef CONF
};

static const struct conf_row rows[] = {
#define CONF(...) CONF_ROW(struct load_conf, __VA_ARGS__)
#include "client/load/load.conf.def"
#undef CONF
};

static const struct conf_table table = {
    .program = "qiao-load",
    .summary = "puts load on qiao schedulers and measures latency and throughput",
    .usage = "[FLAGS]",
    .rows = rows,
    .row_count = sizeof rows / sizeof *rows,
};

/* The first model's name out of the answer of /v1/models; the caller frees it. */
static enum err first_model(const char *body, char **out)
{
    json_t *root = json_loads(body, 0, NULL);
    const json_t *first = json_array_get(json_object_get(root, "data"), 0);
    const char *id = json_string_value(json_object_get(first, "id"));
    if (id) *out = mem_copy_text(id);
    json_decref(root);
    return id ? ERR_OK : err_note(ERR_UNAVAILABLE, "the server lists no model; name one: --model");
}

/* Every scheduler must answer before the clock starts; the first also says which model to ask. */
static enum err probe(const struct load_conf *conf, const char *url, char **model)
{
    struct qiao *qiao = qiao_new(url, *conf->key ? conf->key : NULL);
    qiao_set_timeout(qiao, PROBE_SECONDS);
    char *body = NULL;
    enum err err = ERR_OK;
    enum qiao_status status = qiao_request(qiao, "GET", "/v1/models", NULL, &body);
    int http = qiao_http_status(qiao);
    bool matters = status != QIAO_REFUSED || !*model || http == 401 || http == 403;
    if (status != QIAO_OK && matters)
        err = err_note(ERR_UNAVAILABLE, "%s: %s", url, qiao_error(qiao));
    else if (!*model)
        err = first_model(body, model);
    qiao_free_text(body);
    qiao_free(qiao);
    return err;
}

/* Each request under way holds a descriptor. */
static enum err make_room(uint64_t connections)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) != 0) return err_note(ERR_IO, "%s", strerror(errno));
    files.rlim_cur = files.rlim_max;
    if (connections + FILES_ASIDE > files.rlim_max || setrlimit(RLIMIT_NOFILE, &files) != 0)
        return err_note(ERR_INVALID,
                        "%" PRIu64 " requests at once need more descriptors than the %" PRIu64
                        " allowed (ulimit -n)",
                        connections, (uint64_t)files.rlim_max);
    return ERR_OK;
}

static enum err read_plan(const struct load_conf *conf, struct plan *plan)
{
    *plan =
        (struct plan){.seed = conf->seed, .stream = conf->stream, .temperature = conf->temperature};
    TRY(range_parse(&plan->prompt_tokens, "--prompt-tokens", conf->prompt_tokens));
    TRY(range_parse(&plan->max_tokens, "--max-tokens", conf->max_tokens));
    TRY(language_parse(&plan->language, conf->language));
    TRY(extra_parse(&plan->extra, conf->extra));
    if (strpbrk(conf->key, "\r\n"))
        return err_note(ERR_INVALID, "--key: a line end is not allowed");
    if (conf->url.count == 0) return err_note(ERR_INVALID, "--url: one URL at least");
    if (conf->retry && conf->retries == 0)
        return err_note(ERR_INVALID, "--retry: --retries is 0; say how often it may be");
    json_t *name = json_string(conf->model);
    json_decref(name);
    return name ? ERR_OK : err_note(ERR_INVALID, "--model: the name is not UTF-8");
}

static uint64_t nanoseconds(double seconds)
{
    return (uint64_t)(seconds * (double)CLOCK_SECOND);
}

static enum err write_file(const char *path, const struct buf *text)
{
    FILE *file = fopen(path, "w");
    if (!file) return err_note(ERR_IO, "%s: cannot be written: %s", path, strerror(errno));
    size_t written = fwrite(text->data, 1, text->size, file);
    if (fclose(file) != 0 || written != text->size)
        return err_note(ERR_IO, "%s: cannot be written: %s", path, strerror(errno));
    return ERR_OK;
}

static enum err show(const struct load_conf *conf, const struct tally *tally,
                     const struct report_about *about)
{
    struct buf text = {0}, json = {0};
    enum err err = ERR_OK;
    bool only_json = strcmp(conf->json, "-") == 0;
    report_table(&text, tally, about);
    report_json(&json, tally, about);
    fputs(buf_text(only_json ? &json : &text), stdout);
    if (*conf->json && !only_json) err = write_file(conf->json, &json);
    buf_fini(&text);
    buf_fini(&json);
    return err;
}

static enum err open_answers(const struct load_conf *conf, FILE **out)
{
    if (!*conf->answers) return ERR_OK;
    *out = fopen(conf->answers, "w");
    if (*out) return ERR_OK;
    return err_note(ERR_IO, "%s: cannot be written: %s", conf->answers, strerror(errno));
}

static enum err close_answers(const struct load_conf *conf, FILE *answers)
{
    if (!answers) return ERR_OK;
    bool whole = ferror(answers) == 0;
    if (fclose(answers) == 0 && whole) return ERR_OK;
    return err_note(ERR_IO, "%s: was not written to its end", conf->answers);
}

/* The run itself; `targets` has a place for each URL. *model is made here when it is NULL. */
static enum err load(const struct load_conf *conf, struct plan *plan, struct target *targets,
                     char **model, struct tally *tally)
{
    uint64_t limit = conf->rate > 0 ? conf->max_outstanding : conf->concurrency;
    double duration_s = conf->duration > 0 || conf->requests > 0 ? conf->duration : 10;
    TRY(make_room(limit));
    for (size_t i = 0; i < conf->url.count; i++) {
        TRY(target_resolve(&targets[i], conf->url.items[i]));
        TRY(probe(conf, conf->url.items[i], model));
    }
    plan->model = *model;
    FILE *answers = NULL;
    TRY(open_answers(conf, &answers));
    struct drive_settings settings = {.plan = plan,
                                      .targets = targets,
                                      .target_count = conf->url.count,
                                      .key = *conf->key ? conf->key : NULL,
                                      .limit = limit,
                                      .rate = conf->rate,
                                      .duration_ns = nanoseconds(duration_s),
                                      .requests = conf->requests,
                                      .timeout_ns = nanoseconds(conf->timeout),
                                      .connect_ns = nanoseconds(conf->connect_timeout),
                                      .retries = conf->retries,
                                      .retry_refused = conf->retry,
                                      .answers = answers,
                                      .progress = isatty(STDERR_FILENO)};
    enum err err = drive_run(&settings, tally);
    enum err closed = close_answers(conf, answers);
    if (err || closed) return err ? err : closed;
    struct report_about about = {.model = *model,
                                 .rate = conf->rate,
                                 .limit = limit,
                                 .seed = conf->seed,
                                 .stream = conf->stream};
    return show(conf, tally, &about);
}

int main(int argc, char **argv)
{
    struct load_conf conf = {0};
    enum conf_next next;
    int rest;
    enum err err = conf_load(&table, &conf, argc, argv, &rest, &next);
    if (!err && next == CONF_EXIT) return EXIT_GOOD;
    struct plan plan = {0};
    struct tally *tally = mem_new(1, sizeof *tally);
    struct target *targets = NULL;
    char *model = NULL;
    if (!err && rest < argc)
        err = err_note(ERR_INVALID, "'%s' is not a setting; --help lists them", argv[rest]);
    if (!err) err = read_plan(&conf, &plan);
    if (!err) {
        targets = mem_new(conf.url.count, sizeof *targets);
        if (*conf.model) model = mem_copy_text(conf.model);
        err = load(&conf, &plan, targets, &model, tally);
    }
    if (err) fprintf(stderr, "qiao-load: %s\n", err_text());
    int code = err ? EXIT_WRONG : tally->failed ? EXIT_FAILED : EXIT_GOOD;
    json_decref(plan.extra);
    mem_free(targets);
    mem_free(model);
    mem_free(tally);
    conf_fini(&table, &conf);
    return code;
}
