#include "scheduler/policy/audit.h"

#include "scheduler/policy/often.h"
#include "scheduler/settings.h"
#include "scheduler/state/store.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/ledger.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/must.h"
#include "base/rand.h"

#include <event2/event.h>
#include <hiredis/hiredis.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    TICK_MS = 200,
    WORDS_AHEAD = 6 // keys and arguments before the lines
};

_Static_assert((int)AUDIT_FIELDS_MAX == (int)LEDGER_FIELDS_MAX, "a record's fields");
_Static_assert((int)AUDIT_VALUE_MAX == (int)LEDGER_VALUE_MAX, "a field's value");
_Static_assert((int)AUDIT_NAME_MAX == (int)LEDGER_NAME_MAX, "a field's name");

/*      KEYS  records, chains
 *      ARGV  chain, number of the first line, most records, "skip" or "", lines
 *      gives state (enum reply_state), the number of the chain's last record
 *
 * Lines that are there are not written twice, so that a call may be repeated. */
static const char append_text[] =
    "local has = redis.call('HGET', KEYS[2], ARGV[1])\n"
    "local first, seq = tonumber(ARGV[2]), 0\n"
    "if has then seq = tonumber(string.match(has, '^%d+')) end\n"
    "if first > seq + 1 then\n"
    "    if ARGV[4] == 'skip' then seq = first - 1 else return {has and 1 or 2, seq} end\n"
    "end\n"
    "if #ARGV > 4 and redis.call('XLEN', KEYS[1]) >= tonumber(ARGV[3]) then return {3, seq} end\n"
    "for i = 5, #ARGV do\n"
    "    if first + i - 5 > seq then\n"
    "        redis.call('XADD', KEYS[1], '*', 'r', ARGV[i])\n"
    "        seq = first + i - 5\n"
    "    end\n"
    "end\n"
    "local time = redis.call('TIME')\n"
    "local now = time[1] * 1000 + math.floor(time[2] / 1000)\n"
    "redis.call('HSET', KEYS[2], ARGV[1], string.format('%.0f %.0f', seq, now))\n"
    "return {0, seq}\n";

enum reply_state {
    REPLY_DONE,
    REPLY_BEHIND,  // Redis has lost records
    REPLY_UNKNOWN, // Redis knows the chain no more
    REPLY_FULL
};

/* A record that Redis does not have yet. */
struct entry {
    struct entry *next;
    enum audit_class class;
    uint64_t noted_ns;
    char *body;
};

struct audit {
    struct audit_options options;
    struct store_script *append;
    struct event *timer;
    struct ledger_chain chain; // up to what Redis has
    struct entry *first, **last;
    size_t waiting;
    size_t calls; // in the air: one, and a last one
    bool left, full;
    // The call in the air: lines of new records, or of kept ones that Redis had lost.
    char *lines[AUDIT_BATCH];
    size_t line_count;
    struct ledger_chain sent; // the chain behind the new ones
    bool resends;
    char *kept[AUDIT_KEPT]; // lines that Redis had, by number
    uint64_t resend;        // the next of them; 0: none
    bool skips;             // before that there is a gap
    uint64_t accepted_ns, asked_ns;
    char *start;                // the body of the chain's first record
    uint64_t lost[AUDIT_COUNT]; // and not told yet
    uint64_t lost_all;
    struct oftens oftens;
};

// ---- what waits --------------------------------------------------------------------------------

static void push(struct audit *audit, enum audit_class class, char *body)
{
    struct entry *entry = mem_new(1, sizeof *entry);
    *entry = (struct entry){.class = class, .noted_ns = clock_now_ns(), .body = body};
    *audit->last = entry;
    audit->last = &entry->next;
    audit->waiting++;
}

static char *make_body(enum audit_class class, const struct ledger_field *fields, size_t count)
{
    struct buf body = {0};
    ledger_write_body(&body, clock_wall_ms(), audit_class_name(class), fields, count);
    return buf_take(&body);
}

/* Say in the chain what could not even wait. */
static void tell_lost(struct audit *audit)
{
    struct ledger_field fields[AUDIT_FIELDS_MAX];
    char names[AUDIT_COUNT][AUDIT_NAME_MAX + 1], counts[AUDIT_COUNT][24];
    size_t count = 0;
    for (unsigned i = 0; i < AUDIT_COUNT; i++) {
        if (audit->lost[i] == 0 || count == AUDIT_FIELDS_MAX) continue;
        snprintf(names[i], sizeof names[i], "%s", audit_class_name((enum audit_class)i));
        for (char *at = names[i]; *at; at++)
            *at = (char)(*at | 0x20);
        snprintf(counts[i], sizeof counts[i], "%" PRIu64, audit->lost[i]);
        fields[count++] = (struct ledger_field){names[i], counts[i]};
        audit->lost[i] = 0;
    }
    if (count > 0) push(audit, AUDIT_LOST, make_body(AUDIT_LOST, fields, count));
}

static void lose(struct audit *audit, enum audit_class class)
{
    if (audit->lost_all == 0 || audit->lost[class] == 0)
        log_error("audit_lost", "class=%s waiting=%zu", audit_class_name(class), audit->waiting);
    audit->lost[class]++;
    audit->lost_all++;
    if (audit->options.metrics)
        metric_add(audit->options.metrics, M_audit_records_total, "lost", NULL, 1);
}

static void send_next(struct audit *audit);

/* The body is given away. */
static void note_body(struct audit *audit, enum audit_class class, char *body)
{
    if (audit->waiting >= AUDIT_WAITING_MAX) {
        lose(audit, class);
        mem_free(body);
        return;
    }
    tell_lost(audit);
    if (class == AUDIT_START && !audit->start) audit->start = mem_copy_text(body);
    push(audit, class, body);
    send_next(audit);
}

static char *body_of(enum audit_class class, const struct audit_field *fields, size_t count)
{
    struct ledger_field copies[AUDIT_FIELDS_MAX];
    must(class < AUDIT_COUNT && count <= AUDIT_FIELDS_MAX);
    for (size_t i = 0; i < count; i++)
        copies[i] = (struct ledger_field){fields[i].name, fields[i].value ? fields[i].value : ""};
    return make_body(class, copies, count);
}

void audit_note(struct audit *audit, enum audit_class class, const struct audit_field *fields,
                size_t count)
{
    if (audit && !audit->left) note_body(audit, class, body_of(class, fields, count));
}

// ---- what comes often --------------------------------------------------------------------------

/* Those whose time is over are told. */
static void tell_oftens(struct audit *audit, uint64_t now_ns)
{
    struct often often;
    while (oftens_take(&audit->oftens, now_ns, &often)) {
        struct buf body = {0};
        buf_addf(&body, "%" PRId64 " %s times=%" PRIu64, clock_wall_ms(), often.said, often.times);
        mem_free(often.said);
        if (often.times > 0)
            note_body(audit, (enum audit_class)often.class, buf_take(&body));
        else
            buf_fini(&body);
    }
}

void audit_note_often(struct audit *audit, enum audit_class class, const struct audit_field *fields,
                      size_t count)
{
    must(count < AUDIT_FIELDS_MAX); // one is ours
    if (!audit || audit->left) return;
    char *body = body_of(class, fields, count);
    const char *said = strchr(body, ' ') + 1; // behind the time
    if (oftens_come(&audit->oftens, (int)class, said, clock_now_ns() + AUDIT_OFTEN_MS * CLOCK_MS))
        note_body(audit, class, body);
    else
        mem_free(body);
}

bool audit_stands(const struct audit *audit, uint32_t stops)
{
    if (!audit || stops == 0) return true;
    for (unsigned i = 0; i < AUDIT_COUNT; i++)
        if (audit->lost[i] > 0 && (stops >> i & 1)) return false;
    uint64_t now_ns = clock_now_ns();
    for (const struct entry *entry = audit->first; entry; entry = entry->next) {
        if (now_ns - entry->noted_ns < AUDIT_LATE_MS * CLOCK_MS) break;
        if (stops >> entry->class & 1) return false;
    }
    return true;
}

// ---- the way to Redis --------------------------------------------------------------------------

static void drop_lines(struct audit *audit)
{
    for (size_t i = 0; i < audit->line_count; i++)
        mem_free(audit->lines[i]);
    audit->line_count = 0;
}

static void drop_first(struct audit *audit)
{
    struct entry *entry = audit->first;
    audit->first = entry->next;
    if (!audit->first) audit->last = &audit->first;
    audit->waiting--;
    mem_free(entry->body);
    mem_free(entry);
}

/* The latest records are kept, in case that Redis loses them. */
static void accept_lines(struct audit *audit)
{
    for (size_t i = 0; i < audit->line_count; i++) {
        char **place = &audit->kept[++audit->chain.seq % AUDIT_KEPT];
        mem_free(*place);
        *place = audit->lines[i];
        drop_first(audit);
    }
    if (audit->options.metrics)
        metric_add(audit->options.metrics, M_audit_records_total, "written", NULL,
                   (double)audit->line_count);
    audit->line_count = 0;
    audit->chain = audit->sent;
}

static void on_done(struct audit *audit, uint64_t seq)
{
    audit->accepted_ns = clock_now_ns();
    audit->skips = false;
    audit->full = false;
    if (!audit->resends)
        accept_lines(audit);
    else
        audit->resend = seq < audit->chain.seq ? seq + 1 : 0;
}

/* Redis has the chain up to `seq` alone: what was kept goes there again; what was not is a gap. */
static void go_back(struct audit *audit, uint64_t seq)
{
    uint64_t kept = audit->chain.seq < AUDIT_KEPT ? audit->chain.seq : AUDIT_KEPT;
    uint64_t oldest = audit->chain.seq - kept + 1;
    log_warn("audit_resend", "chain=%s from=%" PRIu64 " to=%" PRIu64 " had=%" PRIu64,
             audit->chain.id, oldest > seq + 1 ? oldest : seq + 1, audit->chain.seq, seq);
    audit->skips = seq + 1 < oldest;
    audit->resend = audit->skips ? oldest : seq + 1;
    if (audit->resend > audit->chain.seq) audit->resend = 0;
}

static void begin_chain(struct audit *audit)
{
    char id[LEDGER_CHAIN_SIZE + 1];
    snprintf(id, sizeof id, "%016" PRIx64, rand_entropy());
    ledger_chain_begin(&audit->chain, id);
}

/* This scheduler was silent for so long that its chain was given up: what waits goes into a new one. */
static void begin_again(struct audit *audit)
{
    struct buf body = {0};
    const char *said = audit->start ? strchr(audit->start, ' ') : " START";
    buf_addf(&body, "%" PRId64 "%s after=%s:%" PRIu64, clock_wall_ms(), said, audit->chain.id,
             audit->chain.seq);
    begin_chain(audit);
    for (size_t i = 0; i < AUDIT_KEPT; i++) {
        mem_free(audit->kept[i]);
        audit->kept[i] = NULL;
    }
    audit->resend = 0;
    struct entry *entry = mem_new(1, sizeof *entry);
    *entry = (struct entry){audit->first, AUDIT_START, clock_now_ns(), buf_take(&body)};
    audit->first = entry;
    if (!entry->next) audit->last = &entry->next;
    audit->waiting++;
}

static void on_unknown(struct audit *audit)
{
    if (clock_now_ns() - audit->accepted_ns > audit->options.given_up_ms * CLOCK_MS)
        begin_again(audit);
    else
        go_back(audit, 0);
}

static void on_full(struct audit *audit)
{
    if (!audit->full)
        log_error("audit_full", "records=%" PRIu64 " hint=\"seal them: audit_dir\"",
                  audit->options.records_max);
    audit->full = true;
}

static void on_reply(void *argument, enum err err, const redisReply *reply)
{
    struct audit *audit = argument;
    audit->calls--;
    if (audit->left) return;
    bool told = !err && reply->type == REDIS_REPLY_ARRAY && reply->elements == 2;
    if (told) {
        uint64_t seq = (uint64_t)reply->element[1]->integer;
        switch ((enum reply_state)reply->element[0]->integer) {
        case REPLY_DONE: on_done(audit, seq); break;
        case REPLY_BEHIND: go_back(audit, seq); break;
        case REPLY_UNKNOWN: on_unknown(audit); break;
        case REPLY_FULL: on_full(audit); break;
        }
    }
    drop_lines(audit);
    if (told && !audit->full) send_next(audit); // else the timer does
}

static void take_kept(struct audit *audit)
{
    audit->resends = true;
    for (uint64_t seq = audit->resend; seq <= audit->chain.seq && audit->line_count < AUDIT_BATCH;
         seq++)
        audit->lines[audit->line_count++] = mem_copy_text(audit->kept[seq % AUDIT_KEPT]);
}

static void take_new(struct audit *audit)
{
    audit->resends = false;
    audit->sent = audit->chain;
    for (const struct entry *entry = audit->first; entry && audit->line_count < AUDIT_BATCH;
         entry = entry->next) {
        struct buf line = {0};
        ledger_write_record(&line, &audit->sent, entry->body);
        audit->lines[audit->line_count++] = buf_take(&line);
    }
}

/* One call with what waits; without anything a sign of life. */
static void call(struct audit *audit)
{
    const char *words[WORDS_AHEAD + AUDIT_BATCH];
    char number[24], most[24];
    if (audit->resend > 0)
        take_kept(audit);
    else
        take_new(audit);
    uint64_t first = audit->resends ? audit->resend : audit->chain.seq + 1;
    snprintf(number, sizeof number, "%" PRIu64, first);
    snprintf(most, sizeof most, "%" PRIu64, audit->options.records_max);
    const char *const ahead[WORDS_AHEAD] = {
        AUDIT_RECORDS_KEY,         AUDIT_CHAINS_KEY, audit->chain.id, number, most,
        audit->skips ? "skip" : ""};
    memcpy(words, ahead, sizeof ahead);
    for (size_t i = 0; i < audit->line_count; i++)
        words[WORDS_AHEAD + i] = audit->lines[i];
    audit->calls++;
    audit->asked_ns = clock_now_ns();
    store_eval(audit->options.store, audit->append, on_reply, audit, 2,
               WORDS_AHEAD + audit->line_count, words, NULL);
}

static void send_next(struct audit *audit)
{
    if (audit->calls > 0 || (!audit->first && audit->resend == 0)) return;
    call(audit);
}

static void on_timer(evutil_socket_t fd, short what, void *argument)
{
    struct audit *audit = argument;
    (void)fd;
    (void)what;
    if (audit->options.metrics)
        metric_set(audit->options.metrics, M_audit_waiting, NULL, NULL, (double)audit->waiting);
    tell_oftens(audit, clock_now_ns());
    if (audit->calls > 0) return;
    send_next(audit);
    if (audit->calls == 0 && audit->chain.seq > 0 &&
        clock_now_ns() - audit->asked_ns >= AUDIT_PULSE_MS * CLOCK_MS)
        call(audit);
}

// ---- life --------------------------------------------------------------------------------------

struct audit *audit_new(const struct audit_options *options)
{
    struct audit *audit = mem_new(1, sizeof *audit);
    struct timeval period = {.tv_usec = TICK_MS * 1000};
    audit->options = *options;
    if (audit->options.given_up_ms == 0) audit->options.given_up_ms = AUDIT_GIVEN_UP_MS;
    audit->last = &audit->first;
    audit->append = store_add_script(options->store, append_text);
    begin_chain(audit);
    audit->timer = event_new(options->base, -1, EV_PERSIST, on_timer, audit);
    must(audit->timer && event_add(audit->timer, &period) == 0);
    return audit;
}

void audit_leave(struct audit *audit)
{
    if (!audit || audit->left) return;
    tell_oftens(audit, UINT64_MAX);
    audit_note(audit, AUDIT_END, NULL, 0);
    event_del(audit->timer);
    drop_lines(audit); // a call that is in the air is repeated with what came since
    call(audit);
    audit->left = true;
}

void audit_free(struct audit *audit)
{
    if (!audit) return;
    must(audit->calls == 0);
    event_free(audit->timer);
    drop_lines(audit);
    while (audit->first)
        drop_first(audit);
    for (size_t i = 0; i < AUDIT_KEPT; i++)
        mem_free(audit->kept[i]);
    oftens_fini(&audit->oftens);
    mem_free(audit->start);
    mem_free(audit);
}

void audit_read_facts(const struct audit *audit, struct audit_facts *out)
{
    *out = (struct audit_facts){.written = audit->chain.seq,
                                .waiting = audit->waiting,
                                .lost = audit->lost_all,
                                .full = audit->full};
    memcpy(out->chain, audit->chain.id, sizeof audit->chain.id);
    ledger_hash_text(&audit->chain.head, out->head);
}
