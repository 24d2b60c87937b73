/* tests/support/disguises.h -- the tables that matching needs, made once for a group of tests. */
#ifndef TESTS_SUPPORT_DISGUISES_H
#define TESTS_SUPPORT_DISGUISES_H

extern struct fold *fold;
extern struct disguise *disguise;

/* As CMocka's group functions. */
int given_disguises(void **state);
int end_disguises(void **state);

#endif
