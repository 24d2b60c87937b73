/* tests/sim/graph.h -- first token and goodput against load, one line a policy, as an SVG. */
#ifndef TESTS_SIM_GRAPH_H
#define TESTS_SIM_GRAPH_H

#include "tests/sim/plan.h"

/* Runs `plan` for each policy, with and without shared prefixes, over rates; writes the file and prints the figures. Gives
 * the program's exit status. */
int graph_write(const char *path, const struct plan *plan);

#endif
