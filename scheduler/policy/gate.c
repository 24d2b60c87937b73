#include "scheduler/policy/gate.h"

#include "base/buf.h"
#include "base/log.h"
#include "base/mem.h"

#include <sodium.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    VERIFIED_MAX = 4 // rules under which a record's signatures were found good
};

/* A record as Redis has it, and what is known of it. It stays when its record goes: the revision is remembered. */
struct seen {
    char name[GATE_NAME_MAX + 1];
    char *text;               // as it stands there, sealed; NULL: there is none
    bool good;                // `record` was read from it
    char note[GATE_NOTE_MAX]; // why not
    struct gate_record record;
    struct digest mark;
    uint64_t revision; // the highest that was seen
    struct digest verified[VERIFIED_MAX];
    size_t verified_count;
};

struct gate {
    struct gate_options options;
    unsigned char key[GATE_KEY_SIZE];
    struct gates *gates;
    struct seen *seen[GATES_MAX];
    size_t count;
    uint64_t readings; // of the records: an epoch is told again where Redis has lost changes
};

static struct seen *find_seen(const struct gate *gate, const char *name)
{
    for (size_t i = 0; i < gate->count; i++)
        if (strcmp(gate->seen[i]->name, name) == 0) return gate->seen[i];
    return NULL;
}

static void forget_text(struct seen *seen)
{
    mem_free(seen->text);
    seen->text = NULL;
    seen->good = false;
    seen->verified_count = 0;
}

/* Take what is new; an older revision than one that was seen is somebody's copy. */
static void take(struct gate *gate, struct seen *seen, const struct gates_text *text)
{
    struct gate_record record;
    forget_text(seen);
    seen->text = mem_text(text->text, text->size);
    enum err err = gate_record_open(&record, seen->name, text->text, text->size, gate->key);
    if (!err && record.revision < seen->revision)
        err = err_note(ERR_FORMAT,
                       "the gate's record is revision %" PRIu64 ", but %" PRIu64 " was seen",
                       record.revision, seen->revision);
    if (err) {
        snprintf(seen->note, sizeof seen->note, "%s", err_text());
        log_error("gate_record_wrong", "gate=%s reason=\"%s\"", seen->name, seen->note);
        return;
    }
    seen->good = true;
    seen->record = record;
    seen->revision = record.revision;
    seen->mark = gate_mark(&record);
}

static void on_records(void *owner, uint64_t epoch, const struct gates_text *texts, size_t count)
{
    struct gate *gate = owner;
    bool there[GATES_MAX] = {false};
    gate->readings++;
    for (size_t i = 0; i < count; i++) {
        struct seen *seen = find_seen(gate, texts[i].name);
        if (!seen && (gate->count == GATES_MAX || strlen(texts[i].name) > GATE_NAME_MAX)) continue;
        if (!seen) {
            seen = gate->seen[gate->count++] = mem_new(1, sizeof *seen);
            snprintf(seen->name, sizeof seen->name, "%s", texts[i].name);
        }
        if (!seen->text || strlen(seen->text) != texts[i].size ||
            memcmp(seen->text, texts[i].text, texts[i].size) != 0)
            take(gate, seen, &texts[i]);
        for (size_t k = 0; k < gate->count; k++)
            there[k] |= gate->seen[k] == seen;
    }
    for (size_t k = 0; k < gate->count; k++)
        if (!there[k]) forget_text(gate->seen[k]);
    log_info("gates", "epoch=%" PRIu64 " records=%zu", epoch, count);
    if (gate->options.changed) gate->options.changed(gate->options.owner);
}

struct gate *gate_new(const struct gate_options *options)
{
    struct gate *gate = mem_new(1, sizeof *gate);
    gate->options = *options;
    memcpy(gate->key, options->key, sizeof gate->key);
    gate->options.key = NULL;
    gate->gates = gates_new(&(struct gates_options){.base = options->base,
                                                    .store = options->store,
                                                    .replicas = options->replicas,
                                                    .seams = {gate, on_records}});
    return gate;
}

void gate_free(struct gate *gate)
{
    if (!gate) return;
    gates_free(gate->gates);
    for (size_t i = 0; i < gate->count; i++) {
        mem_free(gate->seen[i]->text);
        mem_free(gate->seen[i]);
    }
    sodium_memzero(gate->key, sizeof gate->key);
    mem_free(gate);
}

bool gate_has_lease(const struct gate *gate, uint64_t now_ns)
{
    return gates_has_lease(gate->gates, now_ns);
}

uint64_t gate_epoch(const struct gate *gate)
{
    return gates_epoch(gate->gates);
}

// ---- decisions ---------------------------------------------------------------------------------

static bool is_verified(const struct seen *seen, const struct rules *rules)
{
    for (size_t i = 0; i < seen->verified_count && i < VERIFIED_MAX; i++)
        if (digest_equal(&seen->verified[i], &rules->digest)) return true;
    return false;
}

/* gate_judge(), which looks at signatures once for each rules. */
static struct gate_finding judge(struct seen *seen, const struct rules *rules,
                                 const struct gate_ask *ask, int64_t now_ms)
{
    struct gate_finding finding = {.reason = REASON_REGION_NOT_APPROVED};
    for (size_t i = 0; i < GATE_CHECK_COUNT; i++) {
        if (i == GATE_CHECK_SIGNATURES && is_verified(seen, rules)) continue;
        finding = gate_check((enum gate_check)i, &seen->record, rules, ask, now_ms);
        if (finding.reason != REASON_NONE) return finding;
        if (i == GATE_CHECK_SIGNATURES)
            seen->verified[seen->verified_count++ % VERIFIED_MAX] = rules->digest;
    }
    return finding;
}

struct gate_finding gate_decide(struct gate *gate, const struct rules *rules,
                                const struct gate_ask *ask, uint64_t now_ns, int64_t now_ms,
                                struct gate_pass *pass)
{
    struct gate_finding finding = {.reason = REASON_GATE_UNREACHABLE};
    *pass = (struct gate_pass){.gated = true, .hold_ms = rules->gate.hold_ms};
    gate_record_name(pass->name, rules->region, ask->feature);
    const char *no_lease = gate_lease_note(gate, now_ns);
    if (no_lease) {
        snprintf(finding.note, sizeof finding.note, "%s", no_lease);
        return finding;
    }
    struct seen *seen = find_seen(gate, pass->name);
    if (!seen || !seen->text) return gate_judge(NULL, rules, ask, now_ms);
    if (!seen->good) {
        finding.reason = REASON_REGION_NOT_APPROVED;
        memcpy(finding.note, seen->note, sizeof finding.note);
        return finding;
    }
    finding = judge(seen, rules, ask, now_ms);
    pass->mark = seen->mark;
    pass->share = seen->record.state == GATE_LIVE ? GATE_WHOLE : seen->record.share;
    pass->until_ms = gate_until(&seen->record, rules);
    pass->reading = gate->readings;
    return finding;
}

enum gate_stand gate_stands(struct gate *gate, struct gate_pass *pass, uint64_t now_ns,
                            int64_t now_ms, enum reason *reason)
{
    if (!gate || !pass->gated) return GATE_STANDS;
    *reason = REASON_FILING_EXPIRED;
    if (now_ms >= pass->until_ms) return GATE_CUT;
    if (pass->reading != gate->readings) {
        const struct seen *seen = find_seen(gate, pass->name);
        bool good = seen && seen->good;
        *reason = good && seen->record.state == GATE_SUSPENDED ? REASON_SUSPENDED
                  : good && seen->record.state == GATE_PENDING ? REASON_PENDING
                                                               : REASON_REGION_NOT_APPROVED;
        if (!good || !gate_state_is_open(seen->record.state)) return GATE_CUT;
        if (!digest_equal(&seen->mark, &pass->mark)) return GATE_CUT;
        pass->reading = gate->readings;
    }
    *reason = REASON_GATE_UNREACHABLE;
    return gate_has_lease(gate, now_ns) ? GATE_STANDS : GATE_HELD;
}

// ---- for those who operate it ------------------------------------------------------------------

size_t gate_count(const struct gate *gate)
{
    return gate->count;
}

static const struct gate_record *show(const struct seen *seen, const char **note)
{
    *note = !seen->text ? "the gate's record is gone from Redis" : seen->good ? NULL : seen->note;
    return *note ? NULL : &seen->record;
}

const struct gate_record *gate_at(const struct gate *gate, size_t index, const char **name,
                                  const char **note)
{
    *name = gate->seen[index]->name;
    return show(gate->seen[index], note);
}

const struct gate_record *gate_find(const struct gate *gate, const char *name, const char **note)
{
    const struct seen *seen = find_seen(gate, name);
    *note = NULL;
    return seen ? show(seen, note) : NULL;
}

const char *gate_lease_note(const struct gate *gate, uint64_t now_ns)
{
    uint64_t seen, told;
    if (gate_has_lease(gate, now_ns)) return NULL;
    if (gates_went_back(gate->gates, &seen, &told))
        return "Redis tells an older epoch of the gate than it has told before";
    return "the gate's state cannot be confirmed: Redis, or most of its servers, cannot be "
           "reached";
}

struct order {
    gate_changed_fn *done;
    void *argument;
    struct gate_change change;
};

static void on_changed(void *argument, enum err err, const struct gates_outcome *outcome)
{
    struct order *order = argument;
    order->change.outcome = *outcome;
    order->done(order->argument, err, &order->change);
    mem_free(order);
}

enum err gate_order(struct gate *gate, const struct gate_command *command,
                    const struct rules *rules, int64_t now_ms, gate_changed_fn *done,
                    void *argument)
{
    char name[GATE_NAME_MAX + 1];
    struct buf after = {0};
    gate_record_name(name, command->content.region, command->content.feature);
    const struct seen *seen = find_seen(gate, name);
    if (!gates_is_known(gate->gates))
        return err_note(ERR_STORE_AWAY, "the gates were not read from Redis yet");
    if (seen && seen->text && !seen->good) return err_note(ERR_CONFLICT, "%s", seen->note);
    struct order *order = mem_new(1, sizeof *order);
    bool exists = seen && seen->text;
    *order = (struct order){.done = done, .argument = argument, .change.existed = exists};
    if (exists) order->change.before = seen->record;
    order->change.after = order->change.before;
    if (!exists && seen)
        order->change.after.revision = seen->revision; // goes on from what was seen
    enum err err = gate_apply(&order->change.after, exists, command, rules, now_ms);
    if (err) {
        mem_free(order);
        return err;
    }
    bool settles = command->verb == GATE_VERB_SUSPEND || command->verb == GATE_VERB_RETIRE;
    gate_record_seal(&after, &order->change.after, gate->key);
    gates_change(gate->gates, name, exists ? seen->text : "", buf_text(&after), settles, on_changed,
                 order);
    buf_fini(&after);
    return ERR_OK;
}
