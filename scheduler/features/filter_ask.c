#include "scheduler/features/filter_parts.h"

#include "base/mem.h"
#include "base/must.h"

bool filter_holds(const struct filter *filter, const json_t *document)
{
    bool truths[FILTER_TERMS_MAX];
    size_t count = 0, term = 0;
    for (size_t i = 0; i < filter->step_count; i++) {
        switch ((enum filter_step)filter->steps[i]) {
        case FILTER_STEP_TERM:
            truths[count++] = filter_term_holds(&filter->terms[term++], document);
            break;
        case FILTER_STEP_NOT: truths[count - 1] = !truths[count - 1]; break;
        case FILTER_STEP_AND:
            count--, truths[count - 1] = truths[count - 1] && truths[count];
            break;
        case FILTER_STEP_OR: count--, truths[count - 1] = truths[count - 1] || truths[count]; break;
        default: must(false);
        }
    }
    return count == 0 || truths[0];
}

/* The next bitmap of the stack, with as much room as the answer. */
static struct bitmap *push(struct bitmap *stack, size_t count, const struct bitmap *out)
{
    bitmap_reserve(&stack[count], 64 * out->count);
    return &stack[count];
}

static enum err run(const struct filter *filter, struct bitmap *stack, struct bitmap *out,
                    filter_select_fn *select, void *owner)
{
    size_t count = 0, term = 0;
    for (size_t i = 0; i < filter->step_count; i++) {
        switch ((enum filter_step)filter->steps[i]) {
        case FILTER_STEP_TERM:
            TRY(select(owner, &filter->terms[term++], push(stack, count, out)));
            count++;
            break;
        case FILTER_STEP_NOT: bitmap_not(&stack[count - 1]); break;
        case FILTER_STEP_AND:
            count--;
            bitmap_and(&stack[count - 1], &stack[count]);
            break;
        case FILTER_STEP_OR:
            count--;
            bitmap_or(&stack[count - 1], &stack[count]);
            break;
        default: must(false);
        }
    }
    bitmap_zero(out);
    if (count == 0)
        bitmap_not(out);
    else
        bitmap_or(out, &stack[0]);
    return ERR_OK;
}

enum err filter_select(const struct filter *filter, struct bitmap *out, filter_select_fn *select,
                       void *owner)
{
    struct bitmap *stack = mem_new(FILTER_TERMS_MAX, sizeof *stack);
    enum err err = run(filter, stack, out, select, owner);
    for (size_t i = 0; i < FILTER_TERMS_MAX; i++)
        bitmap_fini(&stack[i]);
    mem_free(stack);
    return err;
}

bool filter_is_empty(const struct filter *filter)
{
    return filter->step_count == 0;
}

struct digest filter_digest(const struct filter *filter)
{
    return filter->digest;
}

const char *filter_field(const struct filter *filter, size_t index)
{
    return index < filter->term_count ? filter->terms[index].field : NULL;
}
