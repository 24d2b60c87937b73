#include "scheduler/scribe.h"

#include "base/mailbox.h"
#include "base/mem.h"
#include "base/must.h"
#include "base/wipe.h"

#include <event2/event.h>

#include <pthread.h>
#include <stdint.h>

struct job {
    scribe_fn *work, *done;
    void *argument;
};

struct worker {
    struct scribe *scribe;
    struct mailbox *inbox;
    pthread_t thread;
    struct job stop; // the last one that it takes
};

struct scribe {
    struct worker *workers;
    size_t worker_count;
    size_t job_count;
    struct mailbox *outbox;
    struct event *bell;
};

static void *worker_run(void *argument)
{
    struct worker *worker = argument;
    for (;;) {
        struct job *job = mailbox_take(worker->inbox);
        if (job == &worker->stop) return NULL;
        if (!job) {
            mailbox_wait(worker->inbox, UINT64_MAX);
            continue;
        }
        job->work(job->argument);
        wipe_stack();
        must(mailbox_put(worker->scribe->outbox, job)); // it has room for every accepted job
    }
}

static void finish(struct scribe *scribe, struct job *job)
{
    scribe->job_count--;
    job->done(job->argument);
    mem_free(job);
}

static void on_bell(evutil_socket_t fd, short what, void *argument)
{
    struct scribe *scribe = argument;
    struct job *job;
    (void)fd;
    (void)what;
    mailbox_hush(scribe->outbox);
    while ((job = mailbox_take(scribe->outbox)))
        finish(scribe, job);
}

struct scribe *scribe_new(struct event_base *base, size_t workers)
{
    struct scribe *scribe = mem_new(1, sizeof *scribe);
    scribe->outbox = mailbox_new(SCRIBE_JOBS_MAX);
    scribe->bell =
        event_new(base, mailbox_bell(scribe->outbox), EV_READ | EV_PERSIST, on_bell, scribe);
    must(scribe->bell && event_add(scribe->bell, NULL) == 0);
    scribe->workers = mem_new(workers, sizeof *scribe->workers);
    scribe->worker_count = workers;
    for (size_t i = 0; i < workers; i++) {
        struct worker *worker = &scribe->workers[i];
        worker->scribe = scribe;
        worker->inbox = mailbox_new(SCRIBE_JOBS_MAX);
        must(pthread_create(&worker->thread, NULL, worker_run, worker) == 0);
    }
    return scribe;
}

static bool submit(struct scribe *scribe, struct worker *worker, const struct job *like)
{
    struct job *job = mem_new(1, sizeof *job);
    *job = *like;
    scribe->job_count++;
    must(mailbox_put(worker->inbox, job));
    return true;
}

bool scribe_submit(struct scribe *scribe, scribe_fn *work, scribe_fn *done, void *argument)
{
    if (scribe->job_count == SCRIBE_JOBS_MAX) return false;
    struct worker *least = &scribe->workers[0];
    for (size_t i = 1; i < scribe->worker_count; i++) {
        if (mailbox_count(scribe->workers[i].inbox) < mailbox_count(least->inbox))
            least = &scribe->workers[i];
    }
    return submit(scribe, least, &(struct job){work, done, argument});
}

bool scribe_submit_to(struct scribe *scribe, size_t lane, scribe_fn *work, scribe_fn *done,
                      void *argument)
{
    if (scribe->job_count == SCRIBE_JOBS_MAX) return false;
    struct worker *worker = &scribe->workers[lane % scribe->worker_count];
    return submit(scribe, worker, &(struct job){work, done, argument});
}

void scribe_free(struct scribe *scribe)
{
    struct job *job;
    if (!scribe) return;
    for (size_t i = 0; i < scribe->worker_count; i++) {
        struct worker *worker = &scribe->workers[i];
        while ((job = mailbox_take(worker->inbox))) // what was not begun
            finish(scribe, job);
        must(mailbox_put(worker->inbox, &worker->stop));
    }
    for (size_t i = 0; i < scribe->worker_count; i++) {
        must(pthread_join(scribe->workers[i].thread, NULL) == 0);
        mailbox_free(scribe->workers[i].inbox);
    }
    while ((job = mailbox_take(scribe->outbox)))
        finish(scribe, job);
    event_free(scribe->bell);
    mailbox_free(scribe->outbox);
    mem_free(scribe->workers);
    mem_free(scribe);
}
