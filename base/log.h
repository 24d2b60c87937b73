/* base/log.h -- one line an event, on stderr, written with one write(2).
 *
 *      2026-01-02T03:04:05.678Z info node_down node=a3 reason=timeout in_flight=2
 *
 * Event names are an interface: people grep for them (docs/operations.md lists them). Values are
 * numbers, names and ids of requests. Prompts, answers and user ids are never logged: there is no
 * level at which they would be. A format is fields alone, NAME=VALUE with one space between (a value with spaces stands in quotes), and
 * each name is in log.def: a line with another field, or none, is written without its fields, as `fields=refused`. Control characters
 * and line ends in values are written as '?'.
 * Thread: any. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

enum log_level {
    LOG_LEVEL_DEBUG,
    LOG_LEVEL_INFO,
    LOG_LEVEL_WARN,
    LOG_LEVEL_ERROR
};

/* Lines below `level` are dropped; LOG_LEVEL_INFO until set. */
void log_set_level(enum log_level level);
/* "debug", "info", "warn" or "error"; -1 for any other text. */
int log_level_parse(const char *text);

void log_event(enum log_level level, const char *event, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#define log_debug(...) log_event(LOG_LEVEL_DEBUG, __VA_ARGS__)
#define log_info(...)  log_event(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_warn(...)  log_event(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_error(...) log_event(LOG_LEVEL_ERROR, __VA_ARGS__)

#endif
