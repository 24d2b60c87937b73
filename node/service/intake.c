#include "node/service/intake.h"

#include "node/engine/sampler.h"

static enum err check_kind(const struct wire_submit *submit, const struct wire_model *model)
{
    if (submit->protocol != WIRE_PROTOCOL) {
        return err_note(ERR_UNSUPPORTED, "submit: protocol %u, this node speaks %d",
                        submit->protocol, WIRE_PROTOCOL);
    }
    unsigned kind = (unsigned)submit->kind;
    if (kind >= 32 || !(model->kinds & (UINT32_C(1) << kind))) {
        return err_note(ERR_UNSUPPORTED, "submit: kind %u, this model does not do that", kind);
    }
    if (submit->grammar_size > 0 || !digest_is_zero(&submit->grammar_digest))
        return err_note(ERR_UNSUPPORTED, "submit: grammars are not supported by this node");
    return ERR_OK;
}

static enum err check_digest(const char *name, const struct digest *asked,
                             const struct digest *ours)
{
    if (digest_equal(asked, ours)) return ERR_OK;
    char asked_text[DIGEST_TEXT_SIZE];
    char our_text[DIGEST_TEXT_SIZE];
    return err_note(ERR_UNAVAILABLE, "submit: %s digest %s, this node has %s", name,
                    digest_text(asked, asked_text), digest_text(ours, our_text));
}

static enum err check_ids(const char *name, const int32_t *ids, size_t count, uint32_t vocab_size)
{
    for (size_t i = 0; i < count; i++) {
        if (ids[i] < 0 || (uint32_t)ids[i] >= vocab_size) {
            return err_note(ERR_INVALID, "submit: %s[%zu] is %d, the vocabulary has %u ids", name,
                            i, ids[i], vocab_size);
        }
    }
    return ERR_OK;
}

static bool generates(const struct wire_submit *submit)
{
    return submit->kind == WIRE_GENERATE;
}

static enum err check_lengths(const struct wire_submit *submit, uint32_t context_length)
{
    if (submit->id_count == 0 || submit->prompt_length == 0 ||
        submit->prompt_length > submit->id_count) {
        return err_note(ERR_INVALID, "submit: prompt_length %u of %zu ids, from 1 to all of them",
                        submit->prompt_length, submit->id_count);
    }
    if (submit->next_position != submit->id_count) {
        return err_note(ERR_INVALID, "submit: next_position %u, it must be the %zu ids given",
                        submit->next_position, submit->id_count);
    }
    if (!generates(submit) && submit->id_count != submit->prompt_length) {
        return err_note(ERR_INVALID,
                        "submit: prompt_length %u of %zu ids, all of them are the prompt",
                        submit->prompt_length, submit->id_count);
    }
    // A prompt needs room for one id to generate; an answer that another node began may have filled the context.
    uint32_t most = context_length - generates(submit);
    if (submit->prompt_length > most || submit->id_count > context_length) {
        return err_note(ERR_TOO_LONG,
                        "the prompt has %u tokens, the context of %u holds at most %u",
                        submit->prompt_length, context_length, most);
    }
    if (submit->segment > 0 && submit->segment >= submit->prompt_length) {
        return err_note(ERR_INVALID, "submit: segment %u, the prompt has %u ids", submit->segment,
                        submit->prompt_length);
    }
    return ERR_OK;
}

/* What a list is to be of. */
static enum err check_list(const struct wire_submit *submit, const struct wire_model *model)
{
    if (submit->kind != WIRE_RECOMMEND) return ERR_OK;
    if (submit->top_count == 0 && !submit->want_vector)
        return err_note(ERR_INVALID, "submit: top_count 0 without want_vector asks for nothing");
    bool whole = submit->row_begin == 0 && submit->row_end == 0;
    if (!whole && (submit->row_begin >= submit->row_end || submit->row_end > model->vocab_size))
        return err_note(ERR_INVALID, "submit: rows %u to %u of a catalogue of %u",
                        submit->row_begin, submit->row_end, model->vocab_size);
    if (submit->filter_size > 0 && digest_is_zero(&submit->filter))
        return err_note(ERR_INVALID, "submit: filter_bits without the digest of their filter");
    if (submit->explain && submit->id_count > WIRE_WEIGHTS_MAX)
        return err_note(ERR_INVALID, "submit: explain of %zu ids, at most %d", submit->id_count,
                        WIRE_WEIGHTS_MAX);
    return ERR_OK;
}

/* What is looked for among vectors, and where. */
static enum err check_scan(const struct wire_submit *submit)
{
    if (submit->id_count > 0 || submit->prompt_length > 0)
        return err_note(ERR_INVALID, "submit: a scan of %zu ids, it has none", submit->id_count);
    if (submit->query_size == 0 || submit->shard_count == 0 || submit->top_count == 0)
        return err_note(ERR_INVALID,
                        "submit: a scan of %zu numbers in %zu shards for %u rows, each from 1",
                        submit->query_size, submit->shard_count, submit->top_count);
    for (size_t i = 1; i < submit->shard_count; i++)
        for (size_t j = 0; j < i; j++)
            if (submit->shards[i] == submit->shards[j])
                return err_note(ERR_INVALID, "submit: shards[%zu] is shards[%zu] again", i, j);
    if (submit->filter_size > 0 && digest_is_zero(&submit->filter))
        return err_note(ERR_INVALID, "submit: filter_bits without the digest of their filter");
    return ERR_OK;
}

static enum err check_priority(const struct wire_submit *submit)
{
    if ((unsigned)submit->priority <= WIRE_BATCH) return ERR_OK;
    return err_note(ERR_INVALID, "submit: priority %u, at most %d", (unsigned)submit->priority,
                    WIRE_BATCH);
}

static enum err check_salts(const struct wire_submit *submit)
{
    for (size_t i = 1; i < submit->salt_count; i++) {
        if (submit->salts[i].first_block <= submit->salts[i - 1].first_block)
            return err_note(ERR_INVALID, "submit: salts[%zu] begins at block %u, behind one at %u",
                            i, submit->salts[i].first_block, submit->salts[i - 1].first_block);
    }
    return ERR_OK;
}

enum err intake_check(const struct wire_submit *submit, const struct wire_model *model)
{
    TRY(check_kind(submit, model));
    TRY(check_priority(submit));
    if (submit->kind == WIRE_SCAN) return check_scan(submit); // no model has to do with it
    TRY(check_digest("model", &submit->model, &model->model));
    TRY(check_digest("adapter", &submit->adapter, &model->adapter));
    TRY(check_digest("numerics", &submit->numerics, &model->numerics));
    TRY(check_lengths(submit, model->context_length));
    TRY(check_ids("ids", submit->ids, submit->id_count, model->vocab_size));
    TRY(check_ids("stop_ids", submit->stop_ids, submit->stop_id_count, model->vocab_size));
    TRY(check_ids("candidates", submit->candidates, submit->candidate_count, model->vocab_size));
    TRY(check_list(submit, model));
    TRY(check_salts(submit));
    if (!generates(submit)) return ERR_OK;
    return sampler_check(&submit->sampling, model->vocab_size);
}
