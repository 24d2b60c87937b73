#include "tests/support/fake_node.h"

#include "tests/support/tiny_model.h"
#include "tests/test.h"

#include "text/pack.h"
#include "text/tokenizer.h"
#include "wire/link.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/gguf.h"
#include "base/mailbox.h"
#include "base/mem.h"
#include "base/must.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

enum {
    ATTEMPTS_MAX = 64,
    ARENA_SIZE = 8 << 20,
    HEARD_MAX = 4 << 20
};

struct attempt {
    bool used;
    enum wire_kind kind;
    int32_t second_id;
    uint32_t segment;
    uint32_t row_begin, row_end, list_count;
    uint64_t link;
    struct wire_key key;
    uint32_t prompt_length, position, sent, max_tokens;
    uint32_t top_count;
    bool logprobs;
    uint64_t next_ns;
};

struct fake_node {
    struct fake_node_options options;
    pthread_t thread;
    pthread_mutex_t lock; // of what a test asks for
    struct buf heard;     // the bodies of all frames, one behind the other
    struct links *links;
    struct mailbox *inbox;
    struct buf pack; // bytes
    struct text_pack *text;
    struct token_ids answer;
    struct attempt attempts[ATTEMPTS_MAX];
    struct arena arena;
    char *prompt;
    struct wire_salt salts[2]; // of the latest submit, as these
    size_t salt_count;
    uint32_t cache_ms;
    uint64_t evicted;
    uint64_t link, beat_ns;
    atomic_bool stopping, hanging;
    atomic_uint submits, cancels, halt;
    _Atomic uint64_t instance;
    bool died;
    uint32_t busy; // how many were told so
};

static void say(struct fake_node *node, uint64_t link, const struct wire_message *message)
{
    (void)link_send(node->links, link, message, message->type == WIRE_HEARTBEAT);
}

static void say_hello(struct fake_node *node, uint64_t link)
{
    const char *name = node->options.name ? node->options.name : "fake";
    const char *region = node->options.region ? node->options.region : "";
    const char *model_name = node->text->name;
    const char *weights = node->options.model ? node->options.model : "fake";
    atomic_store(&node->instance, clock_now_ns());
    struct wire_model model = {
        .name = {model_name, strlen(model_name)},
        .kinds = node->options.kinds ? node->options.kinds : 1u << WIRE_GENERATE | 1u << WIRE_EMBED,
        .vector_size = node->options.vector_size ? node->options.vector_size : FAKE_NODE_VECTOR,
        .pack = node->text->digest,
        .model = digest_of(weights, strlen(weights)),
        .numerics = digest_of("1", 1),
        .context_length =
            node->options.context ? node->options.context : node->text->context_length,
        .vocab_size = (uint32_t)tokenizer_size(node->text->tokenizer)};
    struct wire_message hello = {
        .type = WIRE_HELLO,
        .hello = {.protocol = WIRE_PROTOCOL,
                  .node = {name, strlen(name)},
                  .region = {region, strlen(region)},
                  .instance = fake_node_instance(node),
                  .models = &model,
                  .model_count = 1,
                  .credits = node->options.credits ? node->options.credits : 16,
                  .block_tokens = 16,
                  .kv_blocks = 64,
                  .threads = 1}};
    say(node, link, &hello);
}

static void send_pack(struct fake_node *node, uint64_t link)
{
    for (size_t offset = 0; offset < node->pack.size; offset += 4096) {
        size_t size = node->pack.size - offset < 4096 ? node->pack.size - offset : 4096;
        struct wire_message part = {.type = WIRE_PACK_PART,
                                    .pack_part = {.pack = node->text->digest,
                                                  .total = node->pack.size,
                                                  .offset = offset,
                                                  .bytes = (uint8_t *)node->pack.data + offset,
                                                  .size = size}};
        say(node, link, &part);
    }
}

static void on_submit(struct fake_node *node, uint64_t link, const struct wire_submit *submit)
{
    struct buf text = {0};
    for (size_t i = 0; i < submit->prompt_length; i++) {
        size_t size;
        const char *piece = tokenizer_piece(node->text->tokenizer, submit->ids[i], &size);
        buf_add(&text, piece, size);
    }
    pthread_mutex_lock(&node->lock);
    mem_free(node->prompt);
    node->prompt = buf_take(&text);
    must(submit->salt_count <= 2);
    node->salt_count = submit->salt_count;
    for (size_t i = 0; i < submit->salt_count; i++)
        node->salts[i] = submit->salts[i];
    node->cache_ms = submit->cache_ms;
    pthread_mutex_unlock(&node->lock);
    atomic_fetch_add(&node->submits, 1);
    if (node->busy < node->options.busy) {
        node->busy++;
        say(node, link, &(struct wire_message){.type = WIRE_BUSY, .busy = {.key = submit->key}});
        return;
    }
    for (size_t i = 0; i < ATTEMPTS_MAX; i++) {
        if (node->attempts[i].used) continue;
        node->attempts[i] =
            (struct attempt){.used = true,
                             .kind = submit->kind,
                             .second_id = submit->id_count > 1 ? submit->ids[1] : 0,
                             .segment = submit->segment,
                             .row_begin = submit->row_begin,
                             .row_end = submit->row_end,
                             .list_count = submit->top_count,
                             .link = link,
                             .key = submit->key,
                             .prompt_length = submit->prompt_length,
                             .position = (uint32_t)submit->id_count,
                             .sent = (uint32_t)submit->id_count - submit->prompt_length,
                             .max_tokens = submit->max_tokens,
                             .logprobs = submit->sampling.logprobs,
                             .top_count = submit->sampling.top_logprobs};
        return;
    }
    must(!"too many attempts");
}

static void on_cancel(struct fake_node *node, const struct wire_key *key)
{
    for (size_t i = 0; i < ATTEMPTS_MAX; i++) {
        struct attempt *attempt = &node->attempts[i];
        if (attempt->used && attempt->key.request == key->request &&
            attempt->key.attempt == key->attempt)
            attempt->used = false;
    }
    atomic_fetch_add(&node->cancels, 1);
}

/* It caches nothing. */
static void on_evict(struct fake_node *node, uint64_t link, const struct wire_message *evict)
{
    struct wire_message message = {.type = WIRE_EVICTED, .evicted.serial = evict->evict.serial};
    pthread_mutex_lock(&node->lock);
    node->evicted = evict->evict.salt;
    pthread_mutex_unlock(&node->lock);
    if (!atomic_load(&node->hanging)) say(node, link, &message);
}

static void on_event(struct fake_node *node, const struct link_event *event)
{
    struct wire_message message;
    if (event->kind == LINK_UP) {
        node->link = event->link;
        say_hello(node, event->link);
    }
    if (event->kind == LINK_DOWN) {
        memset(node->attempts, 0, sizeof node->attempts);
        node->link = 0;
    }
    if (event->kind != LINK_FRAME) return;
    pthread_mutex_lock(&node->lock);
    buf_add(&node->heard, event->body, event->size);
    pthread_mutex_unlock(&node->lock);
    arena_reset(&node->arena);
    must(message_decode(&message, event->type, event->body, event->size, &node->arena) == ERR_OK);
    if (message.type == WIRE_PACK_WANT) send_pack(node, event->link);
    if (message.type == WIRE_SUBMIT) on_submit(node, event->link, &message.submit);
    if (message.type == WIRE_CANCEL) on_cancel(node, &message.cancel.key);
    if (message.type == WIRE_EVICT && message.evict.serial > 0)
        on_evict(node, event->link, &message);
}

static void finish(struct fake_node *node, struct attempt *attempt, enum wire_finish finish)
{
    struct wire_message done = {.type = WIRE_DONE,
                                .done = {.key = attempt->key,
                                         .finish = finish,
                                         .prompt_tokens = attempt->prompt_length,
                                         .cached_tokens = 3,
                                         .completion_tokens = attempt->sent}};
    attempt->used = false;
    say(node, attempt->link, &done);
}

/* The vector of a text: how many ids it has, its second id, then zeros. */
static void embed(struct fake_node *node, struct attempt *attempt)
{
    const float vector[FAKE_NODE_VECTOR] = {(float)attempt->prompt_length,
                                            (float)attempt->second_id};
    struct wire_message message = {.type = WIRE_RESULT,
                                   .result = {.key = attempt->key,
                                              .position = attempt->prompt_length,
                                              .vector = vector,
                                              .vector_size = FAKE_NODE_VECTOR}};
    say(node, attempt->link, &message);
    finish(node, attempt, WIRE_FINISH_STOP);
}

/* The score of two texts: how many ids the second has, less FAKE_NODE_ZERO. */
static void score(struct fake_node *node, struct attempt *attempt)
{
    float number = (float)(attempt->prompt_length - attempt->segment) - FAKE_NODE_ZERO;
    struct wire_message message = {.type = WIRE_RESULT,
                                   .result = {.key = attempt->key,
                                              .position = attempt->prompt_length,
                                              .vector = &number,
                                              .vector_size = 1}};
    say(node, attempt->link, &message);
    finish(node, attempt, WIRE_FINISH_STOP);
}

/* A list: the first rows of the slice, each better than the next. */
static void recommend(struct fake_node *node, struct attempt *attempt)
{
    int32_t rows[FAKE_NODE_ROWS_MAX];
    float scores[FAKE_NODE_ROWS_MAX];
    uint32_t count = 0;
    for (uint32_t row = attempt->row_begin; count < attempt->list_count; row++) {
        if (count == FAKE_NODE_ROWS_MAX || (attempt->row_end > 0 && row == attempt->row_end)) break;
        rows[count] = (int32_t)row;
        scores[count++] = FAKE_NODE_BEST - (float)row;
    }
    struct wire_message message = {.type = WIRE_RESULT,
                                   .result = {.key = attempt->key,
                                              .position = attempt->prompt_length,
                                              .ids = rows,
                                              .logprobs = scores,
                                              .id_count = count}};
    say(node, attempt->link, &message);
    finish(node, attempt, WIRE_FINISH_STOP);
}

/* The next id of an answer: of the text, then the end. */
static void go_on(struct fake_node *node, struct attempt *attempt)
{
    if (attempt->kind == WIRE_EMBED) {
        embed(node, attempt);
        return;
    }
    if (attempt->kind == WIRE_SCORE) {
        score(node, attempt);
        return;
    }
    if (attempt->kind == WIRE_RECOMMEND) {
        recommend(node, attempt);
        return;
    }
    int32_t id = attempt->sent < node->answer.count ? node->answer.ids[attempt->sent]
                                                    : tokenizer_eos(node->text->tokenizer);
    float logprob = -0.5f;
    struct wire_top tops[WIRE_TOP_LOGPROBS_MAX];
    struct wire_message message = {.type = WIRE_RESULT};
    struct wire_result *result = &message.result;
    *result = (struct wire_result){.key = attempt->key,
                                   .position = attempt->position,
                                   .ids = &id,
                                   .id_count = 1,
                                   .cached_tokens = 3};
    for (uint32_t i = 0; i < attempt->top_count; i++)
        tops[i] = (struct wire_top){id, logprob};
    if (attempt->logprobs) result->logprobs = &logprob;
    if (attempt->logprobs && attempt->top_count > 0) {
        result->tops = tops;
        result->top_count = attempt->top_count;
    }
    say(node, attempt->link, &message);
    attempt->position++;
    attempt->sent++;
    attempt->next_ns = clock_now_ns() + node->options.pause_ms * CLOCK_MS;
    if (attempt->sent > node->answer.count)
        finish(node, attempt, WIRE_FINISH_STOP);
    else if (attempt->sent == attempt->max_tokens)
        finish(node, attempt, WIRE_FINISH_LENGTH);
    if (node->options.die_after && !node->died && attempt->sent == node->options.die_after) {
        node->died = true;
        link_close(node->links, attempt->link, "it dies, as asked");
    }
}

static bool may_go_on(struct fake_node *node, const struct attempt *attempt, uint64_t now_ns)
{
    unsigned halt = atomic_load(&node->halt);
    return attempt->used && now_ns >= attempt->next_ns && (halt == 0 || attempt->sent < halt);
}

static void *run(void *argument)
{
    struct fake_node *node = argument;
    size_t dialer;
    must(links_dial(node->links, node->options.url, &dialer) == ERR_OK);
    while (!atomic_load(&node->stopping)) {
        struct link_event *event;
        mailbox_wait(node->inbox, CLOCK_MS);
        while ((event = mailbox_take(node->inbox))) {
            on_event(node, event);
            link_event_free(event);
        }
        uint64_t now_ns = clock_now_ns();
        for (size_t i = 0; i < ATTEMPTS_MAX && !atomic_load(&node->hanging); i++) {
            struct attempt *attempt = &node->attempts[i];
            if (may_go_on(node, attempt, now_ns)) go_on(node, attempt);
        }
        if (now_ns - node->beat_ns > LINK_HEARTBEAT_MS * CLOCK_MS) {
            struct wire_message beat = {.type = WIRE_HEARTBEAT};
            node->beat_ns = now_ns;
            if (node->link) say(node, node->link, &beat);
            links_check(node->links, now_ns);
        }
    }
    links_free(node->links);
    return NULL;
}

struct fake_node *fake_node_start(const struct fake_node_options *options)
{
    struct fake_node *node = mem_new(1, sizeof *node);
    struct tiny_model tiny = {.vocab_only = true};
    struct buf image = {0};
    struct gguf *gguf;
    node->options = *options;
    node->heard.limit = HEARD_MAX;
    tiny_model_write(&image, &tiny);
    must(gguf_parse(&gguf, image.data, image.size) == ERR_OK);
    must(gguf_write_pack(gguf, &node->pack) == ERR_OK);
    must(text_pack_from_gguf(&node->text, gguf) == ERR_OK);
    gguf_close(gguf);
    buf_fini(&image);
    must(tokenizer_encode(node->text->tokenizer, options->answer, strlen(options->answer), 0,
                          &node->answer) == ERR_OK);
    node->inbox = mailbox_new(1024);
    must(links_new(&node->links, node->inbox) == ERR_OK);
    links_set_silence(node->links, FAKE_NODE_SILENCE_MS);
    arena_init(&node->arena, mem_new(1, ARENA_SIZE), ARENA_SIZE);
    must(pthread_mutex_init(&node->lock, NULL) == 0);
    must(pthread_create(&node->thread, NULL, run, node) == 0);
    return node;
}

void fake_node_stop(struct fake_node *node)
{
    struct link_event *event;
    if (!node) return;
    atomic_store(&node->stopping, true);
    must(pthread_join(node->thread, NULL) == 0);
    while ((event = mailbox_take(node->inbox)))
        link_event_free(event);
    mailbox_free(node->inbox);
    text_pack_close(node->text);
    token_ids_fini(&node->answer);
    buf_fini(&node->pack);
    buf_fini(&node->heard);
    pthread_mutex_destroy(&node->lock);
    mem_free(node->arena.bytes);
    mem_free(node->prompt);
    mem_free(node);
}

void fake_node_hang(struct fake_node *node, bool on)
{
    atomic_store(&node->hanging, on);
}

void fake_node_halt(struct fake_node *node, unsigned ids)
{
    atomic_store(&node->halt, ids);
}

uint64_t fake_node_instance(struct fake_node *node)
{
    return atomic_load(&node->instance);
}

unsigned fake_node_submits(struct fake_node *node)
{
    return atomic_load(&node->submits);
}

unsigned fake_node_cancels(struct fake_node *node)
{
    return atomic_load(&node->cancels);
}

size_t fake_node_salts(struct fake_node *node, struct wire_salt salts[2], uint32_t *cache_ms)
{
    pthread_mutex_lock(&node->lock);
    size_t count = node->salt_count;
    memcpy(salts, node->salts, sizeof node->salts);
    *cache_ms = node->cache_ms;
    pthread_mutex_unlock(&node->lock);
    return count;
}

uint64_t fake_node_evicted(struct fake_node *node)
{
    pthread_mutex_lock(&node->lock);
    uint64_t salt = node->evicted;
    pthread_mutex_unlock(&node->lock);
    return salt;
}

char *fake_node_prompt(struct fake_node *node)
{
    pthread_mutex_lock(&node->lock);
    char *prompt = mem_copy_text(node->prompt ? node->prompt : "");
    pthread_mutex_unlock(&node->lock);
    return prompt;
}

bool fake_node_heard(struct fake_node *node, const char *bytes)
{
    pthread_mutex_lock(&node->lock);
    must(!node->heard.overflow);
    bool found = memmem(buf_text(&node->heard), node->heard.size, bytes, strlen(bytes)) != NULL;
    pthread_mutex_unlock(&node->lock);
    return found;
}
