/* bench-shop: recommendations as a shop's back end sees them, over HTTP.
 *
 *      bench-shop load PORT FILE …      give the users of FILE their consents, and their items as events
 *      bench-shop ask PORT FILE …       recommendations for users of FILE drawn at random; requests/s and their times
 *      bench-shop fresh PORT FILE …     an event, then a recommendation, one after the other: the time of both, and whether it counted
 *
 *      --users N        the first N lines of FILE; 1000        --count N    items of a list; 20
 *      --by session     the items in the body (the preset), or `user`: by the history in Redis
 *      --rate R         Poisson arrivals of R a second; 0 (the preset): as many as --connections can
 *      --connections N  32        --seconds S  10        --rounds N  of fresh; 2000
 *      --model NAME     --filter TEXT
 *
 * A line of FILE is `user item item …`. The scheduler is on 127.0.0.1, with an open API. An event counts when its item, the first of the list
 * before, is not in the list after. A time begins when a request should have begun. Anything but 200 ends the run. */
#include "client/load/arrivals.h"
#include "client/load/histogram.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/rand.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    CONNECTIONS_MAX = 512,
    ANSWER_MAX = 256 << 10,
    LINE_MAX_BYTES = 64 << 10,
    USERS_MAX = 100000,
    EVENTS_MAX = 200, // of one user that are sent
    WARM_S = 1
};

struct user {
    char *name;
    char *items;  // ["a","b"]
    char *events; // a body for /v1/events
};

struct line { // one connection
    int fd;
    char *answer; // [ANSWER_MAX + 1]
    size_t size;
    uint64_t begin_ns; // of the request in the air
    bool busy;
};

struct bench {
    const char *model, *filter;
    bool by_user;
    double rate, seconds;
    uint64_t user_count, connections, count, rounds;
    uint16_t port;
    struct user *users; // [user_count]
    struct line lines[CONNECTIONS_MAX];
    struct rand rand;
    struct histogram times, event_times;
};

static void fail(const char *what, const char *more)
{
    fprintf(stderr, "bench-shop: %s%.300s\n", what, more);
    exit(EXIT_FAILURE);
}

// ---- users -------------------------------------------------------------------------------------

static void read_user(struct user *user, char *text)
{
    struct buf items = {0}, events = {0};
    char *rest = NULL;
    const char *name = strtok_r(text, " \n", &rest);
    size_t count = 0;
    if (!name) fail("a user has no name", "");
    user->name = mem_copy_text(name);
    buf_add_text(&events, "{\"events\":[");
    for (const char *item; (item = strtok_r(NULL, " \n", &rest)) != NULL && count < EVENTS_MAX;) {
        const char *comma = count++ ? "," : "";
        buf_addf(&items, "%s\"%s\"", comma, item);
        buf_addf(&events, "%s{\"id\":\"%s-%zu\",\"type\":\"view\",\"item\":\"%s\"}", comma, name,
                 count, item);
    }
    buf_add_text(&events, "]}");
    user->items = buf_take(&items);
    user->events = buf_take(&events);
}

static void read_users(struct bench *bench, const char *path)
{
    char *text = mem_new(LINE_MAX_BYTES, 1);
    FILE *file = fopen(path, "r");
    if (!file) fail("cannot read ", path);
    bench->users = mem_new(bench->user_count, sizeof *bench->users);
    uint64_t count = 0;
    while (count < bench->user_count && fgets(text, LINE_MAX_BYTES, file))
        read_user(&bench->users[count++], text);
    bench->user_count = count;
    if (count == 0) fail("no users in ", path);
    fclose(file);
    mem_free(text);
}

static const struct user *any_user(struct bench *bench)
{
    return &bench->users[rand_below(&bench->rand, (uint32_t)bench->user_count)];
}

// ---- HTTP, as little of it as will do ----------------------------------------------------------

static void open_line(const struct bench *bench, struct line *line)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(bench->port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = 1;
    line->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (line->fd < 0 || connect(line->fd, (struct sockaddr *)&address, sizeof address) != 0)
        fail("nobody listens on the port", "");
    setsockopt(line->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    line->answer = mem_new(ANSWER_MAX + 1, 1);
}

static void say(struct line *line, const char *method, const char *path, const char *user,
                const char *body)
{
    struct buf text = {0};
    buf_addf(&text, "%s %s HTTP/1.1\r\nHost: shop\r\nContent-Length: %zu\r\n", method, path,
             strlen(body));
    if (user) buf_addf(&text, "X-Qiao-User: %s\r\n", user);
    buf_addf(&text, "\r\n%s", body);
    for (size_t sent = 0; sent < text.size;) {
        ssize_t more = send(line->fd, text.data + sent, text.size - sent, MSG_NOSIGNAL);
        if (more <= 0) fail("a connection was lost", "");
        sent += (size_t)more;
    }
    buf_fini(&text);
    line->size = 0;
    line->busy = true;
}

/* Take what has come; true when the answer is whole, and 200. */
static bool hear(struct line *line)
{
    ssize_t more = recv(line->fd, line->answer + line->size, ANSWER_MAX - line->size, 0);
    if (more <= 0) fail("a connection was lost", "");
    line->size += (size_t)more;
    line->answer[line->size] = '\0';
    const char *body = strstr(line->answer, "\r\n\r\n");
    const char *length = strcasestr(line->answer, "content-length:");
    if (!body || !length) return false;
    size_t head = (size_t)(body + 4 - line->answer), size = strtoul(length + 15, NULL, 10);
    if (line->size < head + size) return false;
    if (strncmp(line->answer, "HTTP/1.1 200", 12) != 0) fail("refused: ", line->answer);
    line->busy = false;
    return true;
}

static const char *ask(struct line *line, const char *method, const char *path, const char *user,
                       const char *body)
{
    say(line, method, path, user, body);
    while (!hear(line))
        ;
    return strstr(line->answer, "\r\n\r\n") + 4;
}

static void write_question(const struct bench *bench, const struct user *user, bool by_user,
                           struct buf *out)
{
    buf_addf(out, "{\"count\":%" PRIu64, bench->count);
    if (!by_user) buf_addf(out, ",\"session\":[%s]", user->items);
    if (bench->model) buf_addf(out, ",\"model\":\"%s\"", bench->model);
    if (bench->filter) buf_addf(out, ",\"filter\":\"%s\"", bench->filter);
    buf_add_byte(out, '}');
}

static void begin(struct bench *bench, struct line *line, uint64_t begin_ns)
{
    const struct user *user = any_user(bench);
    struct buf body = {0};
    write_question(bench, user, bench->by_user, &body);
    line->begin_ns = begin_ns;
    say(line, "POST", "/v1/recommendations", bench->by_user ? user->name : NULL, body.data);
    buf_fini(&body);
}

// ---- load --------------------------------------------------------------------------------------

static void run_load(struct bench *bench)
{
    struct line *line = &bench->lines[0];
    open_line(bench, line);
    for (uint64_t i = 0; i < bench->user_count; i++) {
        const struct user *user = &bench->users[i];
        ask(line, "PUT", "/v1/me/consents", user->name,
            "{\"consents\":{\"history\":true,\"recommendations\":true}}");
        ask(line, "POST", "/v1/events", user->name, user->events);
    }
    printf("%" PRIu64 " users have agreed, and their events are stored\n", bench->user_count);
}

// ---- ask ---------------------------------------------------------------------------------------

static double ms_of(const struct histogram *times, unsigned per_mille)
{
    return (double)histogram_quantile(times, per_mille) / 1e6;
}

static struct line *find_idle(struct bench *bench)
{
    for (uint64_t i = 0; i < bench->connections; i++)
        if (!bench->lines[i].busy) return &bench->lines[i];
    return NULL;
}

/* When the next request is due; with a rate of 0 always now. */
struct clockwork {
    struct arrivals arrivals;
    uint64_t start_ns, next_ns;
};

static void begin_due(struct bench *bench, struct clockwork *work, uint64_t end_ns)
{
    for (;;) {
        uint64_t now_ns = clock_now_ns();
        uint64_t due_ns = bench->rate > 0 ? work->next_ns : now_ns;
        struct line *line = due_ns <= now_ns && due_ns < end_ns ? find_idle(bench) : NULL;
        if (!line) return;
        begin(bench, line, due_ns);
        if (bench->rate > 0) work->next_ns = work->start_ns + arrivals_next(&work->arrivals);
    }
}

static int wait_ms(const struct bench *bench, const struct clockwork *work)
{
    uint64_t now_ns = clock_now_ns();
    if (bench->rate <= 0) return 100;
    return work->next_ns > now_ns ? (int)((work->next_ns - now_ns) / CLOCK_MS) : 0;
}

static uint64_t run_until(struct bench *bench, int poller, uint64_t end_ns)
{
    struct epoll_event events[64];
    struct clockwork work = {.start_ns = clock_now_ns()};
    uint64_t flying = 0, ended = 0;
    if (bench->rate > 0) {
        arrivals_init(&work.arrivals, rand_next(&bench->rand), bench->rate);
        work.next_ns = work.start_ns + arrivals_next(&work.arrivals);
    }
    for (;;) {
        begin_due(bench, &work, end_ns);
        flying = 0;
        for (uint64_t i = 0; i < bench->connections; i++)
            flying += bench->lines[i].busy;
        if (flying == 0 && clock_now_ns() >= end_ns) return ended;
        int count = epoll_wait(poller, events, 64, wait_ms(bench, &work));
        for (int i = 0; i < count; i++) {
            struct line *line = events[i].data.ptr;
            if (!hear(line)) continue;
            histogram_add(&bench->times, clock_now_ns() - line->begin_ns);
            ended++;
        }
    }
}

static void run_ask(struct bench *bench)
{
    int poller = epoll_create1(0);
    for (uint64_t i = 0; i < bench->connections; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &bench->lines[i]};
        open_line(bench, &bench->lines[i]);
        epoll_ctl(poller, EPOLL_CTL_ADD, bench->lines[i].fd, &event);
    }
    run_until(bench, poller, clock_now_ns() + WARM_S * CLOCK_SECOND);
    bench->times = (struct histogram){0};
    uint64_t start_ns = clock_now_ns();
    uint64_t count = run_until(bench, poller, start_ns + (uint64_t)(bench->seconds * 1e9));
    double seconds = (double)(clock_now_ns() - start_ns) / 1e9;
    printf("by %s, %" PRIu64 " connections, rate %.0f: %.0f requests/s, ms p50 %.2f p99 %.2f max "
           "%.2f\n",
           bench->by_user ? "user" : "session", bench->connections, bench->rate,
           (double)count / seconds, ms_of(&bench->times, 500), ms_of(&bench->times, 990),
           (double)bench->times.max / 1e6);
}

// ---- fresh -------------------------------------------------------------------------------------

/* The first item of a list, into `out`. */
static void first_item(const char *answer, char out[256])
{
    const char *at = strstr(answer, "\"data\":[{\"item\":\"");
    if (!at) fail("an empty list: ", answer);
    at += strlen("\"data\":[{\"item\":\"");
    snprintf(out, 256, "%.*s", (int)strcspn(at, "\""), at);
}

static void run_fresh(struct bench *bench)
{
    struct line *line = &bench->lines[0];
    struct histogram again = {0};
    open_line(bench, line);
    for (uint64_t round = 0; round < bench->rounds; round++) {
        const struct user *user = any_user(bench);
        struct buf question = {0}, event = {0}, quoted = {0};
        char item[256];
        write_question(bench, user, true, &question);
        first_item(ask(line, "POST", "/v1/recommendations", user->name, question.data), item);
        buf_addf(&event, "{\"id\":\"f%016" PRIx64 "\",\"type\":\"view\",\"item\":\"%s\"}",
                 rand_entropy(), item);
        uint64_t begin_ns = clock_now_ns();
        const char *stored = ask(line, "POST", "/v1/events", user->name, event.data);
        if (!strstr(stored, "\"stored\":1")) fail("an event was not stored: ", stored);
        uint64_t stored_ns = clock_now_ns();
        const char *list = ask(line, "POST", "/v1/recommendations", user->name, question.data);
        uint64_t end_ns = clock_now_ns();
        buf_addf(&quoted, "{\"item\":\"%s\"", item);
        if (!strstr(list, "\"basis\":\"history\"") || strstr(list, quoted.data))
            fail("an event did not count: ", list);
        histogram_add(&bench->times, end_ns - begin_ns);
        histogram_add(&bench->event_times, stored_ns - begin_ns);
        histogram_add(&again, end_ns - stored_ns);
        buf_fini(&question);
        buf_fini(&event);
        buf_fini(&quoted);
    }
    printf("%" PRIu64 " events, each counted in the next recommendation: ms p50 %.2f p99 %.2f max "
           "%.2f (the event %.2f, %.2f; the recommendation %.2f, %.2f)\n",
           bench->rounds, ms_of(&bench->times, 500), ms_of(&bench->times, 990),
           (double)bench->times.max / 1e6, ms_of(&bench->event_times, 500),
           ms_of(&bench->event_times, 990), ms_of(&again, 500), ms_of(&again, 990));
}

static void read_arguments(struct bench *bench, int count, char **words)
{
    for (int i = 4; i + 1 < count; i += 2) {
        const char *name = words[i], *value = words[i + 1];
        double number = strtod(value, NULL);
        if (strcmp(name, "--users") == 0)
            bench->user_count = (uint64_t)number;
        else if (strcmp(name, "--by") == 0)
            bench->by_user = strcmp(value, "user") == 0;
        else if (strcmp(name, "--rate") == 0)
            bench->rate = number;
        else if (strcmp(name, "--seconds") == 0)
            bench->seconds = number;
        else if (strcmp(name, "--connections") == 0)
            bench->connections = (uint64_t)number;
        else if (strcmp(name, "--count") == 0)
            bench->count = (uint64_t)number;
        else if (strcmp(name, "--rounds") == 0)
            bench->rounds = (uint64_t)number;
        else if (strcmp(name, "--model") == 0)
            bench->model = value;
        else if (strcmp(name, "--filter") == 0)
            bench->filter = value;
        else
            fail("unknown: ", name);
    }
    if (bench->connections < 1 || bench->connections > CONNECTIONS_MAX)
        fail("--connections: 1 to 512", "");
    if (bench->user_count < 1 || bench->user_count > USERS_MAX) fail("--users: 1 to 100000", "");
}

int main(int count, char **words)
{
    static struct bench bench = {
        .user_count = 1000, .connections = 32, .seconds = 10, .count = 20, .rounds = 2000};
    if (count < 4 || count % 2 != 0) fail("see the head of bench/shop.c", "");
    bench.port = (uint16_t)strtoul(words[2], NULL, 10);
    read_arguments(&bench, count, words);
    read_users(&bench, words[3]);
    rand_init(&bench.rand, 1);
    if (strcmp(words[1], "load") == 0)
        run_load(&bench);
    else if (strcmp(words[1], "ask") == 0)
        run_ask(&bench);
    else if (strcmp(words[1], "fresh") == 0)
        run_fresh(&bench);
    else
        fail("load, ask or fresh, not ", words[1]);
    return EXIT_SUCCESS;
}
