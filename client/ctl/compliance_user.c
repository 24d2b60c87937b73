/* compliance: a throw-away user's rights: consent, the switch, a copy of everything, to be forgotten. */
#include "client/ctl/call.h"
#include "client/ctl/compliance.h"

#include "base/clock.h"

#include <stdio.h>
#include <string.h>

static enum verdict broken(struct trial *trial, const char *what)
{
    return trial_say(trial, VERDICT_FAIL, "%s: %s", what, qiao_error(trial->qiao));
}

/* What an export has, by kind of line. */
struct export
{
    int sessions, turns, events, consents;
    bool whole;
};

static void take_line(struct export *export, const json_t *line)
{
    const char *object = json_string_value(json_object_get(line, "object"));
    if (!object) return;
    export->sessions += strcmp(object, "session") == 0;
    export->turns += strcmp(object, "turn") == 0;
    export->events += strcmp(object, "event") == 0;
    export->consents += strncmp(object, "consent", 7) == 0;
    export->whole |= json_is_true(json_object_get(line, "complete"));
}

static bool read_export(struct trial *trial, struct export *out)
{
    char *text = NULL;
    *out = (struct export){0};
    if (trial_request(trial, "GET", "/v1/me/export", NULL, &text)) return false;
    for (const char *at = text; *at;) {
        size_t size = strcspn(at, "\n");
        json_t *line = json_loadb(at, size, JSON_ALLOW_NUL, NULL);
        take_line(out, line);
        json_decref(line);
        at += size + (at[size] == '\n');
    }
    qiao_free_text(text);
    return true;
}

static bool consent(struct trial *trial)
{
    json_t *reply =
        trial_call(trial, "PUT", "/v1/me/consents",
                   json_pack("{s:{s:b, s:b}}", "consents", "history", 1, "recommendations", 1));
    json_decref(reply);
    return reply != NULL;
}

/* Sent; whether it was kept is looked at afterwards. A search names no item, which a catalogue might not have. */
static void send_event(struct trial *trial, const char *user, const char *id)
{
    json_t *event = json_pack("{s:s, s:s, s:{s:s}, s:I}", "id", id, "type", "search", "properties",
                              "query", "compliance", "time", (json_int_t)(clock_wall_ms() / 1000));
    json_decref(trial_call(trial, "POST", "/v1/events",
                           json_pack("{s:s, s:[o]}", "user", user, "events", event)));
}

/* -1: it is not shown. */
static int count_events(struct trial *trial)
{
    json_t *list = trial_call(trial, "GET", "/v1/me/events", NULL);
    int count = list ? (int)json_array_size(json_object_get(list, "data")) : -1;
    json_decref(list);
    return count;
}

static bool switch_to(struct trial *trial, bool enabled)
{
    json_t *reply =
        trial_call(trial, "PUT", "/v1/me/personalization", json_pack("{s:b}", "enabled", enabled));
    bool good = reply && json_is_true(json_object_get(reply, "enabled")) == enabled;
    json_decref(reply);
    return good;
}

enum verdict control_consent_none(struct trial *trial)
{
    char user[TRIAL_USER_SIZE];
    struct export export;
    const char *purpose;
    json_t *given;
    int count = 0, purposes = 0;
    trial_new_user(trial, user);
    json_t *answer = trial_call(trial, "GET", "/v1/me/consents", NULL);
    if (!answer) return broken(trial, "the consents cannot be read");
    json_object_foreach(json_object_get(answer, "consents"), purpose, given)
    {
        purposes++;
        count += json_is_true(given);
    }
    json_decref(answer);
    send_event(trial, user, "compliance-1");
    if (!read_export(trial, &export)) return broken(trial, "the export");
    trial_count(trial, "purposes", purposes);
    trial_count(trial, "given", count);
    trial_count(trial, "events_kept", export.events);
    if (purposes == 0 || count > 0)
        return trial_say(trial, VERDICT_FAIL, "%d of %d purposes are given from the start", count,
                         purposes);
    if (export.events > 0) return trial_say(trial, VERDICT_FAIL, "an event was kept");
    return trial_say(trial, VERDICT_PASS, "none of %d purposes is given, and nothing was kept",
                     purposes);
}

enum verdict control_personalisation_off(struct trial *trial)
{
    char user[TRIAL_USER_SIZE];
    trial_new_user(trial, user);
    if (!consent(trial)) return broken(trial, "consent cannot be given");
    send_event(trial, user, "compliance-1");
    int before = count_events(trial);
    bool off = switch_to(trial, false);
    int shown = count_events(trial);
    send_event(trial, user, "compliance-2");
    bool on = switch_to(trial, true);
    int after = count_events(trial);
    trial_refused(trial, "DELETE", "/v1/me", NULL);
    trial_count(trial, "events_before", before);
    trial_count(trial, "events_after", after);
    if (!off || !on) return broken(trial, "the switch");
    if (before != 1)
        return trial_say(trial, VERDICT_FAIL, "with consent %d events were kept, not one", before);
    if (shown > 0) return trial_say(trial, VERDICT_FAIL, "switched off, events were shown");
    if (after != 1)
        return trial_say(trial, VERDICT_FAIL, "switched on again, %d events are there, not one",
                         after);
    return trial_say(trial, VERDICT_PASS, "nothing was read or kept while it was off");
}

// ---- a copy, and the end -----------------------------------------------------------------------

/* A user with something of each kind; the session only where the assistant answers. */
static bool live_a_little(struct trial *trial, char user[TRIAL_USER_SIZE])
{
    trial_new_user(trial, user);
    if (!consent(trial)) return false;
    send_event(trial, user, "compliance-1");
    if (trial->plain) qiao_free_text(trial_chat(trial, "Hello", user, false));
    return true;
}

enum verdict control_export(struct trial *trial)
{
    char user[TRIAL_USER_SIZE];
    struct export export;
    if (!live_a_little(trial, user)) return broken(trial, "consent cannot be given");
    bool read = read_export(trial, &export);
    trial_refused(trial, "DELETE", "/v1/me", NULL);
    if (!read) return broken(trial, "the export");
    trial_count(trial, "sessions", export.sessions);
    trial_count(trial, "turns", export.turns);
    trial_count(trial, "events", export.events);
    trial_count(trial, "consents", export.consents);
    if (!export.whole) return trial_say(trial, VERDICT_FAIL, "it does not say that it is whole");
    if (export.events != 1 || export.consents == 0 ||
        (trial->plain && (export.sessions != 1 || export.turns < 2)))
        return trial_say(trial, VERDICT_FAIL,
                         "something is missing: %d sessions, %d turns, %d "
                         "events, %d lines of consents",
                         export.sessions, export.turns, export.events, export.consents);
    return trial_say(trial, VERDICT_PASS, "whole: %d session, %d turns, %d event, consents",
                     export.sessions, export.turns, export.events);
}

static bool stage_is_complete(const json_t *receipt, const char *stage)
{
    const char *state = json_string_value(
        json_object_get(json_object_get(json_object_get(receipt, "stages"), stage), "state"));
    return state && strcmp(state, "complete") == 0;
}

static enum verdict check_forgotten(struct trial *trial, const char *user, const json_t *receipt)
{
    char path[128];
    struct export export;
    const char *id = json_string_value(json_object_get(receipt, "id"));
    if (!id || !stage_is_complete(receipt, "service"))
        return trial_say(trial, VERDICT_FAIL, "the receipt does not say that service is over");
    snprintf(path, sizeof path, "/v1/me/erasures/%s", id);
    json_t *again = trial_call(trial, "GET", path, NULL);
    trial_text(trial, "receipt", id);
    trial_text(trial, "state", json_string_value(json_object_get(again, "state")));
    trial_count(trial, "node_caches_dropped", stage_is_complete(again, "node_caches"));
    json_decref(again);
    if (!again) return broken(trial, "the receipt cannot be asked for");
    snprintf(path, sizeof path, "/v1/sessions/%s", user);
    bool gone = !trial->plain || // where nothing is answered there was no session
                (trial_refused(trial, "GET", path, NULL) && qiao_http_status(trial->qiao) == 404);
    if (!read_export(trial, &export)) return broken(trial, "the export");
    if (!gone || export.sessions || export.turns || export.events || !export.whole)
        return trial_say(trial, VERDICT_FAIL,
                         "afterwards there are %d sessions, %d turns, %d events", export.sessions,
                         export.turns, export.events);
    return trial_say(trial, VERDICT_PASS,
                     "forgotten; the receipt says when Redis' files are, too (docs/privacy.md)");
}

enum verdict control_erasure(struct trial *trial)
{
    char user[TRIAL_USER_SIZE];
    if (!live_a_little(trial, user)) return broken(trial, "consent cannot be given");
    uint64_t begin_ns = clock_now_ns();
    json_t *receipt = trial_call(trial, "DELETE", "/v1/me", NULL);
    trial_count(trial, "erasure_ms", (long long)((clock_now_ns() - begin_ns) / CLOCK_MS));
    enum verdict verdict =
        receipt ? check_forgotten(trial, user, receipt) : broken(trial, "DELETE /v1/me");
    json_decref(receipt);
    return verdict;
}
