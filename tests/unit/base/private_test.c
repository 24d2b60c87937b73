#include "tests/test.h"

#include "base/err.h"
#include "base/private.h"

#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    GOOD = 0,
    REFUSED = 1, // with a note that says what to do
    WRONG = 2
};

/* What a process that may lock only 16 KiB is told; its memory is unlocked again with it. */
static void be_limited(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {{0}};
    struct rlimit little = {16 << 10, 16 << 10};
    if (setrlimit(RLIMIT_MEMLOCK, &little) != 0) _exit(WRONG);
    if (syscall(SYS_capset, &header, data) != 0) _exit(WRONG);
}

static int lock_as(const char *swap)
{
    if (private_lock(swap) == ERR_OK) return GOOD;
    return strstr(err_text(), "16384 bytes") && strstr(err_text(), "LimitMEMLOCK") ? REFUSED
                                                                                   : WRONG;
}

static long locked_kib(void)
{
    char line[128];
    long kib = -1;
    FILE *file = fopen("/proc/self/status", "re");
    while (file && fgets(line, sizeof line, file))
        if (strncmp(line, "VmLck:", 6) == 0) kib = strtol(line + 6, NULL, 10);
    if (file) fclose(file);
    return kib;
}

static int in_a_process(int (*act)(void))
{
    int status = -1;
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) _exit(act());
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : WRONG;
}

static void places_to_swap_to_are_lines_below_the_headline(void **state)
{
    (void)state;
    assert_false(private_swaps(""));
    assert_false(private_swaps("Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"));
    assert_true(private_swaps("Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"
                              "/dev/zram0          partition\t8388604\t0\t100\n"));
}

static void there_are_three_choices(void **state)
{
    (void)state;
    assert_true(private_is_choice("warn"));
    assert_true(private_is_choice("refuse"));
    assert_true(private_is_choice("lock"));
    assert_false(private_is_choice(""));
    assert_false(private_is_choice("never"));
}

static void cores_and_debuggers_are_forbidden(void **state)
{
    (void)state;
    struct rlimit cores = {1, 1};
    private_forbid_cores();
    assert_int_equal(getrlimit(RLIMIT_CORE, &cores), 0);
    assert_int_equal(cores.rlim_max, 0);
    assert_int_equal(prctl(PR_GET_DUMPABLE), 0);
}

static int limited_lock(void)
{
    be_limited();
    return lock_as("lock");
}

static int limited_warn(void)
{
    be_limited();
    int said = lock_as("warn");
    return said == GOOD && locked_kib() == 0 ? GOOD : WRONG;
}

static int limited_refuse(void)
{
    be_limited();
    return lock_as("refuse");
}

static int free_lock(void)
{
    if (mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) != 0) return REFUSED; // nor can we
    struct rlimit most;
    size_t size = 64 << 20;
    int told = private_lock("lock") == ERR_OK ? GOOD : WRONG;
    if (getrlimit(RLIMIT_MEMLOCK, &most) != 0 || told != GOOD) return WRONG;
    char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return WRONG; // allocations beyond any limit go on
    memset(memory, 1, size);
    return locked_kib() >= 64 << 10 ? GOOD : WRONG;
}

#if defined(__SANITIZE_ADDRESS__)
/* AddressSanitizer does not lock memory, and says that it has. */
static void memory_is_locked_or_it_is_said(void **state)
{
    (void)state;
    (void)in_a_process;
    (void)limited_lock, (void)limited_warn, (void)limited_refuse, (void)free_lock;
    skip();
}
#else
static void memory_is_locked_or_it_is_said(void **state)
{
    char text[4096] = "";
    (void)state;
    FILE *file = fopen("/proc/swaps", "re");
    assert_non_null(file);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    assert_int_equal(in_a_process(limited_lock), REFUSED);
    assert_int_equal(in_a_process(limited_warn), GOOD);
    assert_int_equal(in_a_process(limited_refuse), private_swaps(text) ? REFUSED : GOOD);
    int told = in_a_process(free_lock);
    if (told == REFUSED) print_message("this machine locks nothing: only the refusal was tried\n");
    assert_int_not_equal(told, WRONG);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(places_to_swap_to_are_lines_below_the_headline),
        cmocka_unit_test(there_are_three_choices),
        cmocka_unit_test(memory_is_locked_or_it_is_said),
        cmocka_unit_test(cores_and_debuggers_are_forbidden),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
