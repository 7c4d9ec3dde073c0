/* assert.h - our own mistakes, never a stranger's bytes. On in release. */
#ifndef BASE_ASSERT_H
#define BASE_ASSERT_H

void mk_assert_failed(const char *what, const char *file, int line) __attribute__((noreturn));

#define MK_ASSERT(cond) ((cond) ? (void)0 : mk_assert_failed(#cond, __FILE__, __LINE__))

#endif
