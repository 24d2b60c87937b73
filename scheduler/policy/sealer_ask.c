/* Wishes for a sealed file, which whichever scheduler has the folder fulfils. */
#include "scheduler/policy/sealer_parts.h"
#include "scheduler/state/store.h"

#include "base/clock.h"
#include "base/mem.h"

#include <hiredis/hiredis.h>

#include <string.h>

struct sealer_ticket {
    struct sealer_ticket *next, **place;
    struct sealer *sealer;
    sealer_fn *done; // NULL: it was dropped
    void *argument;
    uint64_t number; // of the wish; 0: Redis has not told it yet
    uint64_t until_ns;
    bool called; // a call is in the air
    bool ended;
};

static void unlink_ticket(struct sealer_ticket *ticket)
{
    if (!ticket->place) return;
    *ticket->place = ticket->next;
    if (ticket->next) ticket->next->place = ticket->place;
    ticket->place = NULL;
}

static void release(struct sealer_ticket *ticket)
{
    unlink_ticket(ticket);
    ticket->ended = true;
    if (!ticket->called) mem_free(ticket);
}

static void answer(struct sealer_ticket *ticket, enum err err, const struct sealer_state *state)
{
    sealer_fn *done = ticket->done;
    void *argument = ticket->argument;
    release(ticket);
    if (done) done(argument, err, err ? NULL : state);
}

static bool is_late(const struct sealer_ticket *ticket)
{
    return clock_now_ns() >= ticket->until_ns;
}

/* The call's end; false: nobody waits for it any more. */
static bool called(struct sealer_ticket *ticket)
{
    ticket->called = false;
    if (!ticket->ended) return true;
    mem_free(ticket);
    return false;
}

static void on_look(void *argument, enum err err, const redisReply *reply)
{
    struct sealer_ticket *ticket = argument;
    struct sealer_facts facts;
    if (!called(ticket)) return;
    if (!err && !sealer_read_facts(reply, &facts, NULL))
        err = err_note(ERR_INTERNAL, SEALER_KEY " cannot be read");
    if (!err) ticket->sealer->seen = facts.state;
    bool waits = err || facts.served < ticket->number;
    if (!waits)
        answer(ticket, err, &facts.state);
    else if (is_late(ticket))
        answer(ticket,
               err_note(ERR_UNAVAILABLE,
                        "no scheduler has sealed the records within %d s: one of them must have "
                        "audit_dir; GET /admin/audit says why one could not",
                        SEALER_ASK_MS / 1000),
               NULL);
}

static void look(struct sealer_ticket *ticket)
{
    ticket->called = true;
    sealer_send_look(ticket->sealer, false, on_look, ticket);
}

static void on_asked(void *argument, enum err err, const redisReply *reply)
{
    struct sealer_ticket *ticket = argument;
    if (!called(ticket)) return;
    if (err)
        answer(ticket, err, NULL);
    else
        ticket->number = (uint64_t)reply->integer;
}

static struct sealer_ticket *new_ticket(struct sealer *sealer, sealer_fn *done, void *argument)
{
    struct sealer_ticket *ticket = mem_new(1, sizeof *ticket);
    *ticket = (struct sealer_ticket){.next = sealer->tickets,
                                     .place = &sealer->tickets,
                                     .sealer = sealer,
                                     .done = done,
                                     .argument = argument,
                                     .until_ns = clock_now_ns() + SEALER_ASK_MS * CLOCK_MS};
    if (ticket->next) ticket->next->place = &ticket->next;
    sealer->tickets = ticket;
    return ticket;
}

struct sealer_ticket *sealer_ask(struct sealer *sealer, sealer_fn *done, void *argument)
{
    static const char *const words[] = {"HINCRBY", SEALER_KEY, "asks", "1"};
    struct sealer_ticket *ticket = new_ticket(sealer, done, argument);
    ticket->called = true;
    store_command(sealer->options.store, on_asked, ticket, 4, words, NULL);
    return ticket;
}

void sealer_drop(struct sealer_ticket *ticket)
{
    if (ticket) release(ticket);
}

void sealer_tick_tickets(struct sealer *sealer)
{
    for (struct sealer_ticket *ticket = sealer->tickets, *next; ticket; ticket = next) {
        next = ticket->next;
        if (!ticket->called && ticket->number > 0) look(ticket);
    }
}

void sealer_end_tickets(struct sealer *sealer)
{
    while (sealer->tickets)
        answer(sealer->tickets, err_note(ERR_UNAVAILABLE, "the scheduler ends"), NULL);
}
