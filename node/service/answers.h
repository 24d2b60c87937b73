/* node/service/answers.h -- what goes back about one attempt: RESULT while it runs, and one BUSY or DONE.
 *
 * A link that cannot take a message is being closed and says so itself, so nothing here fails.
 * Thread: the service's. */
#ifndef NODE_SERVICE_ANSWERS_H
#define NODE_SERVICE_ANSWERS_H

#include "wire/message.h"

#include "base/err.h"

#include <stdint.h>

struct engine_forget;
struct engine_item;
struct links;
struct seq;

/* The id that was sampled. */
void answer_result(struct links *links, const struct engine_item *item);
/* The whole answer of a sequence that does not generate. */
void answer_whole(struct links *links, const struct engine_item *item);
void answer_busy(struct links *links, uint64_t link, const struct wire_key *key, uint32_t retry_ms);
/* DONE for a sequence that has ended, or that was cut (seq->cut says by what). */
void answer_end(struct links *links, const struct seq *seq);
/* DONE for a submit that never became a sequence; the note is err_text(). */
void answer_refused(struct links *links, uint64_t link, const struct wire_submit *submit,
                    enum err err);
/* Nothing is left of what an EVICT named. */
void answer_evicted(struct links *links, const struct engine_forget *forget);

#endif
