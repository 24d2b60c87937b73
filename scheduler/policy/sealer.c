#include "scheduler/policy/sealer.h"

#include "scheduler/features/lock.h"
#include "scheduler/policy/audit.h"
#include "scheduler/policy/audit_files.h"
#include "scheduler/policy/sealer_parts.h"
#include "scheduler/scribe.h"
#include "scheduler/state/store.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/must.h"

#include <event2/event.h>
#include <hiredis/hiredis.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    TICK_MS = 200,
    LOOK_MS = 1000,
    REST_MS = 5000 // after a failure
};

/*      KEYS  sealed, chains
 *      ARGV  "chains": those too
 *      gives number, root, records, sealed, last, asks, served, now, and the chains */
static const char look_text[] =
    "local all = redis.call('HMGET', KEYS[1], 'number', 'root', 'records', 'sealed', 'last', "
    "'asks', 'served')\n"
    "local time = redis.call('TIME')\n"
    "all[8] = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))\n"
    "if ARGV[1] == 'chains' then all[9] = redis.call('HGETALL', KEYS[2]) end\n"
    "return all\n";

// ---- what Redis says ---------------------------------------------------------------------------

static void take_text(const redisReply *reply, char *out, size_t size)
{
    snprintf(out, size, "%s", reply->type == REDIS_REPLY_STRING ? reply->str : "");
}

static int64_t take_number(const redisReply *reply)
{
    return reply->type == REDIS_REPLY_STRING ? strtoll(reply->str, NULL, 10) : 0;
}

bool sealer_read_facts(const redisReply *reply, struct sealer_facts *out, const redisReply **chains)
{
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements < 8) return false;
    redisReply *const *parts = reply->element;
    *out = (struct sealer_facts){0};
    out->state.number = (uint64_t)take_number(parts[0]);
    take_text(parts[1], out->state.root, sizeof out->state.root);
    out->state.records = (uint64_t)take_number(parts[2]);
    out->state.sealed_ms = take_number(parts[3]);
    take_text(parts[4], out->last, sizeof out->last);
    out->asks = (uint64_t)take_number(parts[5]);
    out->served = (uint64_t)take_number(parts[6]);
    out->now_ms = take_number(parts[7]);
    if (chains) *chains = reply->elements > 8 ? parts[8] : NULL;
    return true;
}

void sealer_send_look(struct sealer *sealer, bool chains, sealer_reply_fn *done, void *argument)
{
    const char *const words[] = {SEALER_KEY, AUDIT_CHAINS_KEY, chains ? "chains" : ""};
    store_eval(sealer->options.store, sealer->look, done, argument, 2, 3, words, NULL);
}

// ---- the end of a run --------------------------------------------------------------------------

void sealer_end_run(struct sealer *sealer)
{
    struct sealer_run *run = &sealer->run;
    buf_fini(&run->lines);
    ledger_seal_fini(&run->seal);
    mem_free(run->lost);
    *run = (struct sealer_run){0};
    sealer->busy = false;
}

static struct lock *new_lock(const struct sealer *sealer)
{
    return lock_new(sealer->options.store, "qiao:{audit}:lock");
}

/* With the note of `err`; what was done stays, and the next run goes on from there: here, or where another scheduler's folder is right. */
void sealer_fail(struct sealer *sealer, enum err err, const char *note)
{
    if (strcmp(sealer->failure, note) != 0 && !sealer->stopped)
        log_warn("audit_not_sealed", "code=%s reason=\"%s\"", err_api_code(err), note);
    snprintf(sealer->failure, sizeof sealer->failure, "%s", note);
    sealer->rest_until_ns = clock_now_ns() + REST_MS * CLOCK_MS;
    if (sealer->lock) {
        lock_free(sealer->lock);
        sealer->lock = new_lock(sealer);
    }
    sealer_end_run(sealer);
}

/* The worker's part begins and ends here. */
bool sealer_submit(struct sealer *sealer, scribe_fn *work, scribe_fn *done)
{
    struct sealer_run *run = &sealer->run;
    run->err = ERR_UNAVAILABLE;
    snprintf(run->note, sizeof run->note, "the scheduler ends");
    if (scribe_submit(sealer->options.scribe, work, done, sealer)) return true;
    sealer_fail(sealer, ERR_BUSY, "the workers have too much to do");
    return false;
}

void sealer_keep_err(struct sealer *sealer, enum err err)
{
    sealer->run.err = err;
    snprintf(sealer->run.note, sizeof sealer->run.note, "%s", err ? err_text() : "");
}

/* What the step gave, if the sealer still is what it was. */
bool sealer_goes_on(struct sealer *sealer, enum err err, const char *note)
{
    if (sealer->stopped && !err) {
        err = ERR_UNAVAILABLE;
        note = "the scheduler ends";
    }
    if (err) sealer_fail(sealer, err, note);
    return !err;
}

// ---- the records -------------------------------------------------------------------------------

static void read_page(struct sealer *sealer);

static void on_nothing(void *argument, enum err err, const redisReply *reply)
{
    struct sealer *sealer = argument;
    (void)reply;
    if (sealer_goes_on(sealer, err, err ? err_text() : "")) sealer_end_run(sealer);
}

/* There is nothing to seal: whoever asked for it has it. */
static void serve_nothing(struct sealer *sealer)
{
    char served[24];
    snprintf(served, sizeof served, "%" PRIu64, sealer->run.facts.asks);
    const char *const words[] = {"HSET", SEALER_KEY, "served", served};
    sealer->failure[0] = '\0';
    sealer->rest_until_ns = clock_now_ns() + LOOK_MS * CLOCK_MS;
    store_command(sealer->options.store, on_nothing, sealer, 4, words, NULL);
}

static void add_page(struct sealer_run *run, const redisReply *reply)
{
    for (size_t i = 0; i < reply->elements; i++) {
        const redisReply *entry = reply->element[i];
        if (entry->type != REDIS_REPLY_ARRAY || entry->elements != 2) continue;
        const redisReply *fields = entry->element[1];
        take_text(entry->element[0], run->last, sizeof run->last);
        bool whole = fields->type == REDIS_REPLY_ARRAY && fields->elements == 2;
        // Whatever stands there is told: what is no record becomes a damaged line.
        if (whole) buf_add(&run->lines, fields->element[1]->str, fields->element[1]->len);
        buf_add_byte(&run->lines, '\n');
        run->records++;
    }
}

static void on_page(void *argument, enum err err, const redisReply *reply)
{
    struct sealer *sealer = argument;
    struct sealer_run *run = &sealer->run;
    if (!sealer_goes_on(sealer, err, err ? err_text() : "")) return;
    if (reply->type != REDIS_REPLY_ARRAY) {
        sealer_fail(sealer, ERR_INTERNAL, AUDIT_RECORDS_KEY " is no stream");
        return;
    }
    add_page(run, reply);
    bool more = reply->elements == SEALER_PAGE;
    run->partial =
        more && (run->records >= SEALER_RECORDS_MAX || run->lines.size >= SEALER_BYTES_MAX);
    if (more && !run->partial)
        read_page(sealer);
    else if (run->records == 0 && run->lost_count == 0)
        serve_nothing(sealer);
    else
        sealer_make_file(sealer);
}

static void read_page(struct sealer *sealer)
{
    struct sealer_run *run = &sealer->run;
    char from[SEALER_ENTRY_SIZE + 4], count[16];
    const char *last = *run->last ? run->last : run->facts.last;
    snprintf(from, sizeof from, "%s%s", *last ? "(" : "-", last);
    snprintf(count, sizeof count, "%d", SEALER_PAGE);
    const char *const words[] = {"XRANGE", AUDIT_RECORDS_KEY, from, "+", "COUNT", count};
    store_command(sealer->options.store, on_page, sealer, 6, words, NULL);
}

// ---- the first steps: what is there ------------------------------------------------------------

static void work_newest(void *argument)
{
    struct sealer *sealer = argument;
    const struct sealer_state *state = &sealer->run.facts.state;
    ledger_seal_fini(&sealer->newest);
    sealer_keep_err(sealer, audit_files_newest(sealer->options.folder, state->number, state->root,
                                               &sealer->newest));
}

/* Redis' newest file is the folder's; or the folder has a newer one, where Redis has forgotten it. */
static enum err check_newest(const struct sealer *sealer)
{
    const struct sealer_state *state = &sealer->run.facts.state;
    const struct ledger_seal *newest = &sealer->newest;
    char root[LEDGER_HASH_TEXT_SIZE];
    if (newest->number < state->number)
        return err_note(ERR_CONFLICT,
                        "audit_dir: '%s' has files up to %" PRIu64 ", but %" PRIu64
                        " were made: it is not the folder where they are",
                        sealer->options.folder, newest->number, state->number);
    if (newest->number > state->number || newest->number == 0) return ERR_OK;
    if (strcmp(ledger_hash_text(&newest->root, root), state->root) == 0) return ERR_OK;
    return err_note(ERR_CONFLICT,
                    "audit_dir: file %" PRIu64 " in '%s' is not the one that was made",
                    newest->number, sealer->options.folder);
}

static void begin_records(struct sealer *sealer)
{
    enum err err = check_newest(sealer);
    sealer->knows_newest = !err;
    if (!sealer_goes_on(sealer, err, err ? err_text() : "")) return;
    // Where the folder knows more than Redis, its heads alone tell what is sealed.
    if (sealer->newest.number > sealer->run.facts.state.number) sealer->run.facts.last[0] = '\0';
    read_page(sealer);
}

static void on_newest(void *argument)
{
    struct sealer *sealer = argument;
    if (sealer_goes_on(sealer, sealer->run.err, sealer->run.note)) begin_records(sealer);
}

/* Chains whose schedulers were not heard of for long. */
static void find_lost(struct sealer *sealer, const redisReply *chains)
{
    struct sealer_run *run = &sealer->run;
    if (!chains || chains->type != REDIS_REPLY_ARRAY) return;
    run->lost = mem_new(chains->elements / 2 + 1, sizeof *run->lost);
    for (size_t i = 0; i + 1 < chains->elements; i += 2) {
        const redisReply *chain = chains->element[i], *seen = chains->element[i + 1];
        const char *space = seen->str ? strchr(seen->str, ' ') : NULL;
        if (!space || !ledger_is_chain(chain->str, chain->len) || seen->len >= SEALER_ENTRY_SIZE)
            continue;
        int64_t age_ms = run->facts.now_ms - strtoll(space + 1, NULL, 10);
        if (age_ms < (int64_t)sealer->options.given_up_ms) continue;
        struct sealer_lost *lost = &run->lost[run->lost_count++];
        snprintf(lost->chain, sizeof lost->chain, "%s", chain->str);
        snprintf(lost->seen, sizeof lost->seen, "%s", seen->str);
    }
}

static void on_look(void *argument, enum err err, const redisReply *reply)
{
    struct sealer *sealer = argument;
    struct sealer_run *run = &sealer->run;
    const redisReply *chains = NULL;
    if (!sealer_goes_on(sealer, err, err ? err_text() : "")) return;
    if (!sealer_read_facts(reply, &run->facts, &chains)) {
        sealer_fail(sealer, ERR_INTERNAL, SEALER_KEY " cannot be read");
        return;
    }
    const struct sealer_facts *facts = &run->facts;
    sealer->seen = facts->state;
    bool due = facts->now_ms - facts->state.sealed_ms >= (int64_t)sealer->options.seconds * 1000;
    if (facts->asks <= facts->served && !due) {
        sealer->rest_until_ns = clock_now_ns() + LOOK_MS * CLOCK_MS;
        sealer_end_run(sealer);
        return;
    }
    find_lost(sealer, chains);
    if (sealer->knows_newest && sealer->newest.number == facts->state.number)
        begin_records(sealer);
    else
        sealer_submit(sealer, work_newest, on_newest);
}

/* Who does not seal looks all the same, now and then. */
static void on_seen(void *argument, enum err err, const redisReply *reply)
{
    struct sealer *sealer = argument;
    struct sealer_facts facts;
    sealer->busy = false;
    if (!err && sealer_read_facts(reply, &facts, NULL)) sealer->seen = facts.state;
}

static void on_timer(evutil_socket_t fd, short what, void *argument)
{
    struct sealer *sealer = argument;
    uint64_t now_ns = clock_now_ns();
    (void)fd;
    (void)what;
    sealer_tick_tickets(sealer);
    bool rests = now_ns < sealer->rest_until_ns;
    if (sealer->lock && (!rests || lock_is_held(sealer->lock, now_ns)))
        lock_tick(sealer->lock, now_ns);
    if (sealer->busy || rests) return;
    bool seals = sealer->lock && lock_is_held(sealer->lock, now_ns);
    sealer->busy = true;
    if (!seals) sealer->rest_until_ns = now_ns + LOOK_MS * CLOCK_MS;
    sealer_send_look(sealer, seals, seals ? on_look : on_seen, sealer);
}

// ---- life --------------------------------------------------------------------------------------

enum err sealer_new(struct sealer **out, const struct sealer_options *options)
{
    struct timeval period = {.tv_usec = TICK_MS * 1000};
    if (*options->folder) TRY(audit_files_open(options->folder));
    struct sealer *sealer = mem_new(1, sizeof *sealer);
    sealer->options = *options;
    if (sealer->options.given_up_ms == 0) sealer->options.given_up_ms = AUDIT_GIVEN_UP_MS;
    sealer->look = store_add_script(options->store, look_text);
    sealer->commit = store_add_script(options->store, sealer_commit_text);
    if (*options->folder) sealer->lock = new_lock(sealer);
    sealer->timer = event_new(options->base, -1, EV_PERSIST, on_timer, sealer);
    must(sealer->timer && event_add(sealer->timer, &period) == 0);
    *out = sealer;
    return ERR_OK;
}

void sealer_stop(struct sealer *sealer)
{
    if (!sealer || sealer->stopped) return;
    sealer->stopped = true;
    event_del(sealer->timer);
    sealer_end_tickets(sealer);
    lock_free(sealer->lock);
    sealer->lock = NULL;
}

void sealer_free(struct sealer *sealer)
{
    if (!sealer) return;
    must(!sealer->busy && !sealer->tickets);
    event_free(sealer->timer);
    ledger_seal_fini(&sealer->newest);
    mem_free(sealer);
}

void sealer_keep(struct sealer *sealer, uint32_t days)
{
    if (days > sealer->days) sealer->days = days;
}

uint32_t sealer_days(const struct sealer *sealer)
{
    if (sealer->options.days == 0) return 0;
    return sealer->days > sealer->options.days ? sealer->days : sealer->options.days;
}

const struct sealer_state *sealer_seen(const struct sealer *sealer)
{
    return &sealer->seen;
}

const char *sealer_failure(const struct sealer *sealer)
{
    return sealer->failure;
}
