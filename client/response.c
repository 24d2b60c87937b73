#include "client/response.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

void response_init(struct response *response,
                   void (*body)(void *argument, const char *bytes, size_t size), void *argument)
{
    *response = (struct response){.body = body, .argument = argument, .keep_alive = true};
    response->line.limit = RESPONSE_LINE_MAX;
}

void response_fini(struct response *response)
{
    buf_fini(&response->line);
}

static enum err read_status(struct response *response, const char *line)
{
    if (strncmp(line, "HTTP/1.", 7) != 0 || !isdigit((unsigned char)line[7]) || line[8] != ' ' ||
        !isdigit((unsigned char)line[9]) || !isdigit((unsigned char)line[10]) ||
        !isdigit((unsigned char)line[11]))
        return err_note(ERR_FORMAT, "the server does not speak HTTP/1.1");
    response->status = (int)strtol(line + 9, NULL, 10);
    response->keep_alive = line[7] == '1';
    response->state = RESPONSE_HEADERS;
    return ERR_OK;
}

/* The value behind "Name:", or NULL when the line is another header. */
static const char *value_of(const char *line, const char *name)
{
    size_t size = strlen(name);
    if (strncasecmp(line, name, size) != 0 || line[size] != ':') return NULL;
    line += size + 1;
    while (*line == ' ' || *line == '\t')
        line++;
    return line;
}

static enum err read_number(const char *text, int base, uint64_t *out)
{
    char *end;
    if (!isxdigit((unsigned char)*text)) return err_note(ERR_FORMAT, "a size is not a number");
    unsigned long long value = strtoull(text, &end, base);
    if (value > INT64_MAX || (*end && *end != ';' && *end != ' '))
        return err_note(ERR_FORMAT, "a size is not a number");
    *out = value;
    return ERR_OK;
}

static enum err read_header(struct response *response, const char *line)
{
    const char *value;
    if ((value = value_of(line, "Content-Length")) != NULL) {
        TRY(read_number(value, 10, &response->left));
        response->sized = true;
    } else if ((value = value_of(line, "Transfer-Encoding")) != NULL) {
        response->chunked = strcasecmp(value, "chunked") == 0;
        if (!response->chunked) return err_note(ERR_FORMAT, "an unknown transfer encoding");
    } else if ((value = value_of(line, "Content-Type")) != NULL) {
        response->event_stream = strncasecmp(value, "text/event-stream", 17) == 0;
    } else if ((value = value_of(line, "Connection")) != NULL) {
        if (strcasecmp(value, "close") == 0) response->keep_alive = false;
    } else if ((value = value_of(line, "Retry-After")) != NULL) {
        uint64_t seconds;
        if (read_number(value, 10, &seconds) == ERR_OK && seconds <= 86400)
            response->retry_after = (uint32_t)seconds;
    }
    return ERR_OK;
}

static void begin_body(struct response *response)
{
    if (response->status / 100 == 1) { // an interim answer: the real one follows
        response->state = RESPONSE_STATUS;
    } else if (response->status == 204 || response->status == 304) {
        response->state = RESPONSE_END;
    } else if (response->chunked) {
        response->state = RESPONSE_CHUNK_SIZE;
    } else if (response->sized) {
        response->state = response->left ? RESPONSE_SIZED : RESPONSE_END;
    } else {
        response->state = RESPONSE_UNTIL_CLOSE;
        response->keep_alive = false;
    }
}

/* One whole line, without its end. */
static enum err read_line(struct response *response, const char *line)
{
    switch (response->state) {
    case RESPONSE_STATUS: return read_status(response, line);
    case RESPONSE_HEADERS:
        if (*line) return read_header(response, line);
        begin_body(response);
        return ERR_OK;
    case RESPONSE_CHUNK_SIZE:
        TRY(read_number(line, 16, &response->left));
        response->state = response->left ? RESPONSE_CHUNK : RESPONSE_TRAILERS;
        return ERR_OK;
    case RESPONSE_CHUNK_END:
        if (*line) return err_note(ERR_FORMAT, "a chunk is longer than its size");
        response->state = RESPONSE_CHUNK_SIZE;
        return ERR_OK;
    default: // trailers
        if (!*line) response->state = RESPONSE_END;
        return ERR_OK;
    }
}

static enum err take_line(struct response *response, const char *bytes, size_t size, size_t *used)
{
    const char *end = memchr(bytes, '\n', size);
    size_t piece = end ? (size_t)(end - bytes) : size;
    buf_add(&response->line, bytes, piece);
    response->header_bytes += piece;
    if (response->line.overflow ||
        (response->header_bytes > RESPONSE_HEADERS_MAX && response->state <= RESPONSE_HEADERS))
        return err_note(ERR_FORMAT, "the server's headers are too large");
    *used = piece + (end != NULL);
    if (!end) return ERR_OK;
    if (response->line.size > 0 && response->line.data[response->line.size - 1] == '\r')
        response->line.data[--response->line.size] = '\0';
    enum err err = read_line(response, buf_text(&response->line));
    buf_clear(&response->line);
    return err;
}

static void take_body(struct response *response, const char *bytes, size_t size, size_t *used)
{
    if (response->state == RESPONSE_UNTIL_CLOSE) {
        *used = size;
    } else {
        *used = size < response->left ? size : (size_t)response->left;
        response->left -= *used;
    }
    response->body(response->argument, bytes, *used);
    if (response->state == RESPONSE_UNTIL_CLOSE || response->left) return;
    response->state = response->state == RESPONSE_SIZED ? RESPONSE_END : RESPONSE_CHUNK_END;
}

enum err response_push(struct response *response, const char *bytes, size_t size, size_t *used)
{
    size_t at = 0;
    while (at < size && response->state != RESPONSE_END) {
        size_t step = 0;
        if (response->state == RESPONSE_SIZED || response->state == RESPONSE_CHUNK ||
            response->state == RESPONSE_UNTIL_CLOSE)
            take_body(response, bytes + at, size - at, &step);
        else
            TRY(take_line(response, bytes + at, size - at, &step));
        at += step;
    }
    *used = at;
    return ERR_OK;
}

enum err response_close(struct response *response)
{
    if (response->state == RESPONSE_UNTIL_CLOSE) response->state = RESPONSE_END;
    if (response->state == RESPONSE_END) return ERR_OK;
    if (response->state == RESPONSE_STATUS && response->line.size == 0)
        return err_note(ERR_FORMAT, "the server closed the connection without an answer");
    return err_note(ERR_FORMAT, "the server closed the connection in the middle of an answer");
}
