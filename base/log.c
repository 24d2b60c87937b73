#include "base/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    LINE_MAX_BYTES = 1024
};

static const char *const level_names[] = {"debug", "info", "warn", "error"};
static _Atomic int level_least = LOG_LEVEL_INFO;

void log_set_level(enum log_level level)
{
    atomic_store_explicit(&level_least, (int)level, memory_order_relaxed);
}

int log_level_parse(const char *text)
{
    for (int i = 0; i < 4; i++)
        if (strcmp(text, level_names[i]) == 0) return i;
    return -1;
}

static const char *const fields[] = {
#define LOG_FIELD(name, what) #name,
#include "base/log.def"
#undef LOG_FIELD
};

static bool is_field(const char *name, size_t size)
{
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        if (strncmp(fields[i], name, size) == 0 && fields[i][size] == '\0') return true;
    return false;
}

/* Behind a value: to the next space that is not in quotes. */
static const char *skip_value(const char *at)
{
    for (bool quoted = false; *at && (quoted || *at != ' '); at++)
        if (*at == '"') quoted = !quoted;
    return at;
}

static bool is_allowed(const char *format)
{
    do {
        size_t size = strcspn(format, "= ");
        if (format[size] != '=' || !is_field(format, size)) return false;
        format = skip_value(format + size + 1);
    } while (*format && *++format);
    return true;
}

static size_t write_head(char *line, enum log_level level, const char *event)
{
    struct timespec now;
    struct tm utc;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    size_t size = strftime(line, LINE_MAX_BYTES, "%Y-%m-%dT%H:%M:%S", &utc);
    int more = snprintf(line + size, LINE_MAX_BYTES - size, ".%03dZ %s %s ",
                        (int)(now.tv_nsec / 1000000), level_names[level], event);
    return size + (size_t)more;
}

void log_event(enum log_level level, const char *event, const char *format, ...)
{
    if ((int)level < atomic_load_explicit(&level_least, memory_order_relaxed)) return;

    char line[LINE_MAX_BYTES];
    size_t size = write_head(line, level, event);
    va_list arguments;
    va_start(arguments, format);
    int more = is_allowed(format)
                   ? vsnprintf(line + size, sizeof line - size - 1, format, arguments)
                   : snprintf(line + size, sizeof line - size - 1, "fields=refused");
    va_end(arguments);
    if (more > 0) {
        size_t room = sizeof line - size - 2;
        size += (size_t)more < room ? (size_t)more : room;
    }
    for (size_t i = 0; i < size; i++)
        if ((unsigned char)line[i] < 0x20 || line[i] == 0x7F) line[i] = '?';
    line[size++] = '\n';
    ssize_t written = write(STDERR_FILENO, line, size);
    (void)written; // nowhere is left to complain
}
