/* What must hold, checked in debug and sanitizer builds only: setup.py sets FASTSIP_DEBUG there.
 *
 * What it is: one macro.  In a release the condition is not even evaluated, so it may cost what it likes, and must
 * change nothing.  Where truth is written and where it is read stand a check each, of the same rule.
 * How it is called: with one comparison or one call.  Of `and`, `or` and a chain Cython makes statements in front of
 * the macro, which a release would evaluate.
 * What it must never do: judge what a sender or a file may bring.  That is refused or set aside, never fatal. */

#ifndef FASTSIP_CHECK_H
#define FASTSIP_CHECK_H

#ifdef FASTSIP_DEBUG
#include <stdio.h>
#include <stdlib.h>

static inline void fastsip_check_failed(const char *condition, const char *file, int line)
{
    fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, condition);
    abort();
}

#define FASTSIP_CHECK(condition) \
    (__builtin_expect(!!(condition), 1) ? (void)0 : fastsip_check_failed(#condition, __FILE__, __LINE__))
#else
#define FASTSIP_CHECK(condition) ((void)sizeof(!(condition)))
#endif

#endif
