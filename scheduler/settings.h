/* scheduler/settings.h -- the settings and the metrics of qiao-scheduler, made from their two
 * tables. */
#ifndef SCHEDULER_SETTINGS_H
#define SCHEDULER_SETTINGS_H

#include "base/conf.h"
#include "base/metric.h"

enum {
    SETTINGS_FILES_ASIDE = 256, // open files that are no client's: nodes, Redis, the loop's own
    SETTINGS_NAME_SIZE = 72     // of a tenant's or an index' name, with its NUL
};

struct settings {
#define CONF(type, name, preset, min, max, unit, text) CONF_FIELD_##type name;
#include "scheduler/scheduler.conf.def"
#undef CONF
};

extern const struct conf_table settings_table;

enum metric_id {
#define METRIC(kind, name, labels, text) M_##name,
#include "scheduler/scheduler.metric.def"
#undef METRIC
    METRIC_COUNT
};

extern const struct metric_row settings_metrics[METRIC_COUNT];

/* What no single row can say: addresses that parse, words that are known. ERR_INVALID names the
 * setting. */
enum err settings_check(const struct settings *settings);
/* Raise this process's limit of open files as far as the system lets it; where that is not enough
 * for `connections` besides nodes and Redis, `connections` becomes what is. Without it the listener
 * would spin on clients that it cannot accept, and nodes would find no descriptor. */
void settings_make_room(struct settings *settings);
/* Part "host:port" or "[v6]:port", a value of `setting`. ERR_INVALID. */
enum err settings_address(const char *setting, const char *text, char host[256],
                          unsigned short *port);

/* Part "tenant:index=host:port" or "tenant:index=/path", one of search_redisearch; of a path the port is 0. ERR_INVALID. */
struct settings_place {
    char tenant[SETTINGS_NAME_SIZE], index[SETTINGS_NAME_SIZE], host[256];
    unsigned short port;
};

enum err settings_place(struct settings_place *out, const char *text);
/* Whether only this machine can reach `host`. */
bool settings_is_loopback(const char *host);

#endif
