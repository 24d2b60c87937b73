#include "tests/support/mixed.h"

#include "node/engine/engine.h"
#include "node/engine/seq.h"
#include "tests/test.h"

#include "base/buf.h"
#include "base/rand.h"

#include <string.h>

static void given_one(struct mixed *request, struct rand *rand, uint32_t vocab_size)
{
    *request = (struct mixed){.stop_ids = {(int32_t)vocab_size - 10, 17}};
    uint32_t length = 1 + (uint32_t)rand_below(rand, MIXED_PROMPT_MAX);
    for (uint32_t i = 0; i < length; i++)
        request->prompt[i] = (int32_t)rand_below(rand, vocab_size);
    request->bias = (struct wire_bias){.id = (int32_t)rand_below(rand, vocab_size), .bias = 3};
    request->submit = (struct wire_submit){
        .key = {.request = rand_next(rand), .choice = (uint32_t)rand_below(rand, 3)},
        .ids = request->prompt,
        .id_count = length,
        .prompt_length = length,
        .next_position = length,
        .max_tokens = 1 + (uint32_t)rand_below(rand, MIXED_ANSWER_MAX),
        .stop_ids = request->stop_ids,
        .stop_id_count = 2,
        .priority = (enum wire_priority)rand_below(rand, 3),
    };
    request->submit.sampling = (struct wire_sampling){
        .temperature = rand_below(rand, 3) ? 1 : 0,
        .top_p = rand_below(rand, 2) ? 0.95f : 1,
        .min_p = rand_below(rand, 3) ? 0 : 0.02f,
        .top_k = (uint32_t)rand_below(rand, 2) * 50,
        .repetition_penalty = rand_below(rand, 2) ? 1.1f : 1,
        .frequency_penalty = rand_below(rand, 3) ? 0 : 0.2f,
        .presence_penalty = rand_below(rand, 2) ? 0.5f : 0,
        .seed = rand_next(rand),
        .bias = &request->bias,
        .bias_count = rand_below(rand, 2),
        .logprobs = rand_below(rand, 2) == 0,
        .top_logprobs = (uint32_t)rand_below(rand, 5),
    };
}

void mixed_given(struct mixed *requests, size_t count, uint32_t vocab_size)
{
    struct rand rand;
    rand_init(&rand, 5);
    for (size_t i = 0; i < count; i++)
        given_one(&requests[i], &rand, vocab_size);
}

void mixed_relate(struct mixed *requests, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct mixed *request = &requests[i];
        request->salt = (struct wire_salt){0, i / 3 % 2};
        if (i % 3 == 0) continue;
        const struct mixed *before = &requests[i - 1];
        size_t shared = i % 3 == 2 ? before->submit.id_count : before->submit.id_count * 3 / 4;
        if (request->submit.id_count < shared || i % 3 == 2) request->submit.id_count = shared;
        memcpy(request->prompt, before->prompt, shared * sizeof *request->prompt);
        request->submit.prompt_length = (uint32_t)request->submit.id_count;
        request->submit.next_position = request->submit.prompt_length;
        request->submit.key.choice = (uint32_t)i % 3;
        if (i % 3 == 2) request->submit.priority = before->submit.priority;
    }
}

void mixed_embed(struct mixed *requests, size_t count, size_t nth)
{
    for (size_t i = 0; i < count; i += nth)
        requests[i].submit.kind = WIRE_EMBED;
}

void mixed_salt(struct mixed *requests, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        requests[i].submit.salts = &requests[i].salt;
        requests[i].submit.salt_count = 1;
    }
}

void mixed_submit(struct engine *engine, struct mixed *requests, size_t index, uint32_t context)
{
    engine_submit(engine,
                  seq_new(&requests[index].submit, index + 1, index,
                          &(struct seq_room){.context_max = context, .vector_size = MIXED_VECTOR},
                          0));
}

static void take_item(struct mixed *request, const struct engine_item *item)
{
    assert_int_equal(request->ends, 0); // nothing follows an end
    if (item->sampled) {
        if (request->pick_count == 0) request->first_position = item->position;
        assert_int_equal(item->position, request->first_position + request->pick_count);
        assert_true(request->pick_count < MIXED_ANSWER_MAX);
        request->picks[request->pick_count++] = item->pick;
    }
    if (item->answered) {
        assert_true(item->end && request->pick_count == 0);
        request->vector_size = item->seq->answer.vector_size;
        memcpy(request->vector, item->seq->answer.vector,
               request->vector_size * sizeof *request->vector);
    }
    if (!item->end) return;
    request->ends++;
    request->finish = item->seq->finish;
    request->err = item->seq->err;
    request->admissions = item->seq->admissions;
    request->cached_tokens = item->seq->cached_tokens;
    seq_free(item->seq);
}

size_t mixed_collect(struct engine *engine, struct mixed *requests)
{
    size_t ended = 0;
    for (struct engine_report *report; (report = engine_take(engine)) != NULL;) {
        for (size_t i = 0; i < report->item_count; i++) {
            const struct engine_item *item = &report->items[i];
            ended += item->end;
            take_item(&requests[item->seq->link], item);
        }
        engine_give(engine, report);
    }
    return ended;
}

void mixed_run(struct engine *engine, struct mixed *requests, size_t count, uint32_t context)
{
    size_t ended = 0;
    for (size_t i = 0; i < count; i++)
        mixed_submit(engine, requests, i, context);
    for (int turn = 0; turn < 100000 && ended < count; turn++) {
        engine_turn(engine, 0);
        ended += mixed_collect(engine, requests);
    }
    assert_int_equal(ended, count);
}

void mixed_assert_same(const struct mixed *a, const struct mixed *b, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(a[i].ends, 1);
        assert_int_equal(b[i].ends, 1);
        assert_int_equal(a[i].finish, b[i].finish);
        assert_int_equal(a[i].pick_count, b[i].pick_count);
        assert_int_equal(a[i].vector_size, b[i].vector_size);
        assert_memory_equal(a[i].vector, b[i].vector, sizeof a[i].vector);
        for (size_t at = 0; at < a[i].pick_count; at++) {
            const struct sampler_pick *x = &a[i].picks[at];
            const struct sampler_pick *y = &b[i].picks[at];
            assert_int_equal(x->id, y->id);
            assert_memory_equal(&x->logprob, &y->logprob, sizeof x->logprob);
            assert_int_equal(x->top_count, y->top_count);
            assert_memory_equal(x->tops, y->tops, x->top_count * sizeof *x->tops);
        }
    }
}

struct digest mixed_digest(const struct mixed *requests, size_t count)
{
    struct buf bytes = {0};
    for (size_t i = 0; i < count; i++) {
        buf_add(&bytes, &requests[i].finish, sizeof requests[i].finish);
        for (size_t at = 0; at < requests[i].pick_count; at++) {
            const struct sampler_pick *pick = &requests[i].picks[at];
            buf_add(&bytes, &pick->id, sizeof pick->id);
            buf_add(&bytes, &pick->logprob, sizeof pick->logprob);
            buf_add(&bytes, pick->tops, pick->top_count * sizeof *pick->tops);
        }
    }
    struct digest digest = digest_of(bytes.data, bytes.size);
    buf_fini(&bytes);
    return digest;
}
