/* Links over real sockets. No test depends on how long a thing takes: waits only have a limit after
 * which they fail, and silence is judged by a clock that the test moves. */
#include "tests/test.h"

#include "wire/frame.h"
#include "wire/link.h"

#include "base/arena.h"
#include "base/clock.h"
#include "base/mailbox.h"
#include "base/mem.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    PATIENCE_S = 60,
    INBOX = 4096
};

struct side {
    struct mailbox *inbox;
    struct links *links;
    uint64_t early; // link whose UP came before the DOWN of another; 0: none
};

static struct side given_side(size_t inbox)
{
    struct side side = {.inbox = mailbox_new(inbox)};
    assert_int_equal(links_new(&side.links, side.inbox), ERR_OK);
    return side;
}

static void end_side(struct side *side)
{
    links_free(side->links);
    for (struct link_event *event; (event = mailbox_take(side->inbox)) != NULL;)
        link_event_free(event);
    mailbox_free(side->inbox);
}

/* The next event, which the caller frees. */
static struct link_event *take(struct side *side)
{
    uint64_t end_ns = clock_now_ns() + PATIENCE_S * CLOCK_SECOND;
    while (clock_now_ns() < end_ns) {
        struct link_event *event = mailbox_take(side->inbox);
        if (event) return event;
        links_resume(side->links);
        mailbox_wait(side->inbox, 50 * CLOCK_MS);
    }
    fail_msg("nothing happened");
    return NULL;
}

static struct link_event *take_kind(struct side *side, enum link_event_kind kind)
{
    struct link_event *event = take(side);
    if (event->kind != kind)
        fail_msg("event %d came where %d was due (%s)", event->kind, kind, event->reason);
    return event;
}

static uint64_t take_up(struct side *side)
{
    uint64_t link = side->early;
    side->early = 0;
    if (link) return link;
    struct link_event *event = take_kind(side, LINK_UP);
    link = event->link;
    link_event_free(event);
    return link;
}

/* The end of `link`. A link that replaces it may come up first: order holds within a link only. */
static void take_down(struct side *side, uint64_t link, const char *reason)
{
    struct link_event *event = take(side);
    if (event->kind == LINK_UP && event->link != link && !side->early) {
        side->early = event->link;
        link_event_free(event);
        event = take(side);
    }
    assert_int_equal(event->kind, LINK_DOWN);
    assert_int_equal(event->link, link);
    if (!strstr(event->reason, reason))
        fail_msg("\"%s\" does not say \"%s\"", event->reason, reason);
    link_event_free(event);
}

static uint64_t take_evict(struct side *side, uint64_t link)
{
    static _Alignas(max_align_t) unsigned char memory[1024];
    struct arena arena;
    struct wire_message message;
    struct link_event *event = take_kind(side, LINK_FRAME);
    assert_int_equal(event->link, link);
    arena_init(&arena, memory, sizeof memory);
    assert_int_equal(message_decode(&message, event->type, event->body, event->size, &arena),
                     ERR_OK);
    assert_int_equal(message.type, WIRE_EVICT);
    link_event_free(event);
    return message.evict.salt;
}

static enum err send_evict(struct side *side, uint64_t link, uint64_t salt)
{
    struct wire_message message = {.type = WIRE_EVICT, .evict = {.salt = salt}};
    return link_send(side->links, link, &message, false);
}

static uint16_t port_of(const char *url)
{
    char *end;
    long port = strtol(strrchr(url, ':') + 1, &end, 10);
    assert_true(*end == 0 && port > 0 && port < 65536);
    return (uint16_t)port;
}

static const char *ipc_url(void)
{
    static char url[WIRE_URL_MAX];
    snprintf(url, sizeof url, "ipc:///tmp/qiao_link_test.%d", (int)getpid());
    return url;
}

/* Two sides with one link between them. */
struct pair {
    struct side node, scheduler;
    uint64_t node_link, scheduler_link;
    char url[WIRE_URL_MAX];
    size_t dialer;
};

static struct pair given_pair(const char *url, size_t scheduler_inbox)
{
    struct pair pair = {.node = given_side(INBOX), .scheduler = given_side(scheduler_inbox)};
    assert_int_equal(links_listen(pair.scheduler.links, url, pair.url), ERR_OK);
    assert_int_equal(links_dial(pair.node.links, pair.url, &pair.dialer), ERR_OK);
    pair.node_link = take_up(&pair.node);
    pair.scheduler_link = take_up(&pair.scheduler);
    return pair;
}

static void end_pair(struct pair *pair)
{
    end_side(&pair->node);
    end_side(&pair->scheduler);
}

static void check_order(const char *url)
{
    struct pair pair = given_pair(url, INBOX);
    for (uint64_t i = 0; i < 2000; i++) {
        assert_int_equal(send_evict(&pair.node, pair.node_link, i), ERR_OK);
        assert_int_equal(send_evict(&pair.scheduler, pair.scheduler_link, i << 32), ERR_OK);
    }
    for (uint64_t i = 0; i < 2000; i++) {
        assert_int_equal(take_evict(&pair.scheduler, pair.scheduler_link), i);
        assert_int_equal(take_evict(&pair.node, pair.node_link), i << 32);
    }
    end_pair(&pair);
}

static void frames_keep_their_order_over_tcp(void **state)
{
    (void)state;
    check_order("tcp://127.0.0.1:0");
}

static void frames_keep_their_order_over_ipc(void **state)
{
    (void)state;
    check_order(ipc_url());
}

static void the_bound_url_can_be_dialed(void **state)
{
    (void)state;
    struct side side = given_side(INBOX);
    char url[WIRE_URL_MAX];
    assert_int_equal(links_listen(side.links, "tcp://127.0.0.1:0", url), ERR_OK);
    assert_true(strncmp(url, "tcp://127.0.0.1:", 16) == 0 && port_of(url) > 0);
    struct side other = given_side(INBOX);
    assert_int_equal(links_listen(other.links, url, NULL), ERR_IO);
    assert_non_null(strstr(err_text(), url));
    assert_int_equal(links_dial(other.links, "nonsense", &(size_t){0}), ERR_IO);
    end_side(&other);
    end_side(&side);
}

/* A full inbox stops the reading, not the link; nothing is lost. */
static void a_small_inbox_holds_the_peer_back(void **state)
{
    (void)state;
    struct pair pair = given_pair(ipc_url(), 3);
    for (uint64_t i = 0; i < 3000; i++)
        assert_int_equal(send_evict(&pair.node, pair.node_link, i), ERR_OK);
    for (uint64_t i = 0; i < 3000; i++)
        assert_int_equal(take_evict(&pair.scheduler, pair.scheduler_link), i);
    end_pair(&pair);
}

static void what_is_held_waits_for_the_release(void **state)
{
    (void)state;
    struct pair pair = given_pair(ipc_url(), INBOX);
    links_hold(pair.node.links);
    for (uint64_t i = 0; i < 3; i++)
        assert_int_equal(send_evict(&pair.node, pair.node_link, i), ERR_OK);
    size_t held = link_backlog(pair.node.links, pair.node_link);
    usleep(20000); // far more than it takes to leave
    assert_true(held > 0);
    assert_int_equal(link_backlog(pair.node.links, pair.node_link), held);
    links_release(pair.node.links);
    assert_int_equal(send_evict(&pair.node, pair.node_link, 3), ERR_OK);
    for (uint64_t i = 0; i < 4; i++)
        assert_int_equal(take_evict(&pair.scheduler, pair.scheduler_link), i);
    end_pair(&pair);
}

enum {
    PART_COUNT = 32
};

static void send_part(struct pair *pair, uint64_t index, uint8_t *part)
{
    memset(part, (int)index, WIRE_PART_MAX);
    struct wire_message message = {.type = WIRE_PACK_PART,
                                   .pack_part = {.total = (uint64_t)PART_COUNT * WIRE_PART_MAX,
                                                 .offset = index * WIRE_PART_MAX,
                                                 .bytes = part,
                                                 .size = WIRE_PART_MAX}};
    assert_int_equal(link_send(pair->node.links, pair->node_link, &message, false), ERR_OK);
}

static void check_part(const struct link_event *event, uint64_t index)
{
    struct arena arena = {0};
    struct wire_message message;
    assert_int_equal(message_decode(&message, event->type, event->body, event->size, &arena),
                     ERR_OK);
    assert_int_equal(message.pack_part.offset, index * WIRE_PART_MAX);
    assert_int_equal(message.pack_part.size, WIRE_PART_MAX);
    for (size_t i = 0; i < WIRE_PART_MAX; i += 997)
        assert_int_equal(message.pack_part.bytes[i], (uint8_t)index);
}

/* 8 MB wait for a reader that takes nothing yet; then heartbeats and a request are sent. All of
 * them must arrive before the pack is through, in the order heartbeat, request. */
static void heartbeats_overtake_a_pack_of_8_mb(void **state)
{
    (void)state;
    struct pair pair = given_pair(ipc_url(), 1);
    uint8_t *part = mem_new(WIRE_PART_MAX, 1);
    uint64_t sent = 0;
    while (sent < PART_COUNT - 2) // two less than the queue's 8 MiB hold
        send_part(&pair, sent++, part);
    assert_true(link_backlog(pair.node.links, pair.node_link) > 4u * WIRE_PART_MAX);
    assert_int_equal(send_evict(&pair.node, pair.node_link, 7), ERR_OK);
    struct wire_message heartbeat = {.type = WIRE_HEARTBEAT, .heartbeat = {.count = 1}};
    assert_int_equal(link_send(pair.node.links, pair.node_link, &heartbeat, true), ERR_OK);
    uint64_t parts = 0, heartbeat_at = PART_COUNT, evict_at = PART_COUNT;
    while (parts < PART_COUNT) {
        struct link_event *event = take_kind(&pair.scheduler, LINK_FRAME);
        if (event->type == WIRE_HEARTBEAT) heartbeat_at = parts;
        if (event->type == WIRE_EVICT) {
            assert_true(heartbeat_at < PART_COUNT);
            evict_at = parts;
        }
        if (event->type == WIRE_PACK_PART) check_part(event, parts++);
        link_event_free(event);
        while (sent < PART_COUNT && link_backlog(pair.node.links, pair.node_link) < 1 << 20)
            send_part(&pair, sent++, part);
    }
    assert_true(heartbeat_at < PART_COUNT / 2 && evict_at < PART_COUNT / 2);
    mem_free(part);
    end_pair(&pair);
}

static void a_full_send_queue_closes_the_link_and_says_so(void **state)
{
    (void)state;
    struct pair pair = given_pair("tcp://127.0.0.1:0", 1);
    int32_t *ids = mem_new(WIRE_RESULT_IDS_MAX, sizeof *ids);
    struct wire_message message = {.type = WIRE_RESULT,
                                   .result = {.ids = ids, .id_count = WIRE_RESULT_IDS_MAX}};
    enum err err = ERR_OK;
    size_t sent = 0;
    for (; err == ERR_OK && sent < 100000; sent++)
        err = link_send(pair.node.links, pair.node_link, &message, false);
    assert_int_equal(err, ERR_BUSY);
    assert_true(sent * WIRE_RESULT_IDS_MAX * 4 >= LINK_QUEUE_BYTES_MAX);
    take_down(&pair.node, pair.node_link, "send queue is full");
    assert_int_equal(send_evict(&pair.node, pair.node_link, 1), ERR_NOT_FOUND);
    // The peer gets whole frames, in order, and then the end.
    for (;;) {
        struct link_event *event = take(&pair.scheduler);
        bool ours = event->link == pair.scheduler_link; // the node dials again meanwhile
        bool down = ours && event->kind == LINK_DOWN;
        assert_true(!ours || down || event->kind == LINK_FRAME);
        link_event_free(event);
        if (down) break;
    }
    mem_free(ids);
    end_pair(&pair);
}

/* Call links_check() every 100 ms of a clock that runs as fast as the test does. */
static void pass_time(struct side *side, uint64_t *now_ns, uint64_t ms)
{
    for (uint64_t passed = 0; passed < ms; passed += LINK_HEARTBEAT_MS) {
        *now_ns += LINK_HEARTBEAT_MS * CLOCK_MS;
        links_check(side->links, *now_ns);
    }
}

/* A plain socket: a peer that does as the test says. */
static int given_raw_peer(const char *url)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(port_of(url)),
                                  .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

/* A side that bears `silence_ms`, or as much as all do when that is 0. */
static void drops_a_silent_peer(uint32_t silence_ms)
{
    struct side side = given_side(INBOX);
    if (silence_ms) links_set_silence(side.links, silence_ms);
    char url[WIRE_URL_MAX];
    assert_int_equal(links_listen(side.links, "tcp://127.0.0.1:0", url), ERR_OK);
    uint64_t now_ns = clock_now_ns(); // not later than the link's beginning
    int fd = given_raw_peer(url);
    uint64_t link = take_up(&side);
    pass_time(&side, &now_ns, (silence_ms ? silence_ms : LINK_SILENCE_MS) - LINK_HEARTBEAT_MS);
    assert_int_equal(mailbox_count(side.inbox), 0);
    pass_time(&side, &now_ns, PATIENCE_S * 1000);
    take_down(&side, link, "silent");
    char byte;
    assert_true(recv(fd, &byte, 1, 0) <= 0); // and its connection is closed
    close(fd);
    end_side(&side);
}

static void a_peer_that_accepts_and_says_nothing_is_dropped(void **state)
{
    (void)state;
    drops_a_silent_peer(0);
    drops_a_silent_peer(5 * LINK_SILENCE_MS);
}

static void a_half_open_listener_is_dropped_and_dialed_again(void **state)
{
    (void)state;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(fd, 8), 0); // the kernel completes connections; nobody accepts them
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    char url[WIRE_URL_MAX];
    snprintf(url, sizeof url, "tcp://127.0.0.1:%d", ntohs(address.sin_port));

    struct side side = given_side(INBOX);
    size_t dialer;
    assert_int_equal(links_dial(side.links, url, &dialer), ERR_OK);
    uint64_t first = take_up(&side);
    uint64_t now_ns = clock_now_ns();
    pass_time(&side, &now_ns, 1200);
    take_down(&side, first, "silent");
    uint64_t second = take_up(&side);
    assert_true(second != first);
    end_side(&side);
    close(fd);
}

static void a_stalled_owner_judges_nobody(void **state)
{
    (void)state;
    struct pair pair = given_pair("tcp://127.0.0.1:0", INBOX);
    uint64_t now_ns = clock_now_ns();
    for (int i = 0; i < 5; i++) {
        now_ns += 5 * CLOCK_SECOND;
        links_check(pair.node.links, now_ns);
    }
    assert_int_equal(mailbox_count(pair.node.inbox), 0);
    pass_time(&pair.node, &now_ns, 200);
    take_down(&pair.node, pair.node_link, "silent");
    end_pair(&pair);
}

static void check_garbage(const void *bytes, size_t size, const char *reason)
{
    struct pair pair = given_pair("tcp://127.0.0.1:0", INBOX);
    int fd = given_raw_peer(pair.url);
    uint64_t link = take_up(&pair.scheduler);
    assert_int_equal(send(fd, bytes, size, MSG_NOSIGNAL), size);
    take_down(&pair.scheduler, link, reason);
    // Its neighbour has not felt it.
    assert_int_equal(send_evict(&pair.node, pair.node_link, 5), ERR_OK);
    assert_int_equal(take_evict(&pair.scheduler, pair.scheduler_link), 5);
    close(fd);
    end_pair(&pair);
}

static void a_peer_that_sends_garbage_is_dropped(void **state)
{
    (void)state;
    static const char http[] = "GET / HTTP/1.1\r\nHost: here\r\n\r\n";
    check_garbage(http, sizeof http - 1, "QIAO");

    uint8_t frame[FRAME_HEADER_SIZE];
    frame_write(frame, &(struct frame){.type = WIRE_CANCEL, .sequence = 1});
    check_garbage(frame, sizeof frame, "gap");

    frame_write(frame, &(struct frame){.type = WIRE_CANCEL});
    memset(frame + 8, 0xff, 4);
    check_garbage(frame, sizeof frame, "CANCEL of 4294967295 bytes");
}

static void a_link_comes_back_after_the_listener_restarts(void **state)
{
    (void)state;
    struct pair pair = given_pair("tcp://127.0.0.1:0", INBOX);
    for (int restart = 0; restart < 3; restart++) {
        end_side(&pair.scheduler);
        take_down(&pair.node, pair.node_link, "");
        assert_int_equal(send_evict(&pair.node, pair.node_link, 1), ERR_NOT_FOUND);
        pair.scheduler = given_side(INBOX);
        assert_int_equal(links_listen(pair.scheduler.links, pair.url, NULL), ERR_OK);
        uint64_t old = pair.node_link;
        pair.node_link = take_up(&pair.node);
        pair.scheduler_link = take_up(&pair.scheduler);
        assert_true(pair.node_link != old);
        assert_int_equal(send_evict(&pair.node, pair.node_link, 9), ERR_OK);
        assert_int_equal(take_evict(&pair.scheduler, pair.scheduler_link), 9);
    }
    end_pair(&pair);
}

/* More addresses than there are dialers, one after the other: whoever is hung up gives its place back. */
/* The next event of what this dialer made: the end of another's link, which was hung up before it was through, may come
 * in between. */
static uint64_t take_of(struct side *side, size_t dialer, enum link_event_kind kind)
{
    for (;;) {
        struct link_event *event = take(side);
        bool is_ours = event->dialer == dialer;
        uint64_t link = event->link;
        if (is_ours) assert_int_equal(event->kind, kind);
        if (is_ours && kind == LINK_DOWN) assert_non_null(strstr(event->reason, "hung up"));
        link_event_free(event);
        if (is_ours) return link;
    }
}

static void who_is_hung_up_is_dialed_no_more(void **state)
{
    (void)state;
    struct side listener = given_side(INBOX), node = given_side(INBOX);
    char url[WIRE_URL_MAX];
    uint64_t now_ns = clock_now_ns();
    size_t last = SIZE_MAX, dialer, dead;
    assert_int_equal(links_listen(listener.links, "tcp://127.0.0.1:0", url), ERR_OK);
    for (int i = 0; i < LINK_DIALERS_MAX + 10; i++) {
        assert_int_equal(links_dial(node.links, url, &dialer), ERR_OK);
        assert_true(dialer != last);
        last = dialer;
        if (i % 2 == 0) { // in the middle of its dialing, and when it is through
            uint64_t link = take_of(&node, dialer, LINK_UP);
            links_hang_up(node.links, dialer);
            assert_int_equal(take_of(&node, dialer, LINK_DOWN), link);
        } else {
            links_hang_up(node.links, dialer);
        }
        links_check(node.links, now_ns);
        // That it came through after all is told, and its end.
        for (struct link_event *event; (event = mailbox_take(node.inbox)) != NULL;)
            link_event_free(event);
    }
    assert_int_equal(links_dial(node.links, "tcp://127.0.0.1:1", &dead), ERR_OK);
    links_hang_up(node.links, dead);
    assert_int_equal(links_dial(node.links, url, &dialer), ERR_OK);
    struct link_event *event;
    while ((event = take(&node))->dialer != dialer)
        link_event_free(event);
    assert_int_equal(event->kind, LINK_UP);
    link_event_free(event);
    end_side(&node);
    end_side(&listener);
}

static void closing_a_link_tells_both_sides_once(void **state)
{
    (void)state;
    struct pair pair = given_pair("tcp://127.0.0.1:0", INBOX);
    link_close(pair.scheduler.links, pair.scheduler_link, "drained");
    link_close(pair.scheduler.links, pair.scheduler_link, "again");
    take_down(&pair.scheduler, pair.scheduler_link, "drained");
    take_down(&pair.node, pair.node_link, "");
    (void)take_up(&pair.node); // it dials again
    (void)take_up(&pair.scheduler);
    assert_int_equal(mailbox_count(pair.scheduler.inbox), 0);
    end_pair(&pair);
}

enum {
    MANY = 40
};

static void many_links_share_one_address(void **state)
{
    (void)state;
    struct side scheduler = given_side(INBOX), nodes[MANY];
    char url[WIRE_URL_MAX];
    assert_int_equal(links_listen(scheduler.links, "tcp://127.0.0.1:0", url), ERR_OK);
    for (uint64_t i = 0; i < MANY; i++) {
        size_t dialer;
        nodes[i] = given_side(INBOX);
        assert_int_equal(links_dial(nodes[i].links, url, &dialer), ERR_OK);
        uint64_t link = take_up(&nodes[i]);
        for (uint64_t n = 0; n < 20; n++)
            assert_int_equal(send_evict(&nodes[i], link, n), ERR_OK);
    }
    uint64_t links[MANY] = {0}, next[MANY] = {0};
    size_t ups = 0;
    for (size_t frames = 0; frames < (size_t)MANY * 20;) {
        struct link_event *event = take(&scheduler);
        if (event->kind == LINK_UP) {
            links[ups++] = event->link;
        } else {
            assert_int_equal(event->kind, LINK_FRAME);
            size_t i = 0;
            while (links[i] != event->link)
                i++;
            struct arena arena = {0};
            struct wire_message message;
            assert_int_equal(
                message_decode(&message, event->type, event->body, event->size, &arena), ERR_OK);
            assert_int_equal(message.evict.salt, next[i]++);
            frames++;
        }
        link_event_free(event);
    }
    assert_int_equal(ups, MANY);
    for (size_t i = 0; i < MANY; i++)
        end_side(&nodes[i]);
    end_side(&scheduler);
}

/* Both ends stop in the middle of traffic: no callback may run, and no event come, after. */
static void a_set_can_be_freed_in_the_middle_of_traffic(void **state)
{
    (void)state;
    for (int round = 0; round < 30; round++) {
        struct pair pair = given_pair(round % 2 ? ipc_url() : "tcp://127.0.0.1:0", INBOX);
        for (uint64_t i = 0; i < 500; i++) {
            (void)send_evict(&pair.node, pair.node_link, i);
            (void)send_evict(&pair.scheduler, pair.scheduler_link, i);
        }
        if (round % 3 == 0) link_close(pair.node.links, pair.node_link, "over");
        links_free(pair.scheduler.links);
        pair.scheduler.links = NULL;
        size_t count = mailbox_count(pair.scheduler.inbox);
        for (int i = 0; i < 3; i++)
            (void)send_evict(&pair.node, pair.node_link, 1);
        assert_int_equal(mailbox_count(pair.scheduler.inbox), count);
        end_pair(&pair);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_keep_their_order_over_tcp),
        cmocka_unit_test(frames_keep_their_order_over_ipc),
        cmocka_unit_test(the_bound_url_can_be_dialed),
        cmocka_unit_test(a_small_inbox_holds_the_peer_back),
        cmocka_unit_test(what_is_held_waits_for_the_release),
        cmocka_unit_test(heartbeats_overtake_a_pack_of_8_mb),
        cmocka_unit_test(a_full_send_queue_closes_the_link_and_says_so),
        cmocka_unit_test(a_peer_that_accepts_and_says_nothing_is_dropped),
        cmocka_unit_test(a_half_open_listener_is_dropped_and_dialed_again),
        cmocka_unit_test(a_stalled_owner_judges_nobody),
        cmocka_unit_test(a_peer_that_sends_garbage_is_dropped),
        cmocka_unit_test(a_link_comes_back_after_the_listener_restarts),
        cmocka_unit_test(who_is_hung_up_is_dialed_no_more),
        cmocka_unit_test(closing_a_link_tells_both_sides_once),
        cmocka_unit_test(many_links_share_one_address),
        cmocka_unit_test(a_set_can_be_freed_in_the_middle_of_traffic),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
