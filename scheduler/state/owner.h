/* scheduler/state/owner.h -- how Redis names a user without knowing one.
 *
 * A keyed BLAKE2b hash (128 bits) of the tenant's and the user's name, under a key that is derived from the cluster's root
 * secret: the same in every scheduler, for sessions and for limits, so that both stand in one slot. Thread: any. */
#ifndef SCHEDULER_STATE_OWNER_H
#define SCHEDULER_STATE_OWNER_H

enum {
    OWNER_ROOT_SIZE = 32,
    OWNER_TEXT_SIZE = 33 // 32 hexadecimal digits and a NUL
};

struct owner_key {
    unsigned char bytes[32];
};

void owner_key_init(struct owner_key *key, const unsigned char root[OWNER_ROOT_SIZE]);
/* `user` may be "": the key's own. */
void owner_write(char out[OWNER_TEXT_SIZE], const struct owner_key *key, const char *tenant,
                 const char *user);

#endif
