#include "scheduler/core/flight_internal.h"

#include "base/mem.h"
#include "base/must.h"

size_t flight_emitted(const struct flight *flight)
{
    return flight->id_count - flight->order.id_count;
}

/* The names of the blocks that a node may have: new ones where ids came since. */
static void name_blocks(struct flight *flight)
{
    size_t count = order_block_count(&flight->order, flight->id_count);
    if (count <= flight->block_count) return;
    flight->blocks = mem_resize(flight->blocks, count, sizeof *flight->blocks);
    order_name_blocks(&flight->order, flight->ids, flight->block_count, count, flight->blocks);
    flight->block_count = count;
}

/* Where the flight could go. */
enum err attempt_plan(struct flights *flights, struct flight *flight, uint64_t now_ns,
                      struct fleet_choice *choice)
{
    name_blocks(flight);
    struct fleet_need need = {.model = flight->order.model,
                              .adapter = flight->order.adapter,
                              .numerics = flight->order.numerics,
                              .shards = flight->order.shards,
                              .shard_count = flight->order.shard_count,
                              .regions = flight->order.regions,
                              .region_count = flight->order.region_count,
                              .tokens = (uint32_t)flight->id_count,
                              .hashes = flight->blocks,
                              .hash_count = flight->block_count,
                              .excluded = flight->tried,
                              .excluded_count = flight->tried_count,
                              .now_ns = now_ns};
    return fleet_pick(flights->fleet, &need, choice);
}

static struct wire_key key_of(const struct flight *flight, const struct attempt *attempt)
{
    return (struct wire_key){flight->id, flight->order.choice, attempt->number};
}

static enum err send_submit(struct flights *flights, struct flight *flight,
                            const struct attempt *attempt, uint64_t now_ns)
{
    struct wire_salt salts[ORDER_SALTS_MAX];
    struct wire_message message;
    struct wire_key key = key_of(flight, attempt);
    order_submit(&flight->order, &key, flight->ids, flight->id_count, now_ns, salts, &message);
    flight->gate_epoch = message.submit.gate_epoch = flights->gate_epoch;
    return flights->seams.send(flights->seams.owner, attempt->link, &message, false);
}

/* Send the flight to the planned node, as `attempt`, which does not fly yet. */
enum err attempt_begin(struct flights *flights, struct flight *flight, struct attempt *attempt,
                       const struct fleet_choice *choice, uint64_t now_ns)
{
    must(!attempt->flies && flight->tried_count < FLIGHT_TRIED_MAX);
    flight->tried[flight->tried_count++] = choice->link;
    *attempt = (struct attempt){.number = flight->next_number++,
                                .link = choice->link,
                                .charged = choice->uncached,
                                .pulse = {.heard_ns = now_ns, .predicted_ns = choice->wait_ns}};
    enum err err = send_submit(flights, flight, attempt, now_ns);
    if (err != ERR_OK) return err;
    attempt->flies = true;
    fleet_charge(flights->fleet, choice->link, choice->uncached);
    fleet_expect(flights->fleet, choice->link, flight->blocks, flight->block_count, now_ns);
    return ERR_OK;
}

/* Give back what an attempt holds at the fleet: it flies no more. */
void attempt_release(struct flights *flights, struct attempt *attempt, uint64_t now_ns)
{
    if (!attempt->flies) return;
    fleet_release(flights->fleet, attempt->link, attempt->charged, attempt->had_id, now_ns);
    attempt->flies = false;
}

/* Tell the node to stop, and expect nothing more of it. */
void attempt_recall(struct flights *flights, const struct flight *flight, struct attempt *attempt,
                    uint64_t now_ns)
{
    if (!attempt->flies) return;
    struct wire_message message = {.type = WIRE_CANCEL, .cancel = {key_of(flight, attempt)}};
    // A link that takes nothing is going down, and its node forgets the request with it.
    (void)flights->seams.send(flights->seams.owner, attempt->link, &message, false);
    attempt_release(flights, attempt, now_ns);
}

void flight_recall(struct flights *flights, struct flight *flight, uint64_t now_ns)
{
    attempt_recall(flights, flight, &flight->lead, now_ns);
    attempt_recall(flights, flight, &flight->hedge, now_ns);
}

/* The hedge, if it flies, takes the place of a lead that flies no more. */
bool flight_promote_hedge(struct flight *flight)
{
    if (!flight->hedge.flies) return false;
    flight->lead = flight->hedge;
    flight->hedge.flies = false;
    return true;
}
