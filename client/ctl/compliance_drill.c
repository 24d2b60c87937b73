/* compliance: the drill: a feature is suspended while streams of it run, and opened again by its approvers. */
#include "client/ctl/call.h"
#include "client/ctl/compliance.h"

#include "base/clock.h"
#include "base/mem.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum {
    STREAMS = 8,
    STREAM_TOKENS = 4096,
    WAIT_MS = 10000, // for a stream to begin, and to be cut
    STEP_TRIES = 20  // a scheduler may not have heard of the step before yet
};

/* A stream in a thread of its own, with a handle of its own. */
struct stream {
    struct qiao *qiao;
    atomic_bool done, stop;
    enum qiao_status status;
    char code[64];
    bool in_flight; // it was cut, not denied
    pthread_t thread;
    bool runs;
    _Atomic uint64_t last_ns, pieces; // of content
};

static void on_piece(void *argument, const char *text, size_t size)
{
    struct stream *stream = argument;
    (void)text;
    (void)size;
    atomic_store(&stream->last_ns, clock_now_ns());
    atomic_fetch_add(&stream->pieces, 1);
}

/* One answer after another, until one is refused or cut: answers of small models are short. */
static void *run_stream(void *argument)
{
    struct stream *stream = argument;
    const struct qiao_message message = {.role = "user", .content = "Tell me a long story."};
    const struct qiao_chat_options options = {.max_tokens = STREAM_TOKENS, .temperature = 0};
    do
        stream->status = qiao_chat(stream->qiao, &message, 1, &options, on_piece, stream, NULL);
    while (!stream->status && !atomic_load(&stream->stop));
    snprintf(stream->code, sizeof stream->code, "%s", qiao_code(stream->qiao));
    stream->in_flight = qiao_http_status(stream->qiao) == 200;
    atomic_store(&stream->done, true);
    return NULL;
}

static bool wait_for(struct stream *stream, uint64_t pieces)
{
    const struct timespec pause = {.tv_nsec = 5000000};
    uint64_t until = clock_now_ns() + WAIT_MS * CLOCK_MS;
    while (clock_now_ns() < until) {
        if (pieces ? atomic_load(&stream->pieces) >= pieces : atomic_load(&stream->done))
            return true;
        if (atomic_load(&stream->done)) return false;
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

/* The streams that have ended as they should, what was cut among them, and the latest content. */
static enum verdict judge(struct trial *trial, struct stream *streams, uint64_t begin_ns)
{
    uint64_t last_ns = begin_ns;
    int cut = 0;
    for (size_t i = 0; i < STREAMS; i++) {
        if (!wait_for(&streams[i], 0) || strcmp(streams[i].code, "suspended") != 0)
            return trial_say(trial, VERDICT_FAIL, "a stream was not cut: '%s'", streams[i].code);
        uint64_t at_ns = atomic_load(&streams[i].last_ns);
        if (at_ns > last_ns) last_ns = at_ns;
        cut += streams[i].in_flight;
    }
    long long last_ms = (long long)((last_ns - begin_ns) / CLOCK_MS);
    trial_count(trial, "streams", STREAMS);
    trial_count(trial, "cut", cut);
    trial_count(trial, "last_content_ms", last_ms);
    return trial_say(trial, VERDICT_PASS,
                     "%d of %d streams were cut, the others were between two answers and denied; "
                     "the last content came %lld ms after the order",
                     cut, STREAMS, last_ms);
}

static enum verdict suspend(struct trial *trial, struct stream *streams)
{
    for (size_t i = 0; i < STREAMS; i++)
        if (!wait_for(&streams[i], 1))
            return trial_say(trial, VERDICT_FAIL, "no stream could be begun: %s", streams[i].code);
    uint64_t begin_ns = clock_now_ns();
    if (!step(trial, "suspend", NULL, NULL))
        return trial_say(trial, VERDICT_FAIL, "it could not be suspended: %s",
                         qiao_error(trial->qiao));
    trial_count(trial, "suspend_ms", (long long)((clock_now_ns() - begin_ns) / CLOCK_MS));
    enum verdict verdict = judge(trial, streams, begin_ns);
    trial_new_user(trial, NULL);
    if (!trial_refused(trial, "POST", "/v1/chat/completions",
                       trial_chat_body(trial, "Hello", NULL, false)) ||
        strcmp(qiao_code(trial->qiao), "suspended") != 0)
        return trial_say(trial, VERDICT_FAIL, "a new chat was not denied as suspended");
    return verdict;
}

static void start_stream(struct trial *trial, struct stream *stream)
{
    char user[TRIAL_USER_SIZE];
    stream->qiao = qiao_new(trial->conf->url, *trial->conf->key ? trial->conf->key : NULL);
    trial_new_user(trial, user);
    qiao_set_user(stream->qiao, user);
    qiao_set_region(stream->qiao, trial->conf->region);
    qiao_set_timeout(stream->qiao, WAIT_MS / 1000);
    if (*trial->system) qiao_set_system(stream->qiao, trial->system);
    stream->runs = pthread_create(&stream->thread, NULL, run_stream, stream) == 0;
    if (!stream->runs) atomic_store(&stream->done, true);
}

enum verdict control_drill(struct trial *trial)
{
    if (!*trial->conf->drill)
        return trial_say(trial, VERDICT_NOT_APPLICABLE, "--drill was not given");
    if (strcmp(trial->conf->drill, "assistant") != 0)
        return trial_say(trial, VERDICT_NOT_APPLICABLE,
                         "of '%s' no stream can run: only `assistant` has streams",
                         trial->conf->drill);
    struct stream *streams = mem_new(STREAMS, sizeof *streams);
    for (size_t i = 0; i < STREAMS; i++)
        start_stream(trial, &streams[i]);
    enum verdict verdict = suspend(trial, streams);
    for (size_t i = 0; i < STREAMS; i++) {
        atomic_store(&streams[i].stop, true);
        if (streams[i].runs) pthread_join(streams[i].thread, NULL);
        qiao_free(streams[i].qiao);
    }
    mem_free(streams);
    if (!open_again(trial))
        verdict = trial_say(trial, VERDICT_FAIL,
                            "it could not be opened again (--drill-keys must name the approvers' "
                            "keys): %s",
                            qiao_error(trial->qiao));
    return verdict;
}
