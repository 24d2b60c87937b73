#include "scheduler/state/pulse.h"

#include "base/mem.h"
#include "base/must.h"
#include "base/rand.h"

#include <event2/event.h>
#include <hiredis/hiredis.h>

#include <inttypes.h>
#include <stdio.h>

enum {
    KEY_MAX = 64,
    NUMBER_SIZE = 16
};

/* KEYS  the sign, the words; ARGV  ms; gives the words */
static const char beat_text[] = "redis.call('SET', KEYS[1], '1', 'PX', ARGV[1])\n"
                                "local words = redis.call('SMEMBERS', KEYS[2])\n"
                                "if #words > 0 then redis.call('DEL', KEYS[2]) end\n"
                                "return words\n";

/* KEYS  the sign, the words; ARGV  a word, ms that it is kept; gives the ms that the sign has left */
static const char look_text[] = "local left = redis.call('PTTL', KEYS[1])\n"
                                "if left > 0 then\n"
                                "  redis.call('SADD', KEYS[2], ARGV[1])\n"
                                "  redis.call('PEXPIRE', KEYS[2], ARGV[2])\n"
                                "end\n"
                                "return left\n";

struct pulse {
    struct store *store;
    struct store_script *beat, *look;
    struct event *timer;
    pulse_asked_fn *asked;
    void *argument;
    char instance[PULSE_INSTANCE_SIZE + 1];
};

struct keys {
    char sign[KEY_MAX], words[KEY_MAX];
};

static struct keys keys_of(const char *instance)
{
    struct keys keys;
    snprintf(keys.sign, KEY_MAX, "qiao:{scheduler:%.*s}", PULSE_INSTANCE_SIZE, instance);
    snprintf(keys.words, KEY_MAX, "qiao:{scheduler:%.*s}:asked", PULSE_INSTANCE_SIZE, instance);
    return keys;
}

static void on_beaten(void *argument, enum err err, const redisReply *reply)
{
    const struct pulse *pulse = argument;
    if (err || reply->type != REDIS_REPLY_ARRAY) return;
    for (size_t i = 0; i < reply->elements; i++)
        if (reply->element[i]->type == REDIS_REPLY_STRING)
            pulse->asked(pulse->argument, reply->element[i]->str);
}

static void beat(struct pulse *pulse)
{
    struct keys keys = keys_of(pulse->instance);
    char ms[NUMBER_SIZE];
    snprintf(ms, sizeof ms, "%d", PULSE_ALIVE_MS);
    const char *words[] = {keys.sign, keys.words, ms};
    if (store_is_up(pulse->store))
        store_eval(pulse->store, pulse->beat, on_beaten, pulse, 2, 3, words, NULL);
}

static void on_timer(evutil_socket_t fd, short what, void *argument)
{
    (void)fd, (void)what;
    beat(argument);
}

struct pulse *pulse_new(struct event_base *base, struct store *store, pulse_asked_fn *asked,
                        void *argument)
{
    struct pulse *pulse = mem_new(1, sizeof *pulse);
    pulse->store = store;
    pulse->beat = store_add_script(store, beat_text);
    pulse->look = store_add_script(store, look_text);
    pulse->asked = asked;
    pulse->argument = argument;
    snprintf(pulse->instance, sizeof pulse->instance, "%016" PRIx64, rand_entropy());
    pulse->timer = event_new(base, -1, EV_PERSIST, on_timer, pulse);
    must(pulse->timer != NULL);
    return pulse;
}

void pulse_free(struct pulse *pulse)
{
    event_free(pulse->timer);
    mem_free(pulse);
}

const char *pulse_instance(const struct pulse *pulse)
{
    return pulse->instance;
}

void pulse_begin(struct pulse *pulse)
{
    struct timeval period = {.tv_usec = PULSE_MS * 1000};
    event_add(pulse->timer, &period);
    beat(pulse);
}

void pulse_end(struct pulse *pulse)
{
    event_del(pulse->timer);
}

void pulse_look(struct pulse *pulse, const char *instance, const char *word, store_reply_fn *done,
                void *argument)
{
    struct keys keys = keys_of(instance);
    char ms[NUMBER_SIZE];
    snprintf(ms, sizeof ms, "%d", PULSE_WORD_MS);
    const char *words[] = {keys.sign, keys.words, word, ms};
    store_eval(pulse->store, pulse->look, done, argument, 2, 4, words, NULL);
}
