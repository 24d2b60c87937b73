#include "scheduler/state/names.h"

#include "base/mem.h"
#include "base/must.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct name {
    struct name *next;
    void *item;
    char text[NAMES_TEXT_MAX + 1];
};

/* FNV-1a: the names are an operator's, or hashes already. */
static size_t bucket_of(const char *text)
{
    uint64_t hash = UINT64_C(14695981039346656037);
    for (const char *at = text; *at; at++)
        hash = (hash ^ (unsigned char)*at) * UINT64_C(1099511628211);
    return (size_t)(hash % NAMES_BUCKETS);
}

/* Where the name is linked, or where the chain ends. */
static struct name **place_of(struct names *names, const char *text)
{
    struct name **at = &names->buckets[bucket_of(text)];
    while (*at && strcmp((*at)->text, text) != 0)
        at = &(*at)->next;
    return at;
}

void *names_get(const struct names *names, const char *text)
{
    for (struct name *at = names->buckets[bucket_of(text)]; at; at = at->next)
        if (strcmp(at->text, text) == 0) return at->item;
    return NULL;
}

void names_put(struct names *names, const char *text, void *item)
{
    struct name **at = place_of(names, text);
    size_t size = strlen(text);
    must(!*at && item && size <= NAMES_TEXT_MAX);
    *at = mem_new(1, sizeof **at);
    (*at)->item = item;
    memcpy((*at)->text, text, size);
}

void names_remove(struct names *names, const char *text)
{
    struct name **at = place_of(names, text);
    struct name *name = *at;
    must(name != NULL);
    *at = name->next;
    mem_free(name);
}

void names_walk(struct names *names, void (*each)(void *argument, void *item), void *argument)
{
    for (size_t i = 0; i < NAMES_BUCKETS; i++) {
        for (struct name *at = names->buckets[i], *next; at; at = next) {
            next = at->next;
            each(argument, at->item);
        }
    }
}

void names_fini(struct names *names)
{
    for (size_t i = 0; i < NAMES_BUCKETS; i++) {
        for (struct name *at = names->buckets[i], *next; at; at = next) {
            next = at->next;
            mem_free(at);
        }
        names->buckets[i] = NULL;
    }
}
