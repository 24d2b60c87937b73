#include "tests/unit/client/fake_server.h"

#include "tests/test.h"

#include "base/buf.h"
#include "base/must.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

struct connection {
    struct fake_server *server;
    size_t index;
};

static int listen_anywhere(char *url, size_t size)
{
    struct sockaddr_in where = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t where_size = sizeof where;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(listener >= 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&where, sizeof where), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&where, &where_size), 0);
    snprintf(url, size, "http://127.0.0.1:%d", ntohs(where.sin_port));
    return listener;
}

/* One request's bytes, head and body; false when the client left. */
static bool read_request(int socket, struct buf *in)
{
    buf_clear(in);
    for (;;) {
        const char *end = strstr(buf_text(in), "\r\n\r\n");
        if (end) {
            const char *length = strcasestr(in->data, "\r\nContent-Length:");
            size_t body = length && length < end ? strtoul(length + 17, NULL, 10) : 0;
            if (in->size >= (size_t)(end - in->data) + 4 + body) return true;
        }
        char bytes[4096];
        ssize_t got = recv(socket, bytes, sizeof bytes, 0);
        if (got <= 0 || in->size > FAKE_REQUEST_MAX) return false;
        buf_add(in, bytes, (size_t)got);
    }
}

static void *serve(void *argument)
{
    struct connection *connection = argument;
    struct fake_server *server = connection->server;
    int socket = server->sockets[connection->index];
    struct buf in = {0};
    bool more = true;
    while (more && read_request(socket, &in)) {
        char *end = strstr(in.data, "\r\n\r\n");
        *end = '\0';
        struct fake_request request = {.head = in.data, .body = end + 4};
        more = server->answer(server->argument, socket, &request);
    }
    shutdown(socket, SHUT_RDWR); // closed by the stop, so that its number is not reused before
    buf_fini(&in);
    free(connection);
    return NULL;
}

static void *accept_all(void *argument)
{
    struct fake_server *server = argument;
    for (;;) {
        int socket = accept4(server->listener, NULL, NULL, SOCK_CLOEXEC);
        if (socket < 0) return NULL;
        int on = 1;
        setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        pthread_mutex_lock(&server->lock);
        if (server->stalled) {
            close(socket);
            pthread_mutex_unlock(&server->lock);
            return NULL;
        }
        if (server->stopping || server->count == FAKE_CONNECTIONS_MAX) {
            close(socket);
        } else {
            struct connection *connection = malloc(sizeof *connection);
            *connection = (struct connection){.server = server, .index = server->count};
            server->sockets[server->count] = socket;
            pthread_create(&server->threads[server->count++], NULL, serve, connection);
        }
        pthread_mutex_unlock(&server->lock);
    }
}

void fake_server_start(struct fake_server *server, fake_answer_fn *answer, void *argument)
{
    *server = (struct fake_server){.answer = answer, .argument = argument};
    pthread_mutex_init(&server->lock, NULL);
    server->listener = listen_anywhere(server->url, sizeof server->url);
    assert_int_equal(listen(server->listener, 64), 0);
    assert_int_equal(pthread_create(&server->acceptor, NULL, accept_all, server), 0);
}

void fake_server_stop(struct fake_server *server)
{
    pthread_mutex_lock(&server->lock);
    server->stopping = true;
    for (size_t i = 0; i < server->count; i++)
        shutdown(server->sockets[i], SHUT_RDWR);
    pthread_mutex_unlock(&server->lock);
    shutdown(server->listener, SHUT_RDWR);
    if (!server->stalled) pthread_join(server->acceptor, NULL);
    for (size_t i = 0; i < server->count; i++) {
        pthread_join(server->threads[i], NULL);
        close(server->sockets[i]);
    }
    for (size_t i = 0; i < FAKE_FILLERS; i++)
        if (server->fillers[i]) close(server->fillers[i]);
    close(server->listener);
    pthread_mutex_destroy(&server->lock);
}

void fake_server_leave(struct fake_server *server)
{
    shutdown(server->listener, SHUT_RDWR);
}

/* A connection to the server itself; whether it came about. */
static bool fill(struct fake_server *server, int *filler)
{
    struct sockaddr_in where;
    socklen_t size = sizeof where;
    *filler = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    must(*filler > 0 && getsockname(server->listener, (struct sockaddr *)&where, &size) == 0);
    (void)connect(*filler, (struct sockaddr *)&where, size);
    struct pollfd watched = {.fd = *filler, .events = POLLOUT};
    return poll(&watched, 1, 200) == 1;
}

void fake_server_stall(struct fake_server *server)
{
    pthread_mutex_lock(&server->lock);
    server->stalled = true;
    pthread_mutex_unlock(&server->lock);
    (void)fill(server, &server->fillers[0]); // wakes the acceptor, for the last time
    pthread_join(server->acceptor, NULL);
    must(listen(server->listener, 0) == 0);
    size_t i = 1;
    while (fill(server, &server->fillers[i]))
        must(++i < FAKE_FILLERS); // else the kernel takes more than it was asked for
}

size_t fake_server_count(struct fake_server *server)
{
    pthread_mutex_lock(&server->lock);
    size_t count = server->count;
    pthread_mutex_unlock(&server->lock);
    return count;
}

void fake_closed_url(char *url, size_t size)
{
    close(listen_anywhere(url, size));
}

void fake_send(int socket, const char *text)
{
    size_t size = strlen(text);
    while (size > 0) {
        ssize_t sent = send(socket, text, size, MSG_NOSIGNAL);
        if (sent <= 0) return;
        text += sent;
        size -= (size_t)sent;
    }
}

void fake_begin_events(int socket)
{
    fake_send(socket, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                      "Transfer-Encoding: chunked\r\n\r\n");
}

void fake_event(int socket, const char *data)
{
    struct buf chunk = {0};
    buf_addf(&chunk, "%zx\r\ndata: %s\n\n\r\n", strlen(data) + 8, data);
    fake_send(socket, chunk.data);
    buf_fini(&chunk);
}

void fake_numbered_event(int socket, int id, const char *data)
{
    struct buf event = {0}, chunk = {0};
    buf_addf(&event, "id: %d\ndata: %s\n\n", id, data);
    buf_addf(&chunk, "%zx\r\n%s\r\n", event.size, event.data);
    fake_send(socket, chunk.data);
    buf_fini(&event);
    buf_fini(&chunk);
}

void fake_end_events(int socket)
{
    fake_send(socket, "0\r\n\r\n");
}

void fake_json(int socket, const char *status, const char *json)
{
    struct buf answer = {0};
    buf_addf(&answer,
             "HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
             status, strlen(json), json);
    fake_send(socket, answer.data);
    buf_fini(&answer);
}
