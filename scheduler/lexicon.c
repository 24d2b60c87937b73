#include "scheduler/lexicon.h"

#include "scheduler/scribe.h"
#include "scheduler/settings.h"

#include "text/pack.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/gguf.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metric.h"
#include "base/must.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum pack_state {
    PACK_WANTED, // nobody was asked, or nobody is left to ask
    PACK_FETCHING,
    PACK_OPENING,
    PACK_READY,
    PACK_BROKEN
};

struct lexicon_pack {
    struct lexicon *lexicon;
    struct digest digest;
    enum pack_state state;
    uint64_t *sources; // links that announce it; [source_count]
    size_t source_count;
    size_t next_source; // who is asked next
    uint64_t asked;     // link that sends it
    uint64_t heard_ns;
    struct buf bytes; // that came so far
    uint64_t total;
    struct text_pack *text;
    enum err err; // of a broken one, with its note
    char note[ERR_NOTE_MAX];
    unsigned holders;
};

struct lexicon {
    struct lexicon_options options;
    struct lexicon_pack *packs[LEXICON_PACKS_MAX];
    size_t count;
};

struct lexicon *lexicon_new(const struct lexicon_options *options)
{
    struct lexicon *lexicon = mem_new(1, sizeof *lexicon);
    lexicon->options = *options;
    return lexicon;
}

static void free_pack(struct lexicon_pack *pack)
{
    must(pack->holders == 0 && pack->state != PACK_OPENING);
    if (pack->text) text_pack_close(pack->text);
    buf_fini(&pack->bytes);
    mem_free(pack->sources);
    mem_free(pack);
}

void lexicon_free(struct lexicon *lexicon)
{
    if (!lexicon) return;
    for (size_t i = 0; i < lexicon->count; i++)
        free_pack(lexicon->packs[i]);
    mem_free(lexicon);
}

static struct lexicon_pack *find(const struct lexicon *lexicon, const struct digest *digest)
{
    for (size_t i = 0; i < lexicon->count; i++) {
        if (digest_equal(&lexicon->packs[i]->digest, digest)) return lexicon->packs[i];
    }
    return NULL;
}

/* Make room for another pack: of those that nobody announces and nobody holds, one goes. */
static bool evict_one(struct lexicon *lexicon)
{
    for (size_t i = 0; i < lexicon->count; i++) {
        struct lexicon_pack *pack = lexicon->packs[i];
        if (pack->source_count > 0 || pack->holders > 0 || pack->state == PACK_OPENING) continue;
        free_pack(pack);
        lexicon->packs[i] = lexicon->packs[--lexicon->count];
        return true;
    }
    return false;
}

static void count(const struct lexicon *lexicon, const char *outcome)
{
    metric_add(lexicon->options.metrics, M_packs_total, outcome, NULL, 1);
}

/* Ask the next of those that announce it. */
static void ask(struct lexicon_pack *pack, uint64_t now_ns)
{
    pack->state = PACK_WANTED;
    buf_clear(&pack->bytes);
    for (size_t tries = pack->source_count; tries > 0; tries--) {
        uint64_t link = pack->sources[pack->next_source++ % pack->source_count];
        struct wire_message want = {.type = WIRE_PACK_WANT, .pack_want = {pack->digest}};
        if (pack->lexicon->options.send(pack->lexicon->options.owner, link, &want, false)) continue;
        pack->state = PACK_FETCHING;
        pack->asked = link;
        pack->heard_ns = now_ns;
        return;
    }
}

static void drop_source(struct lexicon_pack *pack, uint64_t link)
{
    for (size_t i = 0; i < pack->source_count; i++) {
        if (pack->sources[i] == link) pack->sources[i] = pack->sources[--pack->source_count];
    }
}

/* The node that sends it does it wrong: it is not asked again while its link lives. */
static void refuse_source(struct lexicon_pack *pack, const char *why, uint64_t now_ns)
{
    char hex[DIGEST_TEXT_SIZE];
    log_warn("pack_refused", "pack=%s link=%" PRIu64 " reason=\"%s\"",
             digest_text(&pack->digest, hex), pack->asked, why);
    count(pack->lexicon, "refused");
    drop_source(pack, pack->asked);
    ask(pack, now_ns);
}

static void announce(struct lexicon *lexicon, uint64_t link, const struct digest *digest,
                     uint64_t now_ns)
{
    struct lexicon_pack *pack = find(lexicon, digest);
    if (!pack) {
        if (lexicon->count == LEXICON_PACKS_MAX && !evict_one(lexicon)) {
            log_warn("pack_no_room", "link=%" PRIu64 " packs=%zu", link, lexicon->count);
            return;
        }
        pack = mem_new(1, sizeof *pack);
        pack->lexicon = lexicon;
        pack->digest = *digest;
        lexicon->packs[lexicon->count++] = pack;
    }
    drop_source(pack, link);
    if (pack->source_count == LEXICON_SOURCES_MAX) return;
    pack->sources = mem_resize(pack->sources, pack->source_count + 1, sizeof *pack->sources);
    pack->sources[pack->source_count++] = link;
    if (pack->state == PACK_WANTED) ask(pack, now_ns);
}

void lexicon_hello(struct lexicon *lexicon, uint64_t link, const struct wire_hello *hello,
                   uint64_t now_ns)
{
    for (size_t i = 0; i < hello->model_count; i++)
        announce(lexicon, link, &hello->models[i].pack, now_ns);
}

void lexicon_down(struct lexicon *lexicon, uint64_t link, uint64_t now_ns)
{
    for (size_t i = 0; i < lexicon->count; i++) {
        struct lexicon_pack *pack = lexicon->packs[i];
        drop_source(pack, link);
        if (pack->state == PACK_FETCHING && pack->asked == link) ask(pack, now_ns);
    }
}

void lexicon_tick(struct lexicon *lexicon, uint64_t now_ns)
{
    for (size_t i = 0; i < lexicon->count; i++) {
        struct lexicon_pack *pack = lexicon->packs[i];
        bool silent =
            pack->state == PACK_FETCHING && now_ns - pack->heard_ns > LEXICON_SILENCE_MS * CLOCK_MS;
        if (silent) count(lexicon, "silent");
        if (silent || (pack->state == PACK_WANTED && pack->source_count > 0)) ask(pack, now_ns);
    }
}

/* On a worker: the digest was right, the content is still a stranger's. */
static void open_pack(void *argument)
{
    struct lexicon_pack *pack = argument;
    pack->err = text_pack_open(&pack->text, pack->bytes.data, pack->bytes.size);
    if (pack->err) snprintf(pack->note, sizeof pack->note, "%s", err_text());
}

static void opened(void *argument)
{
    struct lexicon_pack *pack = argument;
    char hex[DIGEST_TEXT_SIZE];
    digest_text(&pack->digest, hex);
    buf_fini(&pack->bytes);
    if (pack->err) {
        pack->state = PACK_BROKEN;
        count(pack->lexicon, "broken");
        log_error("pack_broken", "pack=%s reason=\"%s\"", hex, pack->note);
        return;
    }
    pack->state = PACK_READY;
    count(pack->lexicon, "ready");
    log_info("pack_ready", "pack=%s model=\"%s\" architecture=%s context=%u template=%s", hex,
             pack->text->name, pack->text->architecture, pack->text->context_length,
             template_name(lexicon_template(pack)));
}

static void finish_pack(struct lexicon_pack *pack, uint64_t now_ns)
{
    struct digest digest = digest_of(pack->bytes.data, pack->bytes.size);
    if (!digest_equal(&digest, &pack->digest)) {
        refuse_source(pack, "its bytes have another digest", now_ns);
        return;
    }
    pack->state = PACK_OPENING;
    pack->err = ERR_CANCELED; // until a worker has opened it
    if (scribe_submit(pack->lexicon->options.scribe, open_pack, opened, pack)) return;
    ask(pack, now_ns); // the workers are full: fetch it once more
}

void lexicon_part(struct lexicon *lexicon, uint64_t link, const struct wire_pack_part *part,
                  uint64_t now_ns)
{
    struct lexicon_pack *pack = find(lexicon, &part->pack);
    if (!pack || pack->state != PACK_FETCHING || pack->asked != link)
        return; // late: asked elsewhere
    if (part->offset == 0 && pack->bytes.size == 0) {
        pack->total = part->total;
        pack->bytes.limit = GGUF_PACK_MAX;
    }
    const char *wrong = NULL;
    if (part->total == 0 || part->total > GGUF_PACK_MAX)
        wrong = "its size is out of bounds";
    else if (part->total != pack->total)
        wrong = "its size changed on the way";
    else if (part->size == 0 || part->offset != pack->bytes.size ||
             part->size > pack->total - part->offset)
        wrong = "a part is out of order";
    if (wrong) {
        refuse_source(pack, wrong, now_ns);
        return;
    }
    buf_add(&pack->bytes, part->bytes, part->size);
    pack->heard_ns = now_ns;
    if (pack->bytes.size == pack->total) finish_pack(pack, now_ns);
}

enum err lexicon_find(struct lexicon *lexicon, const struct digest *digest,
                      struct lexicon_pack **out)
{
    struct lexicon_pack *pack = find(lexicon, digest);
    if (pack && pack->state == PACK_BROKEN)
        return err_note(ERR_UNAVAILABLE, "the model's text pack cannot be used: %s", pack->note);
    if (!pack || pack->state != PACK_READY)
        return err_note(ERR_UNAVAILABLE, "the model's text pack is still on its way from a node");
    *out = pack;
    return ERR_OK;
}

void lexicon_hold(struct lexicon_pack *pack)
{
    pack->holders++;
}

void lexicon_release(struct lexicon_pack *pack)
{
    must(pack->holders > 0);
    pack->holders--;
}

const struct text_pack *lexicon_text(const struct lexicon_pack *pack)
{
    return pack->text;
}

const struct template *lexicon_template(const struct lexicon_pack *pack)
{
    const struct template *own = &pack->text->template;
    return pack->lexicon->options.template ? pack->lexicon->options.template : own;
}
