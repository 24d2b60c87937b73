#include "scheduler/state/lease.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/must.h"

/*             too little for a waiter            answer
 *      QUIET --------------------------> ASKING ---------> QUIET
 *        |    things to give back, renew                     ^
 *        +-------------------------------> TELLING ----------+       what is held goes on being spent */
enum state {
    QUIET,
    ASKING,
    TELLING
};

struct lease {
    struct lease_seams seams;
    struct limit_rule rule;
    enum state state;
    bool closed;
    struct lease_waiter waiting, ended; // list heads
    const struct lease_waiter
        *first; // who must be served or refused by the call; NULL: it has left

    uint64_t slot, requests, tokens; // held, and counted in `slot`
    uint64_t until_ns;               // when the slot ends
    uint64_t used_ns;

    uint32_t active, places; // streams: in the air, and allowed
    uint64_t places_until_ns, renewed_ns;
    bool untold; // Redis may count more of them, or fewer: it was away

    struct meter_back backs[METER_BACKS_MAX];
    size_t back_count;
    uint64_t backs_tokens, backs_requests;

    uint64_t sent_ns;
    struct meter_answer told;
};

struct lease *lease_new(const struct lease_seams *seams)
{
    struct lease *lease = mem_new(1, sizeof *lease);
    lease->seams = *seams;
    lease->waiting.next = lease->waiting.previous = &lease->waiting;
    lease->ended.next = lease->ended.previous = &lease->ended;
    return lease;
}

void lease_free(struct lease *lease)
{
    must(lease->waiting.next == &lease->waiting);
    mem_free(lease);
}

const struct meter_answer *lease_told(const struct lease *lease)
{
    return &lease->told;
}

uint64_t lease_requests(const struct lease *lease)
{
    return lease->requests;
}

uint64_t lease_tokens(const struct lease *lease)
{
    return lease->tokens;
}

// ---- how much ----------------------------------------------------------------------------------

static uint64_t part_of(uint64_t limit, uint64_t parts)
{
    return limit / parts > 0 ? limit / parts : 1;
}

static uint64_t chunk_of_requests(const struct lease *lease)
{
    return part_of(lease->rule.requests_per_minute, LEASE_CHUNKS);
}

static uint32_t chunk_of_places(const struct lease *lease)
{
    return (uint32_t)part_of(lease->rule.streams, LEASE_CHUNKS);
}

static bool counts_tokens(const struct lease *lease)
{
    return lease->rule.tokens_per_minute > 0 || lease->rule.tokens_per_day > 0;
}

static uint64_t chunk_of_tokens(const struct lease *lease)
{
    uint64_t minute = part_of(lease->rule.tokens_per_minute, LEASE_CHUNKS);
    uint64_t day = part_of(lease->rule.tokens_per_day, LEASE_DAY_CHUNKS);
    if (lease->rule.tokens_per_minute == 0) return day;
    return lease->rule.tokens_per_day > 0 && day < minute ? day : minute;
}

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

// ---- giving back -------------------------------------------------------------------------------

/* Beyond METER_BACKS_MAX slots what comes back is forgotten: it stays counted. */
static void add_back(struct lease *lease, uint64_t slot, uint64_t requests, uint64_t tokens)
{
    size_t at = 0;
    if (requests == 0 && tokens == 0) return;
    while (at < lease->back_count && lease->backs[at].slot != slot)
        at++;
    if (at == METER_BACKS_MAX) return;
    if (at == lease->back_count)
        lease->backs[lease->back_count++] = (struct meter_back){.slot = slot};
    lease->backs[at].requests += requests;
    lease->backs[at].tokens += tokens;
    lease->backs_requests += requests;
    lease->backs_tokens += tokens;
}

/* What is held and unspent, to be given back with the next call. */
static void put_down(struct lease *lease)
{
    add_back(lease, lease->slot, lease->rule.requests_per_minute ? lease->requests : 0,
             counts_tokens(lease) ? lease->tokens : 0);
    lease->requests = lease->tokens = 0;
}

/* Hold no more than a chunk: what is above goes back. */
static void trim(struct lease *lease)
{
    uint64_t requests = 0, tokens = 0;
    if (lease->requests > chunk_of_requests(lease))
        requests = lease->requests - chunk_of_requests(lease);
    if (lease->tokens > chunk_of_tokens(lease)) tokens = lease->tokens - chunk_of_tokens(lease);
    lease->requests -= requests;
    lease->tokens -= tokens;
    add_back(lease, lease->slot, requests, tokens);
}

static void send(struct lease *lease, struct meter_call *call, enum state state, uint64_t now_ns)
{
    call->rule = lease->rule;
    call->backs = lease->backs;
    call->back_count = lease->back_count;
    lease->state = state;
    lease->sent_ns = now_ns;
    lease->renewed_ns = now_ns;
    lease->untold = false;
    lease->seams.call(lease->seams.owner, lease, call);
    lease->back_count = 0;
    lease->backs_requests = lease->backs_tokens = 0;
}

static bool has_spare_places(const struct lease *lease)
{
    return lease->rule.streams > 0 && lease->places > lease->active + chunk_of_places(lease);
}

static void tell(struct lease *lease, uint64_t now_ns)
{
    if (lease->state != QUIET) return;
    if (has_spare_places(lease)) lease->places = lease->active + chunk_of_places(lease);
    struct meter_call call = {.streams_held = lease->places};
    send(lease, &call, TELLING, now_ns);
}

/* When half a chunk waits to go back, or more than a chunk of places, it goes now. */
static void tell_much(struct lease *lease, uint64_t now_ns)
{
    if (has_spare_places(lease) || 2 * lease->backs_tokens > chunk_of_tokens(lease) ||
        2 * lease->backs_requests > chunk_of_requests(lease))
        tell(lease, now_ns);
}

// ---- who waits ---------------------------------------------------------------------------------

static void link_waiter(struct lease_waiter *head, struct lease_waiter *waiter)
{
    waiter->previous = head->previous;
    waiter->next = head;
    head->previous->next = waiter;
    head->previous = waiter;
}

static void unlink_waiter(struct lease_waiter *waiter)
{
    waiter->previous->next = waiter->next;
    waiter->next->previous = waiter->previous;
}

static void end_waiter(struct lease *lease, struct lease_waiter *waiter, enum err err)
{
    unlink_waiter(waiter);
    waiter->ended = true;
    waiter->err = err;
    link_waiter(&lease->ended, waiter);
}

/* Last of all: whoever is told may take, return and leave. */
static void serve_ended(struct lease *lease)
{
    while (lease->ended.next != &lease->ended) {
        struct lease_waiter *waiter = lease->ended.next;
        unlink_waiter(waiter);
        lease->seams.served(lease->seams.owner, waiter);
    }
}

// ---- taking ------------------------------------------------------------------------------------

/* Ask for all who wait, and a chunk; the first must be served, or refused. */
static void ask(struct lease *lease, uint64_t now_ns)
{
    const struct lease_waiter *first = lease->waiting.next;
    uint64_t requests = 0, tokens = 0, streams = 0;
    must(first != &lease->waiting && lease->state == QUIET);
    for (struct lease_waiter *at = lease->waiting.next; at != &lease->waiting; at = at->next) {
        at->asked = true;
        requests++;
        tokens += at->need.most;
        streams += at->need.streams;
    }
    put_down(lease);
    lease->places = lease->active;
    lease->first = first;
    struct meter_call call = {
        .requests = {1, requests, larger(requests, chunk_of_requests(lease))},
        .tokens = {first->need.least, tokens, larger(tokens, chunk_of_tokens(lease))},
        .streams = {first->need.streams, streams, larger(streams, chunk_of_places(lease))},
        .streams_held = lease->active,
    };
    send(lease, &call, ASKING, now_ns);
}

static bool has_places(const struct lease *lease, uint32_t streams)
{
    return lease->rule.streams == 0 || lease->active + streams <= lease->places;
}

/* Take from what is held: all that is needed, or with `less` what there is. */
static bool take(struct lease *lease, const struct lease_need *need, bool less, uint64_t now_ns,
                 struct lease_part *part)
{
    const struct limit_rule *rule = &lease->rule;
    uint64_t tokens = need->most;
    if (rule->requests_per_minute > 0 && lease->requests == 0) return false;
    if (!has_places(lease, need->streams)) return false;
    if (counts_tokens(lease) && lease->tokens < tokens) tokens = less ? lease->tokens : 0;
    if (tokens < need->least) return false;
    if (rule->requests_per_minute > 0) lease->requests--;
    if (counts_tokens(lease)) lease->tokens -= tokens;
    lease->active += need->streams;
    lease->used_ns = now_ns;
    *part = (struct lease_part){lease->slot, tokens, need->streams};
    return true;
}

static bool is_valid(const struct lease *lease, uint64_t now_ns)
{
    return now_ns < lease->until_ns &&
           (lease->rule.streams == 0 || now_ns < lease->places_until_ns);
}

static void follow_rule(struct lease *lease, const struct limit_rule *rule)
{
    const struct limit_rule *old = &lease->rule;
    if (old->requests_per_minute == rule->requests_per_minute &&
        old->tokens_per_minute == rule->tokens_per_minute &&
        old->tokens_per_day == rule->tokens_per_day && old->streams == rule->streams)
        return;
    put_down(lease);
    lease->until_ns = 0;
    lease->rule = *rule;
}

bool lease_take(struct lease *lease, const struct limit_rule *rule, struct lease_waiter *waiter,
                uint64_t now_ns, struct lease_part *part)
{
    struct lease_waiter *head = &lease->waiting;
    follow_rule(lease, rule);
    if (head->next == head && lease->state != ASKING && is_valid(lease, now_ns) &&
        take(lease, &waiter->need, false, now_ns, part))
        return true;
    waiter->asked = waiter->ended = false;
    link_waiter(head, waiter);
    if (lease->state == QUIET) ask(lease, now_ns);
    return false;
}

void lease_leave(struct lease *lease, struct lease_waiter *waiter, uint64_t now_ns)
{
    unlink_waiter(waiter);
    if (lease->first == waiter) lease->first = NULL;
    if (waiter->ended && waiter->err == ERR_OK)
        lease_return(lease, &waiter->part, 1, waiter->part.tokens, waiter->part.streams, now_ns);
}

void lease_return(struct lease *lease, const struct lease_part *part, uint32_t requests,
                  uint64_t tokens, uint32_t streams, uint64_t now_ns)
{
    must(tokens <= part->tokens && streams <= part->streams && streams <= lease->active);
    lease->active -= streams;
    if (lease->rule.requests_per_minute == 0) requests = 0;
    if (!counts_tokens(lease)) tokens = 0;
    if (lease->state != ASKING && part->slot == lease->slot && now_ns < lease->until_ns) {
        lease->requests += requests;
        lease->tokens += tokens;
        trim(lease);
    } else {
        add_back(lease, part->slot, requests, tokens);
    }
    tell_much(lease, now_ns);
}

// ---- answers -----------------------------------------------------------------------------------

static void end_granted(struct lease *lease, const struct meter_answer *answer, uint64_t now_ns)
{
    struct lease_waiter *head = &lease->waiting;
    lease->slot = answer->slot;
    lease->requests = lease->rule.requests_per_minute > 0 ? answer->requests : 0;
    lease->tokens = counts_tokens(lease) ? answer->tokens : 0;
    lease->places += (uint32_t)answer->streams;
    // One ms for what Redis' clock rounds off.
    lease->until_ns = lease->sent_ns + (answer->slot_left_ms - 1) * CLOCK_MS;
    for (struct lease_waiter *at = head->next, *next; at != head; at = next) {
        next = at->next;
        // Who was counted in is admitted by the call itself, at its time, even when the slot is over by now.
        if (!at->asked && !is_valid(lease, now_ns)) break;
        if (!take(lease, &at->need, at == lease->first, now_ns, &at->part)) break;
        end_waiter(lease, at, ERR_OK);
    }
    trim(lease);
}

static bool can_serve(const struct lease *lease, const struct lease_need *need)
{
    const struct meter_answer *told = &lease->told;
    return told->requests_left > 0 && told->minute_left >= need->least &&
           told->day_left >= need->least && told->streams_left >= need->streams;
}

/* The first cannot be served; nor can the others whom as little would have to do. */
static void end_refused(struct lease *lease)
{
    struct lease_waiter *head = &lease->waiting;
    for (struct lease_waiter *at = head->next, *next; at != head; at = next) {
        next = at->next;
        if (at == lease->first || !can_serve(lease, &at->need)) end_waiter(lease, at, ERR_LIMITED);
    }
}

static void end_failed(struct lease *lease, enum err err)
{
    while (lease->waiting.next != &lease->waiting)
        end_waiter(lease, lease->waiting.next, err);
}

void lease_answered(struct lease *lease, enum err err, const struct meter_answer *answer,
                    uint64_t now_ns)
{
    bool asked = lease->state == ASKING;
    if (lease->closed) {
        end_failed(lease, ERR_STORE_AWAY);
        serve_ended(lease);
        return;
    }
    must(lease->state != QUIET);
    lease->state = QUIET;
    if (err) {
        lease_forget(lease);
        lease->untold = lease->rule.streams > 0;
        end_failed(lease, err);
    } else {
        lease->told = *answer;
        lease->places_until_ns = lease->sent_ns + lease->seams.stream_ms * CLOCK_MS;
        if (asked && answer->verdict == METER_GRANTED)
            end_granted(lease, answer, now_ns);
        else if (asked)
            end_refused(lease);
    }
    lease->first = NULL;
    if (lease->waiting.next != &lease->waiting)
        ask(lease, now_ns);
    else
        tell_much(lease, now_ns);
    serve_ended(lease);
}

// ---- time --------------------------------------------------------------------------------------

/* Give back everything that nobody uses. */
static void surrender(struct lease *lease, uint64_t now_ns)
{
    if (lease->state != QUIET) return; // what the call brings is surrendered later
    put_down(lease);
    bool fewer = lease->places > lease->active;
    lease->places = lease->active;
    if (lease->back_count > 0 || fewer) tell(lease, now_ns);
}

void lease_forget(struct lease *lease)
{
    if (lease->places > lease->active) lease->untold = lease->rule.streams > 0;
    lease->requests = lease->tokens = 0;
    lease->until_ns = 0;
    lease->places = lease->active;
}

void lease_adopt(struct lease *lease, uint32_t streams)
{
    lease->active += streams;
    if (lease->places < lease->active) lease->places = lease->active;
    lease->untold = lease->rule.streams > 0;
}

void lease_close(struct lease *lease, uint64_t now_ns)
{
    lease->closed = true;
    lease->state = QUIET; // a call that is under way came first
    surrender(lease, now_ns);
}

void lease_tick(struct lease *lease, uint64_t now_ns)
{
    uint64_t renew_ns = lease->renewed_ns + lease->seams.stream_ms / 3 * CLOCK_MS;
    if (lease->state != QUIET) return;
    if (now_ns >= lease->until_ns) put_down(lease);
    if (now_ns >= lease->used_ns + LEASE_IDLE_MS * CLOCK_MS)
        surrender(lease, now_ns);
    else if (lease->back_count > 0)
        tell(lease, now_ns);
    bool due = lease->active > 0 && now_ns >= renew_ns;
    if (lease->state == QUIET && (due || lease->untold)) tell(lease, now_ns);
}
