/* linear.h - was what clients saw the work of one thing that does one operation at a
 * time? A history is operations with the times of their invocation and answer; it is
 * linearizable when each can be given a moment between the two at which it happened, such
 * that every answer is right.
 *
 *     struct mk_linear *h = mk_linear_new(MK_LINEAR_CAS_REGISTER);
 *     struct mk_linear_result r;
 *
 *     if (mk_linear_parse(h, text, &fault) == 0)
 *         mk_linear_check(h, &r, &(struct mk_linear_limits){0});
 *     mk_linear_free(h);
 *
 * An operation without an answer may have happened at any moment after its invocation, or
 * never. One that failed never happened. */
#ifndef MOSAIK_LINEAR_H
#define MOSAIK_LINEAR_H

#include <mosaik/bytes.h>
#include <mosaik/error.h>

#define MK_LINEAR_OPERATIONS_MAX (1u << 22)
#define MK_LINEAR_BYTES_MAX (256u << 20) /* of a text */

/** What the operations are operations on. */
enum mk_linear_model {
    MK_LINEAR_CAS_REGISTER,   /* read, write, cas; nil at first */
    MK_LINEAR_MULTI_REGISTER, /* txn of reads and writes on named registers; 0 at first */
    MK_LINEAR_MUTEX,          /* acquire, release; free at first */
    MK_LINEAR_KV,             /* get, put, append on named texts; empty at first */
    MK_LINEAR_COUNTER,        /* add one and answer the sum, read; 0 at first */
};
/** "cas-register", "multi-register", "mutex", "kv", "counter". MK_ENOTFOUND. */
int mk_linear_model_of(enum mk_linear_model *ret, struct mk_str name);

struct mk_linear;
/** An empty history; given. */
struct mk_linear *mk_linear_new(enum mk_linear_model model);
void mk_linear_free(struct mk_linear *h); /* NULL is fine */

/** Reads operations from a text: lines of Jepsen's log, or EDN maps (in a list, a vector, or one
 * after the other). Maps of others than numbered processes are passed over. Once a history.
 *
 * 0; MK_EMALFORMED with line and rule; MK_ELIMIT. */
int mk_linear_parse(struct mk_linear *h, struct mk_str text, struct mk_fault *reterr);

enum mk_linear_kind {
    MK_LINEAR_READ,    /* a: the answer */
    MK_LINEAR_WRITE,   /* a: the new value */
    MK_LINEAR_CAS,     /* a: expected, b: the new value */
    MK_LINEAR_ADD,     /* a: the answer */
    MK_LINEAR_ACQUIRE, /* no values */
    MK_LINEAR_RELEASE,
    MK_LINEAR_APPEND, /* of texts only: mk_linear_parse() makes it */
    MK_LINEAR_TXN,    /* likewise */
};
#define MK_LINEAR_NEVER UINT64_MAX /* answered: not */
/** An operation as a program recorded it. Values are the caller's numbers, 0 being the register
 * before all writes. Keys do not influence each other. */
struct mk_linear_operation {
    enum mk_linear_kind kind;
    uint64_t key, a, b;
    uint64_t invoked, answered; /* on one clock; MK_LINEAR_NEVER: not known */
};
/** Copies it. Not for models of texts. */
void mk_linear_put(struct mk_linear *h, const struct mk_linear_operation *op);

enum mk_linear_verdict { MK_LINEAR_OK, MK_LINEAR_REFUSED, MK_LINEAR_UNKNOWN };
struct mk_linear_limits {
    bool (*expired)(void *arg); /* asked now and then; true ends it as unknown. May be NULL */
    void *arg;
    size_t bytes; /* of memory for what was seen; above it: unknown. 0: 1 GiB */
};
struct mk_linear_result {
    enum mk_linear_verdict verdict;
    size_t operations; /* that were judged: those that failed are not among them */
    /** Refused: the operation that fits nowhere after the longest order that was found, as its
     * line in the text (0: not from a text), and in words. */
    unsigned line;
    char why[200];
};
/** Judges it; limits as above. */
void mk_linear_check(struct mk_linear *h, struct mk_linear_result *ret,
                     const struct mk_linear_limits *limits);

#endif
