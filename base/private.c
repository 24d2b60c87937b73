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
    return strcmp(swap, "warn") == 0 || strcmp(swap, "refuse") == 0 || strcmp(swap, "lock") == 0;
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

static void raise_limit(struct rlimit *most)
{
    struct rlimit raised = *most;
    raised.rlim_cur = raised.rlim_max;
    if (setrlimit(RLIMIT_MEMLOCK, &raised) == 0) *most = raised;
}

/* Whether more can be mapped than the limit lets a process lock: so with CAP_IPC_LOCK, and not where a namespace shows a capability that is
 * none outside of it. Nothing of it is touched, so it costs nothing. */
static bool may_pass(const struct rlimit *most)
{
    if (most->rlim_cur == RLIM_INFINITY) return true;
    size_t size = (size_t)most->rlim_cur + (1U << 20);
    void *memory = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) return false;
    munmap(memory, size);
    return true;
}

/* Pages as they are touched: a mapping that is larger than what is used of it costs nothing. Where the limit holds, allocations would
 * fail later, one by one: then nothing is locked. */
static bool lock_all(struct rlimit *most)
{
    if (getrlimit(RLIMIT_MEMLOCK, most) != 0) return false;
    raise_limit(most);
    if (mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) != 0) return false;
    if (may_pass(most)) return true;
    munlockall();
    return false;
}

static enum err refuse(const struct rlimit *most, const char *why)
{
    return err_note(ERR_INVALID,
                    "swap: %s, and memory cannot be locked beyond %llu bytes, so prompts could be "
                    "written to disk: raise the limit of locked memory to infinity "
                    "(LimitMEMLOCK=infinity, ulimit -l unlimited) or give CAP_IPC_LOCK%s, or set "
                    "swap to warn",
                    why, (unsigned long long)most->rlim_cur,
                    machine_swaps() ? ", turn swap off" : "");
}

enum err private_lock(const char *swap)
{
    struct rlimit most = {0, 0};
    if (lock_all(&most)) {
        log_info("memory_locked", "swap=never");
        return ERR_OK;
    }
    if (strcmp(swap, "lock") == 0) return refuse(&most, "memory must be locked");
    if (!machine_swaps()) {
        log_info("memory_not_locked", "swap=none");
        return ERR_OK;
    }
    if (strcmp(swap, "refuse") == 0) return refuse(&most, "this machine swaps");
    log_warn("memory_may_swap", "hint=\"raise ulimit -l to unlimited (LimitMEMLOCK), give "
                                "CAP_IPC_LOCK, or turn swap off\"");
    return ERR_OK;
}

void private_unlock(void *memory, size_t size)
{
    (void)munlock(memory, size);
}
