/* tests/sim/net.h -- the links of wire/link.h in virtual time, and what can happen to them.
 *
 * net.c stands in for the real links: the service of a node and the glue of a scheduler are linked against it. A frame is
 * encoded, travels for a while, and is put into the other side's mailbox in its order; heartbeats may overtake. While two
 * ends are parted nothing arrives; a frame that was lost closes the link when they meet again, and silence closes
 * it before. */
#ifndef TESTS_SIM_NET_H
#define TESTS_SIM_NET_H

#include <stdbool.h>
#include <stdint.h>

struct links;

/* Who the links that are made next belong to: 0 .. 99999. */
void net_set_owner(uint32_t owner);
/* What to call when something was put into this owner's mailbox; `at_rest`: nothing of its own is under way, so that it may take it
 * at once. */
void net_set_wake(void (*wake)(uint32_t owner, bool at_rest));
/* Nothing passes between the two until the time; both go on. */
void net_part(uint32_t a, uint32_t b, uint64_t until_ns);
/* What the owner sends from now on goes nowhere, and nothing comes: its process was killed (peers are told by their
 * systems), or its machine lost its power (nobody is told). */
void net_kill(uint32_t owner);
void net_vanish(uint32_t owner);
void net_end(void);

#endif
