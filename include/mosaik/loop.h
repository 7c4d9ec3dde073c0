/* loop.h - the real world for a program: one loop, one directory, one thread.
 *
 *     struct mk_env *e;
 *     if (mk_loop_open(&e, "data", &fault) != 0) ...
 *     mk_loop_on_signal(e, stop_cb, node);     // SIGINT, SIGTERM
 *     ... open things on e ...
 *     mk_loop_run(e);                          // until mk_loop_stop(e)
 *     ... close them ...
 *     mk_loop_free(e);
 *
 * A process may have several; each belongs to the thread that runs it. */
#ifndef MOSAIK_LOOP_H
#define MOSAIK_LOOP_H

#include <mosaik/error.h>
#include <stdbool.h>
#include <stdint.h>

struct mk_env;

/** Opens a loop.
 *
 *  dir  where this program's files live; made (0700) when it is not there. NULL: no
 *       disk, every call that wants one answers MK_ENOTSUP.
 *
 * 0, or MK_EIO, MK_ENOTFOUND (the parent is missing) with the reason in reterr. Also
 * ignores SIGPIPE and bounds the memory arenas of the process. */
int mk_loop_open(struct mk_env **ret, const char *dir, struct mk_fault *reterr);
/** Runs turns until mk_loop_stop(). */
void mk_loop_run(struct mk_env *e);
/** Ends mk_loop_run() after the present turn. From the loop's thread. */
void mk_loop_stop(struct mk_env *e);
/** One turn: waits for something to happen, wait_ms_max at most, and handles it. */
void mk_loop_turn(struct mk_env *e, uint32_t wait_ms_max);
/** Runs turns until cond(arg) is true, which is asked after each; false when
 * timeout_ms passed before. */
bool mk_loop_run_until(struct mk_env *e, bool (*cond)(void *arg), void *arg, uint32_t timeout_ms);
/** Calls cb from the loop at each SIGINT and SIGTERM. At most one such hook a loop. */
void mk_loop_on_signal(struct mk_env *e, void (*cb)(void *arg, int signo), void *arg);
/** Whoever opened something on e has closed it before: a node or a network that is still open is a
 * mistake of the program, which ends with what it is. NULL is fine. */
void mk_loop_free(struct mk_env *e);

#endif /* MOSAIK_LOOP_H */
