/* text/piece_map.h -- bytes of a piece -> its number; filled once, then only read.
 *
 * Open addressing over views of bytes that outlive the map. The hash is salted, since vocabularies
 * come from strangers who could otherwise choose pieces that collide. Thread: immutable after the
 * last piece_map_add(). */
#ifndef TEXT_PIECE_MAP_H
#define TEXT_PIECE_MAP_H

#include <stddef.h>
#include <stdint.h>

struct piece_slot {
    const char *text; // NULL: free
    uint32_t size;
    int32_t id;
};

struct piece_map {
    struct piece_slot *slots; // [mask + 1]
    uint64_t mask;
    uint64_t salt;
    size_t count;
    size_t longest; // bytes of the longest piece
};

enum {
    PIECE_MAP_NONE = -1
};

/* Room for `count` pieces. */
void piece_map_init(struct piece_map *map, size_t count);
void piece_map_fini(struct piece_map *map);
/* The first of equal pieces stays. */
void piece_map_add(struct piece_map *map, const char *text, size_t size, int32_t id);
/* PIECE_MAP_NONE when there is none. */
int32_t piece_map_find(const struct piece_map *map, const char *text, size_t size);

#endif
