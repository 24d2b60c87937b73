#include "scheduler/settings.h"

#include "base/log.h"
#include "base/private.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

static const struct conf_row rows[] = {
#define CONF(type, name, preset, min, max, unit, text) \
    CONF_ROW(struct settings, type, name, preset, min, max, unit, text)
#include "scheduler/scheduler.conf.def"
#undef CONF
};

const struct conf_table settings_table = {
    .program = "qiao-scheduler",
    .summary = "the front of a qiao cluster: API, sessions, limits, and the way to the nodes",
    .usage = "[flags]",
    .rows = rows,
    .row_count = sizeof rows / sizeof *rows,
};

const struct metric_row settings_metrics[METRIC_COUNT] = {
#define METRIC(kind, name, labels, text) {METRIC_##kind, #name, labels, text},
#include "scheduler/scheduler.metric.def"
#undef METRIC
};

enum err settings_address(const char *setting, const char *text, char host[256],
                          unsigned short *port)
{
    const char *colon = strrchr(text, ':');
    const char *begin = text, *end = colon;
    if (colon && text[0] == '[') { // an IPv6 address stands in brackets
        begin = text + 1;
        end = colon > text + 1 && colon[-1] == ']' ? colon - 1 : NULL;
    } else if (colon && memchr(text, ':', (size_t)(colon - text))) {
        end = NULL;
    }
    char *rest = NULL;
    errno = 0;
    unsigned long value = colon ? strtoul(colon + 1, &rest, 10) : 0;
    if (!end || end == begin || (size_t)(end - begin) > 255 || errno || value > 65535 ||
        rest == colon + 1 || *rest)
        return err_note(ERR_INVALID, "%s: '%s' is not right: must be host:port or [v6]:port",
                        setting, text);
    memcpy(host, begin, (size_t)(end - begin));
    host[end - begin] = '\0';
    *port = (unsigned short)value;
    return ERR_OK;
}

bool settings_is_loopback(const char *host)
{
    struct in_addr v4;
    struct in6_addr v6;
    if (strcmp(host, "localhost") == 0) return true;
    if (inet_pton(AF_INET, host, &v4) == 1) return (ntohl(v4.s_addr) >> 24) == 127;
    return inet_pton(AF_INET6, host, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

static enum err bad_place(const char *text)
{
    return err_note(ERR_INVALID,
                    "search_redisearch: '%s' is not right: must be tenant:index=host:port, or "
                    "tenant:index=/path of a socket",
                    text);
}

enum err settings_place(struct settings_place *out, const char *text)
{
    const char *equals = strchr(text, '='), *colon = strchr(text, ':');
    if (!equals || !colon || colon > equals || colon == text || equals == colon + 1)
        return bad_place(text);
    size_t tenant = (size_t)(colon - text), index = (size_t)(equals - colon - 1);
    if (tenant >= sizeof out->tenant || index >= sizeof out->index) return bad_place(text);
    *out = (struct settings_place){.port = 0};
    memcpy(out->tenant, text, tenant);
    memcpy(out->index, colon + 1, index);
    if (equals[1] != '/') {
        TRY(settings_address("search_redisearch", equals + 1, out->host, &out->port));
        return out->port > 0 ? ERR_OK : bad_place(text);
    }
    if (strlen(equals + 1) >= sizeof out->host) return bad_place(text);
    memcpy(out->host, equals + 1, strlen(equals + 1));
    return ERR_OK;
}

/* A Redis is one index' alone. */
static enum err check_places(const struct conf_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        struct settings_place place, other;
        TRY(settings_place(&place, list->items[i]));
        for (size_t j = 0; j < i; j++) {
            TRY(settings_place(&other, list->items[j]));
            if (strcmp(place.host, other.host) == 0 && place.port == other.port)
                return err_note(ERR_INVALID,
                                "search_redisearch: '%s' is not right: this Redis has the index "
                                "'%s:%s' already, and holds one",
                                list->items[i], other.tenant, other.index);
        }
    }
    return ERR_OK;
}

/* Sentinels, or servers of a Cluster: each has a port of its own. */
static enum err check_servers(const char *setting, const struct conf_list *list)
{
    char host[256];
    unsigned short port;
    for (size_t i = 0; i < list->count; i++) {
        TRY(settings_address(setting, list->items[i], host, &port));
        if (port == 0)
            return err_note(ERR_INVALID, "%s: '%s' is not right: a port is 1 to 65535", setting,
                            list->items[i]);
    }
    return ERR_OK;
}

static enum err check_redis(const struct settings *settings)
{
    TRY(check_servers("redis_sentinel", &settings->redis_sentinel));
    TRY(check_servers("redis_cluster", &settings->redis_cluster));
    if (settings->redis_sentinel.count > 0 && settings->redis_cluster.count > 0)
        return err_note(ERR_INVALID,
                        "redis_sentinel, redis_cluster: Redis is either the one or the "
                        "other: only one of the two may be set");
    return ERR_OK;
}

enum err settings_check(const struct settings *settings)
{
    char host[256];
    unsigned short port;
    TRY(settings_address("listen", settings->listen, host, &port));
    TRY(check_redis(settings));
    TRY(check_places(&settings->search_redisearch));
    if (log_level_parse(settings->log_level) < 0)
        return err_note(ERR_INVALID,
                        "log_level: '%s' is not right: must be debug, info, warn or error",
                        settings->log_level);
    if (strcmp(settings->limits_when_away, "open") != 0 &&
        strcmp(settings->limits_when_away, "closed") != 0)
        return err_note(ERR_INVALID, "limits_when_away: '%s' is not right: must be open or closed",
                        settings->limits_when_away);
    bool replicated = strcmp(settings->session_durability, "replicated") == 0;
    if (!replicated && strcmp(settings->session_durability, "local") != 0)
        return err_note(ERR_INVALID,
                        "session_durability: '%s' is not right: must be local or replicated",
                        settings->session_durability);
    if (replicated && settings->session_replicas == 0)
        return err_note(ERR_INVALID, "session_durability: 'replicated' needs session_replicas");
    if (strcmp(settings->idempotency_when_away, "open") != 0 &&
        strcmp(settings->idempotency_when_away, "closed") != 0)
        return err_note(ERR_INVALID,
                        "idempotency_when_away: '%s' is not right: must be open or closed",
                        settings->idempotency_when_away);
    if (!private_is_choice(settings->swap))
        return err_note(ERR_INVALID, "swap: '%s' is not right: must be warn, refuse or lock",
                        settings->swap);
    if (settings->listen_nodes.count == 0)
        return err_note(ERR_INVALID, "listen_nodes: at least one URL is needed");
    if (!settings_is_loopback(host) && !*settings->keys)
        return err_note(
            ERR_INVALID,
            "listen: '%s' can be reached from other machines: `keys` must name a file of "
            "API keys (without keys only a loopback address is served)",
            settings->listen);
    if (!settings_is_loopback(host) && !*settings->policy)
        return err_note(
            ERR_INVALID,
            "listen: '%s' can be reached from other machines: `policy` must name a folder of "
            "policy documents (ungoverned, only a loopback address is served)",
            settings->listen);
    if (*settings->policy && !*settings->policy_keys)
        return err_note(ERR_INVALID, "policy_keys: must name a file of public keys where `policy` "
                                     "is set: documents without a signature are none");
    if (*settings->terms && !*settings->policy_keys)
        return err_note(ERR_INVALID, "policy_keys: must name a file of public keys where `terms` "
                                     "is set: bundles without a signature are none");
    return ERR_OK;
}

void settings_make_room(struct settings *settings)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) != 0) return;
    rlim_t before = files.rlim_cur;
    files.rlim_cur = files.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &files) != 0) files.rlim_cur = before;
    uint64_t most = files.rlim_cur;
    uint64_t room = most > 2 * SETTINGS_FILES_ASIDE ? most - SETTINGS_FILES_ASIDE : most / 2;
    if (settings->connections <= room) return;
    log_warn("connections_fewer",
             "asked=%" PRIu64 " now=%" PRIu64 " open_files=%" PRIu64
             " hint=\"raise ulimit -n (LimitNOFILE)\"",
             (uint64_t)settings->connections, room, most);
    settings->connections = room;
}
