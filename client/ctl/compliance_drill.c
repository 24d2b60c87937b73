/* compliance: the drill: a feature is suspended while it is used, and opened again by its approvers.
 *
 * The assistant is used by streams, which are to be cut; what answers at once is asked again and again, and is to be denied. */
#include "client/ctl/call.h"
#include "client/ctl/compliance.h"

#include "base/clock.h"
#include "base/mem.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    USERS = 8, // at once
    STREAM_TOKENS = 4096,
    ASK_NS =
        100000000, // between two requests of a user: limits of a minute are for longer than a drill
    WAIT_MS = 10000, // for a stream to begin, and to be cut
    STEP_TRIES = 20  // a scheduler may not have heard of the step before yet
};

/* What is asked, where it is no stream. */
struct question {
    char path[128]; // "": chats that stream
    char *body;     // jansson's
};

/* A user in a thread of its own, with a handle of its own. */
struct user {
    struct qiao *qiao;
    const struct question *question;
    atomic_bool done, stop;
    enum qiao_status status;
    char code[64];
    bool in_flight; // a stream was cut, not denied
    pthread_t thread;
    bool runs;
    _Atomic uint64_t last_ns, pieces; // of content
};

static void note_content(struct user *user)
{
    atomic_store(&user->last_ns, clock_now_ns());
    atomic_fetch_add(&user->pieces, 1);
}

static void on_piece(void *argument, const char *text, size_t size)
{
    (void)text;
    (void)size;
    note_content(argument);
}

static enum qiao_status ask_stream(struct user *user)
{
    const struct qiao_message message = {.role = "user", .content = "Tell me a long story."};
    const struct qiao_chat_options options = {.max_tokens = STREAM_TOKENS, .temperature = 0};
    return qiao_chat(user->qiao, &message, 1, &options, on_piece, user, NULL);
}

/* A limit that is met is no denial. */
static enum qiao_status ask_question(struct user *user)
{
    const struct timespec pause = {.tv_nsec = ASK_NS};
    char *answer = NULL;
    enum qiao_status status =
        qiao_request(user->qiao, "POST", user->question->path, user->question->body, &answer);
    if (!status) note_content(user);
    qiao_free_text(answer);
    nanosleep(&pause, NULL);
    return status == QIAO_REFUSED && qiao_http_status(user->qiao) == 429 ? QIAO_OK : status;
}

/* One answer after another, until one is refused or cut: answers of small models are short. */
static void *run_user(void *argument)
{
    struct user *user = argument;
    do
        user->status = *user->question->path ? ask_question(user) : ask_stream(user);
    while (!user->status && !atomic_load(&user->stop));
    snprintf(user->code, sizeof user->code, "%s", qiao_code(user->qiao));
    user->in_flight = qiao_http_status(user->qiao) == 200;
    atomic_store(&user->done, true);
    return NULL;
}

static bool wait_for(struct user *user, uint64_t pieces)
{
    const struct timespec pause = {.tv_nsec = 5000000};
    uint64_t until = clock_now_ns() + WAIT_MS * CLOCK_MS;
    while (clock_now_ns() < until) {
        if (pieces ? atomic_load(&user->pieces) >= pieces : atomic_load(&user->done)) return true;
        if (atomic_load(&user->done)) return false;
        nanosleep(&pause, NULL);
    }
    return false;
}

/* The verb's own words, with the drill's feature. */
static bool step(struct trial *trial, const char *verb, const char *word, const char *key)
{
    struct ctl_conf conf = *trial->conf; // its texts are borrowed
    char *words[] = {(char *)(uintptr_t)verb, (char *)(uintptr_t)word};
    const struct timespec pause = {.tv_nsec = 100000000};
    conf.feature = trial->conf->drill;
    if (key) conf.sign_key = (char *)(uintptr_t)key;
    for (int tries = 0; tries < STEP_TRIES; tries++) {
        if (ctl_gate(&conf, trial->qiao, word ? 2 : 1, words) == CTL_GOOD) return true;
        nanosleep(&pause, NULL);
    }
    return false;
}

static bool open_again(struct trial *trial)
{
    const struct conf_list *keys = &trial->conf->drill_keys;
    bool good = step(trial, "submit", NULL, NULL);
    for (size_t i = 0; good && i < keys->count; i++)
        good = step(trial, "approve", NULL, keys->items[i]);
    return good && step(trial, "roll", "100", NULL) && step(trial, "live", NULL, NULL);
}

/* The users who were stopped as they should be, what was cut among them, and the latest content. */
static enum verdict judge(struct trial *trial, struct user *users, uint64_t begin_ns)
{
    uint64_t last_ns = begin_ns;
    bool streams = !*users->question->path;
    int cut = 0;
    for (size_t i = 0; i < USERS; i++) {
        if (!wait_for(&users[i], 0) || strcmp(users[i].code, "suspended") != 0)
            return trial_say(trial, VERDICT_FAIL, "a user was not stopped: '%s'", users[i].code);
        uint64_t at_ns = atomic_load(&users[i].last_ns);
        if (at_ns > last_ns) last_ns = at_ns;
        cut += users[i].in_flight;
    }
    long long last_ms = (long long)((last_ns - begin_ns) / CLOCK_MS);
    trial_count(trial, streams ? "streams" : "users", USERS);
    if (streams) trial_count(trial, "cut", cut);
    trial_count(trial, "last_content_ms", last_ms);
    if (!streams)
        return trial_say(trial, VERDICT_PASS,
                         "%s: %d users were denied; the last answer came %lld ms after the order",
                         trial->conf->drill, USERS, last_ms);
    return trial_say(trial, VERDICT_PASS,
                     "%d of %d streams were cut, the others were between two answers and denied; "
                     "the last content came %lld ms after the order",
                     cut, USERS, last_ms);
}

/* Somebody new. */
static bool is_denied(struct trial *trial, const struct question *question)
{
    json_t *body = *question->path ? json_loads(question->body, 0, NULL)
                                   : trial_chat_body(trial, "Hello", NULL, false);
    trial_new_user(trial, NULL);
    return trial_refused(trial, "POST", *question->path ? question->path : "/v1/chat/completions",
                         body) &&
           strcmp(qiao_code(trial->qiao), "suspended") == 0;
}

static enum verdict suspend(struct trial *trial, struct user *users, bool *suspended)
{
    for (size_t i = 0; i < USERS; i++)
        if (!wait_for(&users[i], 1))
            return trial_say(trial, VERDICT_FAIL, "%s is not answered: %s", trial->conf->drill,
                             users[i].code);
    uint64_t begin_ns = clock_now_ns();
    if (!step(trial, "suspend", NULL, NULL))
        return trial_say(trial, VERDICT_FAIL, "it could not be suspended: %s",
                         qiao_error(trial->qiao));
    *suspended = true;
    trial_count(trial, "suspend_ms", (long long)((clock_now_ns() - begin_ns) / CLOCK_MS));
    enum verdict verdict = judge(trial, users, begin_ns);
    if (!is_denied(trial, users->question))
        return trial_say(trial, VERDICT_FAIL, "somebody new was not denied as suspended");
    return verdict;
}

static void start_user(struct trial *trial, struct user *user, const struct question *question)
{
    char name[TRIAL_USER_SIZE];
    user->question = question;
    user->qiao = qiao_new(trial->conf->url, *trial->conf->key ? trial->conf->key : NULL);
    trial_new_user(trial, name);
    qiao_set_user(user->qiao, name);
    qiao_set_region(user->qiao, trial->conf->region);
    qiao_set_timeout(user->qiao, WAIT_MS / 1000);
    if (*trial->system) qiao_set_system(user->qiao, trial->system);
    user->runs = pthread_create(&user->thread, NULL, run_user, user) == 0;
    if (!user->runs) atomic_store(&user->done, true);
}

// ---- what is asked -----------------------------------------------------------------------------

/* The first index of the key's tenant; "": it has none. */
static void find_index(struct trial *trial, char *out, size_t size)
{
    json_t *answer = trial_call(trial, "GET", "/v1/indexes", NULL);
    const json_t *first = json_array_get(json_object_get(answer, "data"), 0);
    const char *name = json_string_value(json_object_get(first, "name"));
    snprintf(out, size, "%s", name ? name : "");
    json_decref(answer);
}

/* NULL: it is asked so; else why it cannot be. */
static const char *find_question(struct trial *trial, struct question *out)
{
    const char *feature = trial->conf->drill;
    json_t *body = NULL;
    char index[65], source[80];
    *out = (struct question){.path = ""};
    if (strcmp(feature, "assistant") == 0) return NULL;
    find_index(trial, index, sizeof index);
    if (strcmp(feature, "recommendations") == 0) {
        snprintf(out->path, sizeof out->path, "/v1/recommendations");
        body = json_pack("{s:s, s:i}", "scenario", "popular", "count", 1);
    } else if (strcmp(feature, "search") == 0 && *index) {
        snprintf(out->path, sizeof out->path, "/v1/indexes/%s/search", index);
        body = json_pack("{s:s, s:i}", "q", "compliance", "limit", 1);
    } else if (strcmp(feature, "grounding") == 0 && *index) {
        snprintf(out->path, sizeof out->path, "/v1/chat/completions");
        snprintf(source, sizeof source, "search:%s", index);
        body = trial_chat_body(trial, "Hello", NULL, false);
        json_object_set_new(body, "max_tokens", json_integer(4));
        json_object_set_new(body, "context", json_pack("[s]", source));
    } else if (strcmp(feature, "embeddings") == 0) {
        snprintf(out->path, sizeof out->path, "/v1/embeddings");
        body = json_pack("{s:s}", "input", "compliance");
    } else if (strcmp(feature, "rerank") == 0) {
        snprintf(out->path, sizeof out->path, "/v1/rerank");
        body = json_pack("{s:s, s:[s]}", "query", "compliance", "documents", "compliance");
    }
    out->body = body ? json_dumps(body, JSON_COMPACT) : NULL;
    json_decref(body);
    return out->body ? NULL : "the key's tenant has no index, so there is nothing to ask";
}

static enum verdict drill(struct trial *trial, const struct question *question, bool *suspended)
{
    struct user *users = mem_new(USERS, sizeof *users);
    for (size_t i = 0; i < USERS; i++)
        start_user(trial, &users[i], question);
    enum verdict verdict = suspend(trial, users, suspended);
    for (size_t i = 0; i < USERS; i++) {
        atomic_store(&users[i].stop, true);
        if (users[i].runs) pthread_join(users[i].thread, NULL);
        qiao_free(users[i].qiao);
    }
    mem_free(users);
    return verdict;
}

enum verdict control_drill(struct trial *trial)
{
    struct question question;
    char path[128];
    bool suspended = false;
    if (!*trial->conf->drill)
        return trial_say(trial, VERDICT_NOT_APPLICABLE, "--drill was not given");
    snprintf(path, sizeof path, "/features/%s/allowed", trial->conf->drill);
    if (!json_object_get(trial->rules, path))
        return trial_say(trial, VERDICT_FAIL, "no feature is called '%s'", trial->conf->drill);
    const json_t *gated = trial_feature_rule(trial, trial->conf->drill, "gated");
    if (json_is_false(gated))
        return trial_say(trial, VERDICT_NOT_APPLICABLE,
                         "the rules ask for no approval of '%s', so there is no gate to shut",
                         trial->conf->drill);
    const char *why_not = find_question(trial, &question);
    if (why_not) return trial_say(trial, VERDICT_NOT_APPLICABLE, "%s", why_not);
    enum verdict verdict = drill(trial, &question, &suspended);
    free(question.body); // jansson's
    if (suspended && !open_again(trial))
        verdict = trial_say(trial, VERDICT_FAIL,
                            "it could not be opened again (--drill-keys must name the approvers' "
                            "keys): %s",
                            qiao_error(trial->qiao));
    return verdict;
}
