#include "scheduler/features/search/keeper.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/must.h"

#include <string.h>

enum {
    LEAVING_PART = 64,   // documents that are freed between two looks at the clock
    CHANGE_DOCUMENTS = 1 // that are read again between two looks at the clock: each may be large
};

void keeper_orders_init(struct keeper_orders *orders)
{
    *orders = (struct keeper_orders){.last = &orders->first};
}

void keeper_orders_add(struct keeper_orders *orders, enum keeper_kind kind, const char *id,
                       size_t id_size, const char *text, size_t text_size, uint64_t version)
{
    struct keeper_order *order = mem_new(1, sizeof *order + id_size + text_size + 2);
    order->kind = kind;
    order->version = version;
    order->id_size = id_size;
    order->text_size = text_size;
    if (id) memcpy(order->id, id, id_size);
    if (text) {
        order->text = order->id + id_size + 1;
        memcpy(order->text, text, text_size);
    }
    *orders->last = order;
    orders->last = &order->next;
    orders->bytes += sizeof *order + id_size + text_size;
}

static void take_first(struct keeper_orders *orders)
{
    struct keeper_order *order = orders->first;
    orders->first = order->next;
    if (!orders->first) orders->last = &orders->first;
    orders->bytes -= sizeof *order + order->id_size + order->text_size;
    mem_free(order);
}

void keeper_orders_free(struct keeper_orders *orders)
{
    while (orders->first)
        take_first(orders);
}

static struct search_settings *read_settings(const struct keeper_order *order)
{
    struct search_settings *settings = NULL;
    char param[SEARCH_PARAM_MAX];
    json_error_t error;
    json_t *object = json_loadb(order->text, order->text_size, 0, &error);
    if (!object || search_settings_read(&settings, object, param)) settings = NULL;
    json_decref(object);
    return settings;
}

/* Where its settings say. NULL: there is none. */
static struct corpus *new_corpus(const struct keeper *keeper, struct search_settings *settings)
{
    struct corpus *corpus = NULL;
    if (settings->is_remote)
        (void)corpus_new_remote(&corpus, &keeper->tools, keeper->place, settings);
    else
        (void)corpus_new(&corpus, &keeper->tools, settings);
    return corpus;
}

static void take_settings(struct keeper *keeper, const struct keeper_order *order)
{
    struct search_settings *settings = order->text ? read_settings(order) : NULL;
    if (!settings) return; // there is no index, or one of a later qiao: nothing is served of it
    if (keeper->is_reset) {
        corpus_free(keeper->coming);
        keeper->coming = new_corpus(keeper, settings);
    } else if (keeper->corpus) {
        (void)corpus_configure(keeper->corpus, settings);
    } else {
        search_settings_free(settings);
    }
}

static void take_mark(struct keeper *keeper, const struct keeper_order *order)
{
    struct corpus *corpus = keeper->is_reset ? keeper->coming : keeper->corpus;
    if (corpus) corpus_mark(corpus, order->version, order->text);
    if (keeper->is_reset) {
        if (keeper->corpus) corpus_replace(keeper->corpus, corpus);
        corpus_free(keeper->leaving);
        keeper->leaving = keeper->corpus;
        keeper->corpus = keeper->coming;
        keeper->coming = NULL;
        keeper->is_reset = false;
    }
    keeper->version = corpus ? corpus_version(corpus) : 0;
}

static void take_order(struct keeper *keeper, const struct keeper_order *order)
{
    struct corpus *corpus = keeper->is_reset ? keeper->coming : keeper->corpus;
    switch (order->kind) {
    case KEEPER_RESET:
        corpus_free(keeper->coming);
        keeper->coming = NULL;
        keeper->is_reset = true;
        return;
    case KEEPER_SETTINGS: take_settings(keeper, order); return;
    case KEEPER_PUT:
        if (!corpus) return;
        if (corpus_put(corpus, order->id, order->id_size, order->text, order->text_size))
            keeper->refused++;
        return;
    case KEEPER_DROP:
        if (!corpus) return;
        (void)corpus_drop(corpus, order->id, order->id_size);
        return;
    case KEEPER_MARK: take_mark(keeper, order); return;
    }
}

/* A part of it; whether there is more. */
static bool free_leaving(struct keeper *keeper)
{
    if (!keeper->leaving) return false;
    if (corpus_shed(keeper->leaving, LEAVING_PART)) return true;
    corpus_free(keeper->leaving);
    keeper->leaving = NULL;
    return false;
}

static void work(struct keeper *keeper, struct keeper_orders *orders, uint64_t slice_ns)
{
    uint64_t end_ns = clock_now_ns() + slice_ns;
    if (keeper->corpus) {
        corpus_look(keeper->corpus);
        keeper->version = corpus_version(keeper->corpus);
    }
    do {
        keeper->restless = keeper->corpus && corpus_change(keeper->corpus, CHANGE_DOCUMENTS);
        if (keeper->restless) continue;
        if (orders->first) {
            take_order(keeper, orders->first);
            take_first(orders);
        } else if (!free_leaving(keeper)) {
            return;
        }
    } while (clock_now_ns() < end_ns);
    keeper->restless |= keeper->leaving != NULL;
}

void keeper_work(struct keeper *keeper, struct keeper_orders *orders, uint64_t slice_ns)
{
    work(keeper, orders, slice_ns);
    corpus_status(keeper->corpus, &keeper->status);
}

void keeper_fini(struct keeper *keeper)
{
    corpus_free(keeper->corpus);
    corpus_free(keeper->coming);
    corpus_free(keeper->leaving);
    keeper->corpus = keeper->coming = keeper->leaving = NULL;
}
