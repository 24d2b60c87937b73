#include "node/compute_parts.h"
#include "node/engine/echo.h"
#include "node/settings.h"

#include "base/buf.h"
#include "base/mem.h"

struct echo_part {
    struct echo *echo;
    struct buf pack;
};

static void echo_close(void *part)
{
    struct echo_part *own = part;
    echo_free(own->echo);
    buf_fini(&own->pack);
    mem_free(own);
}

enum err compute_open_echo(struct compute *compute, const struct settings *settings)
{
    static const char what[] = "echo 1"; // its answers are a function of the prompt alone
    const struct digest model = digest_of(what, sizeof what);
    struct kv_shape shape = {
        .layer_count = 1, .kv_head_count = 1, .head_dim = 8, .root = compute_root(&model)};
    uint32_t context = ECHO_CONTEXT;
    if (settings->context > 0 && settings->context < context) context = (uint32_t)settings->context;
    TRY(compute_open_pool(compute, &shape, settings, &context));
    struct echo_part *own = mem_new(1, sizeof *own);
    compute->part = own;
    compute->close = echo_close;
    own->echo = echo_new((uint32_t)settings->sequences, (uint32_t)settings->echo_delay_ms);
    echo_write_pack(&own->pack);
    compute->pack = &own->pack;
    compute->backend = echo_backend(own->echo);
    compute->facts = (struct wire_model){
        .name = {"echo", 4},
        .kinds =
            UINT32_C(1) << WIRE_GENERATE | UINT32_C(1) << WIRE_EMBED | UINT32_C(1) << WIRE_SCORE,
        .pack = digest_of(compute->pack->data, compute->pack->size),
        .model = model,
        .numerics = digest_of(what, sizeof what),
        .context_length = context,
        .vocab_size = compute->backend.vocab_size,
        .vector_size = ECHO_VECTOR,
    };
    return ERR_OK;
}
