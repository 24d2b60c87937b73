/* Seeded histories: nodes that crash, come back, say busy, fail, repeat themselves and lie; clients
 * that cancel and have deadlines; links that keep their order and nothing else. Whatever happens,
 * each request ends exactly once, nothing follows a cancel, positions are contiguous, and the ids
 * are those of the undisturbed run. QIAO_SEED=n replays one history. */
#include "scheduler/core/fleet.h"
#include "scheduler/core/flight.h"
#include "tests/test.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/rand.h"

#include <string.h>

enum {
    NODES = 4,
    REQUESTS = 120,
    CAPACITY = 24,
    STEPS = 6000,
    CREDITS = 6,
    WORK_MAX = 64,
    ANSWER_MAX = 40,
    HISTORIES = 60,
    STOP_ID = 0
};

/* One attempt that a node works at. */
struct work {
    struct wire_key key;
    uint64_t seed;
    uint32_t prompt_length, position, max_tokens;
    int32_t last;
    bool live;
};

struct sim_node {
    uint64_t link; // 0: down
    struct work work[WORK_MAX];
    size_t work_count;
};

struct request {
    uint64_t flight;
    uint64_t seed;
    uint32_t prompt_length, max_tokens;
    uint64_t deadline_ns;
    uint32_t count; // ids that came
    size_t ends;
    bool canceled;
    struct flight_end end;
};

struct sim {
    struct rand rand;
    struct fleet *fleet;
    struct flights *flights;
    struct sim_node nodes[NODES];
    struct request requests[REQUESTS];
    size_t started;
    uint64_t now_ns;
    uint64_t last_link;
    uint64_t liar; // the link that contradicted itself; 0: none yet
    bool refusing; // links take nothing now and then
};

/* The numbers' side of promise 2: an id depends on seed and position only, so whichever node goes
 * on makes the same answer. One id in 25 is the stop id. */
static int32_t id_at(uint64_t seed, uint64_t position)
{
    return (int32_t)(rand_at(seed, 0, position) % 25);
}

/* The undisturbed run: how many ids, and how it ends. */
static uint32_t answer_length(const struct request *request, enum wire_finish *finish)
{
    for (uint32_t n = 1; n <= request->max_tokens; n++) {
        *finish = WIRE_FINISH_STOP;
        if (id_at(request->seed, request->prompt_length + n - 1) == STOP_ID) return n;
    }
    *finish = WIRE_FINISH_LENGTH;
    return request->max_tokens;
}

static bool chance(struct sim *sim, uint64_t one_in)
{
    return rand_below(&sim->rand, one_in) == 0;
}

static struct sim_node *node_of(struct sim *sim, uint64_t link)
{
    for (size_t i = 0; i < NODES; i++)
        if (sim->nodes[i].link == link) return &sim->nodes[i];
    return NULL;
}

static void take_submit(struct sim_node *node, const struct wire_submit *submit)
{
    for (uint32_t i = submit->prompt_length; i < submit->id_count; i++)
        assert_int_equal(submit->ids[i], id_at(submit->sampling.seed, i));
    assert_int_equal(submit->next_position, submit->id_count);
    for (size_t i = 0; i < node->work_count; i++) // never twice to one node
        assert_true(node->work[i].key.request != submit->key.request);
    assert_true(node->work_count < WORK_MAX);
    node->work[node->work_count++] = (struct work){.key = submit->key,
                                                   .seed = submit->sampling.seed,
                                                   .prompt_length = submit->prompt_length,
                                                   .position = submit->next_position,
                                                   .max_tokens = submit->max_tokens,
                                                   .live = true};
}

static enum err sim_send(void *owner, uint64_t link, const struct wire_message *message,
                         bool urgent)
{
    (void)urgent;
    struct sim *sim = owner;
    struct sim_node *node = node_of(sim, link);
    assert_non_null(node); // the fleet picks live nodes only
    if (message->type == WIRE_SUBMIT) {
        if (sim->refusing && chance(sim, 20)) return err_note(ERR_BUSY, "full");
        take_submit(node, &message->submit);
        return ERR_OK;
    }
    assert_int_equal(message->type, WIRE_CANCEL);
    for (size_t i = 0; i < node->work_count; i++)
        if (memcmp(&node->work[i].key, &message->cancel.key, sizeof node->work[i].key) == 0)
            node->work[i].live = chance(sim, 2); // else the cancel comes too late
    return ERR_OK;
}

static void sim_quarantine(void *owner, uint64_t link)
{
    struct sim *sim = owner;
    assert_true(sim->liar == link); // nobody else is accused
}

static void see_ids(void *argument, const struct flight_ids *ids)
{
    struct request *request = argument;
    assert_int_equal(request->ends, 0);
    assert_false(request->canceled);
    assert_true(ids->count > 0);
    assert_int_equal(ids->position, request->prompt_length + request->count);
    for (size_t i = 0; i < ids->count; i++)
        assert_int_equal(ids->ids[i], id_at(request->seed, ids->position + i));
    request->count += (uint32_t)ids->count;
}

static void see_end(void *argument, const struct flight_end *end)
{
    struct request *request = argument;
    assert_false(request->canceled);
    request->ends++;
    request->end = *end;
    assert_int_equal(end->completion_tokens, request->count);
    if (end->err != ERR_OK) return;
    enum wire_finish finish;
    assert_int_equal(request->count, answer_length(request, &finish));
    assert_int_equal(end->finish, finish);
}

static void begin_request(struct sim *sim)
{
    static const struct flight_events events = {.ids = see_ids, .end = see_end};
    static const int32_t prompt[16], stops[] = {STOP_ID};
    struct request *request = &sim->requests[sim->started];
    *request = (struct request){.seed = rand_next(&sim->rand),
                                .prompt_length = (uint32_t)(1 + rand_below(&sim->rand, 16)),
                                .max_tokens = (uint32_t)(1 + rand_below(&sim->rand, ANSWER_MAX))};
    if (chance(sim, 10))
        request->deadline_ns = sim->now_ns + rand_below(&sim->rand, 400) * CLOCK_MS + 1;
    struct flight_order order = {.ids = prompt,
                                 .id_count = request->prompt_length,
                                 .max_tokens = request->max_tokens,
                                 .stop_ids = stops,
                                 .stop_id_count = 1,
                                 .sampling = {.repetition_penalty = 1.0f, .seed = request->seed},
                                 .deadline_ns = request->deadline_ns};
    order.model.bytes[0] = 1;
    if (flight_start(sim->flights, &order, &events, request, sim->now_ns, &request->flight) ==
        ERR_OK)
        sim->started++;
}

static void begin_node(struct sim *sim, size_t index)
{
    char name[] = {(char)('a' + index), 0};
    struct wire_model model = {
        .name = {"m", 1}, .kinds = 2, .context_length = 99, .vocab_size = 25};
    model.model.bytes[0] = 1;
    struct wire_hello hello = {.protocol = WIRE_PROTOCOL,
                               .node = {name, 1},
                               .models = &model,
                               .model_count = 1,
                               .credits = CREDITS,
                               .threads = 1};
    sim->nodes[index] = (struct sim_node){.link = ++sim->last_link};
    assert_int_equal(fleet_hello(sim->fleet, sim->last_link, &hello, sim->now_ns), ERR_OK);
}

static void crash_node(struct sim *sim, struct sim_node *node)
{
    uint64_t link = node->link;
    node->link = 0;
    node->work_count = 0;
    fleet_down(sim->fleet, link, sim->now_ns);
    flights_node_lost(sim->flights, link, sim->now_ns);
}

static void drop_work(struct sim_node *node, size_t index)
{
    node->work[index] = node->work[--node->work_count];
}

/* An attempt ends without having been done. */
static bool refuse(struct sim *sim, struct sim_node *node, size_t index)
{
    struct wire_key key = node->work[index].key;
    uint64_t link = node->link;
    if (chance(sim, 60)) {
        drop_work(node, index);
        flights_busy(sim->flights, link, &(struct wire_busy){key, 5}, sim->now_ns);
        return true;
    }

    static const enum err errs[] = {ERR_NO_MEMORY, ERR_INTERNAL, ERR_UNAVAILABLE, ERR_OK};

    if (chance(sim, 80)) {
        drop_work(node, index);
        struct wire_done done = {
            .key = key, .finish = WIRE_FINISH_CANCELED, .err = errs[rand_below(&sim->rand, 4)]};
        flights_done(sim->flights, link, &done, sim->now_ns);
        return true;
    }
    return false;
}

static void lie(struct sim *sim, struct sim_node *node, const struct work *work)
{
    sim->liar = node->link;
    int32_t ids[] = {id_at(work->seed, work->position - 1) + 1};
    struct wire_result result = {.key = work->key, .ids = ids, .id_count = 1};
    result.position = chance(sim, 2) ? work->position - 1 : work->position + 1;
    flights_result(sim->flights, node->link, &result, sim->now_ns);
}

/* A node goes on with one of its attempts: one to three ids, now and then some of the latest
 * again. */
static void compute(struct sim *sim, struct sim_node *node)
{
    if (node->work_count == 0) return;
    size_t index = rand_below(&sim->rand, node->work_count);
    struct work work = node->work[index];
    if (!work.live) {
        drop_work(node, index);
        return;
    }
    if (refuse(sim, node, index)) return;
    int32_t ids[8];
    size_t count = 0;
    uint32_t end = work.prompt_length + work.max_tokens;
    uint32_t from = work.position, to = from + 1 + (uint32_t)rand_below(&sim->rand, 3);
    if (from > work.prompt_length && chance(sim, 6)) from--;
    bool stopped = false;
    for (uint32_t at = from; at < to && at < end && !stopped; at++) {
        ids[count++] = id_at(work.seed, at);
        stopped = at >= work.position && ids[count - 1] == STOP_ID;
    }
    node->work[index].position = work.position = from + (uint32_t)count;
    struct wire_result result = {.key = work.key, .position = from, .ids = ids, .id_count = count};
    uint64_t link = node->link;
    flights_result(sim->flights, link, &result, sim->now_ns);
    if (stopped || work.position == end) {
        drop_work(node, index);
        if (chance(sim, 50)) { // it dies between its last id and its DONE
            crash_node(sim, node);
            return;
        }
        struct wire_done done = {.key = work.key,
                                 .finish = stopped ? WIRE_FINISH_STOP : WIRE_FINISH_LENGTH,
                                 .completion_tokens = work.position - work.prompt_length};
        flights_done(sim->flights, link, &done, sim->now_ns);
        if (chance(sim, 4)) flights_done(sim->flights, link, &done, sim->now_ns);
    } else if (!sim->liar && work.position > work.prompt_length && chance(sim, 400)) {
        lie(sim, node, &work);
    }
}

static void step(struct sim *sim, bool calm)
{
    sim->now_ns += rand_below(&sim->rand, 3 * CLOCK_MS);
    struct sim_node *node = &sim->nodes[rand_below(&sim->rand, NODES)];
    if (!calm && sim->started < REQUESTS && chance(sim, 12)) begin_request(sim);
    if (!node->link) {
        if (chance(sim, calm ? 2 : 60)) begin_node(sim, (size_t)(node - sim->nodes));
    } else if (!calm && chance(sim, 250)) {
        crash_node(sim, node);
    } else {
        compute(sim, node);
    }
    if (node->link && chance(sim, 10))
        fleet_load(sim->fleet, node->link,
                   &(struct wire_load){.running = (uint32_t)node->work_count}, sim->now_ns);
    if (!calm && sim->started > 0 && chance(sim, 60)) {
        struct request *request = &sim->requests[rand_below(&sim->rand, sim->started)];
        flight_cancel(sim->flights, request->flight, sim->now_ns);
        if (request->ends == 0) request->canceled = true;
    }
    if (chance(sim, 20)) flights_tick(sim->flights, sim->now_ns);
}

static void check_ends(const struct sim *sim, size_t *whole, size_t *failed)
{
    for (size_t i = 0; i < sim->started; i++) {
        const struct request *request = &sim->requests[i];
        assert_int_equal(request->ends, request->canceled ? 0 : 1);
        if (request->ends == 0) continue;
        *whole += request->end.err == ERR_OK;
        *failed += request->end.err != ERR_OK;
        if (request->end.err == ERR_TIMEOUT) assert_true(request->deadline_ns > 0);
    }
}

static void play(uint64_t seed, size_t *whole, size_t *failed, size_t *retried)
{
    struct sim *sim = mem_new(1, sizeof *sim);
    rand_init(&sim->rand, seed);
    sim->now_ns = CLOCK_SECOND;
    sim->refusing = seed % 2;
    sim->fleet = fleet_new(&(struct fleet_options){.seed = seed});
    sim->flights =
        flights_new(sim->fleet, &(struct flights_seams){sim, sim_send, sim_quarantine}, CAPACITY);
    for (size_t i = 0; i < NODES; i++)
        begin_node(sim, i);
    for (int i = 0; i < STEPS; i++)
        step(sim, false);
    for (int i = 0; i < 20 * STEPS && flights_count(sim->flights) > 0; i++)
        step(sim, true);
    assert_int_equal(flights_count(sim->flights), 0);
    for (size_t i = 0; i < fleet_node_count(sim->fleet); i++) {
        assert_int_equal(fleet_node_at(sim->fleet, i)->in_air, 0);
        assert_int_equal(fleet_node_at(sim->fleet, i)->in_air_tokens, 0);
    }
    const struct flights_stats *stats = flights_stats(sim->flights);
    assert_true(stats->started == sim->started && stats->ended == sim->started);
    assert_true(stats->contradictions <= 1);
    *retried += stats->retried;
    check_ends(sim, whole, failed);
    flights_free(sim->flights);
    fleet_free(sim->fleet);
    mem_free(sim);
}

static uint64_t playing; // the seed of the history that is being played

static int name_seed(void **state)
{
    (void)state;
    if (playing) print_message("replay it with QIAO_SEED=%llu\n", (unsigned long long)playing);
    return 0;
}

static void every_history_keeps_the_promises(void **state)
{
    (void)state;
    const char *replay = getenv("QIAO_SEED");
    uint64_t first = replay ? strtoull(replay, NULL, 10) : 1;
    size_t whole = 0, failed = 0, retried = 0;
    for (uint64_t seed = first; seed < first + (replay ? 1 : HISTORIES); seed++) {
        playing = seed;
        play(seed, &whole, &failed, &retried);
    }
    playing = 0;
    print_message("%zu whole, %zu failed, %zu retries\n", whole, failed, retried);
    if (!replay) assert_true(whole > 1000 && retried > 500); // else the histories say nothing
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(every_history_keeps_the_promises, name_seed)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
