#include "scheduler/features/sold.h"

#include "scheduler/features/catalogue.h"
#include "scheduler/features/filter.h"

#include "text/rows.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/must.h"

#include <event2/event.h>

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum {
    CHANGES_NOW = 64, // so many are looked at again before a question is answered; more are a walk
    LOOK_EVERY = 64,  // rows between two looks at the clock, while they are cheap
    RESTARTS_MAX = 1  // of one walk, when everything changed meanwhile
};

/* A bitmap that is known, or on its way. */
struct kept {
    struct solds *solds;
    const struct catalogue *catalogue; // NULL: free
    char region[SOLD_REGION_MAX + 1];
    struct digest model, wanted; // of the filter; zeros: none
    struct filter *filter;       // NULL: none
    uint32_t row_count, walked;
    uint64_t changes; // of the catalogue, that the bits have
    uint32_t restarts;
    uint64_t used; // turn of the latest use
    struct sold *sold;
    struct sold_ticket *waiters; // while it is on its way
    bool telling;
};

struct sold_ticket {
    struct kept *kept;
    const struct rows *rows;
    sold_fn *done;
    void *argument;
    struct sold_ticket *next;
};

struct solds {
    struct event *turn;
    struct kept kept[SOLD_KEPT];
    size_t bytes, next; // whose turn it is
    uint64_t uses;
};

// ---- bitmaps -----------------------------------------------------------------------------------

static struct sold *sold_new(size_t size)
{
    struct sold *sold = mem_new(1, sizeof *sold + size);
    *sold = (struct sold){.bits = (const uint8_t *)(sold + 1), .size = size, .holders = 1};
    return sold;
}

struct sold *sold_hold(struct sold *sold)
{
    sold->holders++;
    return sold;
}

void sold_release(struct sold *sold)
{
    if (!sold || --sold->holders > 0) return;
    mem_free(sold);
}

static uint8_t *bits_of(struct sold *sold)
{
    return (uint8_t *)(sold + 1);
}

struct sold *sold_of_rows(const int32_t *rows, size_t count, uint32_t row_count)
{
    struct sold *sold = sold_new((row_count + 7) / 8);
    for (size_t i = 0; i < count; i++)
        if (rows[i] >= 0 && (uint32_t)rows[i] < row_count)
            bits_of(sold)[rows[i] / 8] |= (uint8_t)(1u << rows[i] % 8);
    sold->digest = digest_of(sold->bits, sold->size);
    return sold;
}

/* Somebody may still read what was: then it is another one that changes. */
static void make_own(struct kept *kept)
{
    if (kept->sold->holders == 1) return;
    struct sold *own = sold_new(kept->sold->size);
    memcpy(bits_of(own), kept->sold->bits, own->size);
    sold_release(kept->sold);
    kept->sold = own;
}

// ---- what holds for one row --------------------------------------------------------------------

static bool is_wanted(const struct kept *kept, const char *id, size_t size)
{
    char text[CATALOGUE_ID_MAX + 1];
    struct catalogue_item item;
    if (size == 0 || size > CATALOGUE_ID_MAX) return false;
    memcpy(text, id, size);
    text[size] = '\0';
    uint32_t row = catalogue_find(kept->catalogue, text);
    return row != CATALOGUE_NONE && catalogue_item(kept->catalogue, row, &item) &&
           catalogue_is_sold(&item, kept->region) &&
           (!kept->filter || filter_holds(kept->filter, item.document));
}

static void judge(struct kept *kept, const struct rows *rows, uint32_t row)
{
    char number[ROWS_NUMBER_SIZE];
    size_t size;
    const char *id = rows_id(rows, (int32_t)row, number, &size);
    uint8_t *byte = &bits_of(kept->sold)[row / 8], bit = (uint8_t)(1u << row % 8);
    *byte = (uint8_t)(is_wanted(kept, id, size) ? *byte | bit : *byte & ~bit);
}

/* Judge again what the change was of. False: everything changed, or nobody knows any more. */
static bool follow_change(struct kept *kept, const struct rows *rows)
{
    const char *id = catalogue_changed(kept->catalogue, kept->changes + 1);
    if (!id) return false;
    int32_t row = rows_find(rows, id, strlen(id), kept->row_count);
    if (row >= 0) judge(kept, rows, (uint32_t)row);
    kept->changes++;
    return true;
}

static void seal(struct kept *kept)
{
    kept->sold->digest = digest_of(kept->sold->bits, kept->sold->size);
}

// ---- walks -------------------------------------------------------------------------------------

static void begin_walk(struct kept *kept)
{
    kept->walked = 0;
    kept->changes = catalogue_changes(kept->catalogue);
}

/* Go on, over the rows and then over what has changed since, until `until_ns`; true when it is through. */
static bool walk(struct kept *kept, const struct rows *rows, uint64_t until_ns)
{
    uint32_t steps = 0, every = kept->filter ? LOOK_EVERY / 16 : LOOK_EVERY;
    make_own(kept);
    while (kept->walked < kept->row_count) {
        judge(kept, rows, kept->walked++);
        if (++steps % every == 0 && clock_now_ns() >= until_ns) return false;
    }
    while (kept->changes < catalogue_changes(kept->catalogue)) {
        if (!follow_change(kept, rows)) {
            if (kept->restarts++ == RESTARTS_MAX) break; // the next question walks again
            begin_walk(kept);
            return false;
        }
        if (++steps % every == 0 && clock_now_ns() >= until_ns) return false;
    }
    seal(kept);
    return true;
}

static void tell(struct kept *kept)
{
    kept->telling = true;
    while (kept->waiters) {
        struct sold_ticket *ticket = kept->waiters;
        kept->waiters = ticket->next;
        ticket->done(ticket->argument, sold_hold(kept->sold));
        mem_free(ticket);
    }
    kept->telling = false;
}

static void arm(struct solds *solds)
{
    static const struct timeval now = {0};
    event_add(solds->turn, &now); // after the loop has looked at its sockets
}

static void on_turn(evutil_socket_t fd, short what, void *argument)
{
    struct solds *solds = argument;
    struct kept *found = NULL;
    (void)fd, (void)what;
    for (size_t i = 0; i < SOLD_KEPT && !found; i++) {
        struct kept *kept = &solds->kept[(solds->next + i) % SOLD_KEPT];
        if (kept->waiters) found = kept;
    }
    if (!found) return; // those who asked have gone
    solds->next = (size_t)(found - solds->kept) + 1;
    arm(solds);
    if (walk(found, found->waiters->rows, clock_now_ns() + SOLD_TURN_NS)) tell(found);
}

// ---- what is kept ------------------------------------------------------------------------------

static void forget(struct kept *kept)
{
    if (!kept->catalogue) return;
    must(!kept->waiters && !kept->telling);
    kept->solds->bytes -= kept->sold->size;
    sold_release(kept->sold);
    filter_free(kept->filter);
    *kept = (struct kept){.solds = kept->solds};
}

/* The one that was used longest ago, free ones first, of those that nobody waits for; NULL: there is none. */
static struct kept *find_oldest(struct solds *solds)
{
    struct kept *oldest = NULL;
    for (size_t i = 0; i < SOLD_KEPT; i++) {
        struct kept *kept = &solds->kept[i];
        if (kept->waiters || kept->telling) continue;
        if (!oldest || kept->used < oldest->used) oldest = kept;
    }
    return oldest;
}

/* As find_oldest(), but of those that have bytes. */
static bool forget_one(struct solds *solds)
{
    struct kept *oldest = NULL;
    for (size_t i = 0; i < SOLD_KEPT; i++) {
        struct kept *kept = &solds->kept[i];
        if (!kept->catalogue || kept->waiters || kept->telling) continue;
        if (!oldest || kept->used < oldest->used) oldest = kept;
    }
    if (oldest) forget(oldest);
    return oldest != NULL;
}

static struct kept *add(struct solds *solds, const struct sold_want *want,
                        const struct digest *wanted)
{
    size_t size = (want->row_count + 7) / 8;
    struct kept *kept = find_oldest(solds);
    if (!kept) return NULL;
    forget(kept);
    while (solds->bytes + size > SOLD_BYTES && forget_one(solds))
        ;
    solds->bytes += size;
    kept->catalogue = want->catalogue;
    snprintf(kept->region, sizeof kept->region, "%s", want->region);
    kept->model = *want->model;
    kept->wanted = *wanted;
    kept->filter = want->filter ? filter_hold(want->filter) : NULL;
    kept->row_count = want->row_count;
    kept->sold = sold_new(size);
    begin_walk(kept);
    return kept;
}

static struct kept *find(struct solds *solds, const struct sold_want *want,
                         const struct digest *wanted)
{
    for (size_t i = 0; i < SOLD_KEPT; i++) {
        struct kept *kept = &solds->kept[i];
        if (kept->catalogue == want->catalogue && kept->row_count == want->row_count &&
            strcmp(kept->region, want->region) == 0 && digest_equal(&kept->model, want->model) &&
            digest_equal(&kept->wanted, wanted))
            return kept;
    }
    return NULL;
}

/* Nothing has changed, or little enough to be looked at now. */
static bool is_good(struct kept *kept, const struct rows *rows)
{
    uint64_t behind = catalogue_changes(kept->catalogue) - kept->changes;
    if (kept->waiters || kept->walked < kept->row_count || behind > CHANGES_NOW) return false;
    if (behind == 0) return true;
    make_own(kept);
    while (kept->changes < catalogue_changes(kept->catalogue))
        if (!follow_change(kept, rows)) return false;
    seal(kept);
    return true;
}

static struct sold_ticket *wait_for(struct kept *kept, const struct sold_want *want, sold_fn *done,
                                    void *argument)
{
    struct sold_ticket *ticket = mem_new(1, sizeof *ticket);
    struct sold_ticket **last = &kept->waiters;
    *ticket = (struct sold_ticket){kept, want->rows, done, argument, NULL};
    if (!kept->waiters) {
        kept->restarts = 0;
        arm(kept->solds);
    }
    while (*last)
        last = &(*last)->next;
    *last = ticket;
    return ticket;
}

enum err solds_find(struct solds *solds, const struct sold_want *want, sold_fn *done,
                    void *argument, struct sold **out, struct sold_ticket **ticket)
{
    struct digest wanted = {0};
    *out = NULL;
    *ticket = NULL;
    if (want->filter) wanted = filter_digest(want->filter);
    struct kept *kept = find(solds, want, &wanted);
    if (!kept) kept = add(solds, want, &wanted);
    if (!kept)
        return err_note(ERR_BUSY, "%d filters are being applied to catalogues; try again later",
                        SOLD_KEPT);
    kept->used = ++solds->uses;
    if (is_good(kept, want->rows))
        *out = sold_hold(kept->sold);
    else
        *ticket = wait_for(kept, want, done, argument);
    return ERR_OK;
}

void sold_drop(struct sold_ticket *ticket)
{
    struct sold_ticket **at = &ticket->kept->waiters;
    while (*at != ticket) {
        must(*at);
        at = &(*at)->next;
    }
    *at = ticket->next;
    mem_free(ticket);
}

struct solds *solds_new(struct event_base *base)
{
    struct solds *solds = mem_new(1, sizeof *solds);
    for (size_t i = 0; i < SOLD_KEPT; i++)
        solds->kept[i].solds = solds;
    solds->turn = event_new(base, -1, 0, on_turn, solds);
    must(solds->turn);
    return solds;
}

void solds_free(struct solds *solds)
{
    if (!solds) return;
    event_free(solds->turn);
    for (size_t i = 0; i < SOLD_KEPT; i++)
        forget(&solds->kept[i]);
    mem_free(solds);
}
