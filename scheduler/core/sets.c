#include "scheduler/core/sets.h"

#include "base/must.h"

#include <string.h>

void sets_init(struct sets *sets)
{
    *sets = (struct sets){.forget_ns = UINT64_MAX};
}

static bool serves_set(const struct served *served, const struct fleet_model *set)
{
    return strcmp(served->name, set->name) == 0 && digest_equal(&served->pack, &set->pack) &&
           digest_equal(&served->model, &set->model) &&
           digest_equal(&served->adapter, &set->adapter) &&
           digest_equal(&served->numerics, &set->numerics);
}

static struct set *find_set(struct sets *sets, const struct served *served)
{
    for (size_t i = 0; i < sets->count; i++)
        if (serves_set(served, &sets->list[i].face)) return &sets->list[i];
    return NULL;
}

const struct fleet_model *sets_current(const struct sets *sets, const char *name, size_t size)
{
    for (size_t i = 0; i < sets->count; i++) {
        const struct fleet_model *face = &sets->list[i].face;
        if (face->current && strlen(face->name) == size && memcmp(face->name, name, size) == 0)
            return face;
    }
    return NULL;
}

enum err sets_add(struct sets *sets, const struct served *models, size_t count)
{
    size_t added = 0;
    for (size_t i = 0; i < count; i++)
        added += find_set(sets, &models[i]) == NULL;
    if (added > SETS_MAX - sets->count)
        return err_note(ERR_NO_MEMORY, "%d models are known; there is no room for more", SETS_MAX);
    for (size_t i = 0; i < count; i++) {
        const struct served *served = &models[i];
        if (find_set(sets, served)) continue;
        struct set *set = &sets->list[sets->count++];
        *set = (struct set){.face = {.pack = served->pack,
                                     .model = served->model,
                                     .adapter = served->adapter,
                                     .numerics = served->numerics,
                                     .kinds = served->kinds,
                                     .vocab_size = served->vocab_size,
                                     .vector_size = served->vector_size}};
        memcpy(set->face.name, served->name, sizeof set->face.name);
    }
    return ERR_OK;
}

void sets_begin_count(struct sets *sets)
{
    for (size_t i = 0; i < sets->count; i++) {
        sets->list[i].live_count = 0;
        sets->list[i].face.node_count = 0;
    }
}

void sets_count(struct sets *sets, const struct served *models, size_t count, bool ready)
{
    for (size_t i = 0; i < count; i++) {
        struct set *set = find_set(sets, &models[i]);
        must(set);
        uint32_t length = models[i].context_length;
        if (set->live_count == 0 || length < set->face.context_length)
            set->face.context_length = length;
        set->live_count++;
        if (ready) set->face.node_count++;
    }
}

static void remove_set(struct sets *sets, size_t index)
{
    sets->count--;
    memmove(&sets->list[index], &sets->list[index + 1], (sets->count - index) * sizeof *sets->list);
}

void sets_forget(struct sets *sets, uint64_t now_ns)
{
    sets->forget_ns = UINT64_MAX;
    for (size_t i = 0; i < sets->count;) {
        struct set *set = &sets->list[i];
        if (set->live_count > 0) set->gone_ns = 0;
        if (set->live_count == 0 && set->gone_ns == 0) set->gone_ns = now_ns ? now_ns : 1;
        uint64_t end_ns = set->face.current ? set->gone_ns + SETS_FORGET_NS : 0;
        if (set->live_count == 0 && now_ns >= end_ns) {
            remove_set(sets, i);
            continue;
        }
        if (set->live_count == 0 && end_ns < sets->forget_ns) sets->forget_ns = end_ns;
        i++;
    }
    for (size_t i = 0; i < sets->count; i++) {
        struct fleet_model *face = &sets->list[i].face;
        if (!sets_current(sets, face->name, strlen(face->name))) face->current = true;
    }
}

void sets_take_over(struct sets *sets, const struct served *served)
{
    struct set *set = find_set(sets, served);
    must(set);
    set->takes_over = !set->face.current;
    sets_settle(sets);
}

/* Of the same name, the one that is current. */
static struct set *rival_of(struct sets *sets, const struct set *set)
{
    for (size_t i = 0; i < sets->count; i++)
        if (sets->list[i].face.current && strcmp(sets->list[i].face.name, set->face.name) == 0)
            return &sets->list[i];
    return NULL;
}

void sets_settle(struct sets *sets)
{
    for (size_t i = 0; i < sets->count; i++) {
        struct set *set = &sets->list[i], *rival = rival_of(sets, set);
        if (!set->takes_over || !rival || set->face.node_count == 0 ||
            set->face.node_count < rival->face.node_count)
            continue;
        rival->face.current = false;
        rival->takes_over = false;
        set->face.current = true;
        set->takes_over = false;
    }
}

enum err sets_promote(struct sets *sets, const char *model, const struct digest *digest)
{
    struct fleet_model *chosen = NULL;
    for (size_t i = 0; i < sets->count; i++) {
        struct fleet_model *face = &sets->list[i].face;
        bool meant = strcmp(face->name, model) == 0 &&
                     (digest_equal(&face->model, digest) || digest_equal(&face->pack, digest));
        // Two sets may share a digest: the one that is not routed to yet is meant.
        if (meant && (!chosen || chosen->current)) chosen = face;
    }
    if (!chosen) {
        char text[DIGEST_TEXT_SIZE];
        return err_note(ERR_NOT_FOUND, "no node serves %s with the digest %s", model,
                        digest_text(digest, text));
    }
    for (size_t i = 0; i < sets->count; i++)
        if (strcmp(sets->list[i].face.name, model) == 0) sets->list[i].face.current = false;
    chosen->current = true;
    return ERR_OK;
}
