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
    struct slot *slots; // the names first
    size_t count, names;
    uint64_t document; // counts those that have come
    bool is_full;
};

/* A document, and the way to where it is read. */
struct reading {
    struct columns *columns;
    const json_t *facts;
    uint32_t number;
    char way[COLUMNS_WAY_MAX + 1];
};

struct columns *columns_new(const struct search_names *names)
{
    struct columns *columns = mem_new(1, sizeof *columns);
    columns->slots = mem_new(names->count + COLUMNS_INNER, sizeof *columns->slots);
    for (size_t i = 0; i < names->count; i++)
        columns->slots[i].column = column_new(names->items[i]);
    columns->count = columns->names = names->count;
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

static void put_slot(struct reading *reading, struct slot *slot)
{
    if (slot->document == reading->columns->document) return; // by another way of the same name
    slot->document = reading->columns->document;
    column_put(slot->column, reading->number, reading->facts);
}

static void put_way(struct reading *reading)
{
    struct columns *columns = reading->columns;
    struct slot *slot = find_slot(columns, reading->way);
    if (!slot && columns->count == columns->names + COLUMNS_INNER) {
        columns->is_full = true;
        return;
    }
    if (!slot) {
        slot = &columns->slots[columns->count++];
        slot->column = column_new(reading->way);
    }
    put_slot(reading, slot);
}

/* The ways into the value, which stands at the first `size` bytes of the way. Recursion ends at COLUMNS_LEVELS. */
static void read_ways(struct reading *reading, const json_t *value, size_t size, size_t level)
{
    const char *name;
    json_t *member;
    if (!json_is_array(value) && !json_is_object(value)) return;
    if (level == COLUMNS_LEVELS) {
        reading->columns->is_full = true;
        return;
    }
    for (size_t i = 0; i < json_array_size(value); i++)
        read_ways(reading, json_array_get(value, i), size, level + 1);
    json_object_foreach((json_t *)(uintptr_t)value, name, member)
    {
        size_t more = strlen(name);
        if (size + 1 + more > COLUMNS_WAY_MAX) {
            reading->columns->is_full = true;
            continue;
        }
        reading->way[size] = '.';
        memcpy(reading->way + size + 1, name, more + 1);
        put_way(reading);
        read_ways(reading, member, size + 1 + more, level + 1);
    }
}

void columns_put(struct columns *columns, uint32_t number, const json_t *facts)
{
    struct reading reading = {.columns = columns, .facts = facts, .number = number};
    columns->document++;
    for (size_t i = 0; i < columns->names; i++) {
        const char *name = column_field(columns->slots[i].column);
        const json_t *value = json_object_get(facts, name);
        put_slot(&reading, &columns->slots[i]);
        snprintf(reading.way, sizeof reading.way, "%s", name);
        read_ways(&reading, value, strlen(reading.way), 0);
    }
}

void columns_drop(struct columns *columns, uint32_t number)
{
    for (size_t i = 0; i < columns->count; i++)
        column_drop(columns->slots[i].column, number);
}
