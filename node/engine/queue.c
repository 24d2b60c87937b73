#include "node/engine/queue.h"

#include "node/engine/seq.h"

#include "base/mem.h"
#include "base/must.h"
#include "base/rand.h"

#include <inttypes.h>
#include <stdbool.h>

/* Of one tenant in one class. */
struct line {
    struct seq *first; // NULL: it is not among the lines of the class
    struct seq *last;
    double served; // over its weight
    uint32_t at;   // among the lines of the class
};

/* Of one tenant. It rests while nobody waits or runs on it. */
struct queue_account {
    struct line lines[QUEUE_CLASSES];
    uint64_t tenant;
    uint64_t tokens; // known ids of those that wait
    uint32_t seqs;   // that wait or run
    bool named;      // `tenant` is one, and the account is in its bucket
    struct queue_account *same_bucket;
    struct queue_account *older; // of those that rest
    struct queue_account *newer;
};

struct queue_class {
    struct line **lines; // [line_count] with someone in them, in no order
    uint32_t line_count;
    uint32_t count; // of sequences
    double level;   // the counter of the last line that left it empty
    int64_t passed; // cost that went to more urgent ones, at most QUEUE_PATIENCE
};

struct queue {
    struct queue_limits limits;
    struct queue_class classes[QUEUE_CLASSES];
    uint32_t count;
    uint64_t tokens;
    struct queue_account *accounts; // [tenants_max], then the one that is shared
    struct queue_account **buckets; // [tenants_max]
    struct queue_account *oldest;   // of those that rest
    struct queue_account *newest;
};

/* Accounts. */

static void begin_rest(struct queue *queue, struct queue_account *account)
{
    account->newer = NULL;
    account->older = queue->newest;
    if (queue->newest)
        queue->newest->newer = account;
    else
        queue->oldest = account;
    queue->newest = account;
}

static void end_rest(struct queue *queue, struct queue_account *account)
{
    *(account->older ? &account->older->newer : &queue->oldest) = account->newer;
    *(account->newer ? &account->newer->older : &queue->newest) = account->older;
}

struct queue *queue_new(const struct queue_limits *limits)
{
    struct queue *queue = mem_new(1, sizeof *queue);
    queue->limits = *limits;
    if (limits->tokens_max == 0) queue->limits.tokens_max = UINT64_MAX;
    if (limits->tenants_max == 0) queue->limits.tenants_max = QUEUE_TENANTS;
    uint32_t tenants = queue->limits.tenants_max;
    queue->accounts = mem_new((size_t)tenants + 1, sizeof *queue->accounts);
    queue->buckets = mem_new(tenants, sizeof(struct queue_account *));
    for (uint32_t i = 0; i < tenants; i++)
        begin_rest(queue, &queue->accounts[i]);
    for (size_t i = 0; i < QUEUE_CLASSES; i++)
        queue->classes[i].lines = mem_new((size_t)tenants + 1, sizeof(struct line *));
    return queue;
}

void queue_free(struct queue *queue)
{
    if (!queue) return;
    must(queue->count == 0);
    for (size_t i = 0; i < QUEUE_CLASSES; i++)
        mem_free(queue->classes[i].lines);
    mem_free(queue->buckets);
    mem_free(queue->accounts);
    mem_free(queue);
}

static struct queue_account **bucket_of(const struct queue *queue, uint64_t tenant)
{
    return &queue->buckets[rand_at(tenant, 0, 0) % queue->limits.tenants_max];
}

static void name_account(struct queue *queue, struct queue_account *account, uint64_t tenant)
{
    if (account->named) {
        struct queue_account **at = bucket_of(queue, account->tenant);
        while (*at != account)
            at = &(*at)->same_bucket;
        *at = account->same_bucket;
    }
    struct queue_account **bucket = bucket_of(queue, tenant);
    *account = (struct queue_account){.tenant = tenant, .named = true, .same_bucket = *bucket};
    *bucket = account;
}

static struct queue_account *find_account(const struct queue *queue, uint64_t tenant)
{
    struct queue_account *account = *bucket_of(queue, tenant);
    while (account && account->tenant != tenant)
        account = account->same_bucket;
    return account;
}

static struct queue_account *shared_account(const struct queue *queue)
{
    return &queue->accounts[queue->limits.tenants_max];
}

static struct queue_account *account_of(struct queue *queue, uint64_t tenant)
{
    struct queue_account *account = find_account(queue, tenant);
    if (account && account->seqs > 0) return account;
    bool known = account != NULL;
    if (!known) account = queue->oldest;
    if (!account) return shared_account(queue);
    end_rest(queue, account);
    if (!known) name_account(queue, account, tenant);
    return account;
}

static void open_account(struct queue *queue, struct seq *seq)
{
    seq->account = account_of(queue, seq->tenant);
    seq->account->seqs++;
}

static void close_account(struct queue *queue, struct seq *seq)
{
    struct queue_account *account = seq->account;
    must(account && account->seqs > 0);
    seq->account = NULL;
    account->seqs--;
    if (account->seqs == 0 && account->named) begin_rest(queue, account);
}

/* Lines. */

static struct line *line_of(const struct seq *seq)
{
    must(seq->account && (int)seq->priority < QUEUE_CLASSES);
    return &seq->account->lines[seq->priority];
}

static struct line *least_line(const struct queue_class *class)
{
    struct line *least = NULL;
    for (uint32_t i = 0; i < class->line_count; i++) {
        struct line *line = class->lines[i];
        if (!least || line->served < least->served ||
            (line->served == least->served && line->first->ticket < least->first->ticket))
            least = line;
    }
    return least;
}

static void open_line(struct queue_class *class, struct line *line)
{
    const struct line *least = least_line(class);
    double level = least ? least->served : class->level;
    if (line->served < level) line->served = level;
    line->at = class->line_count;
    class->lines[class->line_count++] = line;
}

static void close_line(struct queue_class *class, struct line *line)
{
    struct line *moved = class->lines[--class->line_count];
    moved->at = line->at;
    class->lines[line->at] = moved;
    if (class->line_count > 0) return;
    class->level = line->served;
    if (class->passed > 0) class->passed = 0; // nobody waits who was passed over
}

static void wait_in_line(struct queue *queue, struct seq *seq)
{
    must(seq->state == SEQ_WAITING);
    struct line *line = line_of(seq);
    struct queue_class *class = &queue->classes[seq->priority];
    if (!line->first) open_line(class, line);
    struct seq **at = &line->first;
    if (line->first && line->last->ticket < seq->ticket) at = &line->last->next;
    while (*at && (*at)->ticket < seq->ticket)
        at = &(*at)->next;
    seq->next = *at;
    *at = seq;
    if (!seq->next) line->last = seq;
    class->count++;
    queue->count++;
    queue->tokens += seq->id_count;
    seq->account->tokens += seq->id_count;
}

static void stop_waiting(struct queue *queue, struct seq *seq)
{
    struct line *line = line_of(seq);
    struct queue_class *class = &queue->classes[seq->priority];
    struct seq *before = NULL;
    for (struct seq *at = line->first; at != seq; at = at->next)
        before = at;
    *(before ? &before->next : &line->first) = seq->next;
    if (!seq->next) line->last = before;
    seq->next = NULL;
    if (!line->first) close_line(class, line);
    class->count--;
    queue->count--;
    queue->tokens -= seq->id_count;
    seq->account->tokens -= seq->id_count;
}

/* Is there room for its ids, and has its tenant not had its part of the room? */
static bool fits(const struct queue *queue, const struct seq *seq)
{
    if (queue->count == 0) return true;
    if (queue->tokens > queue->limits.tokens_max) return false;
    uint64_t free = queue->limits.tokens_max - queue->tokens;
    const struct queue_account *account = find_account(queue, seq->tenant);
    if (!account && !queue->oldest) account = shared_account(queue);
    return seq->id_count <= free && (!account || account->tokens / QUEUE_PART < free);
}

enum err queue_add(struct queue *queue, struct seq *seq)
{
    if (queue->count >= queue->limits.requests_max) {
        return err_note(ERR_BUSY, "the waiting room is full (%" PRIu32 " requests)",
                        queue->limits.requests_max);
    }
    if (!fits(queue, seq)) {
        return err_note(ERR_BUSY, "the waiting room is full (%" PRIu64 " tokens)",
                        queue->limits.tokens_max);
    }
    open_account(queue, seq);
    wait_in_line(queue, seq);
    return ERR_OK;
}

struct seq *queue_first(const struct queue *queue)
{
    for (size_t i = QUEUE_CLASSES; i-- > 0;) {
        const struct queue_class *class = &queue->classes[i];
        if (class->count > 0 && class->passed >= QUEUE_PATIENCE) return least_line(class)->first;
    }
    for (size_t i = 0; i < QUEUE_CLASSES; i++) {
        const struct queue_class *class = &queue->classes[i];
        if (class->count > 0) return least_line(class)->first;
    }
    return NULL;
}

void queue_take(struct queue *queue, struct seq *seq)
{
    stop_waiting(queue, seq);
}

void queue_return(struct queue *queue, struct seq *seq)
{
    wait_in_line(queue, seq);
}

void queue_leave(struct queue *queue, struct seq *seq)
{
    if (seq->state == SEQ_WAITING) stop_waiting(queue, seq);
    close_account(queue, seq);
}

/* What is paid. */

static bool awaits_more_urgent(const struct queue *queue, size_t priority)
{
    for (size_t i = 0; i < priority; i++) {
        if (queue->classes[i].count > 0) return true;
    }
    return false;
}

/* The classes among themselves. */
static void pass(struct queue *queue, size_t priority, int64_t cost)
{
    struct queue_class *own = &queue->classes[priority];
    int64_t least = own->passed < 0 ? own->passed : 0;
    own->passed -= QUEUE_SHARE * cost;
    if (own->passed < least && !awaits_more_urgent(queue, priority)) own->passed = least;
    for (size_t i = priority + 1; i < QUEUE_CLASSES; i++) {
        struct queue_class *lesser = &queue->classes[i];
        int64_t most = lesser->count > 0 ? QUEUE_PATIENCE : 0;
        lesser->passed += cost;
        if (lesser->passed > most) lesser->passed = most;
    }
}

static void pay(struct queue *queue, const struct seq *seq, uint64_t cost)
{
    line_of(seq)->served += (double)cost / (seq->tenant_weight > 0 ? seq->tenant_weight : 1);
    pass(queue, seq->priority, (int64_t)cost);
}

void queue_pay_prompt(struct queue *queue, struct seq *seq, uint32_t missing)
{
    if (seq->paid > 0) return;
    seq->paid = seq->id_count;
    pay(queue, seq, (uint64_t)missing * QUEUE_INPUT);
}

void queue_pay_drawn(struct queue *queue, struct seq *seq)
{
    must(seq->paid > 0 && seq->paid <= seq->id_count);
    uint32_t drawn = seq->id_count - seq->paid;
    if (drawn == 0) return;
    seq->paid = seq->id_count;
    pay(queue, seq, (uint64_t)drawn * QUEUE_OUTPUT);
}

/* What is asked. */

struct seq *queue_next(const struct queue *queue, const struct seq *after)
{
    size_t priority = after ? after->priority : 0;
    uint32_t at = after ? line_of(after)->at + 1 : 0;
    if (after && after->next) return after->next;
    for (; priority < QUEUE_CLASSES; priority++, at = 0) {
        const struct queue_class *class = &queue->classes[priority];
        if (at < class->line_count) return class->lines[at]->first;
    }
    return NULL;
}

static bool is_late(const struct seq *seq, uint64_t now_ns)
{
    return seq->admissions == 0 && seq->deadline_ns != 0 && seq->deadline_ns <= now_ns;
}

struct seq *queue_late(const struct queue *queue, uint64_t now_ns)
{
    for (struct seq *seq = queue_next(queue, NULL); seq; seq = queue_next(queue, seq)) {
        if (is_late(seq, now_ns)) return seq;
    }
    return NULL;
}

uint32_t queue_count(const struct queue *queue)
{
    return queue->count;
}

uint64_t queue_tokens(const struct queue *queue)
{
    return queue->tokens;
}

double queue_served(const struct seq *seq)
{
    return line_of(seq)->served;
}
