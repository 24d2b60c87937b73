/* The turns of the service: what wakes it, what goes out by the clock, and the end (service.h). */
#include "node/engine/engine.h"
#include "node/service/loads.h"
#include "node/service/service_parts.h"

#include "wire/link.h"

#include "base/clock.h"
#include "base/mailbox.h"

#include <poll.h>
#include <unistd.h>

enum {
    FLUSH_MS = 500
};

/* What goes out by the clock. */

static void send_by_clock(struct service *service, uint64_t now_ns)
{
    uint64_t age_ns = engine_step_age_ns(service->options.engine, now_ns);
    uint32_t age_ms = (uint32_t)(age_ns / CLOCK_MS);
    if (peers_beat(&service->peers, now_ns, age_ms, service->draining))
        links_check(service->links, now_ns);

    struct wire_load load = loads_message(&service->load, service->options.hello.kv_blocks);
    peers_send_load(&service->peers, now_ns, &load);
    peers_send_cached(&service->peers, now_ns, service->cached);
    peers_send_shards(&service->peers, now_ns);
    peers_send_pack(&service->peers);
}

/* The end. */

static void cut_for_stop(void *argument, struct seq *seq)
{
    if (seq->cut == SEQ_WHOLE) service_cut(argument, seq, SEQ_CUT_STOPPING);
}

static void read_stop(struct service *service, int stop_fd, uint64_t now_ns, uint64_t drain_ms)
{
    char away[512];
    ssize_t got = read(stop_fd, away, sizeof away);
    if (got <= 0) return;
    service->stop_ns = service->stopping ? now_ns : now_ns + drain_ms * CLOCK_MS;
    service->stopping = true;
    service_drain(service, true);
}

/* And it is read away. */
static bool is_rung(int bell)
{
    uint64_t count;
    return read(bell, &count, sizeof count) > 0;
}

/* Until something is there to do. True: a stop was asked for. */
static bool wait(struct service *service, int stop_fd, uint64_t wait_ns)
{
    enum {
        EVENTS,
        REPORTS,
        STOP,
        PAUSE,
        COUNT
    };

    int pause = service->options.pause_bell;
    struct pollfd bells[COUNT] = {
        [EVENTS] = {.fd = mailbox_bell(service->events), .events = POLLIN},
        [REPORTS] = {.fd = mailbox_bell(engine_outbox(service->options.engine)), .events = POLLIN},
        [STOP] = {.fd = stop_fd, .events = POLLIN},
        [PAUSE] = {.fd = pause > 0 ? pause : -1, .events = POLLIN}, // poll() skips -1
    };
    struct timespec limit = {.tv_sec = (time_t)(wait_ns / CLOCK_SECOND),
                             .tv_nsec = (long)(wait_ns % CLOCK_SECOND)};
    (void)ppoll(bells, COUNT, &limit, NULL);
    service->paused = pause > 0 && (bells[PAUSE].revents & POLLIN) && is_rung(pause);
    return (bells[STOP].revents & POLLIN) != 0;
}

static void go_by_clock(struct service *service)
{
    uint64_t now_ns = clock_now_ns();
    send_by_clock(service, now_ns);
    if (service->stopping && now_ns >= service->stop_ns)
        flights_each(&service->flights, cut_for_stop, service);
}

void service_hear(struct service *service)
{
    service_take_events(service);
    go_by_clock(service);
}

void service_tell(struct service *service)
{
    service_take_reports(service);
    go_by_clock(service);
}

uint64_t service_wake_ns(const struct service *service)
{
    return peers_wake_ns(&service->peers, clock_now_ns(), service->cached);
}

static void turn(struct service *service)
{
    service_take_events(service);
    service_take_reports(service);
    go_by_clock(service);
}

/* Let the last messages leave. */
static void flush(struct service *service, int stop_fd)
{
    uint64_t until_ns = clock_now_ns() + FLUSH_MS * CLOCK_MS;
    while (peers_backlog(&service->peers) > 0 && clock_now_ns() < until_ns) {
        (void)wait(service, stop_fd, PEERS_PACK_MS * CLOCK_MS);
        service_take_events(service);
    }
}

bool service_run(struct service *service, int stop_fd, uint64_t drain_ms)
{
    while (!service->stopping || service->flights.count > 0) {
        uint64_t now_ns = clock_now_ns();
        uint64_t wake_ns = peers_wake_ns(&service->peers, now_ns, service->cached);
        if (wait(service, stop_fd, wake_ns > now_ns ? wake_ns - now_ns : 0))
            read_stop(service, stop_fd, now_ns, drain_ms);
        turn(service);
        if (service->paused && !service->stopping) return false;
    }
    flush(service, stop_fd);
    engine_stop(service->options.engine);
    return true;
}
