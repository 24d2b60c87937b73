#include "client/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum err address_parse(struct address *out, const char *url)
{
    static const char scheme[] = "http://";
    struct address address = {.port = "80"};
    if (strncmp(url, scheme, sizeof scheme - 1) != 0)
        return err_note(ERR_INVALID, "'%s' is not right: must be http://HOST:PORT", url);
    const char *host = url + sizeof scheme - 1;
    size_t size = host[0] == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":/");
    size_t brackets = host[0] == '[';
    if (brackets && !strchr(host, ']'))
        return err_note(ERR_INVALID, "'%s' is not right: the ']' is missing", url);
    if (size <= 2 * brackets || size >= sizeof address.host)
        return err_note(ERR_INVALID, "'%s' is not right: must be http://HOST:PORT", url);
    memcpy(address.host, host + brackets, size - 2 * brackets);
    const char *rest = host + size;
    if (*rest == ':') {
        size_t digits = strspn(++rest, "0123456789");
        if (digits == 0 || digits > 5 || strtol(rest, NULL, 10) > UINT16_MAX)
            return err_note(ERR_INVALID, "'%s' is not right: the port must be 0 to %d", url,
                            UINT16_MAX);
        memcpy(address.port, rest, digits);
        address.port[digits] = '\0';
        rest += digits;
    }
    if (*rest && strcmp(rest, "/") != 0)
        return err_note(ERR_INVALID, "'%s' is not right: nothing may stand behind the port", url);
    *out = address;
    return ERR_OK;
}

static enum err wait_for(int socket, short events, uint32_t timeout_ms)
{
    struct pollfd watched = {.fd = socket, .events = events};
    int count;
    do {
        count = poll(&watched, 1, (int)timeout_ms);
    } while (count < 0 && errno == EINTR);
    if (count == 0)
        return err_note(ERR_TIMEOUT, "the server was silent for %" PRIu32 " s", timeout_ms / 1000);
    return count > 0 ? ERR_OK : err_note(ERR_IO, "poll: %s", strerror(errno));
}

static int connect_one(const struct addrinfo *where, uint32_t timeout_ms)
{
    int fd = socket(where->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return -1;
    int failure = 0;
    socklen_t size = sizeof failure;
    if (connect(fd, where->ai_addr, where->ai_addrlen) != 0) {
        if (errno != EINPROGRESS)
            failure = errno;
        else if (wait_for(fd, POLLOUT, timeout_ms))
            failure = ETIMEDOUT;
        else
            getsockopt(fd, SOL_SOCKET, SO_ERROR, &failure, &size);
    }
    if (failure) {
        close(fd);
        errno = failure;
        return -1;
    }
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

enum err socket_connect(int *out, const struct address *address, uint32_t timeout_ms)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;
    int code = getaddrinfo(address->host, address->port, &hints, &found);
    if (code)
        return err_note(ERR_UNAVAILABLE, "%s: the name cannot be resolved: %s", address->host,
                        gai_strerror(code));
    int fd = -1;
    errno = 0;
    for (struct addrinfo *at = found; at && fd < 0; at = at->ai_next)
        fd = connect_one(at, timeout_ms);
    freeaddrinfo(found);
    if (fd < 0)
        return err_note(ERR_UNAVAILABLE,
                        "no connection to %s:%s: %s; does a scheduler listen there?", address->host,
                        address->port, strerror(errno));
    *out = fd;
    return ERR_OK;
}

enum err socket_write(int socket, const char *bytes, size_t size, uint32_t timeout_ms)
{
    while (size > 0) {
        ssize_t sent = send(socket, bytes, size, MSG_NOSIGNAL);
        if (sent >= 0) {
            bytes += sent;
            size -= (size_t)sent;
        } else if (errno == EAGAIN) {
            TRY(wait_for(socket, POLLOUT, timeout_ms));
        } else if (errno != EINTR) {
            return err_note(ERR_IO, "the connection broke: %s", strerror(errno));
        }
    }
    return ERR_OK;
}

enum err socket_read(int socket, char *bytes, size_t room, size_t *got, uint32_t timeout_ms)
{
    for (;;) {
        ssize_t size = recv(socket, bytes, room, 0);
        if (size >= 0) {
            *got = (size_t)size;
            return ERR_OK;
        }
        if (errno == EAGAIN)
            TRY(wait_for(socket, POLLIN, timeout_ms));
        else if (errno != EINTR)
            return err_note(ERR_IO, "the connection broke: %s", strerror(errno));
    }
}
