/* scheduler/door/leash.h -- what of an answer may leave: a gated request's bytes go through here, not through the bufferevent.
 *
 *      reply, events --> frames --(the gate stands? asked before every write)--> the socket
 *                          |
 *                          +-- no lease: held; comments keep a stream alive; after hold_ms: gate_unreachable
 *                          +-- the gate is shut: what has not left is dropped, and the client is told why
 *
 * evhttp goes on to make the bytes; they are taken out of its output at once, so that no turn of the loop writes them without a look at the
 * gate. What the kernel has taken cannot be called back: TCP_NOTSENT_LOWAT keeps that small (LEASH_KERNEL_BYTES), and a process that is
 * stopped between the look and the write writes once more when it goes on, at most LEASH_WRITE_BYTES.
 *
 * A part of http.h: http.c and http_request.c alone include it, and its test. Thread: the loop's. */
#ifndef SCHEDULER_DOOR_LEASH_H
#define SCHEDULER_DOOR_LEASH_H

#include <stdbool.h>
#include <stddef.h>

struct evbuffer;
struct gate;
struct gate_pass;
struct http_request;
struct leash;

enum {
    LEASH_PASSES_MAX = 8, // of one request: each of its features
    LEASH_KERNEL_BYTES = 16 << 10,
    LEASH_WRITE_BYTES = 16 << 10,
    LEASH_LOOK_MS = 25,    // between two looks at a gate that gives no lease
    LEASH_COMMENT_MS = 200 // between two comments of a stream that is held
};

/* On `request`, or one more pass on the one that it has. */
void leash_put(struct http_request *request, struct gate *gate, const struct gate_pass *pass);
void leash_free(struct leash *leash);

/* The handler has answered: a body, which is taken (the status is 200 and the headers are set); or a stream's end. The request is the
 * leash's from now on, and ends when all of it has left. */
void leash_reply(struct http_request *request, struct evbuffer *body);
void leash_stream_end(struct http_request *request);
/* What evhttp has put into the connection's output is taken, and goes when it may. */
void leash_take(struct http_request *request, bool content);
/* Bytes that have not left. */
size_t leash_unsent(const struct leash *leash);
/* It was cut: the handler is told by `gone` soon, and what it says until then is dropped. */
bool leash_is_cut(const struct leash *leash);
/* Look at the gate anew, soon. */
void leash_look(struct leash *leash);

#endif
