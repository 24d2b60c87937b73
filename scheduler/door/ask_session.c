#include "scheduler/door/ask_session.h"

#include "scheduler/door/ask.h"
#include "scheduler/door/json.h"
#include "scheduler/state/session.h"

#include <string.h>

/* The index of the member's word in `words`; `preset` where it is absent. */
static enum err take_word(const json_t *object, const char *key, const char *param,
                          const char *const *words, int count, int *out)
{
    const json_t *value = json_find(object, key);
    if (!value) return ERR_OK;
    const char *text = json_string_value(value);
    for (int i = 0; text && i < count; i++) {
        if (strcmp(text, words[i]) != 0) continue;
        *out = i;
        return ERR_OK;
    }
    if (count == 2) return json_wrong(param, "must be \"%s\" or \"%s\"", words[0], words[1]);
    return json_wrong(param, "must be \"%s\", \"%s\" or \"%s\"", words[0], words[1], words[2]);
}

static enum err read_turn(struct ask_session *out, const json_t *object)
{
    const json_t *turn = json_find(object, "turn_id");
    if (!turn) return ERR_OK;
    size_t size = json_string_length(turn);
    if (!json_is_string(turn) || size == 0 || size > SESSION_TURN_ID_MAX)
        return json_wrong("session.turn_id", "must be a string of 1 to %d bytes",
                          SESSION_TURN_ID_MAX);
    out->turn = json_string_value(turn);
    return ERR_OK;
}

static enum err read_version(struct ask_session *out, const json_t *object)
{
    const json_t *version = json_find(object, "version");
    if (!version) return ERR_OK;
    if (!json_is_integer(version) || json_integer_value(version) < 0)
        return json_wrong("session.version",
                          "must be the version that the session is believed to have, 0 for a new "
                          "one");
    out->has_version = true;
    out->version = (uint64_t)json_integer_value(version);
    return ERR_OK;
}

static enum err check_members(json_t *object)
{
    static const char *const known[] = {"id", "version", "turn_id", "compact", "durability"};
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value)
    {
        bool found = false;
        for (size_t i = 0; i < sizeof known / sizeof *known; i++)
            found |= strcmp(key, known[i]) == 0;
        if (!found)
            return json_wrong("session",
                              "has the member '%.40s'; known are id, version, turn_id, compact and "
                              "durability",
                              key);
    }
    return ERR_OK;
}

static enum err read_object(struct ask_session *out, json_t *object)
{
    static const char *const compacts[] = {"error", "drop", "summary"};
    static const char *const durabilities[] = {"local", "replicated"};
    int compact = 0, durability = -1;
    const json_t *id = json_find(object, "id");
    TRY(check_members(object));
    if (!json_is_string(id)) return json_wrong("session.id", "must be a string");
    out->id = json_string_value(id);
    TRY(read_version(out, object));
    TRY(read_turn(out, object));
    TRY(take_word(object, "compact", "session.compact", compacts, 3, &compact));
    TRY(take_word(object, "durability", "session.durability", durabilities, 2, &durability));
    out->compact = (enum ask_compact)compact;
    out->durability = (enum ask_durability)(durability + 1);
    return ERR_OK;
}

enum err ask_session_read(struct ask_session *out, const json_t *root)
{
    json_t *session = json_find(root, "session");
    struct ask_session read = {0};
    if (!session) return ERR_OK;
    if (json_is_object(session))
        TRY(read_object(&read, session));
    else if (json_is_string(session))
        read.id = json_string_value(session);
    else
        return json_wrong("session", "must be an id or an object with one");
    const char *param = json_is_object(session) ? "session.id" : "session";
    size_t size = strlen(read.id);
    if (size == 0 || size > SESSION_ID_MAX)
        return json_wrong(param, "must be a string of 1 to %d bytes", SESSION_ID_MAX);
    *out = read;
    return ERR_OK;
}

enum err ask_prewarm_parse(struct ask *out, const char *id, const char *body, size_t size)
{
    struct ask ask = {.kind = ASK_CHAT,
                      .max_tokens = 1,
                      .choice_count = 1,
                      .sampling = {.top_p = 1, .repetition_penalty = 1},
                      .has_seed = true,
                      .prewarm = true};
    TRY(json_read(&ask.root, size ? body : "{}", size ? size : 2));
    enum err err = json_take_text(ask.root, "model", 1, WIRE_NAME_MAX, &ask.model);
    json_t *copy = json_string(id);
    json_object_set_new(ask.root, "session", copy);
    ask.session.id = json_string_value(copy);
    if (err) {
        ask_fini(&ask);
        return err;
    }
    *out = ask;
    return ERR_OK;
}
