/* scheduler/policy/often.h -- records of what a stranger can make happen as often as he likes: the first is written, equal ones are counted.
 *
 * Pure: time is an argument. Thread: one owner. */
#ifndef SCHEDULER_POLICY_OFTEN_H
#define SCHEDULER_POLICY_OFTEN_H

#include <stdbool.h>
#include <stdint.h>

enum {
    OFTEN_MAX = 256 // different ones at once; what comes beyond is written each time
};

/* One that was written. Zeroed: the place is free. */
struct often {
    int class;
    char *said;     // owned
    uint64_t times; // that it came again
    uint64_t until_ns;
};

/* Zeroed: empty. */
struct oftens {
    struct often list[OFTEN_MAX];
    unsigned count;
};

/* True: write it. False: it was counted; it came before, and until `until_ns` of then. */
bool oftens_come(struct oftens *oftens, int class, const char *said, uint64_t until_ns);
/* Take one whose time is over; false: there is none. `said` is to be mem_free()d. */
bool oftens_take(struct oftens *oftens, uint64_t now_ns, struct often *out);
void oftens_fini(struct oftens *oftens);

#endif
