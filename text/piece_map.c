#include "text/piece_map.h"

#include "base/mem.h"
#include "base/must.h"
#include "base/rand.h"

#include <stdbool.h>
#include <string.h>

#define MIX UINT64_C(0x9E3779B97F4A7C15)

static uint64_t hash_of(uint64_t salt, const char *text, size_t size)
{
    uint64_t hash = salt ^ size * MIX;
    while (size > 0) {
        uint64_t word = 0;
        size_t step = size < 8 ? size : 8;
        memcpy(&word, text, step);
        hash = (hash ^ word) * MIX;
        hash ^= hash >> 29;
        text += step;
        size -= step;
    }
    hash *= MIX;
    return hash ^ hash >> 32;
}

void piece_map_init(struct piece_map *map, size_t count)
{
    uint64_t room = 64;
    while (room < count * 2)
        room *= 2;
    *map = (struct piece_map){
        .slots = mem_new(room, sizeof *map->slots), .mask = room - 1, .salt = rand_entropy()};
}

void piece_map_fini(struct piece_map *map)
{
    mem_free(map->slots);
    *map = (struct piece_map){0};
}

static struct piece_slot *slot_of(const struct piece_map *map, const char *text, size_t size)
{
    uint64_t at = hash_of(map->salt, text, size) & map->mask;
    while (true) {
        struct piece_slot *slot = &map->slots[at];
        if (!slot->text) return slot;
        if (slot->size == size && memcmp(slot->text, text, size) == 0) return slot;
        at = (at + 1) & map->mask;
    }
}

void piece_map_add(struct piece_map *map, const char *text, size_t size, int32_t id)
{
    must(map->count < map->mask && size <= UINT32_MAX);
    struct piece_slot *slot = slot_of(map, text, size);
    if (slot->text) return;
    *slot = (struct piece_slot){.text = text, .size = (uint32_t)size, .id = id};
    map->count++;
    if (size > map->longest) map->longest = size;
}

int32_t piece_map_find(const struct piece_map *map, const char *text, size_t size)
{
    if (size > map->longest) return PIECE_MAP_NONE;
    const struct piece_slot *slot = slot_of(map, text, size);
    return slot->text ? slot->id : PIECE_MAP_NONE;
}
