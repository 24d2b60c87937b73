/* scheduler/door/context.h -- who asks: API keys, and the request context that is built once from
 * them.
 *
 * The keys' file is a JSON array of objects:
 *
 *      key_hash             hexadecimal BLAKE2b-128 of the key; or `key`, the key itself
 *      id                   public name of the key, in logs and limits
 *      tenant               whose data it may touch; the id when absent
 *      weight               share of the nodes under load, 1 to 1000; 1
 *      priority             "interactive", "default" or "batch"; "default"
 *      requests_per_minute, tokens_per_minute, tokens_per_day, streams    of the key; 0 or absent: no limit
 *      user_requests_per_minute, user_tokens_per_minute, user_tokens_per_day, user_streams    of each user
 *      regions              the regions that X-Qiao-Region may name; ["*"]: any; absent: none
 *      may_assert_user      whether X-Qiao-User is believed; false
 *      data                 whether it may write catalogues and indexes; false
 *      admin                whether /admin is open to it, and `data`; false
 *
 * A fact that a header asserts beyond what its key allows is refused (ERR_FORBIDDEN), never
 * ignored. Without a file there are no keys: the program then serves loopback alone, everyone is
 * the tenant "local", may assert anything and is an admin. Thread: the loop's. */
#ifndef SCHEDULER_DOOR_CONTEXT_H
#define SCHEDULER_DOOR_CONTEXT_H

#include "scheduler/state/limit.h"

#include "wire/message.h"

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct http_request;
struct keys;
struct rules;

enum {
    CONTEXT_KEYS_MAX = 4096,
    CONTEXT_REGIONS_MAX = 64,
    CONTEXT_NAME_MAX = 64, // bytes of an id or tenant: letters, digits, '-', '_', '.'
    CONTEXT_USER_MAX = 128,
    CONTEXT_LABEL_MAX = 64, // of a region, OS or language
    CONTEXT_SECRET_SIZE = 32
};

struct key {
    char id[CONTEXT_NAME_MAX + 1];
    char tenant[CONTEXT_NAME_MAX + 1];
    uint32_t weight;
    enum wire_priority priority;
    struct limit_rule rule, user_rule;
    char (*regions)[CONTEXT_LABEL_MAX + 1];
    size_t region_count;
    bool any_region, may_assert_user, data, admin;
};

/* Who asks, from where, in which language. Strings are "" where nothing was said. */
struct context {
    const struct key *key; // lives as long as the keys
    char user[CONTEXT_USER_MAX + 1];
    char region[CONTEXT_LABEL_MAX + 1];
    char os[CONTEXT_LABEL_MAX + 1];       // "AcmeOS/18.2"
    char language[CONTEXT_LABEL_MAX + 1]; // the preferred tag of Accept-Language
    struct http_request *request;         // that asks, while it is there; NULL: none, as in tests
    uint64_t tenant_tag;                  // opaque: what nodes see of the tenant
    uint64_t salt; // of the tenant's cached blocks: keyed, so that no name gives it away
    const struct rules *rules; // govern.h; borrowed from who holds them; NULL: nothing is governed
};

/* `path` "": no keys. ERR_IO, ERR_INVALID name file, entry and field. */
enum err keys_new(struct keys **out, const char *path);
/* The same from the file's text; `name` stands in notes. */
enum err keys_parse(struct keys **out, const char *name, const char *text, size_t size);
void keys_free(struct keys *keys);
size_t keys_count(const struct keys *keys);
/* From which salts are derived: schedulers with the same secret find one another's cached blocks. Zeros
 * until then. */
void keys_set_secret(struct keys *keys, const unsigned char secret[CONTEXT_SECRET_SIZE]);

/* ERR_UNAUTHORIZED; ERR_FORBIDDEN and ERR_INVALID name the header (json_param() too). */
enum err context_read(struct context *out, const struct keys *keys, struct http_request *request);

/* Say for whom, as X-Qiao-User does, from the field `param` of a body. */
enum err context_set_user(struct context *context, const char *param, const char *user);

/* A key of one region is of that region, whether its request says so or not. */
void context_complete_region(struct context *context);

/* The parts of context_read(), for tests: from header texts, NULL where absent. */
struct context_headers {
    const char *authorization, *user, *region, *os, *language;
};

enum err context_build(struct context *out, const struct keys *keys,
                       const struct context_headers *headers);

#endif
