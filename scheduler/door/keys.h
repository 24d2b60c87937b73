/* scheduler/door/keys.h -- the table of API keys behind context.h. Thread: the loop's. */
#ifndef SCHEDULER_DOOR_KEYS_H
#define SCHEDULER_DOOR_KEYS_H

#include "scheduler/door/context.h"

/* The key of these bytes, or NULL. Compares digests, all of them, in constant time. */
const struct key *keys_find(const struct keys *keys, const char *text, size_t size);
/* What everyone is when there are no keys. */
const struct key *keys_open(const struct keys *keys);
/* Of a tenant's cached blocks. */
uint64_t keys_salt(const struct keys *keys, const char *tenant);
/* Of those of one of its users; of nobody (""): the tenant's. */
uint64_t keys_user_salt(const struct keys *keys, const char *tenant, const char *user);

#endif
