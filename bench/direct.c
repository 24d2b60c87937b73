/* bench-direct: a node without a scheduler in front of it, to be subtracted from what a scheduler shows (bench/gateway).
 *
 *      bench-direct ask LINK_URL PROMPT_IDS RATE SECONDS    over the link itself: Poisson arrivals of RATE a second; RATE 0: one
 *                                                           after the other. Times are printed as JSON, as qiao-load names them
 *      bench-direct serve LINK_URL PROMPT_IDS PORT          behind the barest HTTP server: any POST is a request to the node,
 *                                                           whatever it says, and is answered with one fixed body; until SIGTERM
 *
 * Nodes dial LINK_URL; the first that says HELLO gets everything. A request asks for one token after PROMPT_IDS ids that no
 * other request has; its time ends with the node's DONE. No key, no limit, no text, no retry. A node that is full says so:
 * such a request is counted as failed, and its time not at all. */
#include "client/load/arrivals.h"
#include "client/load/histogram.h"

#include "wire/link.h"

#include "base/arena.h"
#include "base/clock.h"
#include "base/mailbox.h"
#include "base/mem.h"
#include "base/must.h"

#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    FLYING_MAX = 1 << 14, // requests at once
    IDS_MAX = 4096,
    INBOX_MAX = 1 << 14,
    ARENA_SIZE = 1 << 20,
    DEADLINE_MS = 60000,
    GIVE_UP_S = 30
};

/* One request; its number modulo FLYING_MAX is its place. */
struct flying {
    uint64_t number, intended_ns;
    struct evhttp_request *http; // NULL: nobody waits behind HTTP
};

struct direct {
    struct event_base *base;
    struct mailbox *inbox;
    struct links *links;
    struct event *bell, *beat, *arrival, *ask_end;
    struct arena arena;
    struct wire_model model; // its digests
    uint64_t link, beats;
    bool has_node;
    int32_t ids[IDS_MAX];
    size_t id_count;

    uint64_t issued, ended, busy;
    struct flying flying[FLYING_MAX];

    double rate, seconds; // of `ask`
    struct arrivals arrivals;
    uint64_t start_ns, next_ns;
    bool asks, closed;
    struct histogram total;
};

static void stop(const char *why)
{
    fprintf(stderr, "bench-direct: %s\n", why);
    exit(1);
}

static struct timeval interval(uint64_t ns)
{
    return (struct timeval){.tv_sec = (time_t)(ns / CLOCK_SECOND),
                            .tv_usec = (suseconds_t)((ns % CLOCK_SECOND + 999) / 1000)};
}

// ---- the node ----------------------------------------------------------------------------------

/* Its first ids spell its number: no prompt is cached. */
static void submit(struct direct *direct, uint64_t intended_ns, struct evhttp_request *http)
{
    uint64_t number = ++direct->issued;
    struct flying *flying = &direct->flying[number % FLYING_MAX];
    if (flying->number) stop("more requests at once than there is room for");
    *flying = (struct flying){number, intended_ns, http};
    for (size_t i = 0; i < 8 && i < direct->id_count; i++)
        direct->ids[i] = 'a' + (int32_t)(number >> 4 * i & 15);
    struct wire_message message = {.type = WIRE_SUBMIT,
                                   .submit = {.protocol = WIRE_PROTOCOL,
                                              .kind = WIRE_GENERATE,
                                              .key = {.request = number, .attempt = 1},
                                              .model = direct->model.model,
                                              .adapter = direct->model.adapter,
                                              .numerics = direct->model.numerics,
                                              .ids = direct->ids,
                                              .id_count = direct->id_count,
                                              .prompt_length = (uint32_t)direct->id_count,
                                              .next_position = (uint32_t)direct->id_count,
                                              .max_tokens = 1,
                                              .sampling = {.top_p = 1, .repetition_penalty = 1},
                                              .tenant = 1,
                                              .tenant_weight = 1,
                                              .priority = WIRE_DEFAULT,
                                              .deadline_ms = DEADLINE_MS}};
    if (link_send(direct->links, direct->link, &message, false)) stop(err_text());
}

static void reply(struct evhttp_request *http, int status)
{
    static const char body[] = "{\"id\":\"bare\",\"object\":\"chat.completion\",\"model\":\"bare\","
                               "\"choices\":[{\"index\":0,"
                               "\"message\":{\"role\":\"assistant\",\"content\":\"a\"},\"finish_"
                               "reason\":\"length\"}],\"usage\":"
                               "{\"prompt_tokens\":1,\"completion_tokens\":1,\"total_tokens\":2}}";
    struct evbuffer *bytes = evbuffer_new();
    must(bytes && evbuffer_add(bytes, body, sizeof body - 1) == 0);
    evhttp_add_header(evhttp_request_get_output_headers(http), "Content-Type", "application/json");
    evhttp_send_reply(http, status, NULL, bytes);
    evbuffer_free(bytes);
}

/* Its end: with DONE, or with BUSY. */
static void end(struct direct *direct, const struct wire_key *key, bool good)
{
    struct flying *flying = &direct->flying[key->request % FLYING_MAX];
    if (flying->number != key->request) stop("the node answers what was not asked");
    uint64_t now_ns = clock_now_ns();
    if (good) histogram_add(&direct->total, now_ns - flying->intended_ns);
    if (flying->http) reply(flying->http, good ? 200 : 503);
    flying->number = 0;
    direct->ended++;
    direct->busy += !good;
    if (!direct->asks) return;
    if (direct->rate <= 0 && !direct->closed) submit(direct, now_ns, NULL);
    if (direct->closed && direct->ended == direct->issued) event_base_loopbreak(direct->base);
}

static void begin_asking(struct direct *direct);

static void take_frame(struct direct *direct, const struct link_event *event)
{
    struct wire_message message;
    arena_reset(&direct->arena);
    if (message_decode(&message, event->type, event->body, event->size, &direct->arena))
        stop(err_text());
    if (message.type == WIRE_BUSY) end(direct, &message.busy.key, false);
    if (message.type == WIRE_DONE) end(direct, &message.done.key, message.done.err == ERR_OK);
    if (message.type != WIRE_HELLO || direct->has_node) return;
    struct wire_message welcome = {.type = WIRE_WELCOME, .welcome = {.protocol = WIRE_PROTOCOL}};
    direct->model = message.hello.models[0];
    direct->link = event->link;
    direct->has_node = true;
    if (link_send(direct->links, direct->link, &welcome, false)) stop(err_text());
    if (direct->asks) begin_asking(direct);
}

static void on_bell(evutil_socket_t fd, short what, void *argument)
{
    struct direct *direct = argument;
    (void)fd, (void)what;
    mailbox_hush(direct->inbox);
    for (struct link_event *event; (event = mailbox_take(direct->inbox)) != NULL;) {
        if (event->kind == LINK_FRAME) take_frame(direct, event);
        if (event->kind == LINK_DOWN && direct->has_node && event->link == direct->link)
            stop(event->reason);
        link_event_free(event);
    }
    links_resume(direct->links);
}

static void on_beat(evutil_socket_t fd, short what, void *argument)
{
    struct direct *direct = argument;
    struct wire_message beat = {.type = WIRE_HEARTBEAT, .heartbeat = {.count = ++direct->beats}};
    (void)fd, (void)what;
    if (direct->has_node) (void)link_send(direct->links, direct->link, &beat, true);
    if (!direct->has_node && direct->beats > GIVE_UP_S * 1000 / LINK_HEARTBEAT_MS)
        stop("no node came");
    links_check(direct->links, clock_now_ns());
}

// ---- who asks ----------------------------------------------------------------------------------

static void on_arrival(evutil_socket_t fd, short what, void *argument)
{
    struct direct *direct = argument;
    (void)fd, (void)what;
    while (direct->next_ns <= clock_now_ns() && !direct->closed) {
        submit(direct, direct->next_ns, NULL);
        direct->next_ns = direct->start_ns + arrivals_next(&direct->arrivals);
    }
    uint64_t now_ns = clock_now_ns();
    struct timeval wait = interval(direct->next_ns > now_ns ? direct->next_ns - now_ns : 0);
    if (!direct->closed) event_add(direct->arrival, &wait);
}

static void on_ask_end(evutil_socket_t fd, short what, void *argument)
{
    struct direct *direct = argument;
    (void)fd, (void)what;
    direct->closed = true;
    if (direct->ended == direct->issued) event_base_loopbreak(direct->base);
}

static void begin_asking(struct direct *direct)
{
    struct timeval end = interval((uint64_t)(direct->seconds * (double)CLOCK_SECOND));
    direct->start_ns = clock_now_ns();
    event_add(direct->ask_end, &end);
    if (direct->rate <= 0) {
        submit(direct, direct->start_ns, NULL);
        return;
    }
    arrivals_init(&direct->arrivals, 1, direct->rate);
    direct->next_ns = direct->start_ns + arrivals_next(&direct->arrivals);
    on_arrival(-1, 0, direct);
}

static void report(const struct direct *direct)
{
    double ms[] = {1e-6 * (double)histogram_quantile(&direct->total, 500),
                   1e-6 * (double)histogram_quantile(&direct->total, 900),
                   1e-6 * (double)histogram_quantile(&direct->total, 990)};
    printf(
        "{\"answered\": %" PRIu64 ", \"failed\": %" PRIu64
        ", \"whole_answer_ms\": {\"p50\": %.6f, \"p90\": %.6f, \"p99\": %.6f, \"mean\": %.6f}}\n",
        direct->ended - direct->busy, direct->busy, ms[0], ms[1], ms[2],
        1e-6 * histogram_mean(&direct->total));
}

// ---- the barest server -------------------------------------------------------------------------

/* GETs are whether a node is there. */
static void on_http(struct evhttp_request *http, void *argument)
{
    struct direct *direct = argument;
    if (evhttp_request_get_command(http) == EVHTTP_REQ_POST)
        submit(direct, clock_now_ns(), http);
    else
        evhttp_send_reply(http, direct->has_node ? 200 : 503, NULL, NULL);
}

static void on_signal(evutil_socket_t number, short what, void *argument)
{
    struct direct *direct = argument;
    (void)number, (void)what;
    event_base_loopbreak(direct->base);
}

// ---- birth -------------------------------------------------------------------------------------

static void build(struct direct *direct, const char *url)
{
    struct timeval period = interval(LINK_HEARTBEAT_MS * CLOCK_MS);
    struct event_config *config = event_config_new(); // arrivals as qiao-load has them
    must(config);
    event_config_set_flag(config, EVENT_BASE_FLAG_PRECISE_TIMER);
    direct->base = event_base_new_with_config(config);
    event_config_free(config);
    direct->inbox = mailbox_new(INBOX_MAX);
    arena_init(&direct->arena, mem_new(1, ARENA_SIZE), ARENA_SIZE);
    must(links_new(&direct->links, direct->inbox) == ERR_OK);
    direct->bell =
        event_new(direct->base, mailbox_bell(direct->inbox), EV_READ | EV_PERSIST, on_bell, direct);
    direct->beat = event_new(direct->base, -1, EV_PERSIST, on_beat, direct);
    direct->arrival = evtimer_new(direct->base, on_arrival, direct);
    direct->ask_end = evtimer_new(direct->base, on_ask_end, direct);
    for (size_t i = 0; i < direct->id_count; i++)
        direct->ids[i] = 'a';
    event_add(direct->bell, NULL);
    event_add(direct->beat, &period);
    if (links_listen(direct->links, url, NULL)) stop(err_text());
}

int main(int argc, char **argv)
{
    bool asks = argc == 6 && strcmp(argv[1], "ask") == 0;
    bool serves = argc == 5 && strcmp(argv[1], "serve") == 0;
    if (!asks && !serves) {
        fprintf(stderr, "usage: bench-direct ask LINK_URL PROMPT_IDS RATE SECONDS\n"
                        "       bench-direct serve LINK_URL PROMPT_IDS PORT\n");
        return 2;
    }
    struct direct *direct = mem_new(1, sizeof *direct);
    direct->asks = asks;
    direct->id_count = strtoul(argv[3], NULL, 10);
    if (direct->id_count < 1 || direct->id_count > IDS_MAX) stop("PROMPT_IDS: 1 to 4096");
    direct->rate = asks ? strtod(argv[4], NULL) : 0;
    direct->seconds = asks ? strtod(argv[5], NULL) : 0;
    signal(SIGPIPE, SIG_IGN);
    build(direct, argv[2]);
    if (serves) {
        struct evhttp *server = evhttp_new(direct->base);
        evhttp_set_gencb(server, on_http, direct);
        uint16_t port = (uint16_t)strtoul(argv[4], NULL, 10);
        if (evhttp_bind_socket(server, "127.0.0.1", port)) stop("cannot listen at PORT");
        event_add(evsignal_new(direct->base, SIGTERM, on_signal, direct), NULL);
    }
    event_base_dispatch(direct->base);
    if (asks) report(direct);
    links_free(direct->links);
    return 0; // the rest is the system's to clear away
}
