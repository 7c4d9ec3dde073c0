/* error.h - one list of errors; one line of text where a code is too poor.
 *
 * Every function that can fail returns int: 0, or one of the negative codes
 * below; results (ret_...) are written on success only. Where a human needs to
 * know more (a bad file, a refused peer), an optional last parameter
 * `struct mk_fault *reterr` (may be NULL) takes one line of text. Library code
 * never logs; the program logs once, where it decides. */
#ifndef MOSAIK_ERROR_H
#define MOSAIK_ERROR_H

#include <stdarg.h>
#include <stddef.h>

#define MK_ERR_MAP(X)                                                           \
    X(NOMEM, -1, "out of memory")                                               \
    X(INVALID, -2, "invalid argument")                                          \
    X(MALFORMED, -3, "malformed bytes")                                         \
    X(LIMIT, -4, "over a limit")                                                \
    X(NOTFOUND, -5, "not found")                                                \
    X(EXISTS, -6, "already there")                                              \
    X(TIMEDOUT, -7, "timed out; the outcome is not known")                      \
    X(CANCELED, -8, "canceled; the outcome is not known")                       \
    X(FULL, -9, "full; try again later")                                        \
    X(CLOSED, -10, "closed")                                                    \
    X(REFUSED, -11, "refused")                                                  \
    X(NOTLEADER, -12, "not the leader")                                         \
    X(NOMAJORITY, -13, "no majority")                                           \
    X(SIGNATURE, -14, "bad signature")                                          \
    X(STALE, -15, "not fresh enough")                                           \
    X(CONFLICT, -16, "conflicting signed statements")                           \
    X(IO, -17, "input/output error")                                            \
    X(NOSPACE, -18, "no space left")                                            \
    X(CORRUPT, -19, "stored data is corrupt")                                   \
    X(UNREACHABLE, -20, "nobody answered")                                      \
    X(UNKNOWN, -21, "unknown session or outcome")                               \
    X(NOTSUP, -22, "not supported by this build")                               \
    X(RETIRED, -23, "retired")                                                  \
    X(PROTOCOL, -24, "protocol violation")                                      \
    X(IDENTITY, -25, "not the expected peer")                                   \
    X(LOSTDISK, -26, "this member has lost its disk; it waits for replacement") \
    X(INUSE, -27, "in use by another process")

enum mk_err {
#define MK_ERR_X(name, code, text) MK_E##name = code,
    MK_ERR_MAP(MK_ERR_X)
#undef MK_ERR_X
};

#define MK_FAULT_MAX 400u

/** One line of text about a failure; always terminated, never has a newline. */
struct mk_fault {
    char text[MK_FAULT_MAX];
};

/** The text of a code, for example "timed out; ..."; static, never NULL. */
const char *mk_strerror(int err);

/** Writes the line; f may be NULL. Control characters become '?'. Returns err,
 * so that `return mk_fault(f, MK_EINVALID, "...")` reads well. */
int mk_fault(struct mk_fault *f, int err, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#endif /* MOSAIK_ERROR_H */
