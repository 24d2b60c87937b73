#include "base/private.h"

#include "base/log.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>

enum {
    SWAPS_MAX = 4096 // bytes of /proc/swaps that are looked at
};

void private_forbid_cores(void)
{
    struct rlimit none = {0, 0};
    (void)setrlimit(RLIMIT_CORE, &none);
    (void)prctl(PR_SET_DUMPABLE, 0);
}

bool private_is_choice(const char *swap)
{
    return strcmp(swap, "warn") == 0 || strcmp(swap, "refuse") == 0;
}

bool private_swaps(const char *text)
{
    const char *line = strchr(text, '\n');
    return line && strchr(line + 1, '\n') != NULL;
}

static bool machine_swaps(void)
{
    char text[SWAPS_MAX];
    FILE *file = fopen("/proc/swaps", "re");
    if (!file) return true; // nobody knows
    size_t size = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[size] = '\0';
    return private_swaps(text);
}

/* Pages as they are touched: a mapping that is larger than what is used of it costs nothing. A limit below infinity would let
 * allocations fail later, one by one: then nothing is locked. */
static bool lock_all(void)
{
    struct rlimit most;
    if (getrlimit(RLIMIT_MEMLOCK, &most) != 0) return false;
    if (most.rlim_cur != RLIM_INFINITY && most.rlim_max == RLIM_INFINITY) {
        most.rlim_cur = RLIM_INFINITY;
        if (setrlimit(RLIMIT_MEMLOCK, &most) != 0) return false;
    }
    return most.rlim_cur == RLIM_INFINITY && mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) == 0;
}

enum err private_lock(const char *swap)
{
    if (lock_all()) {
        log_info("memory_locked", "swap=never");
        return ERR_OK;
    }
    if (!machine_swaps()) return ERR_OK;
    if (strcmp(swap, "refuse") == 0)
        return err_note(ERR_INVALID,
                        "swap: this machine swaps and memory cannot be locked, so prompts could be "
                        "written to disk: raise the limit of locked memory to infinity "
                        "(LimitMEMLOCK=infinity), turn swap off, or set swap to warn");
    log_warn("memory_may_swap", "hint=\"raise ulimit -l to unlimited (LimitMEMLOCK), or turn "
                                "swap off\"");
    return ERR_OK;
}

void private_unlock(void *memory, size_t size)
{
    (void)munlock(memory, size);
}
