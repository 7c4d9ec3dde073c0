/* linear_int.h - what the files of this folder share.
 *
 *   edn.c      text -> forms               texts.c   texts <-> numbers
 *   parse.c    forms -> operations         model.c   what an operation does to a state
 *   linear.c   operations -> parts by key  search.c  the search in one part */
#ifndef LINEAR_INT_H
#define LINEAR_INT_H

#include "base/assert.h"
#include <mosaik/linear.h>

/* --- forms ---------------------------------------------------------------------------- */

#define MK_EDN_DEPTH_MAX 32u

enum mk_edn_kind { MK_EDN_TOKEN, MK_EDN_STRING, MK_EDN_SEQUENCE, MK_EDN_MAP };

/** One form; its parts are linked. A map's parts are key, value, key, value. */
struct mk_edn {
    enum mk_edn_kind kind;
    struct mk_str text; /* of a token (":ok", "nil", "-3") or string (unescaped) */
    struct mk_edn *first, *next;
    size_t n; /* parts */
    unsigned line;
};

struct mk_edn_reader {
    const char *at, *end;
    unsigned line;
    unsigned open; /* outermost brackets of the file */
};

void mk_edn_begin(struct mk_edn_reader *r, struct mk_str text, unsigned line);
/** The next form, its parts in the arena, its texts lent from the input (unescaped: from the
 * arena). 0; MK_ENOTFOUND: the end; MK_EMALFORMED with the line. */
int mk_edn_next(struct mk_edn_reader *r, struct mk_edn **ret, struct mk_arena *a,
                struct mk_fault *reterr);
/** Steps into the sequence that begins here, as if its parts stood there without it. */
bool mk_edn_enter(struct mk_edn_reader *r);
const struct mk_edn *mk_edn_get(const struct mk_edn *map, const char *key); /* or NULL */
bool mk_edn_is(const struct mk_edn *e, const char *token);                  /* NULL: false */
/** Prints it as a text that equal forms share. */
void mk_edn_print(const struct mk_edn *e, struct mk_buf *out);

/* --- texts and numbers ------------------------------------------------------------------- */

/** Equal texts have equal numbers, from 1. All zero is empty. */
struct mk_texts {
    struct mk_arena mem;
    struct mk_str *v;
    size_t n, cap;
    uint32_t *table;
    size_t table_n; /* a power of two */
    size_t bytes;
};
uint64_t mk_texts_number(struct mk_texts *t, const void *p, size_t n);
struct mk_str mk_texts_text(const struct mk_texts *t, uint64_t number); /* 0: empty */
void mk_texts_done(struct mk_texts *t);

/* --- operations ------------------------------------------------------------------------------ */

/** A read or a write within a transaction. */
struct mk_micro {
    bool write, known;
    uint64_t key, value;
};

struct mk_op {
    struct mk_linear_operation o;
    struct mk_micro *micro;
    size_t n_micro;
    unsigned line;
    bool dropped; /* it failed: it never happened */
};

/** What a step was found to do, where finding it is dear: a table of (state, operation). */
struct mk_steps {
    struct mk_step {
        uint64_t from; /* state << 32 | 1 + operation; 0: empty */
        uint64_t to;   /* UINT64_MAX: refused */
    } * v;
    size_t n, cap;
};

struct mk_linear {
    enum mk_linear_model model;
    struct mk_op *v;
    size_t n, cap;
    struct mk_texts values, keys, states;
    struct mk_steps steps;
    struct mk_arena mem; /* micro-operations */
};

struct mk_op *mk_linear_add(struct mk_linear *h);

/* --- models ---------------------------------------------------------------------------------- */

/** The state before all. */
uint64_t mk_model_begin(struct mk_linear *h);
/** May op happen in this state, with its answer, and which state follows? */
bool mk_model_step(struct mk_linear *h, const struct mk_op *op, uint64_t state, uint64_t *ret);
/** Does it leave every state as it is? */
bool mk_model_idle(const struct mk_op *op);
/** Can this state never come to where the answer of the read is right, by appending alone? */
bool mk_model_off(const struct mk_linear *h, const struct mk_op *read, uint64_t state);
/** Does the answer of the read begin with what was put? */
bool mk_model_begins(const struct mk_linear *h, const struct mk_op *read, const struct mk_op *put);
/** Do the two do the same, wherever they stand? */
bool mk_model_same(const struct mk_op *a, const struct mk_op *b);

/* --- the search ---------------------------------------------------------------------------------
 */

/** Leaves out of n operations, or gives an answer to, those without one of which it is known
 * (open.c). ret and copies have room for n; how many are in ret is returned. */
size_t mk_linear_settle(struct mk_linear *h, const struct mk_op *const *v, size_t n,
                        const struct mk_op **ret, struct mk_op *copies);
/** Operations of one part, in order of invocation; at most so many steps. The result is that of the
 * part; why and line are set when it is not ok. True: unknown, since time or memory is out. */
bool mk_linear_part(struct mk_linear *h, const struct mk_op *const *v, size_t n,
                    struct mk_linear_result *ret, const struct mk_linear_limits *limits,
                    uint64_t steps_max);

#endif
