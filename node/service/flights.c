#include "node/service/flights.h"

#include "node/engine/seq.h"

#include "base/must.h"
#include "base/rand.h"

static size_t bucket_of(uint64_t link, const struct wire_key *key)
{
    uint64_t place = (uint64_t)key->choice << 32 | key->attempt;
    return rand_at(key->request, (uint32_t)link, place) & (FLIGHTS_BUCKETS - 1);
}

void flights_add(struct flights *flights, struct seq *seq)
{
    struct seq **bucket = &flights->buckets[bucket_of(seq->link, &seq->key)];
    seq->chain = *bucket;
    *bucket = seq;
    flights->count++;
}

static bool is_of(const struct seq *seq, uint64_t link, const struct wire_key *key)
{
    return seq->link == link && seq->key.request == key->request &&
           seq->key.choice == key->choice && seq->key.attempt == key->attempt;
}

struct seq *flights_find(const struct flights *flights, uint64_t link, const struct wire_key *key)
{
    struct seq *seq = flights->buckets[bucket_of(link, key)];
    while (seq && !is_of(seq, link, key))
        seq = seq->chain;
    return seq;
}

void flights_remove(struct flights *flights, struct seq *seq)
{
    struct seq **at = &flights->buckets[bucket_of(seq->link, &seq->key)];
    while (*at && *at != seq)
        at = &(*at)->chain;
    must(*at == seq);
    *at = seq->chain;
    seq->chain = NULL;
    flights->count--;
}

void flights_each(const struct flights *flights, void (*fn)(void *argument, struct seq *seq),
                  void *argument)
{
    for (size_t i = 0; i < FLIGHTS_BUCKETS; i++) {
        for (struct seq *seq = flights->buckets[i]; seq; seq = seq->chain)
            fn(argument, seq);
    }
}

size_t flights_of(const struct flights *flights, uint64_t tenant)
{
    size_t count = 0;
    for (size_t i = 0; i < FLIGHTS_BUCKETS; i++) {
        for (const struct seq *seq = flights->buckets[i]; seq; seq = seq->chain)
            count += seq->tenant == tenant;
    }
    return count;
}
