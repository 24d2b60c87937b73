/* tests/unit/scheduler/signed_scene.h -- for a group of tests: a scheduler under a policy, which signs what it says, a real Redis, a node.
 *
 *      signed_scene_begin --> policy_folder_put_region … --> signed_scene_start --> the tests --> signed_scene_end */
#ifndef TESTS_UNIT_SCHEDULER_SIGNED_SCENE_H
#define TESTS_UNIT_SCHEDULER_SIGNED_SCENE_H

#include "tests/support/fake_node.h"
#include "tests/support/policy_folder.h"

#include <stdint.h>

extern struct policy_folder folder; // of the policy
extern struct sign_keys keys;       // that the scheduler signs with
extern struct fake_node *node;

void signed_scene_begin(void **state);
/* The node's kinds are as in a HELLO. */
void signed_scene_start(uint32_t kinds);
/* As CMocka's group function. */
int signed_scene_end(void **state);

#endif
