#include "scheduler/door/talk.h"

#include "base/buf.h"
#include "base/mem.h"

#include <sodium.h>

#include <string.h>

const char *talk_role(const char *role)
{
    if (strncmp(role, "assistant", 9) == 0) return "assistant";
    return strncmp(role, "system", 6) == 0 ? "system" : "user";
}

struct session_turn *talk_add(struct talk *talk, const char *role, const char *content, size_t size)
{
    if (talk->count == talk->capacity) {
        talk->capacity = talk->capacity ? 2 * talk->capacity : 8;
        talk->turns = mem_resize(talk->turns, talk->capacity, sizeof *talk->turns);
    }
    struct session_turn *turn = &talk->turns[talk->count++];
    *turn = (struct session_turn){.role = talk_role(role),
                                  .content = mem_text(size ? content : "", size),
                                  .content_size = size};
    talk->bytes += size;
    return turn;
}

void talk_load(struct talk *talk, const struct session *session)
{
    talk->version = session->version;
    talk->has_key = session->has_key;
    memcpy(talk->key, session->key, sizeof talk->key);
    memcpy(talk->mark, session->mark, sizeof talk->mark);
    for (size_t i = 0; i < session->turn_count; i++) {
        const struct session_turn *from = &session->turns[i];
        struct session_turn *turn = talk_add(talk, from->role, from->content, from->content_size);
        turn->version = from->version;
        turn->cut = from->cut;
        turn->summary = from->summary;
        turn->model = from->model;
        turn->adapter = from->adapter;
        turn->region = from->region;
    }
    talk->fresh = talk->count;
}

void talk_replace(struct talk *talk, size_t index, char *content, size_t size)
{
    struct session_turn *turn = &talk->turns[index];
    char *old = (char *)(uintptr_t)turn->content; // ours: talk_add() made it
    sodium_memzero(old, turn->content_size);
    mem_free(old);
    talk->bytes = talk->bytes - turn->content_size + size;
    turn->content = content;
    turn->content_size = size;
}

struct session talk_session(const struct talk *talk)
{
    struct session session = {.version = talk->version,
                              .turns = talk->turns,
                              .turn_count = talk->count,
                              .has_key = talk->has_key};
    memcpy(session.key, talk->key, sizeof session.key);
    memcpy(session.mark, talk->mark, sizeof session.mark);
    return session;
}

static void remove_turn(struct talk *talk, size_t index)
{
    struct session_turn *turn = &talk->turns[index];
    talk->bytes -= turn->content_size;
    mem_free((void *)(uintptr_t)turn->content);
    memmove(turn, turn + 1, (talk->count - index - 1) * sizeof *turn);
    talk->count--;
    talk->fresh--;
    talk->dropped++;
}

/* Behind the system turns that the client wrote. */
static size_t first_that_may_go(const struct talk *talk)
{
    size_t index = 0;
    while (index < talk->fresh && strcmp(talk->turns[index].role, "system") == 0 &&
           !talk->turns[index].summary)
        index++;
    return index;
}

bool talk_drop_oldest(struct talk *talk, struct buf *transcript)
{
    size_t index = first_that_may_go(talk);
    if (index == talk->fresh) return false;
    do {
        const struct session_turn *turn = &talk->turns[index];
        if (transcript) {
            buf_addf(transcript, "%s: ", turn->role);
            buf_add(transcript, turn->content, turn->content_size);
            buf_add_text(transcript, "\n\n");
        }
        remove_turn(talk, index);
    } while (index < talk->fresh && strcmp(talk->turns[index].role, "assistant") == 0);
    return true;
}

void talk_put_summary(struct talk *talk, const char *text, size_t size)
{
    static const char title[] = "Summary of the conversation so far: ";
    size_t index = first_that_may_go(talk);
    struct buf whole = {0};
    buf_add_text(&whole, title);
    buf_add(&whole, text, size);
    talk_add(talk, "system", whole.data, whole.size)->summary = true;
    buf_fini(&whole);
    struct session_turn summary = talk->turns[talk->count - 1];
    memmove(&talk->turns[index + 1], &talk->turns[index],
            (talk->count - 1 - index) * sizeof *talk->turns);
    talk->turns[index] = summary;
    talk->fresh++;
}

void talk_fini(struct talk *talk)
{
    for (size_t i = 0; i < talk->count; i++)
        mem_free((void *)(uintptr_t)talk->turns[i].content);
    mem_free(talk->turns);
    sodium_memzero(talk, sizeof *talk);
}
