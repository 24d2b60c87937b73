#include "scheduler/features/catalogue.h"

#include "scheduler/features/collection.h"
#include "scheduler/features/follower.h"

#include "base/mem.h"
#include "base/must.h"

#include <sodium.h>

#include <stdio.h>
#include <string.h>

enum {
    SLOTS_LEAST = 1024 // of the table of ids; a power of two
};

struct row {
    json_t *document; // NULL: nothing has the row
    const char *id;   // of the document
    bool available;
    uint32_t next_free; // row + 1, of an empty one
};

struct catalogue {
    struct catalogues *catalogues;
    struct follower *follower;
    char name[COLLECTION_NAME_MAX + 1];
    const char *tenant; // in the name
    struct row *rows;
    uint32_t row_count, row_capacity, first_free; // row + 1; 0: none
    size_t count;
    uint64_t changes;
    char **changed;  // [CATALOGUE_CHANGES_KEPT], by change % that; NULL: of everything
    uint32_t *slots; // row + 1, by the hash of the id, the next free place from there; 0: empty
    size_t slot_count;
};

struct catalogues {
    struct collections *collections;
    uint64_t items_max;
    unsigned char hash_key[crypto_shorthash_KEYBYTES];
    struct catalogue *tenants[CATALOGUE_TENANTS_MAX];
    size_t count;
};

// ---- id to row ---------------------------------------------------------------------------------

static size_t home_of(const struct catalogue *catalogue, const char *id, size_t size)
{
    uint64_t hash;
    _Static_assert(sizeof hash == crypto_shorthash_BYTES, "SipHash");
    crypto_shorthash((unsigned char *)&hash, (const unsigned char *)id, size,
                     catalogue->catalogues->hash_key);
    return (size_t)hash & (catalogue->slot_count - 1);
}

/* The id's slot, or the empty one where it would be. */
static size_t slot_of(const struct catalogue *catalogue, const char *id, size_t size)
{
    size_t slot = home_of(catalogue, id, size);
    for (;; slot = (slot + 1) & (catalogue->slot_count - 1)) {
        uint32_t row = catalogue->slots[slot];
        if (row == 0) return slot;
        const char *other = catalogue->rows[row - 1].id;
        if (strlen(other) == size && memcmp(other, id, size) == 0) return slot;
    }
}

static void make_slots(struct catalogue *catalogue, size_t count)
{
    mem_free(catalogue->slots);
    catalogue->slots = mem_new(count, sizeof *catalogue->slots);
    catalogue->slot_count = count;
    for (uint32_t row = 0; row < catalogue->row_count; row++) {
        const char *id = catalogue->rows[row].id;
        if (catalogue->rows[row].document)
            catalogue->slots[slot_of(catalogue, id, strlen(id))] = row + 1;
    }
}

/* Empty the slot, and move up those behind it that had made way. */
static void clear_slot(struct catalogue *catalogue, size_t hole)
{
    size_t mask = catalogue->slot_count - 1;
    catalogue->slots[hole] = 0;
    for (size_t at = (hole + 1) & mask; catalogue->slots[at]; at = (at + 1) & mask) {
        const char *id = catalogue->rows[catalogue->slots[at] - 1].id;
        size_t home = home_of(catalogue, id, strlen(id));
        if (((at - home) & mask) < ((at - hole) & mask)) continue; // the hole is before its home
        catalogue->slots[hole] = catalogue->slots[at];
        catalogue->slots[at] = 0;
        hole = at;
    }
}

static uint32_t take_row(struct catalogue *catalogue)
{
    if (catalogue->first_free > 0) {
        uint32_t row = catalogue->first_free - 1;
        catalogue->first_free = catalogue->rows[row].next_free;
        return row;
    }
    if (catalogue->row_count == catalogue->row_capacity) {
        catalogue->row_capacity = catalogue->row_capacity ? 2 * catalogue->row_capacity : 256;
        catalogue->rows =
            mem_resize(catalogue->rows, catalogue->row_capacity, sizeof *catalogue->rows);
    }
    return catalogue->row_count++;
}

/* `id` NULL: everything. */
static void note_change(struct catalogue *catalogue, const char *id)
{
    char **place = &catalogue->changed[++catalogue->changes % CATALOGUE_CHANGES_KEPT];
    mem_free(*place);
    *place = id ? mem_copy_text(id) : NULL;
}

// ---- what the follower tells -------------------------------------------------------------------

static void on_reset(void *owner)
{
    struct catalogue *catalogue = owner;
    for (uint32_t row = 0; row < catalogue->row_count; row++)
        json_decref(catalogue->rows[row].document);
    catalogue->row_count = catalogue->first_free = 0;
    catalogue->count = 0;
    note_change(catalogue, NULL);
    make_slots(catalogue, SLOTS_LEAST);
}

static void on_drop(void *owner, const char *id, size_t id_size)
{
    struct catalogue *catalogue = owner;
    size_t slot = slot_of(catalogue, id, id_size);
    if (catalogue->slots[slot] == 0) return;
    uint32_t row = catalogue->slots[slot] - 1;
    clear_slot(catalogue, slot);
    note_change(catalogue, catalogue->rows[row].id);
    json_decref(catalogue->rows[row].document);
    catalogue->rows[row] = (struct row){.next_free = catalogue->first_free};
    catalogue->first_free = row + 1;
    catalogue->count--;
}

static void on_put(void *owner, const char *id, size_t id_size, const char *record, size_t size)
{
    struct catalogue *catalogue = owner;
    json_t *document = json_loadb(record, size, 0, NULL);
    const char *name = json_string_value(json_object_get(document, "id"));
    if (!name || strlen(name) != id_size || memcmp(name, id, id_size) != 0) {
        json_decref(document); // nobody of ours wrote that
        on_drop(owner, id, id_size);
        return;
    }
    size_t slot = slot_of(catalogue, id, id_size);
    uint32_t row = catalogue->slots[slot];
    if (row == 0) {
        row = take_row(catalogue) + 1;
        catalogue->slots[slot] = row;
        catalogue->count++;
    } else {
        json_decref(catalogue->rows[row - 1].document);
    }
    const json_t *available = json_object_get(document, "available");
    catalogue->rows[row - 1] =
        (struct row){.document = document, .id = name, .available = !json_is_false(available)};
    note_change(catalogue, name);
    if (2 * catalogue->count > catalogue->slot_count)
        make_slots(catalogue, 2 * catalogue->slot_count);
}

static void on_caught_up(void *owner, uint64_t version)
{
    (void)owner, (void)version;
}

static const struct follower_sink sink = {
    .reset = on_reset, .put = on_put, .drop = on_drop, .caught_up = on_caught_up};

// ---- birth and death ---------------------------------------------------------------------------

struct catalogues *catalogues_new(struct collections *collections, uint64_t items_max)
{
    struct catalogues *catalogues = mem_new(1, sizeof *catalogues);
    catalogues->collections = collections;
    catalogues->items_max = items_max;
    crypto_shorthash_keygen(catalogues->hash_key);
    return catalogues;
}

static void free_catalogue(struct catalogue *catalogue)
{
    follower_free(catalogue->follower);
    on_reset(catalogue);
    for (size_t i = 0; i < CATALOGUE_CHANGES_KEPT; i++)
        mem_free(catalogue->changed[i]);
    mem_free(catalogue->changed);
    mem_free(catalogue->slots);
    mem_free(catalogue->rows);
    mem_free(catalogue);
}

void catalogues_free(struct catalogues *catalogues)
{
    if (!catalogues) return;
    for (size_t i = 0; i < catalogues->count; i++)
        free_catalogue(catalogues->tenants[i]);
    mem_free(catalogues);
}

struct catalogue *catalogue_of(struct catalogues *catalogues, const char *tenant)
{
    for (size_t i = 0; i < catalogues->count; i++)
        if (strcmp(catalogues->tenants[i]->tenant, tenant) == 0) return catalogues->tenants[i];
    if (catalogues->count == CATALOGUE_TENANTS_MAX) return NULL;
    struct catalogue *catalogue = mem_new(1, sizeof *catalogue);
    catalogue->catalogues = catalogues;
    snprintf(catalogue->name, sizeof catalogue->name, "items:%s", tenant);
    catalogue->tenant = catalogue->name + strlen("items:");
    catalogue->changed = mem_new(CATALOGUE_CHANGES_KEPT, sizeof *catalogue->changed);
    make_slots(catalogue, SLOTS_LEAST);
    catalogue->follower = follower_new(catalogues->collections, catalogue->name, &sink, catalogue);
    catalogues->tenants[catalogues->count++] = catalogue;
    return catalogue;
}

const char *catalogue_name(const struct catalogue *catalogue)
{
    return catalogue->name;
}

uint64_t catalogue_items_max(const struct catalogue *catalogue)
{
    return catalogue->catalogues->items_max;
}

struct follower *catalogue_follower(struct catalogue *catalogue)
{
    return catalogue->follower;
}

// ---- looking -----------------------------------------------------------------------------------

size_t catalogue_count(const struct catalogue *catalogue)
{
    return catalogue->count;
}

uint32_t catalogue_rows(const struct catalogue *catalogue)
{
    return catalogue->row_count;
}

uint64_t catalogue_changes(const struct catalogue *catalogue)
{
    return catalogue->changes;
}

const char *catalogue_changed(const struct catalogue *catalogue, uint64_t change)
{
    if (change > catalogue->changes || catalogue->changes - change >= CATALOGUE_CHANGES_KEPT)
        return NULL;
    return catalogue->changed[change % CATALOGUE_CHANGES_KEPT];
}

uint32_t catalogue_find(const struct catalogue *catalogue, const char *id)
{
    uint32_t row = catalogue->slots[slot_of(catalogue, id, strlen(id))];
    return row > 0 ? row - 1 : CATALOGUE_NONE;
}

bool catalogue_item(const struct catalogue *catalogue, uint32_t row, struct catalogue_item *out)
{
    if (row >= catalogue->row_count || !catalogue->rows[row].document) return false;
    const struct row *found = &catalogue->rows[row];
    *out = (struct catalogue_item){found->id, found->document, found->available};
    return true;
}
