/* Questions to indexes (indexes.h), until they are answered: each in the line of the worker that has its index. */
#include "scheduler/features/search/indexes_parts.h"

#include "base/clock.h"
#include "base/mem.h"

#include <stdio.h>

enum {
    LATE_MS = 500 // of a read that began before a write, and says that there is no index
};

static void unlink_ticket(struct indexes_ticket *ticket)
{
    ticket->previous->next = ticket->next;
    ticket->next->previous = ticket->previous;
    ticket->entry->ticket_count--;
}

static void end_ticket(struct indexes_ticket *ticket, enum err err, uint64_t version)
{
    struct indexes_question question = ticket->question;
    bool dropped = ticket->dropped;
    void (*gone)(void *argument) = ticket->gone;
    unlink_ticket(ticket);
    mem_free(ticket);
    if (!dropped)
        question.done(question.argument, err, version);
    else if (gone)
        gone(question.argument);
}

static void on_work(void *argument)
{
    struct indexes_ticket *ticket = argument;
    struct keeper *keeper = &ticket->entry->keeper;
    ticket->version = keeper->version;
    if (!keeper->corpus) {
        ticket->err = err_note(ERR_NOT_FOUND, "there is no such index");
    } else {
        ticket->err =
            ticket->question.work(ticket->question.argument, keeper->corpus, keeper->version);
    }
    if (ticket->err) snprintf(ticket->note, sizeof ticket->note, "%s", err_text());
}

static void after_work(void *argument)
{
    struct indexes_ticket *ticket = argument;
    enum err err = ticket->err;
    ticket->entry->jobs--;
    if (err) (err_note)(err, "%s", ticket->note);
    end_ticket(ticket, err, ticket->version);
}

void indexes_refuse(struct indexes_ticket *ticket, enum err err, const char *note)
{
    (err_note)(err, "%s", note);
    end_ticket(ticket, err, 0);
}

/* False: the workers' queue is full. */
static bool start_work(struct indexes_ticket *ticket)
{
    struct index_entry *entry = ticket->entry;
    ticket->at_work = true;
    ticket->err = ERR_CANCELED; // until it was worked
    if (indexes_submit(entry, on_work, after_work, ticket)) return true;
    ticket->at_work = false;
    return false;
}

/* Its version can be believed, and that there is none. */
bool indexes_is_sure(const struct index_entry *entry)
{
    return entry->is_known && entry->doubt == DOUBT_NONE;
}

static bool is_whole(const struct index_entry *entry)
{
    return indexes_is_sure(entry) && !entry->gone;
}

/* It has the version that is asked for, or a later one. */
static bool has_version(const struct index_entry *entry, uint64_t version)
{
    return is_whole(entry) && entry->version > 0 && entry->version >= version;
}

/* Ask now, if it can be, or say that it cannot. */
static void serve_ticket(struct indexes_ticket *ticket, uint64_t now_ns)
{
    struct index_entry *entry = ticket->entry;
    if (ticket->at_work) return;
    // What was just written may have been looked for just before.
    bool is_late = entry->written_ns > 0 && now_ns - entry->written_ns < LATE_MS * CLOCK_MS;
    bool is_gone = entry->removed || (indexes_is_sure(entry) && entry->gone && !is_late);
    if (is_gone && ticket->question.version == 0) {
        indexes_refuse(ticket, ERR_NOT_FOUND, "there is no such index");
    } else if (has_version(entry, ticket->question.version)) {
        if (!ticket->question.work)
            end_ticket(ticket, ERR_OK, entry->version);
        else if (!start_work(ticket))
            indexes_refuse(ticket, ERR_BUSY, "too much waits for the workers");
    } else if (now_ns >= ticket->question.deadline_ns) {
        indexes_refuse(ticket, ERR_UNAVAILABLE,
                       has_version(entry, 0)
                           ? "the index has not reached the version that was asked for yet"
                           : "the index is being read, and not whole yet");
    }
}

void indexes_serve(struct index_entry *entry)
{
    uint64_t now_ns = clock_now_ns();
    struct indexes_ticket *next;
    for (struct indexes_ticket *at = entry->tickets.next; at != &entry->tickets; at = next) {
        next = at->next;
        serve_ticket(at, now_ns);
    }
}

struct indexes_ticket *indexes_ask(struct indexes *indexes, const struct indexes_question *question)
{
    struct index_entry *entry = indexes_open(indexes, question->collection);
    if (!entry) {
        err_note(ERR_BUSY, "this scheduler holds %d indexes, its most", INDEXES_MAX);
        return NULL;
    }
    if (entry->ticket_count == INDEXES_WAITING_MAX) {
        err_note(ERR_BUSY, "%d searches of this index wait already", INDEXES_WAITING_MAX);
        return NULL;
    }
    struct indexes_ticket *ticket = mem_new(1, sizeof *ticket);
    ticket->entry = entry;
    ticket->question = *question;
    ticket->question.collection = entry->name;
    ticket->next = &entry->tickets;
    ticket->previous = entry->tickets.previous;
    ticket->previous->next = entry->tickets.previous = ticket;
    entry->ticket_count++;
    bool is_ready = has_version(entry, question->version);
    // Others, and those whom the workers have no room for, wait for a slice or the tick.
    if (is_ready && question->work) (void)start_work(ticket);
    return ticket;
}

void indexes_drop(struct indexes_ticket *ticket, void (*gone)(void *argument))
{
    ticket->dropped = true;
    ticket->gone = gone;
    if (!ticket->at_work) end_ticket(ticket, ERR_CANCELED, 0);
}
