/* scheduler/features/home.h -- the region that a user's events are of, as Redis names it: lists of their own, which end by its rules alone.
 *
 *      qiao:{u:OWNER}:events@HOME, event_ids@HOME, event_key@HOME                       the user's own events of one region
 *      qiao:{u:OWNER}:events:SOURCE@HOME, event_ids:SOURCE@HOME, event_key:SOURCE@HOME  a partner's
 *      qiao:{u:OWNER}:event_homes   hash: what is behind the key's kind ("", "@HOME", ":SOURCE", ":SOURCE@HOME") -> seconds that its events live, a space, and
 *                                when the consent was given that they came with
 *
 * A list of a consent that was given anew since is not read, and deleted: who withdrew it at a scheduler of a version that knows no homes has
 * nothing come back. Without "@HOME": of no region, as without a policy. HOME is a keyed hash of owner and region: who reads Redis cannot tell which region it
 * is, nor whether two users share one. The script that reads a history gets the homes that may be read, and touches no others. What is behind
 * the kind but its colon is what the records are sealed for (seal.h). Thread: any. */
#ifndef SCHEDULER_FEATURES_HOME_H
#define SCHEDULER_FEATURES_HOME_H

#include "scheduler/features/consent.h"
#include "scheduler/state/keyring.h"

enum {
    HOME_SIZE = 18,                                  // '@', 16 hexadecimal digits and a NUL
    HOME_TAIL_SIZE = CONSENT_SOURCE_MAX + HOME_SIZE, // of "SOURCE@HOME"
    HOMES_MAX = 32                                   // lists of one user
};

/* Lua: the tails of all lists of a base ("" or ":SOURCE"), which are in the hash `key`; the base itself always, since earlier versions
 * have not noted it. */
#define HOMES_LUA                                                         \
    "local function homes_of(key, base)\n"                                \
    "  local out = {base}\n"                                              \
    "  for _, tail in ipairs(redis.call('HKEYS', key)) do\n"              \
    "    if tail ~= base and string.match(tail, '^[^@]*') == base then\n" \
    "      out[#out + 1] = tail\n"                                        \
    "    end\n"                                                           \
    "  end\n"                                                             \
    "  return out\n"                                                      \
    "end\n"

/* "@HOME" of an owner's region; "" of the region "". */
void home_write(char out[HOME_SIZE], const struct keyring *keys, const char *owner,
                const char *region);

#endif
