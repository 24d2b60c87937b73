/* Four schedulers hammer one key and a few users: what is admitted never passes a limit, and what nobody can have is
 * no more than their chunks. */
#include "scheduler/state/lease.h"
#include "scheduler/state/limit.h"
#include "scheduler/state/store.h"
#include "tests/test.h"
#include "tests/unit/scheduler/state/crowd.h"

#include "base/clock.h"
#include "base/rand.h"

#include <event2/event.h>

enum {
    MEMBERS = 4,
    USERS = 3,
    PATIENCE = 600,   // rounds of 0.1 s
    REQUESTS = 12000, // that are ever asked
    AT_ONCE = 80,
    TOKENS_MOST = 900 // of one request
};

/* One request's life, and when what is known of it was known. */
struct request {
    struct crowd_answer answer;
    uint32_t member, user;
    uint64_t asked_ns, answered_ns; // it was admitted in between
    uint64_t most, tokens;          // asked for; counted: what it reserves, then what it used
    uint32_t streams;

    enum {
        PENDING,
        HELD,
        OVER
    } state;

    bool admitted;
};

struct scene {
    struct rand rand;
    struct limit_options options;
    struct crowd_member members[MEMBERS];
    struct request *requests; // [count]
    size_t count;
    struct limit_rule key, user;
    uint64_t lost; // tokens that killed schedulers may have taken with them
    unsigned kills;
};

static const char *const users[USERS] = {"ann", "ben", "cay"};

static struct scene *scene_new(uint64_t seed, const struct limit_options *options)
{
    struct scene *scene = calloc(1, sizeof *scene);
    rand_init(&scene->rand, seed);
    scene->options = *options;
    scene->requests = calloc(REQUESTS, sizeof *scene->requests);
    for (int i = 0; i < MEMBERS; i++)
        scene->members[i] = crowd_join(options);
    return scene;
}

static void scene_free(struct scene *scene)
{
    for (int i = 0; i < MEMBERS; i++)
        crowd_kill(&scene->members[i]);
    free(scene->requests);
    free(scene);
}

static uint64_t below(struct scene *scene, uint64_t bound)
{
    return rand_below(&scene->rand, bound);
}

static void ask(struct scene *scene)
{
    struct request *request = &scene->requests[scene->count];
    if (scene->count == REQUESTS) return;
    scene->count++;
    request->member = (uint32_t)below(scene, MEMBERS);
    request->user = (uint32_t)below(scene, USERS);
    request->most = 1 + below(scene, below(scene, 20) > 0 ? 60 : TOKENS_MOST);
    request->streams = below(scene, 8) > 0 ? 1 : 2;
    request->asked_ns = clock_now_ns();
    struct limit_ask limit = {.key = "crowd",
                              .tenant = "shop",
                              .user = users[request->user],
                              .key_rule = scene->key,
                              .user_rule = scene->user,
                              .tokens = request->most,
                              .least = below(scene, 2) ? request->most : 1 + request->most / 10,
                              .streams = request->streams};
    crowd_ask_later(&scene->members[request->member], &limit, &request->answer);
}

/* What the loop has brought. */
static void look(struct request *request)
{
    if (request->state != PENDING || !request->answer.done) return;
    request->state = request->answer.err ? OVER : HELD;
    assert_true(request->answer.err == ERR_OK || request->answer.err == ERR_LIMITED ||
                request->answer.err == ERR_TOO_LARGE);
    if (request->answer.err) return;
    request->admitted = true;
    request->tokens = request->answer.limit.tokens;
    request->answered_ns = clock_now_ns();
    assert_true(request->tokens <= request->most && request->tokens > 0);
}

static void end(struct scene *scene, struct request *request)
{
    uint64_t used = below(scene, 3) ? request->tokens : below(scene, request->tokens + 1);
    if (request->state == HELD) {
        crowd_settle(&request->answer, used);
        request->tokens = used;
    } else if (request->state == PENDING && !request->answer.done && below(scene, 8) == 0) {
        limit_drop(request->answer.ticket);
    } else {
        return;
    }
    request->state = OVER;
}

/* kill -9: what it has asked for and holds is lost with it. */
static void kill_one(struct scene *scene)
{
    uint32_t index = (uint32_t)below(scene, MEMBERS);
    scene->kills++;
    scene->lost += scene->key.tokens_per_minute / LEASE_CHUNKS + TOKENS_MOST;
    for (size_t i = 0; i < scene->count; i++) {
        struct request *request = &scene->requests[i];
        if (request->member != index || request->state == OVER) continue;
        if (request->state == PENDING) {
            scene->lost += request->most;
            if (!request->answer.done)
                limit_drop(request->answer.ticket);
            else
                scene->lost += request->most;
        }
        request->state = OVER;
    }
    crowd_kill(&scene->members[index]);
    scene->members[index] = crowd_join(&scene->options);
}

static void check_totals(const struct scene *scene)
{
    uint64_t requests = 0, tokens = 0, streams = 0, of_user[USERS] = {0}, air[USERS] = {0};
    for (size_t i = 0; i < scene->count; i++) {
        const struct request *request = &scene->requests[i];
        if (!request->admitted) continue;
        requests++;
        tokens += request->tokens;
        of_user[request->user] += request->tokens;
        if (request->state != HELD) continue;
        streams += request->streams;
        air[request->user] += request->streams;
    }
    assert_true(requests <= scene->key.requests_per_minute);
    assert_true(tokens <= scene->key.tokens_per_minute);
    assert_true(streams <= scene->key.streams);
    for (int i = 0; i < USERS; i++) {
        assert_true(of_user[i] <= scene->user.tokens_per_minute);
        assert_true(air[i] <= scene->user.streams);
    }
}

static size_t at_once(const struct scene *scene)
{
    size_t count = 0;
    for (size_t i = 0; i < scene->count; i++)
        count += scene->requests[i].state != OVER;
    return count;
}

static void turn(struct scene *scene, unsigned kills)
{
    if (at_once(scene) < AT_ONCE) ask(scene);
    struct request *chosen = NULL; // any of those that are not over
    for (size_t i = 0, live = 0; i < scene->count; i++)
        if (scene->requests[i].state != OVER && below(scene, ++live) == 0)
            chosen = &scene->requests[i];
    if (chosen && below(scene, AT_ONCE) < at_once(scene)) end(scene, chosen);
    if (scene->kills < kills && below(scene, 700) == 0) kill_one(scene);
    if (below(scene, 3) == 0) event_base_loop(crowd_base, EVLOOP_NONBLOCK);
    if (below(scene, 200) == 0) crowd_run(1 + (unsigned)below(scene, 30));
    for (size_t i = 0; i < scene->count; i++)
        look(&scene->requests[i]);
}

static void end_all(struct scene *scene)
{
    for (size_t i = 0; i < scene->count; i++) {
        struct request *request = &scene->requests[i];
        if (request->state == PENDING) crowd_run_until(&request->answer.done);
        look(request);
        end(scene, request);
    }
}

static uint64_t admitted_tokens(const struct scene *scene)
{
    uint64_t tokens = 0;
    for (size_t i = 0; i < scene->count; i++)
        tokens += scene->requests[i].tokens;
    return tokens;
}

/* How much one more scheduler can still get, bit by bit. */
static uint64_t probe(struct scene *scene)
{
    struct crowd_member prober = crowd_join(&scene->options);
    struct limit_ask small = {.key = "crowd", .tenant = "shop", .user = "", .streams = 1};
    uint64_t got = 0;
    small.key_rule = scene->key;
    small.key_rule.streams = 0; // those of killed schedulers may stand for a while
    for (uint64_t size = 256; size > 0; size /= 4) {
        small.tokens = small.least = size;
        for (;;) {
            struct crowd_answer answer = crowd_ask(&prober, &small);
            if (answer.err) break;
            crowd_settle(&answer, size);
            got += size;
        }
    }
    crowd_leave(&prober);
    return got;
}

/* No window ends and no stream of a scheduler that lives is forgotten while they are at it, however long that takes. */
static const struct limit_options slow = {.minute_ms = 3600000, .stream_ms = 60000};

static void four_schedulers_never_pass_a_limit(void **state)
{
    (void)state;
    if (!crowd_base) skip();
    for (uint64_t seed = 1; seed <= 3; seed++) {
        struct scene *scene = scene_new(seed, &slow);
        scene->key = (struct limit_rule){.requests_per_minute = 4000,
                                         .tokens_per_minute = 32000,
                                         .tokens_per_day = 100000000,
                                         .streams = 60};
        scene->user = (struct limit_rule){
            .requests_per_minute = 2000, .tokens_per_minute = 11000, .streams = 25};
        for (int i = 0; i < 6000; i++) {
            turn(scene, seed == 1 ? 0 : 4);
            if (i % 20 == 0) check_totals(scene);
        }
        end_all(scene);
        check_totals(scene);
        uint64_t chunk = scene->key.tokens_per_minute / LEASE_CHUNKS;
        uint64_t used = admitted_tokens(scene), limit = scene->key.tokens_per_minute;
        uint64_t got = probe(scene); // at once: the four still hold what they hold
        print_message(
            "seed %d: %zu asked, %llu tokens used, %llu left to a fifth, %u kills took at "
            "most %llu, limit %llu\n",
            (int)seed, scene->count, (unsigned long long)used, (unsigned long long)got,
            scene->kills, (unsigned long long)scene->lost, (unsigned long long)limit);
        assert_true(used + got <= limit);
        assert_true(used + got + scene->lost + MEMBERS * chunk >= limit);
        for (int i = 0; i < PATIENCE && used + got + scene->lost < limit; i++) {
            crowd_run(100); // they rest: what they held comes back
            got += probe(scene);
        }
        assert_true(used + got <= limit);
        assert_true(used + got + scene->lost >= limit);
        scene_free(scene);
        test_redis_kill(&crowd_redis);
        test_redis_restart(&crowd_redis);
    }
}

/* Those that were surely admitted within `window_ns` from `start_ns`. */
static void check_window(const struct scene *scene, uint64_t start_ns, uint64_t window_ns)
{
    uint64_t requests = 0, tokens = 0, of_user[USERS] = {0};
    for (size_t i = 0; i < scene->count; i++) {
        const struct request *request = &scene->requests[i];
        if (!request->admitted || request->asked_ns < start_ns ||
            request->answered_ns > start_ns + window_ns)
            continue;
        requests++;
        tokens += request->tokens;
        of_user[request->user] += request->tokens;
    }
    assert_true(requests <= scene->key.requests_per_minute);
    assert_true(tokens <= scene->key.tokens_per_minute);
    for (int i = 0; i < USERS; i++)
        assert_true(of_user[i] <= scene->user.tokens_per_minute);
}

static uint64_t wanted_tokens(const struct scene *scene)
{
    uint64_t tokens = 0;
    for (size_t i = 0; i < scene->count; i++)
        tokens += scene->requests[i].most;
    return tokens;
}

enum {
    WANTED = 8 * 16000, // tokens
    USED = 8 * 10667 / 2
};

static void no_minute_wherever_it_begins_sees_more_than_the_limit(void **state)
{
    (void)state;
    if (!crowd_base) skip();
    struct limit_options quick = {.minute_ms = 1500, .day_ms = 12000, .stream_ms = 600};
    struct scene *scene = scene_new(7, &quick);
    uint64_t begin_ns = clock_now_ns(), until_ns = begin_ns + 8 * CLOCK_SECOND;
    uint64_t limit_ns = begin_ns + 120 * CLOCK_SECOND, wanted = 0, used = 0;
    scene->key = (struct limit_rule){.requests_per_minute = 900, .tokens_per_minute = 16000};
    scene->user = (struct limit_rule){.requests_per_minute = 400, .tokens_per_minute = 7000};
    // A busy machine takes longer to be a crowd.
    while (clock_now_ns() < until_ns ||
           (clock_now_ns() < limit_ns && (wanted <= WANTED || used <= USED))) {
        turn(scene, 0);
        if (below(scene, 4) == 0) crowd_run(1);
        wanted = wanted_tokens(scene);
        used = admitted_tokens(scene);
    }
    end_all(scene);
    for (size_t i = 0; i < scene->count; i++)
        check_window(scene, scene->requests[i].asked_ns, 1500 * CLOCK_MS);
    wanted = wanted_tokens(scene);
    used = admitted_tokens(scene);
    print_message("%zu asked for %llu tokens, %llu used, of 10,667 a second\n", scene->count,
                  (unsigned long long)wanted, (unsigned long long)used);
    assert_true(wanted > WANTED); // there was a crowd
    assert_true(used > USED);     // and it was served
    scene_free(scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(four_schedulers_never_pass_a_limit),
        cmocka_unit_test(no_minute_wherever_it_begins_sees_more_than_the_limit),
    };
    return cmocka_run_group_tests(tests, crowd_set_up, crowd_tear_down);
}
