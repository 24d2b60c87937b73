#include "tests/unit/node/service/caller.h"

#include "tests/test.h"

#include "wire/link.h"

#include "base/clock.h"
#include "base/mailbox.h"
#include "base/mem.h"

enum {
    PATIENCE_S = 60,
    ARENA = 1 << 20,
    INBOX = 4096
};

void caller_open(struct caller *caller, char url[WIRE_URL_MAX])
{
    arena_init(&caller->arena, mem_new(1, ARENA), ARENA);
    caller->inbox = mailbox_new(INBOX);
    assert_int_equal(links_new(&caller->links, caller->inbox), ERR_OK);
    assert_int_equal(links_listen(caller->links, "tcp://127.0.0.1:0", url), ERR_OK);
}

void caller_close(struct caller *caller)
{
    links_free(caller->links);
    link_event_free(caller->event);
    for (struct link_event *event; (event = mailbox_take(caller->inbox)) != NULL;)
        link_event_free(event);
    mailbox_free(caller->inbox);
    mem_free(caller->arena.bytes);
}

static void pulse(struct caller *caller)
{
    uint64_t now_ns = clock_now_ns();
    if (!caller->link || now_ns < caller->heard_ns + 50 * CLOCK_MS) return;
    caller->heard_ns = now_ns;
    struct wire_message message = {.type = WIRE_HEARTBEAT};
    (void)link_send(caller->links, caller->link, &message, true);
}

struct link_event *caller_event(struct caller *caller)
{
    uint64_t end_ns = clock_now_ns() + PATIENCE_S * CLOCK_SECOND;
    link_event_free(caller->event);
    caller->event = NULL;
    while (clock_now_ns() < end_ns) {
        pulse(caller);
        caller->event = mailbox_take(caller->inbox);
        if (caller->event) return caller->event;
        links_resume(caller->links);
        mailbox_wait(caller->inbox, 20 * CLOCK_MS);
    }
    fail_msg("nothing happened");
    return NULL;
}

struct wire_message caller_message(struct caller *caller, enum wire_type type)
{
    struct wire_message message = {0};
    for (;;) {
        struct link_event *event = caller_event(caller);
        if (event->kind != LINK_FRAME) fail_msg("the link went down: %s", event->reason);
        bool rhythm = event->type == WIRE_HEARTBEAT || event->type == WIRE_LOAD ||
                      event->type == WIRE_CACHE_DELTA || event->type == WIRE_SHARD_STATE;
        if (rhythm && event->type != type) continue;
        if (event->type != type)
            fail_msg("%s came where %s was due", wire_type_name(event->type), wire_type_name(type));
        arena_reset(&caller->arena);
        assert_int_equal(
            message_decode(&message, event->type, event->body, event->size, &caller->arena),
            ERR_OK);
        return message;
    }
}

struct wire_message caller_await(struct caller *caller)
{
    while (caller_event(caller)->kind != LINK_UP)
        ;
    caller->link = caller->event->link;
    return caller_message(caller, WIRE_HELLO);
}

void caller_tell(struct caller *caller, const struct wire_message *message)
{
    assert_int_equal(link_send(caller->links, caller->link, message, false), ERR_OK);
}

void caller_submit(struct caller *caller, const struct wire_submit *submit)
{
    struct wire_message message = {.type = WIRE_SUBMIT, .submit = *submit};
    caller_tell(caller, &message);
}
