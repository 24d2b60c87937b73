#include "tests/sim/tally.h"

#include "base/mem.h"
#include "base/must.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum {
    HASHES_MAX = 64,
    SPEAKERS_MAX = 128 // schedulers that one hash knows, with their earlier lives
};

#define BOUNDLESS (UINT64_C(1) << 52)

struct slot {
    uint64_t number, requests, tokens;
};

struct speaker {
    char name[METER_NAME_MAX];
    uint64_t streams, until_ms, turn;
};

struct hash {
    char key[METER_NAME_MAX];
    struct slot minutes[METER_MINUTE_SLOTS + 1]; // by number
    struct slot hours[METER_DAY_SLOTS + 1];
    struct speaker speakers[SPEAKERS_MAX];
    uint64_t minute_slot_ms, day_slot_ms;
};

static struct hash *hashes[HASHES_MAX];
static size_t hash_count;

static struct hash *hash_of(const char *key)
{
    for (size_t i = 0; i < hash_count; i++)
        if (strcmp(hashes[i]->key, key) == 0) return hashes[i];
    must(hash_count < HASHES_MAX);
    struct hash *hash = mem_new(1, sizeof *hash);
    snprintf(hash->key, sizeof hash->key, "%s", key);
    return hashes[hash_count++] = hash;
}

/* The slot of this number, if it is still counted; with `now`, the one that runs. */
static struct slot *slot_at(struct slot *slots, size_t count, uint64_t number, uint64_t now)
{
    struct slot *slot = &slots[number % count];
    if (number == now && slot->number != number) *slot = (struct slot){.number = number};
    bool counted = slot->number == number && number + count > now;
    return counted ? slot : NULL;
}

static struct slot sum(const struct slot *slots, size_t count, uint64_t now)
{
    struct slot all = {.number = now};
    for (size_t i = 0; i < count; i++) {
        if (slots[i].number + count <= now) continue;
        all.requests += slots[i].requests;
        all.tokens += slots[i].tokens;
    }
    return all;
}

static uint64_t less(uint64_t all, uint64_t part)
{
    return all > part ? all - part : 0;
}

static void give_back(struct hash *hash, const char *backs, uint64_t minute, uint64_t hour)
{
    uint64_t number, requests, tokens;
    for (const char *at = backs; *at;) {
        int read = 0;
        must(sscanf(at, "%" SCNu64 ":%" SCNu64 ":%" SCNu64 " %n", &number, &requests, &tokens,
                    &read) == 3);
        at += read;
        struct slot *slot = slot_at(hash->minutes, METER_MINUTE_SLOTS + 1, number, minute);
        if (slot) slot->requests = less(slot->requests, requests);
        if (slot) slot->tokens = less(slot->tokens, tokens);
        uint64_t of_day = number * hash->minute_slot_ms / hash->day_slot_ms;
        slot = slot_at(hash->hours, METER_DAY_SLOTS + 1, of_day, hour);
        if (slot) slot->tokens = less(slot->tokens, tokens);
    }
}

static struct speaker *speaker_of(struct hash *hash, const char *name, uint64_t now_ms)
{
    struct speaker *free = NULL;
    for (size_t i = 0; i < SPEAKERS_MAX; i++) {
        struct speaker *speaker = &hash->speakers[i];
        if (speaker->until_ms > now_ms && strcmp(speaker->name, name) == 0) return speaker;
        if (speaker->until_ms <= now_ms && !free) free = speaker;
    }
    must(free != NULL);
    *free = (struct speaker){0};
    snprintf(free->name, sizeof free->name, "%s", name);
    return free;
}

static uint64_t streams_of_others(const struct hash *hash, const struct speaker *speaker,
                                  uint64_t now_ms)
{
    uint64_t streams = 0;
    for (size_t i = 0; i < SPEAKERS_MAX; i++)
        if (&hash->speakers[i] != speaker && hash->speakers[i].until_ms > now_ms)
            streams += hash->speakers[i].streams;
    return streams;
}

/* What of `room` is granted. */
static uint64_t grant(uint64_t room, const struct meter_span *span)
{
    uint64_t quarter = span->want < room / 4 ? span->want : room / 4;
    uint64_t most = span->most > quarter ? span->most : quarter;
    return most < room ? most : room;
}

static uint64_t left_of(uint64_t most, uint64_t used)
{
    return most == 0 ? BOUNDLESS : less(most, used);
}

struct room {
    uint64_t requests, minute, day, streams;
};

static enum meter_verdict judge(const struct tally_call *call, const struct room *room)
{
    if (room->day < call->tokens.least) return METER_DAY;
    if (room->minute < call->tokens.least) return METER_MINUTE;
    if (room->requests < call->requests.least) return METER_REQUESTS;
    return room->streams < call->streams.least ? METER_STREAMS : METER_GRANTED;
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static void keep_streams(struct speaker *speaker, const struct tally_call *call, uint64_t streams,
                         uint64_t now_ms)
{
    bool holds = streams > 0 && call->streams_max > 0;
    if (call->turn > speaker->turn) speaker->turn = call->turn;
    speaker->streams = streams;
    speaker->until_ms = holds ? now_ms + call->stream_ms : 0;
}

void tally_do(const char *key, const char *who, const struct tally_call *call, uint64_t now_ms,
              uint64_t answer[TALLY_FIELDS])
{
    struct hash *hash = hash_of(key);
    uint64_t minute = now_ms / call->minute_slot_ms, hour = now_ms / call->day_slot_ms;
    hash->minute_slot_ms = call->minute_slot_ms;
    hash->day_slot_ms = call->day_slot_ms;
    struct slot *in_minute = slot_at(hash->minutes, METER_MINUTE_SLOTS + 1, minute, minute);
    struct slot *in_day = slot_at(hash->hours, METER_DAY_SLOTS + 1, hour, hour);
    give_back(hash, call->backs, minute, hour);
    struct slot minutes = sum(hash->minutes, METER_MINUTE_SLOTS + 1, minute);
    struct slot hours = sum(hash->hours, METER_DAY_SLOTS + 1, hour);
    struct speaker *speaker = speaker_of(hash, who, now_ms);
    bool renews = call->streams_held >= 0 && call->turn >= speaker->turn;
    uint64_t mine =
        renews ? (uint64_t)call->streams_held : less(speaker->streams, call->streams_back);
    struct room room = {
        left_of(call->requests_max, minutes.requests), left_of(call->minute_max, minutes.tokens),
        left_of(call->day_max, hours.tokens),
        left_of(call->streams_max, streams_of_others(hash, speaker, now_ms) + mine)};
    enum meter_verdict verdict = judge(call, &room);
    uint64_t requests = 0, tokens = 0, streams = 0;
    if (verdict == METER_GRANTED) {
        requests = grant(room.requests, &call->requests);
        tokens = grant(smaller(room.minute, room.day), &call->tokens);
        streams = grant(room.streams, &call->streams);
    }
    if (call->requests_max > 0) in_minute->requests += requests;
    if (call->minute_max > 0) in_minute->tokens += tokens;
    if (call->day_max > 0) in_day->tokens += tokens;
    keep_streams(speaker, call, mine + streams, now_ms);
    const uint64_t fields[TALLY_FIELDS] = {
        verdict,
        minute,
        (minute + 1) * call->minute_slot_ms - now_ms,
        requests,
        tokens,
        streams,
        room.requests - requests,
        room.minute - tokens,
        room.day - tokens,
        room.streams - streams,
        verdict == METER_GRANTED ? 0 : call->minute_slot_ms,
    };
    memcpy(answer, fields, sizeof fields);
}

bool tally_counts_minute(const char *key, uint64_t at_ms, uint64_t now_ms)
{
    uint64_t size_ms = hash_of(key)->minute_slot_ms;
    return at_ms / size_ms + METER_MINUTE_SLOTS >= now_ms / size_ms;
}

bool tally_counts_day(const char *key, uint64_t at_ms, uint64_t now_ms)
{
    uint64_t size_ms = hash_of(key)->day_slot_ms;
    return at_ms / size_ms + METER_DAY_SLOTS >= now_ms / size_ms;
}

uint64_t tally_minute_tokens(const char *key, uint64_t now_ms)
{
    const struct hash *hash = hash_of(key);
    return sum(hash->minutes, METER_MINUTE_SLOTS + 1, now_ms / hash->minute_slot_ms).tokens;
}

uint64_t tally_day_tokens(const char *key, uint64_t now_ms)
{
    const struct hash *hash = hash_of(key);
    return sum(hash->hours, METER_DAY_SLOTS + 1, now_ms / hash->day_slot_ms).tokens;
}

void tally_end(void)
{
    for (size_t i = 0; i < hash_count; i++)
        mem_free(hashes[i]);
    hash_count = 0;
}
