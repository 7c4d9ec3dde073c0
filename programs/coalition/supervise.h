/* supervise.h - processes that `coalition up` starts, watches and stops. */
#ifndef PROGRAMS_SUPERVISE_H
#define PROGRAMS_SUPERVISE_H

#include <mosaik/error.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define CHILD_ARGS_MAX 16u

struct child {
    char name[64];
    char log_path[512];
    char *argv[CHILD_ARGS_MAX + 1]; /* given: freed by children_free() */
    bool keep_stdin;                /* the child reads our standard input */
    pid_t pid;                      /* 0: not running */
    unsigned starts;
    int last_status;      /* as from waitpid */
    char reason[400];     /* why it ended or could not be started last; "" before that */
    unsigned same;        /* how often it ended by itself, soon and for this very reason */
    uint64_t started_ms;  /* monotonic */
    uint64_t log_from;    /* where this run's part of the log begins */
    uint64_t start_at_ms; /* when to start it again; monotonic */
};

struct children {
    struct child *v;
    unsigned n;
};

uint64_t monotonic_ms(void);
/** Adds one; argv[] are copied. */
struct child *children_add(struct children *c, const char *name, const char *log_path,
                           const char *const *argv);
/** Starts one: its output goes to its log; it is told to end when we die. */
int child_start(struct child *c, struct mk_fault *reterr);
/** Takes note of ended ones and starts them again after a pause that doubles from 200 ms to 5 s,
 * to a minute for one that ends by itself again and again for one reason.
 * Calls ended for each one that ended or could not be started, then started for each one started
 * again. */
void children_tend(struct children *c, void (*ended)(void *arg, struct child *c),
                   void (*started)(void *arg, struct child *c), void *arg);
/** SIGTERM to all, waits; after grace_ms SIGKILL. */
void children_stop(struct children *c, unsigned grace_ms);
/** How long until it is started again. */
uint64_t child_pause_ms(const struct child *c);
void children_free(struct children *c);
/** A TCP port on loopback that is free now, and not `before`, which was given last (0: none was).
 * Where there is one it lies below those that the kernel gives to connections, so that none of
 * these takes it before its owner listens, or while that is started again. 0: none. */
uint16_t free_port(uint16_t before);

#endif
