#include "tests/sim/world.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/must.h"

struct event {
    uint64_t at_ns;
    uint64_t order;
    world_fn *fn;
    void *argument;
    uint64_t number;
    bool owned;
};

static struct {
    uint64_t now_ns;
    uint64_t order;
    struct rand rand;
    uint64_t digest;
    struct event *heap; // the first is next
    size_t count;
    size_t capacity;
} world;

void world_begin(uint64_t seed)
{
    world.now_ns = 10 * CLOCK_SECOND;
    world.order = 0;
    world.digest = seed;
    rand_init(&world.rand, seed);
}

void world_end(void)
{
    for (size_t i = 0; i < world.count; i++)
        if (world.heap[i].owned) mem_free(world.heap[i].argument);
    mem_free(world.heap);
    world.heap = NULL;
    world.count = world.capacity = 0;
}

uint64_t world_now_ns(void)
{
    return world.now_ns;
}

void world_note(uint64_t what)
{
    world.digest = rand_at(world.digest, 5, what);
}

uint64_t world_digest(void)
{
    return world.digest;
}

/* The clocks of everything that is linked into the simulator. */
uint64_t clock_now_ns(void)
{
    return world.now_ns;
}

int64_t clock_wall_ms(void)
{
    return (int64_t)(world.now_ns / CLOCK_MS);
}

struct rand *world_rand(void)
{
    return &world.rand;
}

bool world_chance(uint64_t one_in)
{
    return rand_below(&world.rand, one_in) == 0;
}

uint64_t world_between(uint64_t least, uint64_t most)
{
    return least + rand_below(&world.rand, most - least + 1);
}

static bool is_before(const struct event *a, const struct event *b)
{
    return a->at_ns < b->at_ns || (a->at_ns == b->at_ns && a->order < b->order);
}

static void put(struct event event)
{
    if (world.count == world.capacity) {
        world.capacity = world.capacity ? 2 * world.capacity : 1024;
        world.heap = mem_resize(world.heap, world.capacity, sizeof *world.heap);
    }
    size_t at = world.count++;
    while (at > 0 && is_before(&event, &world.heap[(at - 1) / 2])) {
        world.heap[at] = world.heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    world.heap[at] = event;
}

static struct event take(void)
{
    struct event first = world.heap[0];
    struct event last = world.heap[--world.count];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= world.count) break;
        if (child + 1 < world.count && is_before(&world.heap[child + 1], &world.heap[child]))
            child++;
        if (!is_before(&world.heap[child], &last)) break;
        world.heap[at] = world.heap[child];
        at = child;
    }
    if (world.count > 0) world.heap[at] = last;
    return first;
}

static void set(uint64_t at_ns, world_fn *fn, void *argument, uint64_t number, bool owned)
{
    if (at_ns < world.now_ns) at_ns = world.now_ns;
    put((struct event){at_ns, world.order++, fn, argument, number, owned});
}

void world_at(uint64_t at_ns, world_fn *fn, void *argument, uint64_t number)
{
    set(at_ns, fn, argument, number, false);
}

void world_send(uint64_t at_ns, world_fn *fn, void *argument, uint64_t number)
{
    set(at_ns, fn, argument, number, true);
}

bool world_step(uint64_t until_ns)
{
    if (world.count == 0 || world.heap[0].at_ns > until_ns) {
        world.now_ns = until_ns;
        return false;
    }
    struct event event = take();
    must(event.at_ns >= world.now_ns);
    world.now_ns = event.at_ns;
    world_note(event.at_ns);
    world_note(event.order);
    event.fn(event.argument, event.number);
    return true;
}
