#include "scheduler/door/listen.h"

#include "base/must.h"

#include <event2/listener.h>
#include <event2/util.h>

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

enum {
    BACKLOG = 512
};

enum err listen_open(struct evconnlistener **out, struct event_base *base, const char *host,
                     uint16_t port)
{
    char service[8];
    snprintf(service, sizeof service, "%u", port);
    struct addrinfo hints = {.ai_family = AF_UNSPEC,
                             .ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    int code = getaddrinfo(host, service, &hints, &found);
    if (code)
        return err_note(ERR_IO, "listen: '%s' is no address of this machine: %s", host,
                        gai_strerror(code));
    struct evconnlistener *listener = evconnlistener_new_bind(
        base, NULL, NULL, LEV_OPT_REUSEABLE | LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC,
        BACKLOG, found->ai_addr, (int)found->ai_addrlen);
    freeaddrinfo(found);
    if (!listener)
        return err_note(ERR_IO, "listen: cannot serve %s:%u: %s", host, port,
                        evutil_socket_error_to_string(EVUTIL_SOCKET_ERROR()));
    *out = listener;
    return ERR_OK;
}

uint16_t listen_port(struct evconnlistener *listener)
{
    struct sockaddr_storage bound;
    socklen_t size = sizeof bound;
    must(getsockname(evconnlistener_get_fd(listener), (struct sockaddr *)&bound, &size) == 0);
    return ntohs(bound.ss_family == AF_INET6
                     ? ((const struct sockaddr_in6 *)(const void *)&bound)->sin6_port
                     : ((const struct sockaddr_in *)(const void *)&bound)->sin_port);
}
