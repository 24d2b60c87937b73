/* Random histories of a policy folder against a model of what must hold: nobody is served by what is unknown, unsigned, changed, stepped
 * back, over or not begun. */
#include "scheduler/policy/policy.h"
#include "tests/support/policy_folder.h"
#include "tests/test.h"

#include "base/mem.h"
#include "base/rand.h"

#include <sodium.h>

#include <inttypes.h>
#include <string.h>

enum {
    REGIONS = 3,
    STEPS = 16,
    SEEDS = 60,
    YEAR_FIRST = 2024
};

static const int64_t years[] = {1704067200, 1735689600, 1767225600, 1798761600, 1830297600};

/* A region's document as it lies in the folder, and as it is in force. */
struct state {
    bool there, good; // `good`: signed as it stands, by a key that counts
    bool allowed;
    int serial;
    size_t from, until; // in `years`
};

struct history {
    struct rand rand;
    struct policy_folder folder;
    struct sign_secret stranger;
    struct state files[REGIONS], in_force[REGIONS];
    int newest[REGIONS]; // serial that was ever in force
};

static const char *name_of(size_t region)
{
    static const char *const names[REGIONS] = {"aa", "bb", "cc"};
    return names[region];
}

/* The text of a document that says this; borrowed until the next one. */
static const char *text_of(size_t region, const struct state *state)
{
    static char text[1024];
    snprintf(
        text, sizeof text,
        "{\"format\":\"qiao policy 1\",\"kind\":\"region\",\"name\":\"%s\",\"extends\":\"base\","
        "\"serial\":%d,\"valid_from\":\"%zu-01-01T00:00:00Z\",\"valid_until\":"
        "\"%zu-01-01T00:00:00Z\",\"rules\":{\"features\":{\"assistant\":{\"allowed\":%s}}}}",
        name_of(region), state->serial, YEAR_FIRST + state->from, YEAR_FIRST + state->until,
        state->allowed ? "true" : "false");
    return text;
}

static void remove_file(struct history *h, size_t region)
{
    if (h->files[region].there) policy_folder_remove(&h->folder, name_of(region));
    h->files[region].there = false;
}

/* Another document, most of the time a newer one, most of the time signed. */
static void put_file(struct history *h, size_t region)
{
    struct state *file = &h->files[region];
    uint64_t how = rand_below(&h->rand, 8);
    file->there = true;
    file->allowed = rand_below(&h->rand, 2);
    file->serial += (int)rand_below(&h->rand, 4) - (file->serial > 1);
    if (file->serial < 1) file->serial = 1;
    file->from = rand_below(&h->rand, 3);
    file->until = file->from + 1 + rand_below(&h->rand, 4 - file->from);
    const char *name = name_of(region), *text = text_of(region, file);
    policy_folder_put(&h->folder, name, text);
    file->good = how > 2;
    if (how == 0) policy_folder_sign(&h->folder, name, text, &h->stranger, "qiao policy 1");
    if (how == 1) policy_folder_sign(&h->folder, name, text, &h->folder.secret, "qiao terms 1");
    if (how == 2) { // changed after it was signed
        struct state other = *file;
        other.allowed = !other.allowed;
        text = text_of(region, &other);
        policy_folder_write(&h->folder, name, text, strlen(text));
        file->allowed = other.allowed;
    }
}

/* Whether the folder as it lies may come into force. */
static bool is_good(const struct history *h)
{
    for (size_t i = 0; i < REGIONS; i++) {
        const struct state *file = &h->files[i];
        if (file->there && (!file->good || file->serial < h->newest[i])) return false;
    }
    return true;
}

static void take_over(struct history *h)
{
    memcpy(h->in_force, h->files, sizeof h->in_force);
    for (size_t i = 0; i < REGIONS; i++)
        if (h->files[i].there) h->newest[i] = h->files[i].serial;
}

static void look_at_rules(const struct history *h, const struct policies *policies)
{
    for (size_t i = 0; i < REGIONS; i++) {
        const struct state *state = &h->in_force[i];
        for (size_t year = 0; year + 1 < sizeof years / sizeof *years; year++) {
            const struct rules *rules = NULL;
            enum reason reason =
                policies_find(policies, name_of(i), "t", years[year] + 86400, &rules);
            enum reason want = !state->there ? REASON_REGION_NOT_APPROVED
                               : year < state->from || year >= state->until ? REASON_POLICY_EXPIRED
                                                                            : REASON_NONE;
            assert_int_equal(reason, want);
            assert_true(*reason_code(reason) || reason == REASON_NONE);
            if (!reason)
                assert_int_equal(rules->features[FEATURE_ASSISTANT].allowed, state->allowed);
        }
    }
}

static void run(uint64_t seed)
{
    struct history *h = mem_new(1, sizeof *h);
    struct policies *policies = NULL;
    rand_init(&h->rand, seed);
    policy_folder_init(&h->folder);
    assert_int_equal(sign_make_key(&h->stranger, "stranger"), ERR_OK);
    policy_folder_put(
        &h->folder, "base",
        "{\"format\":\"qiao policy 1\",\"kind\":\"base\",\"name\":\"base\",\"serial\":1,"
        "\"valid_from\":\"2020-01-01T00:00:00Z\",\"valid_until\":"
        "\"2090-01-01T00:00:00Z\",\"rules\":{\"filter\":{\"required\":false}}}");
    assert_int_equal(policies_new(&policies, h->folder.folder, h->folder.keys), ERR_OK);
    for (int step = 0; step < STEPS; step++) {
        size_t region = rand_below(&h->rand, REGIONS);
        if (rand_below(&h->rand, 5) == 0)
            remove_file(h, region);
        else
            put_file(h, region);
        bool good = is_good(h);
        enum err err = policies_load(policies);
        if (good != (err == ERR_OK))
            fail_msg("seed %" PRIu64 ", step %d: %s", seed, step, err ? err_text() : "taken");
        if (good) take_over(h);
        look_at_rules(h, policies);
    }
    policies_free(policies);
    policy_folder_fini(&h->folder);
    mem_free(h);
}

static void only_what_is_signed_valid_and_newest_is_ever_in_force(void **state)
{
    (void)state;
    assert_true(sodium_init() >= 0);
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        run(seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_what_is_signed_valid_and_newest_is_ever_in_force),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
