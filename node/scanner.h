/* node/scanner.h -- the walk over a shelf's shards (node/shelf/walk.h) behind the engine: SCAN sequences in, lists out.
 *
 * Thread: the engine's, who leads the team. */
#ifndef NODE_SCANNER_H
#define NODE_SCANNER_H

#include "node/engine/engine.h"

#include "base/err.h"

struct ops;
struct scanner;
struct team;

/* `ops` and `team` outlive it; `team` may be NULL: one thread. ERR_NO_MEMORY. */
enum err scanner_new(struct scanner **out, const struct ops *ops, struct team *team);
void scanner_free(struct scanner *scanner);

struct engine_scanner scanner_table(struct scanner *scanner);

#endif
