/* node/recommender.h -- a sasrec behind the engine: RECOMMEND sequences in, lists out.
 *
 * Prompts are whole (engine.h): a step takes up to RECOMMENDER_SEQUENCES histories, computes all of their vectors and ranks the
 * catalogue once for all of them. The engine's pool is not touched.
 *
 * Thread: the engine's, who leads the team. */
#ifndef NODE_RECOMMENDER_H
#define NODE_RECOMMENDER_H

#include "node/engine/engine.h"
#include "node/model/sasrec.h"

#include "wire/message.h"

#include "base/err.h"

enum {
    RECOMMENDER_SEQUENCES = CATALOGUE_QUERIES_MAX
};

struct recommender;

/* Errors are sasrec_load()'s. `ops` and `team` outlive it. */
enum err recommender_new(struct recommender **out, const char *path, const struct ops *ops,
                         struct team *team);
void recommender_free(struct recommender *recommender);

struct engine_backend recommender_backend(struct recommender *recommender);
const struct sasrec *recommender_model(const struct recommender *recommender);
/* What a HELLO says of it; borrows from the recommender. */
struct wire_model recommender_facts(const struct recommender *recommender);
/* Ids of a step: every sequence's longest. */
uint32_t recommender_batch_tokens(const struct recommender *recommender);

#endif
