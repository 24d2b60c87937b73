/* scheduler/door/choose.h -- which of the served models a request means. Thread: the loop's. */
#ifndef SCHEDULER_DOOR_CHOOSE_H
#define SCHEDULER_DOOR_CHOOSE_H

#include "scheduler/core/sets.h"

#include "wire/message.h"

#include "base/err.h"

struct ask;
struct door;
struct fleet_model;
struct lexicon_pack;

/* The one that is named, else the first that generates. ERR_INVALID: it does something else. ERR_NOT_FOUND lists those that are served, with json_param() and *code for the
 * API's error; ERR_UNAVAILABLE: no node serves it now. Borrowed until the loop turns. */
enum err choose_model(const struct door *door, const struct ask *ask,
                      const struct fleet_model **out, const char **code);
/* The same for another kind of work; `name` may be NULL, and then those that do not generate come first. */
enum err choose_model_for(const struct door *door, enum wire_kind kind, const char *name,
                          const struct fleet_model **out, const char **code);

/* A model as it was when a request came, and its text pack, held. */
struct chosen {
    struct fleet_model model;
    struct lexicon_pack *pack; // NULL: nothing was chosen
};

/* choose_model_for(), and what lexicon_find() says. chosen_release() it, also a zeroed one. */
enum err choose_and_hold(const struct door *door, enum wire_kind kind, const char *name,
                         struct chosen *out, const char **code);
void chosen_release(struct chosen *chosen);

#endif
