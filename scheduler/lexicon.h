/* scheduler/lexicon.h -- the text packs of the models, fetched from the nodes that announce them.
 *
 *      announced --want--> FETCHING --last part--> OPENING (worker) --> READY | BROKEN
 *                  ^          |
 *                  +----------+  silence, a wrong part, a wrong digest: another node is asked
 *
 * A pack is a stranger's input: at most GGUF_PACK_MAX bytes, parts in order, its digest compared,
 * and checked in full by text_pack_open() on a worker. A pack that has the right digest and does
 * not open is BROKEN for good: every node would send the same bytes.
 *
 * Ownership: a pack that was found is borrowed until the loop turns; lexicon_hold() keeps it
 * longer. Thread: the loop's. */
#ifndef SCHEDULER_LEXICON_H
#define SCHEDULER_LEXICON_H

#include "text/template.h"
#include "wire/message.h"

#include "base/digest.h"
#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

struct lexicon;
struct lexicon_pack;
struct metrics;
struct scribe;
struct text_pack;

enum {
    LEXICON_PACKS_MAX = 64,
    LEXICON_SOURCES_MAX = 1024, // nodes that announce one pack
    LEXICON_SILENCE_MS = 5000   // without a part: another node is asked
};

struct lexicon_options {
    struct scribe *scribe;
    struct metrics *metrics;
    const struct template
        *template; // instead of the packs' own; NULL: theirs. Outlives the lexicon
    void *owner;
    /* Send to a node. */
    enum err (*send)(void *owner, uint64_t link, const struct wire_message *message, bool urgent);
};

struct lexicon *lexicon_new(const struct lexicon_options *options);
/* No pack may be held; the scribe is freed before. */
void lexicon_free(struct lexicon *lexicon);

/* What nodes say and do. */
void lexicon_hello(struct lexicon *lexicon, uint64_t link, const struct wire_hello *hello,
                   uint64_t now_ns);
void lexicon_part(struct lexicon *lexicon, uint64_t link, const struct wire_pack_part *part,
                  uint64_t now_ns);
void lexicon_down(struct lexicon *lexicon, uint64_t link, uint64_t now_ns);
/* Ask again where nothing comes; every 100 ms or so. */
void lexicon_tick(struct lexicon *lexicon, uint64_t now_ns);

/* ERR_UNAVAILABLE while it is being fetched; the failure of text_pack_open() when it is broken. */
enum err lexicon_find(struct lexicon *lexicon, const struct digest *digest,
                      struct lexicon_pack **out);
void lexicon_hold(struct lexicon_pack *pack);
void lexicon_release(struct lexicon_pack *pack);
const struct text_pack *lexicon_text(const struct lexicon_pack *pack);
/* The template to render with: the pack's own, or the one that overrides it. */
const struct template *lexicon_template(const struct lexicon_pack *pack);

#endif
