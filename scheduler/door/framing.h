/* scheduler/door/framing.h -- where a request's body ends, so that everybody between the client and
 * us agrees on it (RFC 9112, 6.3 and 11.2). evhttp takes the first of two lengths, reads on past a
 * transfer coding that it does not know, and keeps the space in "Transfer-Encoding : chunked"; a
 * proxy that reads them otherwise would let one client's bytes become another's request. */
#ifndef SCHEDULER_DOOR_FRAMING_H
#define SCHEDULER_DOOR_FRAMING_H

struct evkeyvalq;

/* What is wrong with the headers, for the client to read; NULL: nothing. */
const char *framing_wrong(const struct evkeyvalq *headers);

#endif
