/* client/socket.h -- where a server is, and a blocking connection to it with a limit on silence. */
#ifndef CLIENT_SOCKET_H
#define CLIENT_SOCKET_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

struct address {
    char host[256];
    char port[8];
};

/* Take "http://HOST[:PORT][/]" apart. ERR_INVALID says what would be right. */
enum err address_parse(struct address *out, const char *url);

/* Connect; *out is a descriptor. ERR_UNAVAILABLE names address and cause. */
enum err socket_connect(int *out, const struct address *address, uint32_t timeout_ms);
enum err socket_write(int socket, const char *bytes, size_t size, uint32_t timeout_ms);
/* At least one byte, or *got = 0 at the end. ERR_TIMEOUT after `timeout_ms` without a byte, ERR_IO. */
enum err socket_read(int socket, char *bytes, size_t room, size_t *got, uint32_t timeout_ms);

#endif
