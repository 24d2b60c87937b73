/* scheduler/door/choose.h -- which of the served models a request means. Thread: the loop's. */
#ifndef SCHEDULER_DOOR_CHOOSE_H
#define SCHEDULER_DOOR_CHOOSE_H

#include "base/err.h"

struct ask;
struct door;
struct fleet_model;

/* The one that is named, else the first. ERR_NOT_FOUND lists those that are served, with json_param() and *code for the
 * API's error; ERR_UNAVAILABLE: no node serves it now. Borrowed until the loop turns. */
enum err choose_model(const struct door *door, const struct ask *ask,
                      const struct fleet_model **out, const char **code);

#endif
