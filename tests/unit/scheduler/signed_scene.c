#include "tests/unit/scheduler/signed_scene.h"

#include "tests/test.h"
#include "tests/unit/scheduler/scene.h"

#include <sodium.h>

struct policy_folder folder;
struct sign_keys keys;
struct fake_node *node;

void signed_scene_begin(void **state)
{
    assert_true(sodium_init() >= 0);
    start_redis(state);
    policy_folder_init(&folder);
    policy_folder_add_label_key(&folder, &keys);
    policy_folder_put_base(&folder, "{}");
}

void signed_scene_start(uint32_t kinds)
{
    const char *const more[] = {"--policy",  folder.folder, "--policy-keys",
                                folder.keys, "--label-key", folder.label_key,
                                NULL};
    start_scheduler_with("", more);
    node = start_node(&(struct fake_node_options){.credits = 64, .kinds = kinds});
}

int signed_scene_end(void **state)
{
    fake_node_stop(node);
    stop_scheduler();
    policy_folder_fini(&folder);
    return stop_redis(state);
}
