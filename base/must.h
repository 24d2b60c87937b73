/* base/must.h -- promises that we make to ourselves, checked in every build.
 *
 * must() is for what cannot be unless qiao itself is wrong. Nothing that came from a file, a socket
 * or a user ever meets it: a stranger's mistake is an `enum err` (base/err.h). */
#ifndef BASE_MUST_H
#define BASE_MUST_H

#define must(condition) ((condition) ? (void)0 : must_fail(#condition, __FILE__, __LINE__))

/* Say which promise was broken, in one line on stderr, and abort. */
_Noreturn void must_fail(const char *condition, const char *file, int line);

#endif
