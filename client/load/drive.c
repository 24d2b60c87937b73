#include "client/load/drive.h"

#include "client/load/arrivals.h"
#include "client/load/report.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/must.h"
#include "base/rand.h"

#include <event2/event.h>

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>

struct drive;

/* A stream with its place in the lists of idle ones. */
struct slot {
    struct drive *drive;
    struct stream *stream;
    uint64_t number; // of its latest request
    struct slot *next;
};

struct drive {
    const struct drive_settings *settings;
    struct tally *tally;
    struct event_base *base;
    struct stream_rules rules;
    struct slot *slots; // [limit]
    size_t slot_count;  // that have a stream
    struct slot **idle; // [target_count], lists
    size_t in_flight;
    size_t pausing; // closed loop: requests that wait for DRIVE_PAUSE_MS
    uint64_t issued;
    uint64_t run; // in the Idempotency-Keys, so that no run is answered with another's answers
    bool closed;  // no request begins any more
    struct arrivals arrivals;
    uint64_t next_ns; // of the open loop, on the clock
    struct event *arrival, *pause, *end, *tick, *interrupt, *terminate;
    struct buf json; // of the request being started
};

static struct timeval interval(uint64_t ns)
{
    return (struct timeval){.tv_sec = (time_t)(ns / CLOCK_SECOND),
                            .tv_usec = (suseconds_t)((ns % CLOCK_SECOND + 999) / 1000)};
}

static void check_end(struct drive *drive)
{
    if (drive->closed && drive->in_flight == 0) event_base_loopbreak(drive->base);
}

static bool may_issue(const struct drive *drive)
{
    uint64_t most = drive->settings->requests;
    return !drive->closed && (most == 0 || drive->issued < most);
}

static struct slot *take_idle(struct drive *drive, size_t target)
{
    struct slot *slot = drive->idle[target];
    if (slot) drive->idle[target] = slot->next;
    return slot;
}

/* An idle connection to the target, else a new one, else one of another target, which must connect
 * anew. */
static struct slot *take_slot(struct drive *drive, size_t target)
{
    struct slot *slot = take_idle(drive, target);
    if (!slot && drive->slot_count < drive->settings->limit) {
        slot = &drive->slots[drive->slot_count++];
        slot->drive = drive;
        slot->stream = stream_new(&drive->rules, slot);
    }
    for (size_t i = 0; !slot && i < drive->settings->target_count; i++)
        slot = take_idle(drive, i);
    return slot;
}

/* Begin the next request, or count that there is no room for it. */
static void issue(struct drive *drive, uint64_t intended_ns)
{
    const struct drive_settings *settings = drive->settings;
    uint64_t number = drive->issued++;
    drive->tally->started++;
    if (drive->issued == settings->requests) drive->closed = true;
    size_t target = number % settings->target_count;
    struct slot *slot = take_slot(drive, target);
    if (!slot) {
        tally_error(drive->tally, "overrun");
        return;
    }
    drive->in_flight++;
    buf_clear(&drive->json);
    plan_write(settings->plan, number, &drive->json);
    struct stream_order order = {
        .target = target, .json = &drive->json, .intended_ns = intended_ns};
    snprintf(order.idempotency_key, sizeof order.idempotency_key,
             "qiao-load-%016" PRIx64 "-%" PRIu64, drive->run, number);
    slot->number = number;
    stream_start(slot->stream, &order);
}

static void on_done(void *argument, const struct outcome *outcome)
{
    struct slot *slot = argument;
    struct drive *drive = slot->drive;
    drive->in_flight--;
    size_t target = stream_target(slot->stream);
    slot->next = drive->idle[target];
    drive->idle[target] = slot;
    tally_outcome(drive->tally, outcome);
    if (drive->settings->answers) report_answer(drive->settings->answers, slot->number, outcome);
    bool open = drive->settings->rate > 0;
    if (!open && may_issue(drive)) {
        if (outcome->kind[0] == '\0') {
            issue(drive, clock_now_ns());
        } else {
            struct timeval wait = interval(DRIVE_PAUSE_MS * CLOCK_MS);
            drive->pausing++;
            if (drive->pausing == 1) event_add(drive->pause, &wait);
        }
    }
    check_end(drive);
}

/* All that pause go on together: at most DRIVE_PAUSE_MS after their failure. */
static void on_pause_over(evutil_socket_t socket, short what, void *argument)
{
    (void)socket, (void)what;
    struct drive *drive = argument;
    size_t waiting = drive->pausing;
    drive->pausing = 0;
    for (size_t i = 0; i < waiting && may_issue(drive); i++)
        issue(drive, clock_now_ns());
    check_end(drive);
}

static void on_arrival(evutil_socket_t socket, short what, void *argument)
{
    (void)socket, (void)what;
    struct drive *drive = argument;
    uint64_t now_ns = clock_now_ns();
    uint64_t duration_ns = drive->settings->duration_ns;
    while (drive->next_ns <= now_ns && may_issue(drive)) {
        issue(drive, drive->next_ns);
        drive->next_ns = drive->tally->start_ns + arrivals_next(&drive->arrivals);
        if (duration_ns && drive->next_ns >= drive->tally->start_ns + duration_ns)
            drive->closed = true;
    }
    now_ns = clock_now_ns();
    struct timeval wait = interval(drive->next_ns > now_ns ? drive->next_ns - now_ns : 0);
    if (!drive->closed) event_add(drive->arrival, &wait);
    check_end(drive);
}

static void on_end(evutil_socket_t socket, short what, void *argument)
{
    (void)socket, (void)what;
    struct drive *drive = argument;
    drive->closed = true;
    check_end(drive);
}

static void on_signal(evutil_socket_t number, short what, void *argument)
{
    (void)number, (void)what;
    struct drive *drive = argument;
    drive->closed = true;
    event_base_loopbreak(drive->base);
}

static void on_tick(evutil_socket_t socket, short what, void *argument)
{
    (void)socket, (void)what;
    struct drive *drive = argument;
    report_progress(stderr, drive->tally, clock_now_ns(), drive->in_flight);
}

static enum err make_loop(struct drive *drive)
{
    signal(SIGPIPE, SIG_IGN); // a connection that breaks while we write is an outcome
    // Arrivals come between milliseconds; epoll's own timeout knows only whole ones.
    struct event_config *config = event_config_new();
    must(config);
    event_config_set_flag(config, EVENT_BASE_FLAG_PRECISE_TIMER);
    drive->base = event_base_new_with_config(config);
    event_config_free(config);
    if (!drive->base) return err_note(ERR_IO, "the event loop cannot be made");
    drive->arrival = evtimer_new(drive->base, on_arrival, drive);
    drive->pause = evtimer_new(drive->base, on_pause_over, drive);
    drive->end = evtimer_new(drive->base, on_end, drive);
    drive->tick = event_new(drive->base, -1, EV_PERSIST, on_tick, drive);
    drive->interrupt = evsignal_new(drive->base, SIGINT, on_signal, drive);
    drive->terminate = evsignal_new(drive->base, SIGTERM, on_signal, drive);
    must(drive->arrival && drive->pause && drive->end && drive->tick && drive->interrupt &&
         drive->terminate);
    return ERR_OK;
}

static void begin(struct drive *drive)
{
    const struct drive_settings *settings = drive->settings;
    struct timeval second = {.tv_sec = 1}, duration = interval(settings->duration_ns);
    event_add(drive->interrupt, NULL);
    event_add(drive->terminate, NULL);
    if (settings->progress) event_add(drive->tick, &second);
    drive->tally->start_ns = clock_now_ns();
    if (settings->rate > 0) { // its end is that of the arrivals
        arrivals_init(&drive->arrivals, settings->plan->seed, settings->rate);
        drive->next_ns = drive->tally->start_ns + arrivals_next(&drive->arrivals);
        drive->closed = settings->duration_ns &&
                        drive->next_ns >= drive->tally->start_ns + settings->duration_ns;
        on_arrival(-1, 0, drive);
        return;
    }
    if (settings->duration_ns) event_add(drive->end, &duration);
    for (size_t i = 0; i < settings->limit && may_issue(drive); i++)
        issue(drive, clock_now_ns());
}

static void fini(struct drive *drive)
{
    struct event *events[] = {drive->arrival, drive->pause,     drive->end,
                              drive->tick,    drive->interrupt, drive->terminate};
    for (size_t i = 0; i < drive->slot_count; i++)
        stream_free(drive->slots[i].stream);
    for (size_t i = 0; i < sizeof events / sizeof *events; i++)
        event_free(events[i]);
    event_base_free(drive->base);
    mem_free(drive->slots);
    mem_free(drive->idle);
    buf_fini(&drive->json);
}

enum err drive_run(const struct drive_settings *settings, struct tally *tally)
{
    must(settings->target_count > 0 && settings->limit > 0);
    struct drive drive = {.settings = settings, .tally = tally, .run = rand_entropy()};
    TRY(make_loop(&drive));
    drive.rules = (struct stream_rules){.base = drive.base,
                                        .targets = settings->targets,
                                        .target_count = settings->target_count,
                                        .key = settings->key,
                                        .timeout_ns = settings->timeout_ns,
                                        .connect_ns = settings->connect_ns,
                                        .retries = settings->retries,
                                        .retry_refused = settings->retry_refused,
                                        .stream = settings->plan->stream,
                                        .digested = settings->answers != NULL,
                                        .tally = tally,
                                        .done = on_done};
    drive.slots = mem_new(settings->limit, sizeof *drive.slots);
    drive.idle = mem_new(settings->target_count, sizeof *drive.idle);
    begin(&drive);
    // An open loop whose duration ends before its first arrival has nothing to wait for.
    if (!drive.closed || drive.in_flight > 0) event_base_dispatch(drive.base);
    tally->in_flight = drive.in_flight;
    if (drive.in_flight > 0 || tally->end_ns == 0) tally->end_ns = clock_now_ns();
    if (settings->progress) fputs("\r\033[K", stderr);
    fini(&drive);
    return ERR_OK;
}
