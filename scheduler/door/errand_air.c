#include "scheduler/door/errand_air.h"

#include "scheduler/door/errand.h"

#include "base/mem.h"
#include "base/must.h"

/* One that has errands. */
struct errand_tenant {
    struct errand_tenant *next;
    uint64_t tag;
    size_t errands, in_air;
};

struct errands {
    struct errand_turn *first, *last; // the eldest first
    struct errand_tenant *tenants;
    size_t in_air, numbers;
    bool is_going;
};

struct errands *errands_new(void)
{
    return mem_new(1, sizeof(struct errands));
}

void errands_free(struct errands *all)
{
    if (!all) return;
    must(!all->first && all->numbers == 0);
    mem_free(all);
}

enum err errands_lend(struct errands *all, size_t numbers)
{
    if (numbers > ERRANDS_NUMBERS_MAX - all->numbers)
        return err_note(ERR_BUSY, "too many vectors are being made at the moment");
    all->numbers += numbers;
    return ERR_OK;
}

void errands_return(struct errands *all, size_t numbers)
{
    must(numbers <= all->numbers);
    all->numbers -= numbers;
}

static struct errand_tenant *tenant_of(struct errands *all, uint64_t tag)
{
    struct errand_tenant *tenant = all->tenants;
    while (tenant && tenant->tag != tag)
        tenant = tenant->next;
    if (tenant) return tenant;
    tenant = mem_new(1, sizeof *tenant);
    *tenant = (struct errand_tenant){.next = all->tenants, .tag = tag};
    all->tenants = tenant;
    return tenant;
}

static void forget_tenant(struct errands *all, struct errand_tenant *tenant)
{
    struct errand_tenant **link = &all->tenants;
    while (*link != tenant)
        link = &(*link)->next;
    *link = tenant->next;
    mem_free(tenant);
}

void errand_turn_begin(struct errands *all, struct errand_turn *turn)
{
    must(!turn->tenant);
    turn->tenant = tenant_of(all, turn->tag);
    turn->tenant->errands++;
    turn->previous = all->last;
    *(all->last ? &all->last->next : &all->first) = turn;
    all->last = turn;
}

void errand_turn_end(struct errands *all, struct errand_turn *turn)
{
    struct errand_tenant *tenant = turn->tenant;
    if (!tenant) return;
    tenant->in_air -= turn->in_air;
    all->in_air -= turn->in_air;
    *(turn->previous ? &turn->previous->next : &all->first) = turn->next;
    *(turn->next ? &turn->next->previous : &all->last) = turn->previous;
    *turn = (struct errand_turn){0};
    if (--tenant->errands == 0) forget_tenant(all, tenant);
}

void errand_turn_landed(struct errands *all, struct errand_turn *turn)
{
    must(turn->in_air > 0);
    turn->in_air--;
    turn->tenant->in_air--;
    all->in_air--;
}

size_t errands_in_air(const struct errands *all)
{
    return all->in_air;
}

static struct errand_turn *whose_turn(const struct errands *all)
{
    struct errand_turn *best = NULL;
    for (struct errand_turn *turn = all->first; turn; turn = turn->next) {
        size_t held = turn->tenant->in_air;
        if (turn->rests || held >= turn->most) continue;
        if (!best || held < best->tenant->in_air ||
            (held == best->tenant->in_air && turn->in_air < best->in_air))
            best = turn;
    }
    return best;
}

static size_t in_air_of(const struct errands *all, const struct digest *model)
{
    size_t count = 0;
    for (const struct errand_turn *turn = all->first; turn; turn = turn->next)
        if (digest_equal(turn->model, model)) count += turn->in_air;
    return count;
}

/* Whoever waits for the same nodes need not ask them. */
static void rest(struct errands *all, const struct digest *model)
{
    for (struct errand_turn *turn = all->first; turn; turn = turn->next)
        if (digest_equal(turn->model, model)) turn->rests = true;
}

void errands_go(struct errands *all)
{
    struct errand_turn *turn;
    if (all->is_going) return;
    all->is_going = true;
    for (turn = all->first; turn; turn = turn->next)
        turn->rests = false;
    while ((turn = whose_turn(all)) != NULL) {
        const struct digest model = *turn->model;
        if (in_air_of(all, &model) >= ERRANDS_SHARE * turn->most) {
            rest(all, &model);
            continue;
        }
        switch (turn->take(turn->owner)) {
        case ERRAND_TOOK:
            turn->in_air++;
            turn->tenant->in_air++;
            all->in_air++;
            break;
        case ERRAND_TOOK_NOTHING: turn->rests = true; break;
        case ERRAND_TOOK_FULL: rest(all, &model); break;
        }
    }
    all->is_going = false;
}
