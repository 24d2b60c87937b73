#include "scheduler/door/choose.h"

#include "scheduler/core/fleet.h"
#include "scheduler/door/ask.h"
#include "scheduler/door/door.h"
#include "scheduler/door/json.h"
#include "scheduler/door/status.h"
#include "scheduler/lexicon.h"

#include "text/pack.h"

#include "base/buf.h"

#include <string.h>

static const char *const words[] = {[WIRE_GENERATE] = "generate text",
                                    [WIRE_EMBED] = "make embeddings",
                                    [WIRE_SCORE] = "score pairs of texts",
                                    [WIRE_RECOMMEND] = "recommend",
                                    [WIRE_SCAN] = "search vectors"};

static enum err unknown_model(const struct door *door, enum wire_kind kind, const char *name,
                              const char **code)
{
    struct buf names = {0};
    status_list_models(door, &names);
    *code = "model_not_found";
    json_wrong("model", "is not known");
    if (name)
        err_note(ERR_NOT_FOUND, "the model '%.*s' does not exist; served are: %s", 100, name,
                 names.size ? names.data : "none");
    else if (names.size > 0)
        err_note(ERR_NOT_FOUND, "no model is served that can %s: start a qiao-node with one",
                 words[kind]);
    else
        err_note(ERR_NOT_FOUND, "no model is served");
    buf_fini(&names);
    return ERR_NOT_FOUND;
}

static bool does(const struct fleet_model *model, enum wire_kind kind)
{
    return model->kinds & 1u << kind;
}

/* The first model of this kind that is served, else the first that will be. For other work than GENERATE one that
 * generates as well is the second choice: it is there for chats. */
static const struct fleet_model *first_model(const struct door *door, enum wire_kind kind)
{
    const struct fleet_model *best = NULL;
    int best_rank = 0;
    for (size_t i = 0; i < fleet_model_count(door->fleet); i++) {
        const struct fleet_model *model = fleet_model_at(door->fleet, i);
        if (!does(model, kind) || !model->current) continue;
        bool is_meant = kind == WIRE_GENERATE || !does(model, WIRE_GENERATE);
        int rank = 1 + 2 * status_is_served(door, model) + is_meant;
        if (rank > best_rank) best = model;
        if (rank > best_rank) best_rank = rank;
    }
    return best;
}

static enum err wrong_kind(const struct fleet_model *model, enum wire_kind kind)
{
    json_wrong("model", "is of another kind");
    return err_note(ERR_INVALID, "the model '%s' does not %s", model->name, words[kind]);
}

enum err choose_model_for(const struct door *door, enum wire_kind kind, const char *name,
                          const struct fleet_model **out, const char **code)
{
    const struct fleet_model *model =
        name ? fleet_find_model(door->fleet, name, strlen(name)) : first_model(door, kind);
    if (!model) return unknown_model(door, kind, name, code);
    if (!does(model, kind)) return wrong_kind(model, kind);
    if (model->node_count == 0)
        return err_note(ERR_UNAVAILABLE, "no node serves the model '%s' at the moment",
                        model->name);
    *out = model;
    return ERR_OK;
}

enum err choose_model(const struct door *door, const struct ask *ask,
                      const struct fleet_model **out, const char **code)
{
    return choose_model_for(door, WIRE_GENERATE, ask->model, out, code);
}

enum err choose_and_hold(const struct door *door, enum wire_kind kind, const char *name,
                         struct chosen *out, const char **code)
{
    const struct fleet_model *model;
    struct lexicon_pack *pack;
    TRY(choose_model_for(door, kind, name, &model, code));
    TRY(lexicon_find(door->lexicon, &model->pack, &pack));
    if (kind != WIRE_RECOMMEND && !lexicon_text(pack)->tokenizer)
        return err_note(ERR_UNAVAILABLE, "the model '%s' came without a tokenizer", model->name);
    lexicon_hold(pack);
    *out = (struct chosen){.model = *model, .pack = pack};
    return ERR_OK;
}

void chosen_release(struct chosen *chosen)
{
    if (chosen->pack) lexicon_release(chosen->pack);
    chosen->pack = NULL;
}
