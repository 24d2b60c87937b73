#include "node/stop.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* OpenBLAS starts threads before main() that would take a blocked signal and die of it, and the process with
 * them; so the signals are not blocked for a signalfd: a handler rings this bell in whichever thread. */
static int stop_bell = -1, reload_bell = -1;
static volatile sig_atomic_t asked;

static void ring(int signal_number)
{
    int saved = errno;
    uint64_t one = 1;
    if (signal_number != SIGHUP) asked = 1;
    ssize_t written = write(signal_number == SIGHUP ? reload_bell : stop_bell, &one, sizeof one);
    (void)written; // full: it rings already
    errno = saved;
}

bool stop_asked(void)
{
    return asked != 0;
}

enum err stop_open(int *bell, int *reload)
{
    stop_bell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    reload_bell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (stop_bell < 0 || reload_bell < 0) return err_note(ERR_IO, "eventfd: %s", strerror(errno));
    struct sigaction stop = {.sa_handler = ring, .sa_flags = SA_RESTART};
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigaction(SIGTERM, &stop, NULL);
    sigaction(SIGINT, &stop, NULL);
    sigaction(SIGHUP, &stop, NULL);
    sigaction(SIGPIPE, &ignore, NULL);
    *bell = stop_bell;
    *reload = reload_bell;
    return ERR_OK;
}
