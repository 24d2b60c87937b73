#include "scheduler/core/flight_internal.h"

#include "base/clock.h"

/* A second attempt beside the lead, on a node that the flight has not tried. `moves`: the lead's node is to be left, at
 * whatever cost. */
static void send_beside(struct flights *flights, struct flight *flight, bool moves, uint64_t now_ns)
{
    if (flight->hedges >= FLIGHT_HEDGES_MAX || flight_finished_by(flight) != WIRE_FINISH_NONE)
        return;
    if (!moves && !hedge_may_spend(&flights->budget, 1)) return;
    struct fleet_choice choice;
    if (attempt_plan(flights, flight, now_ns, &choice)) return;
    if (!moves && !hedge_may_spend(&flights->budget, choice.uncached)) return;
    // where it would wait for longer than it has waited here, it would win nothing
    if (!moves && choice.wait_ns > now_ns - flight->lead.pulse.heard_ns) return;
    flight->hedges++;
    flight->hedged_at = flight->id_count;
    flight->moves = moves;
    if (attempt_begin(flights, flight, &flight->hedge, &choice, now_ns)) return;
    if (moves) {
        flights->stats.moved++;
        return;
    }
    flights->stats.hedged++;
    flights->budget.spent += choice.uncached;
}

/* A node that drains is given FLIGHT_STAY_NS to end what runs there. */
static bool must_move(const struct flights *flights, const struct flight *flight, uint64_t now_ns)
{
    const struct fleet_node *node = fleet_find_node(flights->fleet, flight->lead.link);
    return node && node->state == FLEET_DRAINING && now_ns - node->draining_ns >= FLIGHT_STAY_NS;
}

/* Is the lead slower than it should be? Before its first id only if its node looks stuck: who waits in a queue, by its class
 * or its tenant's share, is to wait. */
static bool is_slow(const struct flights *flights, const struct flight *flight, uint64_t now_ns)
{
    const struct attempt *lead = &flight->lead;
    if (!hedge_is_quiet(&lead->pulse, now_ns)) return false;
    if (lead->had_id) return true;
    const struct fleet_node *node = fleet_find_node(flights->fleet, lead->link);
    return node && (node->step_age_ms * CLOCK_MS >= HEDGE_QUIET_NS ||
                    now_ns - node->heard_ns >= HEDGE_SILENT_NS);
}

static void look_after(struct flights *flights, struct flight *flight, uint64_t now_ns)
{
    if (!flight->lead.flies) {
        (void)flight_go_on(flights, flight, now_ns);
    } else if (order_is_late(&flight->order, now_ns)) {
        flight_recall(flights, flight, now_ns);
        flight_fail(flights, flight, ERR_TIMEOUT,
                    "the deadline passed before the answer was complete");
    } else if (!flight->hedge.flies && must_move(flights, flight, now_ns)) {
        send_beside(flights, flight, true, now_ns);
    } else if (!flight->hedge.flies && is_slow(flights, flight, now_ns)) {
        send_beside(flights, flight, false, now_ns);
    }
}

void flights_tick(struct flights *flights, uint64_t now_ns)
{
    for (size_t slot = 0; slot < flights->capacity; slot++)
        if (flights->slots[slot]) look_after(flights, flights->slots[slot], now_ns);
}
