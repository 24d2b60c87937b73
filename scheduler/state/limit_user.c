#include "scheduler/state/limit_user.h"

#include "scheduler/state/names.h"
#include "scheduler/state/owner.h"
#include "scheduler/state/store.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/must.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

struct limit_users {
    struct store *store;
    struct meter *meter;
    uint64_t stream_ns;
    struct names names; // by owner
};

struct limit_user {
    struct limit_users *users;
    char owner[OWNER_TEXT_SIZE];
    struct limit_rule rule;
    uint32_t active;
    uint32_t calls; // under way: while there are some, nobody knows what Redis has
    bool untold;
    uint64_t untold_ns; // since the latest call that failed
    uint64_t renewed_ns;
};

struct limit_users *limit_users_new(struct store *store, struct meter *meter, uint32_t stream_ms)
{
    struct limit_users *users = mem_new(1, sizeof *users);
    users->store = store;
    users->meter = meter;
    users->stream_ns = stream_ms * CLOCK_MS;
    return users;
}

static void free_user(void *argument, void *item)
{
    (void)argument;
    mem_free(item);
}

void limit_users_free(struct limit_users *users)
{
    names_walk(&users->names, free_user, NULL);
    names_fini(&users->names);
    mem_free(users);
}

void limit_users_call(struct limit_users *users, const char *owner, const struct meter_call *call,
                      meter_fn *done, void *argument)
{
    char key[METER_NAME_MAX];
    snprintf(key, sizeof key, "qiao:{u:%s}:spent", owner);
    meter_call(users->meter, key, call, done, argument);
}

struct limit_user *limit_user_begin(struct limit_users *users, const char *owner,
                                    const struct limit_rule *rule)
{
    struct limit_user *user = names_get(&users->names, owner);
    if (!user) {
        user = mem_new(1, sizeof *user);
        user->users = users;
        memcpy(user->owner, owner, sizeof user->owner);
        user->renewed_ns = clock_now_ns();
        names_put(&users->names, owner, user);
    }
    user->rule = *rule;
    return user;
}

static void forget_idle(struct limit_user *user)
{
    if (user->active > 0 || user->calls > 0 || user->untold) return;
    names_remove(&user->users->names, user->owner);
    mem_free(user);
}

void limit_user_call(struct limit_user *user, struct meter_call *call)
{
    call->streams_held = user->calls == 0 ? (int64_t)user->active : METER_KEEP;
    user->calls++;
}

void limit_user_called(struct limit_user *user, enum err err)
{
    must(user->calls > 0);
    user->calls--;
    if (err) {
        user->untold = true;
        user->untold_ns = clock_now_ns();
    }
    forget_idle(user);
}

void limit_user_add(struct limit_user *user, uint32_t streams)
{
    user->active += streams;
}

void limit_user_return(struct limit_user *user, uint32_t streams, struct meter_call *call)
{
    must(streams <= user->active);
    user->active -= streams;
    limit_user_call(user, call);
    call->streams_back = streams; // read only where the call does not say how many there are
}

static void on_told(void *argument, enum err err, const struct meter_answer *answer)
{
    struct limit_user *user = argument;
    (void)answer;
    if (!err) user->untold = false;
    limit_user_called(user, err);
}

/* Calls that are under way renew the count themselves. */
static void tell(void *argument, void *item)
{
    const uint64_t *now_ns = argument;
    struct limit_user *user = item;
    const struct limit_users *users = user->users;
    if (user->untold && *now_ns > user->untold_ns + users->stream_ns)
        user->untold = false; // what was wrong is over
    bool due = user->active > 0 && *now_ns >= user->renewed_ns + users->stream_ns / 3;
    if (user->calls == 0 && (user->untold || due) && store_is_up(users->store)) {
        struct meter_call call = {.rule = user->rule};
        user->renewed_ns = *now_ns;
        limit_user_call(user, &call);
        limit_users_call(user->users, user->owner, &call, on_told, user);
    }
    forget_idle(user);
}

void limit_users_tick(struct limit_users *users, uint64_t now_ns)
{
    names_walk(&users->names, tell, &now_ns);
}
