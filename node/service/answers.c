#include "node/service/answers.h"

#include "node/engine/engine.h"
#include "node/engine/seq.h"

#include "wire/link.h"

#include <string.h>

static void send_done(struct links *links, uint64_t link, struct wire_done done)
{
    struct wire_message message = {.type = WIRE_DONE, .done = done};
    (void)link_send(links, link, &message, false);
}

static struct wire_text text_of(const char *note)
{
    size_t size = note ? strlen(note) : 0;
    return (struct wire_text){note, size < WIRE_NOTE_MAX ? size : WIRE_NOTE_MAX};
}

void answer_result(struct links *links, const struct engine_item *item)
{
    const struct seq *seq = item->seq;
    bool asked = seq->sampling.logprobs;
    struct wire_message message = {
        .type = WIRE_RESULT,
        .result =
            {
                .key = seq->key,
                .position = item->position,
                .ids = &item->pick.id,
                .id_count = 1,
                .logprobs = asked ? &item->pick.logprob : NULL,
                .tops = item->pick.top_count > 0 ? item->pick.tops : NULL,
                .top_count = item->pick.top_count,
                .cached_tokens = item->cached_tokens,
            },
    };
    (void)link_send(links, seq->link, &message, false);
}

void answer_whole(struct links *links, const struct engine_item *item)
{
    const struct seq *seq = item->seq;
    const struct answer *answer = &seq->answer;
    struct wire_message message = {
        .type = WIRE_RESULT,
        .result =
            {
                .key = seq->key,
                .position = seq->prompt_length,
                .ids = answer->rows,
                .id_count = answer->row_count,
                .logprobs = answer->row_count > 0 ? answer->scores : NULL,
                .vector = answer->vector,
                .vector_size = answer->vector_size,
                .weights = answer->weights,
                .weight_count = answer->weight_count,
                .cached_tokens = item->cached_tokens,
            },
    };
    (void)link_send(links, seq->link, &message, false);
}

void answer_busy(struct links *links, uint64_t link, const struct wire_key *key, uint32_t retry_ms)
{
    struct wire_message message = {.type = WIRE_BUSY, .busy = {.key = *key, .retry_ms = retry_ms}};
    (void)link_send(links, link, &message, false);
}

void answer_end(struct links *links, const struct seq *seq)
{
    struct wire_done done = {
        .key = seq->key,
        .finish = seq->finish,
        .err = seq->err,
        .note = text_of(seq->note),
        .prompt_tokens = seq->prompt_length,
        .cached_tokens = seq->cached_tokens,
        .completion_tokens = seq_emitted(seq),
    };
    if (seq->cut == SEQ_CUT_CANCELED) {
        done.finish = WIRE_FINISH_CANCELED;
        done.err = ERR_OK;
        done.note = text_of(NULL);
    } else if (seq->cut == SEQ_CUT_STOPPING) {
        done.finish = WIRE_FINISH_NONE;
        done.err = ERR_UNAVAILABLE;
        done.note = text_of("the node is going away");
    }
    send_done(links, seq->link, done);
}

void answer_refused(struct links *links, uint64_t link, const struct wire_submit *submit,
                    enum err err)
{
    send_done(links, link,
              (struct wire_done){.key = submit->key,
                                 .err = err,
                                 .note = text_of(err_text()),
                                 .prompt_tokens = submit->prompt_length});
}

void answer_evicted(struct links *links, const struct engine_forget *forget)
{
    struct wire_message message = {.type = WIRE_EVICTED, .evicted.serial = forget->serial};
    (void)link_send(links, forget->link, &message, false);
}
