/* tests/unit/client/fake_server.h -- a small HTTP server on the loopback, which answers as a test
 * wants.
 *
 * A thread accepts; each connection has a thread of its own, so an answer may block. */
#ifndef TESTS_UNIT_CLIENT_FAKE_SERVER_H
#define TESTS_UNIT_CLIENT_FAKE_SERVER_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

enum {
    FAKE_CONNECTIONS_MAX = 64,
    FAKE_FILLERS = 4,
    FAKE_REQUEST_MAX = 1 << 20
};

struct fake_request {
    const char *head; // request line and headers, NUL-terminated
    const char *body; // NUL-terminated
};

/* Answer on `socket`; false closes the connection after it. Runs on the connection's thread. */
typedef bool fake_answer_fn(void *argument, int socket, const struct fake_request *request);

struct fake_server {
    fake_answer_fn *answer;
    void *argument;
    char url[64];
    int listener;
    pthread_t acceptor;
    pthread_mutex_t lock; // guards the rest
    bool stopping, stalled;
    int fillers[FAKE_FILLERS]; // what keeps the kernel from taking more; 0: none
    size_t count;              // of connections ever
    int sockets[FAKE_CONNECTIONS_MAX];
    pthread_t threads[FAKE_CONNECTIONS_MAX];
};

/* Listens on a free port; `url` tells which. The struct stays where it is until the stop. */
void fake_server_start(struct fake_server *server, fake_answer_fn *answer, void *argument);
void fake_server_stop(struct fake_server *server);
/* Answers no new connection any more: they are refused. */
void fake_server_leave(struct fake_server *server);
/* Takes no new connection any more, and refuses none: an address that swallows what is sent to it. Called once. */
void fake_server_stall(struct fake_server *server);
/* Connections that came since the start. */
size_t fake_server_count(struct fake_server *server);
/* A port of the loopback at which nobody listens, as a URL. */
void fake_closed_url(char *url, size_t size);

void fake_send(int socket, const char *text);
/* The head of an event stream in chunks, one event, and the end of the chunks. */
void fake_begin_events(int socket);
void fake_event(int socket, const char *data);
void fake_numbered_event(int socket, int id, const char *data);
void fake_end_events(int socket);
/* A sized JSON answer. */
void fake_json(int socket, const char *status, const char *json);

#endif
