#include "node/service/filters.h"

#include "base/mem.h"
#include "base/must.h"

#include <string.h>

static void unlink_filter(struct filters *filters, struct filter *filter)
{
    if (filter->newer)
        filter->newer->older = filter->older;
    else
        filters->newest = filter->older;
    if (filter->older)
        filter->older->newer = filter->newer;
    else
        filters->oldest = filter->newer;
}

static void put_first(struct filters *filters, struct filter *filter)
{
    filter->newer = NULL;
    filter->older = filters->newest;
    if (filters->newest)
        filters->newest->newer = filter;
    else
        filters->oldest = filter;
    filters->newest = filter;
}

static void drop(struct filters *filters, struct filter *filter)
{
    must(filter->holders == 0);
    unlink_filter(filters, filter);
    filters->count--;
    filters->bytes -= filter->size;
    mem_free(filter);
}

/* Until it fits, or all that is left is held. */
static void make_way(struct filters *filters)
{
    struct filter *filter = filters->oldest;
    while (filter && (filters->count > FILTERS_MAX || filters->bytes > FILTERS_BYTES)) {
        struct filter *newer = filter->newer;
        if (filter->holders == 0) drop(filters, filter);
        filter = newer;
    }
}

void filters_fini(struct filters *filters)
{
    while (filters->newest)
        drop(filters, filters->newest);
}

static struct filter *find(const struct filters *filters, const struct digest *digest)
{
    struct filter *filter = filters->newest;
    while (filter && !digest_equal(&filter->digest, digest))
        filter = filter->older;
    return filter;
}

static struct filter *add(struct filters *filters, const struct digest *digest, const uint8_t *bits,
                          size_t size)
{
    struct filter *filter = mem_new(1, sizeof *filter + size);
    memcpy(filter + 1, bits, size);
    filter->digest = *digest;
    filter->bits = (const uint8_t *)(filter + 1);
    filter->size = size;
    put_first(filters, filter);
    filters->count++;
    filters->bytes += size;
    return filter;
}

enum err filters_hold(struct filters *filters, const struct digest *digest, const uint8_t *bits,
                      size_t size, struct filter **out)
{
    struct filter *filter = find(filters, digest);
    if (filter) {
        unlink_filter(filters, filter);
        put_first(filters, filter);
    } else {
        if (size == 0) return err_note(ERR_NOT_FOUND, "filter");
        struct digest found = digest_of(bits, size);
        if (!digest_equal(&found, digest))
            return err_note(ERR_INVALID, "submit: filter_bits do not have the digest of filter");
        filter = add(filters, digest, bits, size);
    }
    filter->holders++;
    make_way(filters);
    *out = filter;
    return ERR_OK;
}

void filters_let_go(struct filters *filters, struct filter *filter)
{
    if (!filter) return;
    must(filter->holders > 0);
    filter->holders--;
    make_way(filters);
}
