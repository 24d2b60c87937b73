#include "scheduler/features/search/plan.h"

#include "base/buf.h"

/* A group's terms, and at most how many documents have one of them. */
struct group {
    size_t begin, end;
    uint64_t count;
};

static size_t next_group(const struct lexical_query *query, const uint64_t *counts, size_t begin,
                         struct group *out)
{
    *out = (struct group){.begin = begin, .end = begin};
    while (out->end < query->count && !query->terms[out->end].is_unwanted &&
           query->terms[out->end].group == query->terms[begin].group)
        out->count += counts[out->end++];
    return out->end;
}

/* The rarest group that is not needed yet; one that no document has costs nothing and is passed over. */
static bool find_rarest(const struct plan *plan, const struct lexical_query *query,
                        const uint64_t *counts, struct group *out)
{
    struct group group;
    bool found = false;
    for (size_t at = 0; at < query->count && !query->terms[at].is_unwanted;) {
        size_t begin = at;
        at = next_group(query, counts, at, &group);
        if (plan->is_needed[begin] || group.count == 0) continue;
        if (!found || group.count < out->count) *out = group;
        found = true;
    }
    return found;
}

void plan_make(struct plan *plan, const struct lexical_query *query, const uint64_t *counts,
               uint64_t documents)
{
    struct group group;
    uint64_t sum = 0;
    *plan = (struct plan){0};
    if (query->all || query->candidates == 0 || documents <= query->candidates) return;
    while (find_rarest(plan, query, counts, &group)) {
        if (sum > 0 && sum + group.count > query->candidates) {
            plan->is_cut = true;
            return;
        }
        sum += group.count;
        for (size_t i = group.begin; i < group.end; i++)
            plan->is_needed[i] = true;
        plan->needed += group.end - group.begin;
    }
}

void plan_write_term(struct buf *out, const struct lexical_term *term)
{
    buf_add_byte(out, '"');
    for (size_t i = 0; i < term->size; i++) {
        if (term->text[i] == '"') buf_add_byte(out, '"');
        buf_add_byte(out, (unsigned char)term->text[i]);
    }
    buf_add_text(out, term->is_prefix ? "\"*" : "\"");
}

static void write_needed(struct buf *out, const struct plan *plan,
                         const struct lexical_query *query)
{
    size_t written = 0;
    for (size_t i = 0; written < plan->needed; i++) {
        if (!plan->is_needed[i]) continue;
        if (written++ > 0) buf_add_text(out, " OR ");
        plan_write_term(out, &query->terms[i]);
    }
}

/* (("a" OR "b") AND ("c")) NOT ("d" OR "e") */
size_t plan_write(struct buf *out, const struct plan *plan, const struct lexical_query *query,
                  enum plan_part part)
{
    size_t wanted = 0, refused = 0;
    buf_clear(out);
    buf_add_text(out, "((");
    if (part == PLAN_NEEDED) {
        write_needed(out, plan, query);
        buf_add_text(out, ") AND (");
    }
    for (; wanted < query->count && !query->terms[wanted].is_unwanted; wanted++) {
        bool is_same = wanted == 0 || query->terms[wanted].group == query->terms[wanted - 1].group;
        if (wanted > 0) buf_add_text(out, query->all && !is_same ? ") AND (" : " OR ");
        plan_write_term(out, &query->terms[wanted]);
    }
    buf_add_text(out, "))");
    if (part == PLAN_REST) {
        buf_add_text(out, " NOT (");
        write_needed(out, plan, query);
        refused = plan->needed;
    }
    for (size_t i = wanted; i < query->count; i++) {
        buf_add_text(out, refused++ == 0 ? " NOT (" : " OR ");
        plan_write_term(out, &query->terms[i]);
    }
    if (refused > 0) buf_add_byte(out, ')');
    return part == PLAN_NEEDED ? plan->needed : 0;
}
