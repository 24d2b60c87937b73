#include "node/swap.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    WATCH_MS = 1000
};

/* Which file stood under the name. */
struct look {
    bool there;
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec changed;
};

struct swapper {
    struct swapper_options options;
    int end;
    pthread_t thread;
    struct look served;   // the thread's: what was loaded last
    struct look seen;     // the thread's: a second ago
    _Atomic(void *) next; // loaded, and not taken yet
};

static struct look look_at(const char *path)
{
    struct stat status;
    if (stat(path, &status) != 0) return (struct look){0};
    return (struct look){true, status.st_dev, status.st_ino, status.st_size, status.st_mtim};
}

static bool is_same(const struct look *a, const struct look *b)
{
    return a->there == b->there && a->device == b->device && a->inode == b->inode &&
           a->size == b->size && a->changed.tv_sec == b->changed.tv_sec &&
           a->changed.tv_nsec == b->changed.tv_nsec;
}

static void ring(int bell)
{
    uint64_t one = 1;
    ssize_t written = write(bell, &one, sizeof one);
    (void)written; // full: it rings already
}

static void drop(struct swapper *swapper, void *loaded)
{
    if (loaded) swapper->options.unload(loaded);
}

static void load(struct swapper *swapper)
{
    uint64_t started_ns = clock_now_ns();
    struct look look = look_at(swapper->options.path);
    if (is_same(&look, &swapper->served)) {
        log_info("model_same", "file=%s", swapper->options.path);
        return;
    }
    swapper->served = look; // also one that does not open: it is not tried each second
    void *next = swapper->options.load(swapper->options.argument);
    if (!next) {
        log_error("model_refused", "serving=\"the old one\" reason=\"%s\"", err_text());
        return;
    }
    log_info("model_loaded", "file=%s ms=%" PRIu64, swapper->options.path,
             (clock_now_ns() - started_ns) / CLOCK_MS);
    drop(swapper, atomic_exchange(&swapper->next, next)); // one that came before and was not taken
    ring(swapper->options.bell);
}

/* Another file stands there, and has been the same for a second. */
static bool has_changed(struct swapper *swapper)
{
    struct look look = look_at(swapper->options.path);
    bool rests = is_same(&look, &swapper->seen);
    swapper->seen = look;
    return look.there && rests && !is_same(&look, &swapper->served);
}

static void *run(void *argument)
{
    struct swapper *swapper = argument;
    int wait_ms = swapper->options.watch ? WATCH_MS : -1;
    struct pollfd bells[] = {{.fd = swapper->end, .events = POLLIN},
                             {.fd = swapper->options.reload, .events = POLLIN}};
    for (;;) {
        uint64_t count;
        int ready = poll(bells, 2, wait_ms);
        if (bells[0].revents & POLLIN) return NULL;
        bool asked = ready > 0 && (bells[1].revents & POLLIN) &&
                     read(swapper->options.reload, &count, sizeof count) > 0;
        if (asked || (ready == 0 && has_changed(swapper))) load(swapper);
    }
}

enum err swapper_new(struct swapper **out, const struct swapper_options *options)
{
    struct swapper *swapper = mem_new(1, sizeof *swapper);
    swapper->options = *options;
    swapper->served = look_at(options->path);
    swapper->seen = swapper->served;
    swapper->end = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    int failed = swapper->end < 0 ? errno : pthread_create(&swapper->thread, NULL, run, swapper);
    if (failed) {
        if (swapper->end >= 0) close(swapper->end);
        mem_free(swapper);
        return err_note(ERR_IO, "the swapper's thread: %s", strerror(failed));
    }
    *out = swapper;
    return ERR_OK;
}

void swapper_free(struct swapper *swapper)
{
    if (!swapper) return;
    ring(swapper->end);
    pthread_join(swapper->thread, NULL);
    drop(swapper, swapper_take(swapper));
    close(swapper->end);
    mem_free(swapper);
}

void *swapper_take(struct swapper *swapper)
{
    return atomic_exchange(&swapper->next, NULL);
}
