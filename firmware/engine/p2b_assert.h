/* SPDX-License-Identifier: Apache-2.0 */
/* Checks of what the code relies on, for tests and fuzzing.
 *
 * Compiled with P2B_CHECKS=1, a condition that is false ends the program, which tells file, line and condition. Else
 * P2B_ASSERT makes no code: a condition is compiled, so that it stays correct C, but not evaluated. */
#ifndef P2B_ASSERT_H
#define P2B_ASSERT_H

#if P2B_CHECKS

#if __STDC_HOSTED__
#include <stdio.h>
#include <stdlib.h>

static inline _Noreturn void p2b_assert_failed(const char *what)
{
    fprintf(stderr, "check failed: %s\n", what);
    abort();
}
#else
/* Without a C library: ports/xtensa/xtensa.c. */
_Noreturn void p2b_assert_failed(const char *what);
#endif

#define P2B_TEXT_OF(number) #number
#define P2B_TEXT(number) P2B_TEXT_OF(number)
#define P2B_ASSERT(condition) \
    ((condition) ? (void)0 : p2b_assert_failed(__FILE__ ":" P2B_TEXT(__LINE__) ": " #condition))

#else

#define P2B_ASSERT(condition) ((void)sizeof(condition))

#endif

#endif
