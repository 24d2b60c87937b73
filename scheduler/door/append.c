#include "scheduler/door/append.h"

#include "scheduler/core/fleet.h"
#include "scheduler/door/ask.h"
#include "scheduler/door/context.h"
#include "scheduler/door/door.h"
#include "scheduler/door/http.h"
#include "scheduler/door/json.h"
#include "scheduler/door/redaction.h"
#include "scheduler/door/retention.h"
#include "scheduler/door/screen.h"
#include "scheduler/settings.h"

#include "base/mem.h"
#include "base/metric.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void append_init(struct append *append, struct door *door, const struct context *context,
                 const struct ask *ask, void *owner)
{
    *append = (struct append){.door = door, .context = context, .ask = ask, .owner = owner};
}

void append_fini(struct append *append)
{
    talk_fini(&append->talk);
    mem_free(append->messages);
    append->messages = NULL;
    buf_fini(&append->joined);
    summary_free(append->summary);
    append->summary = NULL;
}

void append_drop(struct append *append)
{
    if (append->ticket) session_drop(append->ticket);
    append->ticket = NULL;
}

static struct session_name name_of(const struct append *append)
{
    return (struct session_name){.tenant = append->context->key->tenant,
                                 .user = append->context->user,
                                 .id = append->ask->session.id,
                                 .turn = append->ask->session.turn};
}

static void count(const struct append *append, const char *outcome)
{
    metric_add(append->door->metrics, M_sessions_total, outcome, NULL, 1);
}

/* What the answer says of its session, or an error that is about its version. */
static void tell(struct append *append, uint64_t version)
{
    char dropped[96] = "";
    int size = 0;
    if (append->talk.dropped > 0)
        size = snprintf(dropped, sizeof dropped, ",\"dropped_turns\":%zu", append->talk.dropped);
    if (append->summary)
        snprintf(dropped + size, sizeof dropped - (size_t)size, ",\"summary_tokens\":%" PRIu32,
                 summary_tokens(append->summary));
    append->current = version;
    snprintf(append->told, sizeof append->told,
             "\"session\":{\"id\":\"%s\",\"version\":%" PRIu64 "%s%s}", append->ask->session.id,
             version, dropped, append->repeated ? ",\"repeated\":true" : "");
}

void append_set_header(const struct append *append, struct http_request *request)
{
    char version[24];
    if (!append->current) return;
    snprintf(version, sizeof version, "%" PRIu64, append->current);
    http_set_header(request, "x-qiao-session-version", version);
}

// ---- load --------------------------------------------------------------------------------------

static bool is_same(const struct session_turn *turn, const struct chat_message *message)
{
    return strcmp(turn->role, talk_role(message->role)) == 0 &&
           turn->content_size == message->content_size &&
           memcmp(turn->content, message->content, turn->content_size) == 0;
}

/* The turns of the version that this id made are these messages and an answer. */
static enum err find_stored(struct append *append)
{
    const struct talk *talk = &append->talk;
    const struct ask *ask = append->ask;
    size_t first = 0, end;
    while (first < talk->count &&
           (talk->turns[first].version != append->repeated || talk->turns[first].summary))
        first++;
    end = first;
    while (end < talk->count && talk->turns[end].version == append->repeated)
        end++;
    bool same = end - first == ask->message_count + 1;
    for (size_t i = 0; same && i < ask->message_count; i++)
        same = is_same(&talk->turns[first + i], &ask->messages[i]);
    append->stored = end - 1;
    if (same) return ERR_OK;
    return err_note(ERR_CONFLICT,
                    "the session's turn_id made version %" PRIu64
                    ", but of other messages, or its turns "
                    "are no longer there; a new turn needs a new turn_id",
                    append->repeated);
}

const char *append_advice(const struct append *append)
{
    if (!append->ask || !append->ask->session.id ||
        append->ask->session.compact != ASK_COMPACT_ERROR)
        return "";
    return "; start a new session, or let its oldest turns go: \"session\": {\"id\": …, "
           "\"compact\": \"drop\"}";
}

static bool is_too_large(const struct append *append, size_t more)
{
    return append->talk.count + more > SESSION_TURNS_MAX ||
           append->talk.bytes > append->door->settings->session_bytes;
}

static enum err note_too_large(const struct append *append)
{
    return err_note(ERR_TOO_LARGE,
                    "the session would have %zu turns and %zu bytes; the limits are %d and %" PRIu64
                    "%s",
                    append->talk.count + 1, append->talk.bytes, SESSION_TURNS_MAX,
                    (uint64_t)append->door->settings->session_bytes, append_advice(append));
}

/* A client that would pass the limit hears it now, not after its answer. */
static enum err add_new(struct append *append)
{
    struct talk *talk = &append->talk;
    for (size_t i = 0; i < append->ask->message_count; i++) {
        const struct chat_message *message = &append->ask->messages[i];
        talk_add(talk, message->role, message->content, message->content_size);
    }
    if (append->ask->session.compact == ASK_COMPACT_SUMMARY)
        return ERR_OK; // take_oldest() sees to it
    while (is_too_large(append, 1)) {
        if (append->ask->session.compact != ASK_COMPACT_ERROR && talk_drop_oldest(talk, NULL))
            continue;
        return note_too_large(append);
    }
    return ERR_OK;
}

static enum err check_loaded(struct append *append, const struct session *session)
{
    const struct ask_session *asked = &append->ask->session;
    if (append->ask->prewarm && session->version == 0)
        return err_note(ERR_NOT_FOUND, "there is no such session");
    talk_load(&append->talk, session);
    if (session->repeated) {
        tell(append, session->version);
        append->repeated = session->repeated;
        enum err err = find_stored(append);
        if (err) append->repeated = 0;
        if (!err) tell(append, append->repeated);
        return err;
    }
    if (asked->has_version && asked->version != session->version) {
        tell(append, session->version);
        return err_note(ERR_CONFLICT,
                        "the session is at version %" PRIu64 ", not %" PRIu64
                        "; load it and send the turn again",
                        session->version, asked->version);
    }
    redaction_talk(append->door, append->context, &append->talk);
    return add_new(append);
}

static void on_loaded(void *argument, enum err err, const struct session *session)
{
    struct append *append = argument;
    append->ticket = NULL;
    json_param_clear();
    if (err) {
        count(append, err == ERR_STORE_AWAY ? "away" : "failed");
    } else {
        err = check_loaded(append, session);
        count(append, err == ERR_CONFLICT ? "conflict" : append->repeated ? "repeated" : "loaded");
    }
    append->done(append->owner, err);
}

/* Nothing is asked of Redis that it could not do. */
static enum err check_durability(struct append *append)
{
    const struct settings *settings = append->door->settings;
    enum ask_durability asked = append->ask->session.durability;
    append->replicated =
        asked == ASK_DURABILITY_REPLICATED ||
        (asked == ASK_DURABILITY_PRESET && strcmp(settings->session_durability, "replicated") == 0);
    if (!append->replicated || settings->session_replicas > 0) return ERR_OK;
    return json_wrong("session.durability",
                      "cannot be \"replicated\" here: the scheduler's setting "
                      "session_replicas is 0");
}

enum err append_check(struct append *append)
{
    const struct ask_session *asked = &append->ask->session;
    TRY(session_check_id(asked->id, strlen(asked->id)));
    return check_durability(append);
}

void append_load(struct append *append, append_fn *done)
{
    struct session_name name = name_of(append);
    append->done = done;
    append->ticket = session_load(append->door->sessions, &name, on_loaded, append);
}

// ---- save --------------------------------------------------------------------------------------

static enum err note_unreplicated(const struct append *append, uint64_t version)
{
    char note[ERR_NOTE_MAX];
    snprintf(note, sizeof note, "%s", err_text());
    return err_note(
        ERR_NOT_REPLICATED, "the turn made version %" PRIu64 ": %s%s", version, note,
        append->ask->session.turn ? "; send it again with the same turn_id to wait once more" : "");
}

/* Another request with the same turn id was first: what it stored is the answer. */
static void on_reloaded(void *argument, enum err err, const struct session *session)
{
    struct append *append = argument;
    append->ticket = NULL;
    json_param_clear();
    if (!err && !session->repeated)
        err = err_note(ERR_CONFLICT, "the session has changed meanwhile; load it");
    if (!err) {
        talk_fini(&append->talk);
        err = check_loaded(append, session);
    }
    count(append, err ? "failed" : "repeated");
    append->done(append->owner, err);
}

static void on_saved(void *argument, enum err err, uint64_t version, bool repeated)
{
    struct append *append = argument;
    struct session_name name = name_of(append);
    append->ticket = NULL;
    json_param_clear();
    if (!err && repeated && !append->repeated) {
        append->ticket = session_load(append->door->sessions, &name, on_reloaded, append);
        return;
    }
    if (version) tell(append, version);
    if (err == ERR_NOT_REPLICATED) err = note_unreplicated(append, version);
    count(append, err == ERR_CONFLICT         ? "conflict"
                  : err == ERR_STORE_AWAY     ? "away"
                  : err == ERR_NOT_REPLICATED ? "unreplicated"
                  : err                       ? "failed"
                  : append->repeated          ? "repeated"
                                              : "saved");
    append->done(append->owner, err);
}

void append_save(struct append *append, const char *text, size_t size, bool cut,
                 const struct fleet_model *model, append_fn *done)
{
    struct talk *talk = &append->talk;
    struct session_name name = name_of(append);
    struct session_turn *turn = talk_add(talk, "assistant", text, size);
    turn->cut = cut;
    if (append->context->rules) {
        turn->model = model->model;
        turn->adapter = model->adapter;
        for (size_t i = 0; i < talk->count; i++)
            if (talk->turns[i].version == 0)
                talk->turns[i].region = digest_tag(append->context->region);
    }
    while (is_too_large(append, 0) && append->ask->session.compact != ASK_COMPACT_ERROR &&
           talk_drop_oldest(talk, NULL))
        ; // the answer, too, takes the place of what is oldest
    struct session session = talk_session(talk);
    session.keep_seconds = retention_session_seconds(append->context);
    append->done = done;
    append->ticket =
        session_save(append->door->sessions, &name, &session, append->replicated, on_saved, append);
}

bool append_confirm(struct append *append, append_fn *done)
{
    if (!append->replicated) return false;
    struct session_name name = name_of(append);
    append->done = done;
    append->ticket = session_confirm(append->door->sessions, &name, on_saved, append);
    return true;
}

// ---- the prompt --------------------------------------------------------------------------------

/* A summary belongs to the client's system turn, where there is one: not every template has a place for a second. */
static void join(struct append *append, struct chat_message *into, const struct session_turn *turn)
{
    buf_clear(&append->joined);
    buf_add(&append->joined, into->content, into->content_size);
    buf_add_text(&append->joined, "\n\n");
    buf_add(&append->joined, turn->content, turn->content_size);
    into->content = append->joined.data;
    into->content_size = append->joined.size;
}

const struct session_turn *append_opening(const struct append *append)
{
    const struct talk *talk = &append->talk;
    const struct session_turn *first = talk->count > 0 ? &talk->turns[0] : NULL;
    return first && !first->summary && strcmp(first->role, "system") == 0 ? first : NULL;
}

const struct chat_message *append_messages(struct append *append, size_t *count)
{
    const struct talk *talk = &append->talk;
    append->messages = mem_resize(append->messages, talk->count + 1, sizeof *append->messages);
    *count = 0;
    for (size_t i = 0; i < talk->count; i++) {
        const struct session_turn *turn = &talk->turns[i];
        if (turn->summary && *count > 0 && strcmp(talk->turns[i - 1].role, "system") == 0)
            join(append, &append->messages[*count - 1], turn);
        else
            append->messages[(*count)++] = (struct chat_message){turn->role, strlen(turn->role),
                                                                 turn->content, turn->content_size};
    }
    return append->messages;
}

/* Tokens of a prompt that leaves room for its answer: as much as is asked for, up to a quarter of the context. */
static size_t most_tokens(const struct append *append, uint32_t context)
{
    uint64_t room =
        append->ask->max_tokens ? append->ask->max_tokens : append->door->settings->answer_tokens;
    return context - (room < context / 4 ? (uint32_t)room : context / 4);
}

/* Bytes that `tokens` become `most` with, by the conversation's own measure. */
static size_t goal_bytes(const struct append *append, size_t tokens, size_t most)
{
    if (tokens <= most) return append->talk.bytes;
    return (size_t)((double)append->talk.bytes * (double)most / (double)tokens);
}

bool append_shrink(struct append *append, size_t tokens, uint32_t context)
{
    struct talk *talk = &append->talk;
    size_t before = talk->dropped, most = most_tokens(append, context);
    enum ask_compact compact = append->ask->session.compact;
    bool drops =
        compact == ASK_COMPACT_DROP || (compact == ASK_COMPACT_SUMMARY && append->summed_up);
    if (!drops || (tokens <= most && !is_too_large(append, 1))) return false;
    size_t goal = goal_bytes(append, tokens, most); // what is left over is seen next time
    do {
        if (!talk_drop_oldest(talk, NULL)) break;
    } while (talk->bytes > goal || is_too_large(append, 1));
    return talk->dropped > before;
}

// ---- summaries ---------------------------------------------------------------------------------

bool append_wants_summary(const struct append *append, size_t tokens, uint32_t context)
{
    if (!append->ask || !append->ask->session.id ||
        append->ask->session.compact != ASK_COMPACT_SUMMARY || append->summed_up)
        return false;
    return tokens > most_tokens(append, context) || is_too_large(append, 1);
}

/* Half of the room: the next turns shall not need a summary each. */
static enum err take_oldest(struct append *append, size_t tokens, uint32_t context,
                            struct buf *transcript)
{
    struct talk *talk = &append->talk;
    size_t goal = goal_bytes(append, tokens, most_tokens(append, context) / 2);
    size_t limit = append->door->settings->session_bytes / 2;
    if (goal > limit) goal = limit;
    while ((talk->bytes > goal || talk->count > SESSION_TURNS_MAX / 2) &&
           talk_drop_oldest(talk, transcript))
        ;
    return is_too_large(append, 1) ? note_too_large(append) : ERR_OK;
}

static void on_summed_up(void *owner, enum err err, uint32_t retry_ms)
{
    struct append *append = owner;
    size_t size;
    const char *text = summary_text(append->summary, &size);
    if (!err && size > 0 && screen_stored(append->asker.screen, &text, &size))
        talk_put_summary(&append->talk, text, size); // one that is refused is none
    if (!err) count(append, "summed_up");
    append->asker.ended(append->asker.owner, err, retry_ms);
}

enum err append_sum_up(struct append *append, const struct summary_options *options,
                       const struct flight_order *order, size_t tokens, bool *flies)
{
    struct buf transcript = {0};
    struct summary_options own = *options;
    append->summed_up = true;
    append->asker = *options;
    own.ended = on_summed_up;
    own.owner = append;
    enum err err = take_oldest(append, tokens, options->context_length, &transcript);
    if (!err && transcript.size > 0)
        err = summary_start(&append->summary, &own, order, &transcript);
    buf_fini(&transcript);
    *flies = append->summary != NULL;
    return err;
}

uint32_t append_summary_tokens(const struct append *append)
{
    return append->summary ? summary_tokens(append->summary) : 0;
}

bool append_seed(const struct append *append, uint64_t *seed)
{
    if (!append->ask->session.id || !append->ask->session.turn) return false;
    struct session_name name = name_of(append);
    *seed = session_turn_seed(append->door->sessions, &name);
    return true;
}
