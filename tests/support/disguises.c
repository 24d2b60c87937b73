#include "tests/support/disguises.h"

#include "text/disguise.h"

struct fold *fold;
struct disguise *disguise;

int given_disguises(void **state)
{
    (void)state;
    if (fold_new(&fold)) return -1;
    disguise = disguise_new(fold);
    return 0;
}

int end_disguises(void **state)
{
    (void)state;
    disguise_free(disguise);
    fold_free(fold);
    return 0;
}
