/* compliance: where things are: which nodes compute for the region, and that its conversations do not leave it.
 *
 * An answer does not say where it was made. A prompt of a known length is asked, and what each node has computed is looked at before and
 * after: the nodes of the region must have done at least that much more, the others less. */
#include "client/ctl/call.h"
#include "client/ctl/compliance.h"

#include "base/rand.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

enum {
    PROBE_WORDS = 128,
    PROBE_TRIES = 4,       // while others are at work outside
    REPORT_NS = 200000000, // between two looks at what nodes have told
    REPORT_LOOKS = 40      // until somebody has told of the probe
};

#define RESIDENCY "/privacy/residency" // the rule

struct work {
    int inside, outside; // nodes
    long long tokens_inside, tokens_outside;
};

static bool read_work(struct trial *trial, const json_t *places, struct work *out)
{
    json_t *answer = trial_call(trial, "GET", "/admin/nodes", NULL), *node;
    size_t i;
    *out = (struct work){0};
    json_array_foreach(json_object_get(answer, "nodes"), i, node)
    {
        const char *region = json_string_value(json_object_get(node, "region"));
        bool inside = region && json_has_text(places, region);
        *(inside ? &out->inside : &out->outside) += 1;
        *(inside ? &out->tokens_inside : &out->tokens_outside) +=
            call_count(node, "prefill_tokens");
    }
    json_decref(answer);
    return answer != NULL;
}

/* A prompt that nobody has asked before; how many of its tokens were computed, -1: there was no answer. */
static long long ask_probe(struct trial *trial)
{
    static const char *const words[] = {"plain", "quiet", "river", "stone",
                                        "lamp",  "paper", "green", "table"};
    struct buf text = {0};
    uint64_t bits = 0;
    for (int i = 0; i < PROBE_WORDS; i++, bits >>= 3) {
        if (i % 21 == 0) bits = rand_entropy();
        buf_addf(&text, "%s ", words[bits & 7]);
    }
    trial_new_user(trial, NULL);
    char *answer = trial_chat(trial, buf_text(&text), NULL, false);
    buf_fini(&text);
    if (!answer) return -1;
    json_t *root = json_loads(answer, JSON_ALLOW_NUL, NULL);
    const json_t *usage = json_object_get(root, "usage");
    long long count = call_count(usage, "prompt_tokens") -
                      call_count(json_object_get(usage, "prompt_tokens_details"), "cached_tokens");
    json_decref(root);
    qiao_free_text(answer);
    return count;
}

/* One probe: 1 it was computed inside, -1 outside, 0 it cannot be told. */
static int try_probe(struct trial *trial, const json_t *places, long long *tokens)
{
    const struct timespec pause = {.tv_nsec = REPORT_NS};
    struct work before, after;
    long long inside = 0, outside = 0;
    nanosleep(&pause, NULL); // what ran before is counted before
    if (!read_work(trial, places, &before)) return 0;
    *tokens = ask_probe(trial);
    if (*tokens <= 0) return 0;
    for (int i = 0; i < REPORT_LOOKS && inside < *tokens && outside < *tokens; i++) {
        nanosleep(&pause, NULL);
        if (!read_work(trial, places, &after)) return 0;
        inside = after.tokens_inside - before.tokens_inside;
        outside = after.tokens_outside - before.tokens_outside;
    }
    trial_count(trial, "probe_tokens", *tokens);
    trial_count(trial, "tokens_inside", inside);
    trial_count(trial, "tokens_outside", outside);
    if (inside >= *tokens && outside < *tokens) return 1;
    return inside < *tokens && outside >= *tokens ? -1 : 0;
}

/* The regions whose nodes may see prompts, to be json_decref()ed: the region's own where no document says; NULL: any. */
static json_t *places_of(struct trial *trial)
{
    const json_t *rule = trial_rule(trial, RESIDENCY);
    if (!rule) return json_pack("[s]", trial->conf->region);
    return json_is_array(rule) ? json_deep_copy(rule) : NULL;
}

static enum verdict judge_probes(struct trial *trial, const json_t *places, int outside)
{
    long long tokens = 0;
    int found = 0;
    for (int i = 0; i < PROBE_TRIES && found == 0 && tokens >= 0; i++)
        found = try_probe(trial, places, &tokens);
    if (tokens < 0) return trial_say(trial, VERDICT_FAIL, "%s", qiao_error(trial->qiao));
    if (found < 0)
        return trial_say(trial, VERDICT_FAIL,
                         "a prompt of %lld tokens was computed by a node outside", tokens);
    if (found == 0)
        return trial_say(trial, VERDICT_NOT_APPLICABLE,
                         "the %d nodes outside are too busy for others to tell: try it at a quiet "
                         "time",
                         outside);
    return trial_say(trial, VERDICT_PASS,
                     "a prompt of %lld tokens was computed inside, and not by the %d nodes outside",
                     tokens, outside);
}

static enum verdict check_nodes(struct trial *trial, const json_t *places)
{
    struct work nodes;
    if (!read_work(trial, places, &nodes))
        return trial_say(trial, VERDICT_FAIL, "%s", qiao_error(trial->qiao));
    trial_count(trial, "nodes_inside", nodes.inside);
    trial_count(trial, "nodes_outside", nodes.outside);
    if (nodes.inside == 0)
        return trial_say(trial, VERDICT_FAIL, "it is answered, and no node is where it may be");
    if (nodes.outside == 0)
        return trial_say(trial, VERDICT_PASS, "all %d nodes are where they may be", nodes.inside);
    return judge_probes(trial, places, nodes.outside);
}

// ---- conversations -----------------------------------------------------------------------------

/* Whether the other region may use nodes that this one may not. */
static bool is_wider(struct trial *trial, const char *region, const json_t *places)
{
    size_t i;
    json_t *place;
    json_t *rules = trial_rules_of(trial, region);
    const json_t *rule = json_object_get(rules, RESIDENCY), *value = json_object_get(rule, "value");
    bool wider = rule && !json_is_array(value);
    json_array_foreach((json_t *)(uintptr_t)value, i, place)
    {
        const char *name = json_string_value(place);
        wider |= !json_has_text(places, name ? name : "");
    }
    json_decref(rules);
    return wider;
}

/* A conversation that began here goes on there. True: it was denied for that; false: not for that, and `verdict` is what it means. */
static bool try_region(struct trial *trial, const char *region, enum verdict *verdict)
{
    char user[TRIAL_USER_SIZE];
    trial_new_user(trial, user);
    char *first = trial_chat(trial, "Hello", user, false);
    qiao_set_region(trial->qiao, region);
    bool refused = trial_refused(trial, "POST", "/v1/chat/completions",
                                 trial_chat_body(trial, "Hello again", user, false));
    bool good = first && refused && strcmp(qiao_code(trial->qiao), "region_not_approved") == 0;
    *verdict = first && !refused ? VERDICT_FAIL : VERDICT_PASS;
    qiao_set_region(trial->qiao, trial->conf->region);
    qiao_free_text(first);
    trial_refused(trial, "DELETE", "/v1/me", NULL);
    return good;
}

static enum verdict check_sessions(struct trial *trial, const json_t *places)
{
    enum verdict verdict;
    size_t i;
    json_t *one;
    int tried = 0, denied = 0;
    json_array_foreach(json_object_get(trial->transparency, "regions"), i, one)
    {
        const char *region = json_string_value(json_object_get(one, "region"));
        if (!region || strcmp(region, trial->conf->region) == 0 || !is_wider(trial, region, places))
            continue;
        tried++;
        denied += try_region(trial, region, &verdict);
        if (verdict == VERDICT_FAIL)
            return trial_say(trial, verdict, "a conversation that began here went on in '%s'",
                             region);
    }
    trial_count(trial, "regions", tried);
    trial_count(trial, "denied", denied);
    if (denied == 0)
        return trial_say(trial, VERDICT_NOT_APPLICABLE,
                         tried ? "the other regions deny this user for another reason"
                               : "no other region may use nodes that this one may not");
    return trial_say(trial, VERDICT_PASS, "denied in %d of %d regions that may use other nodes",
                     denied, tried);
}

// ---- the controls ------------------------------------------------------------------------------

/* Where the rules bind it to places, and it is answered at all. */
static enum verdict within_places(struct trial *trial,
                                  enum verdict (*check)(struct trial *trial, const json_t *places))
{
    enum verdict verdict;
    json_t *places = places_of(trial);
    if (!places) return trial_say(trial, VERDICT_NOT_APPLICABLE, "the rules allow any node");
    if (trial_has_answer(trial, &verdict)) verdict = check(trial, places);
    json_decref(places);
    return verdict;
}

enum verdict control_residency(struct trial *trial)
{
    return within_places(trial, check_nodes);
}

enum verdict control_residency_sessions(struct trial *trial)
{
    return within_places(trial, check_sessions);
}
