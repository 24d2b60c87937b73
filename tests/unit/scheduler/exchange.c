#include "tests/unit/scheduler/exchange.h"

#include "tests/test.h"

#include "base/buf.h"
#include "base/mem.h"

#include <arpa/inet.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>

enum {
    SILENCE_S = 60
};

static int dial(uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct timeval limit = {.tv_sec = SILENCE_S};
    inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

int exchange_begin(uint16_t port, struct buf *text)
{
    int fd = dial(port);
    for (size_t sent = 0; sent < text->size;) {
        ssize_t got = send(fd, text->data + sent, text->size - sent, MSG_NOSIGNAL);
        assert_true(got > 0);
        sent += (size_t)got;
    }
    buf_fini(text);
    return fd;
}

char *exchange_read(int connection, const char *until)
{
    struct buf answer = {0};
    char bytes[4096];
    ssize_t got;
    while (!(until && strstr(buf_text(&answer), until)) &&
           (got = recv(connection, bytes, sizeof bytes, 0)) > 0)
        buf_add(&answer, bytes, (size_t)got);
    return answer.data ? buf_take(&answer) : mem_copy_text("");
}

char *exchange_finish(int connection, const char *until)
{
    char *answer = exchange_read(connection, until);
    close(connection);
    return answer;
}

long number_behind(const char *answer, const char *mark)
{
    const char *at = strstr(answer, mark);
    if (!at) fail_msg("no %s in: %s", mark, answer);
    return strtol(at + strlen(mark), NULL, 10);
}

void assert_parts(char *answer, ...)
{
    va_list parts;
    const char *part, *at = answer;
    va_start(parts, answer);
    while ((part = va_arg(parts, const char *))) {
        at = strstr(at, part);
        if (!at) fail_msg("no %s in: %s", part, answer);
        at += strlen(part);
    }
    va_end(parts);
    mem_free(answer);
}
