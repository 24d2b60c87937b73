#include "scheduler/features/search/columns.h"

#include "base/mem.h"
#include "base/must.h"

#include <stdio.h>
#include <string.h>

struct slot {
    struct column *column;
    uint64_t document; // the latest that it has seen
};

struct columns {
    const struct search_names *names;
    struct slot *slots; // the names first
    size_t count;
    uint64_t document; // counts those that have come
    bool is_full;
};

/* A document on its way in. */
struct putting {
    struct columns *columns;
    uint32_t number;
};

/* A document, and the way to where it is read. */
struct reading {
    const json_t *facts;
    columns_way_fn *each;
    void *owner;
    bool is_cut; // there are ways that are not told
    char way[COLUMNS_WAY_MAX + 1];
};

struct columns *columns_new(const struct search_names *names)
{
    struct columns *columns = mem_new(1, sizeof *columns);
    columns->slots = mem_new(names->count + COLUMNS_INNER, sizeof *columns->slots);
    for (size_t i = 0; i < names->count; i++)
        columns->slots[i].column = column_new(names->items[i]);
    columns->names = names;
    columns->count = names->count;
    return columns;
}

void columns_free(struct columns *columns)
{
    if (!columns) return;
    for (size_t i = 0; i < columns->count; i++)
        column_free(columns->slots[i].column);
    mem_free(columns->slots);
    mem_free(columns);
}

static struct slot *find_slot(const struct columns *columns, const char *field)
{
    for (size_t i = 0; i < columns->count; i++)
        if (strcmp(column_field(columns->slots[i].column), field) == 0) return &columns->slots[i];
    return NULL;
}

const struct column *columns_find(const struct columns *columns, const char *field)
{
    const struct slot *slot = find_slot(columns, field);
    return slot ? slot->column : NULL;
}

bool columns_is_full(const struct columns *columns)
{
    return columns->is_full;
}

static void put_way(void *owner, const char *way, const json_t *facts)
{
    struct putting *putting = owner;
    struct columns *columns = putting->columns;
    struct slot *slot = find_slot(columns, way);
    if (!slot && columns->count == columns->names->count + COLUMNS_INNER) {
        columns->is_full = true;
        return;
    }
    if (!slot) {
        slot = &columns->slots[columns->count++];
        slot->column = column_new(way);
    }
    if (slot->document == columns->document) return; // by another way of the same name
    slot->document = columns->document;
    column_put(slot->column, putting->number, facts);
}

/* The ways into the value, which stands at the first `size` bytes of the way. Recursion ends at COLUMNS_LEVELS. */
static void read_ways(struct reading *reading, const json_t *value, size_t size, size_t level)
{
    const char *name;
    json_t *member;
    if (!json_is_array(value) && !json_is_object(value)) return;
    if (level == COLUMNS_LEVELS) {
        reading->is_cut = true;
        return;
    }
    for (size_t i = 0; i < json_array_size(value); i++)
        read_ways(reading, json_array_get(value, i), size, level + 1);
    json_object_foreach((json_t *)(uintptr_t)value, name, member)
    {
        size_t more = strlen(name);
        if (size + 1 + more > COLUMNS_WAY_MAX) {
            reading->is_cut = true;
            continue;
        }
        reading->way[size] = '.';
        memcpy(reading->way + size + 1, name, more + 1);
        reading->each(reading->owner, reading->way, reading->facts);
        read_ways(reading, member, size + 1 + more, level + 1);
    }
}

bool columns_each_way(const struct search_names *names, const json_t *facts, columns_way_fn *each,
                      void *owner)
{
    struct reading reading = {.facts = facts, .each = each, .owner = owner};
    for (size_t i = 0; i < names->count; i++) {
        const char *name = names->items[i];
        each(owner, name, facts);
        snprintf(reading.way, sizeof reading.way, "%s", name);
        read_ways(&reading, json_object_get(facts, name), strlen(reading.way), 0);
    }
    return !reading.is_cut;
}

void columns_put(struct columns *columns, uint32_t number, const json_t *facts)
{
    struct putting putting = {columns, number};
    columns->document++;
    if (!columns_each_way(columns->names, facts, put_way, &putting)) columns->is_full = true;
}

void columns_drop(struct columns *columns, uint32_t number)
{
    for (size_t i = 0; i < columns->count; i++)
        column_drop(columns->slots[i].column, number);
}
