#include "scheduler/door/choose.h"

#include "scheduler/core/fleet.h"
#include "scheduler/door/ask.h"
#include "scheduler/door/door.h"
#include "scheduler/door/json.h"
#include "scheduler/door/status.h"

#include "base/buf.h"

#include <string.h>

static enum err unknown_model(const struct door *door, const struct ask *ask, const char **code)
{
    struct buf names = {0};
    status_list_models(door, &names);
    *code = "model_not_found";
    json_wrong("model", "is not known");
    if (ask->model)
        err_note(ERR_NOT_FOUND, "the model '%.*s' does not exist; served are: %s", 100, ask->model,
                 names.size ? names.data : "none");
    else
        err_note(ERR_NOT_FOUND, "no model is served");
    buf_fini(&names);
    return ERR_NOT_FOUND;
}

/* The first model that is served, else the first that will be. */
static const struct fleet_model *first_model(const struct door *door)
{
    const struct fleet_model *known = NULL;
    for (size_t i = 0; i < fleet_model_count(door->fleet); i++) {
        const struct fleet_model *model = fleet_model_at(door->fleet, i);
        if (status_is_served(door, model)) return model;
        if (!known && model->current) known = model;
    }
    return known;
}

enum err choose_model(const struct door *door, const struct ask *ask,
                      const struct fleet_model **out, const char **code)
{
    const char *name = ask->model;
    const struct fleet_model *model =
        name ? fleet_find_model(door->fleet, name, strlen(name)) : first_model(door);
    if (!model || !(model->kinds & 1u << WIRE_GENERATE)) return unknown_model(door, ask, code);
    if (model->node_count == 0)
        return err_note(ERR_UNAVAILABLE, "no node serves the model '%s' at the moment",
                        model->name);
    *out = model;
    return ERR_OK;
}
