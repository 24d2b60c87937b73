/* node/service/intake.h -- pure: may this submit come in?
 *
 * A submit was well-formed when wire/ decoded it; here it is held against this node: its protocol, what it
 * asks for (of what this model's `kinds` name), whose digests it names, and every number that the engine relies on. Thread: any. */
#ifndef NODE_SERVICE_INTAKE_H
#define NODE_SERVICE_INTAKE_H

#include "wire/message.h"

#include "base/err.h"

/* ERR_UNSUPPORTED (protocol, kind, grammar), ERR_UNAVAILABLE (digests: another node may have them),
 * ERR_TOO_LONG, ERR_INVALID; the note names the field, its value and what would be right. */
enum err intake_check(const struct wire_submit *submit, const struct wire_model *model);

#endif
