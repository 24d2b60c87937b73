/* scheduler/main.c -- qiao-scheduler: read the settings, build the parts, run the loop, tear down
 * in reverse.
 *
 * Threads: this one (the loop: HTTP, Redis, links, everything), the scribe's workers, NNG's own. */
#include "scheduler/door/folders.h"
#include "scheduler/door/http.h"
#include "scheduler/program.h"
#include "scheduler/settings.h"
#include "scheduler/state/peers.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/must.h"
#include "base/private.h"

#include <event2/event.h>
#include <sodium.h>

#include <signal.h>
#include <stdio.h>

struct run {
    struct program program;
    struct event *signals[2], *hangup, *drain;
    uint64_t drain_until_ns;
};

/* After SIGTERM: look until every answer has left, or their time is up. */
static void on_drain(evutil_socket_t fd, short what, void *argument)
{
    struct run *run = argument;
    struct door *door = &run->program.door;
    const struct http_stats *left = http_stats(door->http);
    bool clear = http_is_closed(door->http) && left->connections == 0;
    (void)fd;
    (void)what;
    if (!clear && clock_now_ns() < run->drain_until_ns) return;
    log_info("stop", "answers_cut=%zu", left->requests);
    event_base_loopbreak(door->base);
}

static void on_signal(evutil_socket_t number, short what, void *argument)
{
    struct run *run = argument;
    struct door *door = &run->program.door;
    struct timeval period = {.tv_usec = 20000};
    (void)what;
    if (door->draining) { // asked twice: at once
        event_base_loopbreak(door->base);
        return;
    }
    log_info("draining", "signal=%d requests=%zu", (int)number, http_stats(door->http)->requests);
    door->draining = true;
    run->drain_until_ns = clock_now_ns() + run->program.settings.drain_ms * CLOCK_MS;
    peers_leave(door->peers);
    http_drain(door->http);
    event_add(run->drain, &period);
}

/* The folders of the policy and of terms are read again, where there are any. */
static void on_hangup(evutil_socket_t number, short what, void *argument)
{
    struct run *run = argument;
    (void)number;
    (void)what;
    folders_reload(&run->program.door); // what comes of it is logged
}

static void serve(struct run *run)
{
    static const int numbers[2] = {SIGTERM, SIGINT};
    struct event_base *base = run->program.door.base;
    run->drain = event_new(base, -1, EV_PERSIST, on_drain, run);
    must(run->drain != NULL);
    for (size_t i = 0; i < 2; i++) {
        run->signals[i] = evsignal_new(base, numbers[i], on_signal, run);
        must(run->signals[i] && event_add(run->signals[i], NULL) == 0);
    }
    run->hangup = evsignal_new(base, SIGHUP, on_hangup, run);
    must(run->hangup && event_add(run->hangup, NULL) == 0);
    event_base_dispatch(base);
    event_free(run->hangup);
    for (size_t i = 0; i < 2; i++)
        event_free(run->signals[i]);
    event_free(run->drain);
}

int main(int argc, char **argv)
{
    static struct run run;
    struct settings *settings = &run.program.settings;
    enum conf_next next = CONF_GO;
    int rest = argc;
    private_forbid_cores();
    signal(SIGPIPE, SIG_IGN);
    must(sodium_init() >= 0);
    enum err err = conf_load(&settings_table, settings, argc, argv, &rest, &next);
    if (!err && rest < argc)
        err = err_note(ERR_INVALID, "'%s' is not a setting; see --help", argv[rest]);
    if (!err && next == CONF_GO) err = program_build(&run.program);
    if (err)
        fprintf(stderr, "qiao-scheduler: %s\n", err_text());
    else if (next == CONF_GO)
        serve(&run);
    program_tear_down(&run.program);
    return err ? 1 : 0;
}
