/* How a job is handed out.
 *
 * `ticket` holds (job number << 24 | parts that nobody has claimed). The leader publishes a job by storing a new
 * ticket; a thread claims a part by exchanging the ticket it read for one less. A spent ticket cannot be claimed,
 * and the leader writes the next job only after every part of this one is done, so a claim that succeeds proves
 * that what was read about the job before it was this job's. A helper that wakes late has done no harm. The leader
 * never waits for a helper that has claimed nothing: a machine with other work to do costs parts, not stalls.
 *
 * Sleeping: a helper counts itself in `sleepers`, then looks at the ticket once more under the lock; the leader
 * publishes, then looks at `sleepers`. Both are sequentially consistent, so one of them sees the other. */
#include "kernels/team.h"

#include "kernels/cpu.h"

#include "base/mem.h"
#include "base/must.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum {
    TICKET_PART_BITS = 24,
    HELPER_SPINS = 2000, // some tens of microseconds: about the gap between two jobs of a step
    LEADER_SPINS = 2000
};

struct helper {
    struct team *team;
    pthread_t thread;
    size_t lane;
};

struct team {
    // The job: written by the leader between jobs, read by helpers that check their claim after.
    _Atomic(team_fn) fn;
    _Atomic(void *) argument;
    _Atomic(size_t) parts;

    _Alignas(64) _Atomic(uint64_t) ticket;
    _Alignas(64) _Atomic(size_t) done;
    _Alignas(64) _Atomic(uint32_t) sleepers;
    _Atomic(bool) stopping;

    pthread_mutex_t lock;
    pthread_cond_t wake;
    uint32_t threads;
    struct helper *helpers; // [threads - 1]
};

static void pause_briefly(void)
{
#if defined(__x86_64__)
    _mm_pause();
#endif
}

/* Claim and run parts of the current job until none is left; the job's ticket without its part is returned, so
 * that the caller can tell when another has come. */
static uint64_t run_parts(struct team *team, size_t lane)
{
    bool checked = false;
    for (;;) {
        uint64_t ticket = atomic_load(&team->ticket);
        uint64_t job = ticket >> TICKET_PART_BITS;
        size_t left = ticket & (TEAM_PARTS_MAX - 1);
        if (left == 0) return job;
        team_fn fn = atomic_load_explicit(&team->fn, memory_order_relaxed);
        void *argument = atomic_load_explicit(&team->argument, memory_order_relaxed);
        size_t parts = atomic_load_explicit(&team->parts, memory_order_relaxed);
        if (!atomic_compare_exchange_weak(&team->ticket, &ticket, ticket - 1)) continue;
        if (!checked) must(cpu_float_mode_ok());
        checked = true;
        fn(argument, parts - left, lane);
        atomic_fetch_add_explicit(&team->done, 1, memory_order_release);
    }
}

static bool idle(struct team *team, uint64_t job)
{
    return atomic_load(&team->ticket) >> TICKET_PART_BITS == job && !atomic_load(&team->stopping);
}

static void wait_for_job(struct team *team, uint64_t job)
{
    for (int i = 0; i < HELPER_SPINS; i++) {
        if (!idle(team, job)) return;
        pause_briefly();
    }
    pthread_mutex_lock(&team->lock);
    atomic_fetch_add(&team->sleepers, 1);
    while (idle(team, job))
        pthread_cond_wait(&team->wake, &team->lock);
    atomic_fetch_sub(&team->sleepers, 1);
    pthread_mutex_unlock(&team->lock);
}

static void *helper_main(void *argument)
{
    struct helper *helper = argument;
    struct team *team = helper->team;
    cpu_float_mode_set();
    uint64_t job = 0;
    while (!atomic_load(&team->stopping)) {
        wait_for_job(team, job);
        job = run_parts(team, helper->lane);
    }
    return NULL;
}

static void wake_helpers(struct team *team)
{
    if (atomic_load(&team->sleepers) == 0) return;
    pthread_mutex_lock(&team->lock);
    pthread_cond_broadcast(&team->wake);
    pthread_mutex_unlock(&team->lock);
}

uint32_t team_cores(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
    uint32_t count = (uint32_t)CPU_COUNT(&set);
    return count < TEAM_THREADS_MAX ? count : TEAM_THREADS_MAX;
}

enum err team_new(struct team **out, uint32_t threads)
{
    if (threads < 1 || threads > TEAM_THREADS_MAX)
        return err_note(ERR_INVALID, "a team of %u threads is not in 1..%d", threads,
                        TEAM_THREADS_MAX);
    cpu_float_mode_set();
    struct team *team = mem_new(1, sizeof *team);
    pthread_mutex_init(&team->lock, NULL);
    pthread_cond_init(&team->wake, NULL);
    team->helpers = mem_new(threads, sizeof *team->helpers);
    team->threads = 1;
    for (uint32_t i = 0; i + 1 < threads; i++) {
        struct helper *helper = &team->helpers[i];
        *helper = (struct helper){.team = team, .lane = i + 1};
        int failure = pthread_create(&helper->thread, NULL, helper_main, helper);
        if (failure) {
            team_free(team);
            return err_note(ERR_IO, "compute thread %u of %u cannot start: %s", i + 2, threads,
                            strerror(failure));
        }
        team->threads++;
    }
    *out = team;
    return ERR_OK;
}

void team_free(struct team *team)
{
    if (!team) return;
    pthread_mutex_lock(&team->lock);
    atomic_store(&team->stopping, true);
    pthread_cond_broadcast(&team->wake);
    pthread_mutex_unlock(&team->lock);
    for (uint32_t i = 0; i + 1 < team->threads; i++)
        pthread_join(team->helpers[i].thread, NULL);
    pthread_cond_destroy(&team->wake);
    pthread_mutex_destroy(&team->lock);
    mem_free(team->helpers);
    mem_free(team);
}

uint32_t team_size(const struct team *team)
{
    return team->threads;
}

void team_run(struct team *team, size_t parts, team_fn fn, void *argument)
{
    must(parts < TEAM_PARTS_MAX);
    if (team->threads == 1 || parts <= 1) {
        must(cpu_float_mode_ok());
        for (size_t part = 0; part < parts; part++)
            fn(argument, part, 0);
        return;
    }
    atomic_store_explicit(&team->fn, fn, memory_order_relaxed);
    atomic_store_explicit(&team->argument, argument, memory_order_relaxed);
    atomic_store_explicit(&team->parts, parts, memory_order_relaxed);
    atomic_store_explicit(&team->done, 0, memory_order_relaxed);
    uint64_t job = (atomic_load(&team->ticket) >> TICKET_PART_BITS) + 1;
    atomic_store(&team->ticket, job << TICKET_PART_BITS | parts);
    wake_helpers(team);
    run_parts(team, 0);
    for (int i = 0; atomic_load_explicit(&team->done, memory_order_acquire) < parts; i++) {
        if (i < LEADER_SPINS)
            pause_briefly();
        else
            sched_yield();
    }
}
