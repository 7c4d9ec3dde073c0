/* Histories from text. Each operation is two records of one process: its invocation, and
 * how it ended:
 *
 *   {:process 3, :type :invoke, :f :write, :value 4}        :ok    it happened, by now
 *   {:process 3, :type :ok, :f :write, :value 4}            :fail  it did not happen
 *   INFO  jepsen.util - 3<tab>:invoke<tab>:write<tab>4      :info  not known
 *
 * A process whose operation ended as :info, or that invokes again without an end, leaves
 * that operation open for ever. Records of processes that are no numbers (:nemesis) and
 * lines of a log that are no records are passed over. The values of an invocation count,
 * but for reads, whose answer comes with :ok. */
#include "linear_int.h"

#include <stdlib.h>
#include <string.h>

#define LOG_MARK "jepsen.util - "

struct parsing {
    struct mk_linear *h;
    uint64_t clock;
    unsigned records;
    size_t *open; /* by number of the process's name: 1 + index of its operation; 0: none */
    size_t open_n;
    struct mk_texts names;
    struct mk_arena mem; /* of one record */
    struct mk_fault *reterr;
};

struct record {
    const struct mk_edn *process, *type, *f, *key, *value;
    unsigned line;
};

static int bad(const struct parsing *p, const struct record *r, const char *what)
{
    return mk_fault(p->reterr, MK_EMALFORMED, "line %u: %s", r->line, what);
}

/* --- values ----------------------------------------------------------------------------- */

/* nil and none are 0. */
static uint64_t value_of(struct parsing *p, const struct mk_edn *e)
{
    struct mk_buf b = {0};
    uint64_t number;

    if (e == NULL || mk_edn_is(e, "nil"))
        return 0;
    if (p->h->model == MK_LINEAR_KV && e->kind == MK_EDN_STRING)
        mk_buf_put(&b, e->text.p, e->text.n);
    else
        mk_edn_print(e, &b);
    number = mk_texts_number(&p->h->values, b.p, b.n);
    mk_buf_done(&b);
    return number;
}

static uint64_t key_of(struct parsing *p, const struct mk_edn *e)
{
    struct mk_buf b = {0};
    uint64_t number;

    mk_edn_print(e, &b);
    number = mk_texts_number(&p->h->keys, b.p, b.n);
    mk_buf_done(&b);
    return number;
}

/* [[:read :x 1] [:write :y 2]]; with known, the answers of the reads count. */
static int read_txn(struct parsing *p, struct mk_op *op, const struct record *r, bool known)
{
    size_t i = 0;

    if (r->value == NULL || r->value->kind != MK_EDN_SEQUENCE)
        return bad(p, r, "the :value of a :txn is a list of [:read KEY VALUE], [:write KEY VALUE]");
    op->o.kind = MK_LINEAR_TXN;
    op->n_micro = r->value->n;
    op->micro = mk_arena_take(&p->h->mem, (op->n_micro + 1) * sizeof *op->micro);
    for (const struct mk_edn *e = r->value->first; e != NULL; e = e->next, i++) {
        struct mk_micro *m = &op->micro[i];
        const struct mk_edn *f = e->first;

        if (e->kind != MK_EDN_SEQUENCE || e->n != 3 ||
            !(mk_edn_is(f, ":read") || mk_edn_is(f, ":write")))
            return bad(p, r, "a part of a :txn is [:read KEY VALUE] or [:write KEY VALUE]");
        m->write = mk_edn_is(f, ":write");
        m->known = known;
        m->key = key_of(p, f->next);
        m->value = value_of(p, f->next->next);
    }
    return 0;
}

static int read_cas(struct parsing *p, struct mk_op *op, const struct record *r)
{
    if (r->value == NULL || r->value->kind != MK_EDN_SEQUENCE || r->value->n != 2)
        return bad(p, r, "the :value of a :cas is [EXPECTED NEW]");
    op->o.kind = MK_LINEAR_CAS;
    op->o.a = value_of(p, r->value->first);
    op->o.b = value_of(p, r->value->first->next);
    return 0;
}

static int read_kv(struct parsing *p, struct mk_op *op, const struct record *r)
{
    if (r->key == NULL)
        return bad(p, r, "an operation of kv has a :key");
    op->o.key = key_of(p, r->key);
    op->o.kind = mk_edn_is(r->f, ":get")   ? MK_LINEAR_READ
                 : mk_edn_is(r->f, ":put") ? MK_LINEAR_WRITE
                                           : MK_LINEAR_APPEND;
    if (op->o.kind != MK_LINEAR_READ)
        op->o.a = value_of(p, r->value);
    if (op->o.kind == MK_LINEAR_APPEND && !mk_edn_is(r->f, ":append"))
        return bad(p, r, "an operation of kv is a :get, a :put or an :append");
    return 0;
}

static int read_register(struct parsing *p, struct mk_op *op, const struct record *r)
{
    if (mk_edn_is(r->f, ":cas"))
        return read_cas(p, op, r);
    if (mk_edn_is(r->f, ":write")) {
        op->o.kind = MK_LINEAR_WRITE;
        op->o.a = value_of(p, r->value);
        return 0;
    }
    op->o.kind = MK_LINEAR_READ;
    return mk_edn_is(r->f, ":read")
               ? 0
               : bad(p, r, "an operation of cas-register is a :read, a :write or a :cas");
}

static int read_counter(struct parsing *p, struct mk_op *op, const struct record *r)
{
    op->o.kind = mk_edn_is(r->f, ":read") ? MK_LINEAR_READ : MK_LINEAR_ADD;
    return op->o.kind == MK_LINEAR_READ || mk_edn_is(r->f, ":add")
               ? 0
               : bad(p, r, "an operation of counter is an :add or a :read");
}

static int read_mutex(struct parsing *p, struct mk_op *op, const struct record *r)
{
    op->o.kind = mk_edn_is(r->f, ":acquire") ? MK_LINEAR_ACQUIRE : MK_LINEAR_RELEASE;
    return op->o.kind == MK_LINEAR_ACQUIRE || mk_edn_is(r->f, ":release")
               ? 0
               : bad(p, r, "an operation of mutex is an :acquire or a :release");
}

static int read_operation(struct parsing *p, struct mk_op *op, const struct record *r)
{
    switch (p->h->model) {
    case MK_LINEAR_CAS_REGISTER:
        return read_register(p, op, r);
    case MK_LINEAR_COUNTER:
        return read_counter(p, op, r);
    case MK_LINEAR_MUTEX:
        return read_mutex(p, op, r);
    case MK_LINEAR_KV:
        return read_kv(p, op, r);
    case MK_LINEAR_MULTI_REGISTER:
        return mk_edn_is(r->f, ":txn") ? read_txn(p, op, r, /* known= */ false)
                                       : bad(p, r, "an operation of multi-register is a :txn");
    }
    return MK_EINVALID;
}

/* A counter's answers are sums, not names of values. */
static int read_answer(struct parsing *p, struct mk_op *op, const struct record *r)
{
    uint64_t sum = 0;

    if (p->h->model == MK_LINEAR_MULTI_REGISTER)
        return read_txn(p, op, r, /* known= */ true);
    if (p->h->model == MK_LINEAR_COUNTER) {
        if (r->value == NULL || r->value->kind != MK_EDN_TOKEN || r->value->text.n > 18)
            return bad(p, r, "the answer of a counter is a number");
        for (size_t i = 0; i < r->value->text.n; i++) {
            if (r->value->text.p[i] < '0' || r->value->text.p[i] > '9')
                return bad(p, r, "the answer of a counter is a number");
            sum = 10 * sum + (uint64_t)(r->value->text.p[i] - '0');
        }
        op->o.a = sum;
    } else if (op->o.kind == MK_LINEAR_READ) {
        op->o.a = value_of(p, r->value);
    }
    return 0;
}

/* --- records -------------------------------------------------------------------------------- */

static bool is_number(const struct mk_edn *e)
{
    if (e == NULL || e->kind != MK_EDN_TOKEN)
        return false;
    for (size_t i = 0; i < e->text.n; i++)
        if ((e->text.p[i] < '0' || e->text.p[i] > '9') && (i > 0 || e->text.p[i] != '-'))
            return false;
    return true;
}

/* 1 + the open operation of the record's process. */
static size_t *open_of(struct parsing *p, const struct record *r)
{
    uint64_t number = mk_texts_number(&p->names, r->process->text.p, r->process->text.n);

    if (number >= p->open_n) {
        size_t n = p->open_n == 0 ? 64 : 2 * p->open_n;

        p->open = mk_realloc(p->open, n * sizeof *p->open);
        memset(p->open + p->open_n, 0, (n - p->open_n) * sizeof *p->open);
        p->open_n = n;
    }
    return &p->open[number];
}

static int invoked(struct parsing *p, const struct record *r, size_t *open)
{
    struct mk_op *op;

    if (p->h->n >= MK_LINEAR_OPERATIONS_MAX)
        return mk_fault(p->reterr, MK_ELIMIT, "line %u: more than %u operations", r->line,
                        MK_LINEAR_OPERATIONS_MAX);
    op = mk_linear_add(p->h);
    op->line = r->line;
    op->o.invoked = ++p->clock;
    op->o.answered = MK_LINEAR_NEVER;
    *open = p->h->n;
    return read_operation(p, op, r);
}

static int take_record(struct parsing *p, const struct record *r)
{
    size_t *open, at;

    p->records++;
    if (!is_number(r->process))
        return 0;
    if (r->type == NULL || r->f == NULL)
        return bad(p, r, "a record has a :process, a :type and an :f");
    open = open_of(p, r);
    if (mk_edn_is(r->type, ":invoke"))
        return invoked(p, r, open);
    at = *open;
    *open = 0;
    if (mk_edn_is(r->type, ":info"))
        return 0;
    if (!mk_edn_is(r->type, ":ok") && !mk_edn_is(r->type, ":fail"))
        return bad(p, r, "the :type of a record is :invoke, :ok, :fail or :info");
    if (at == 0)
        return bad(p, r, "an end without an :invoke of the same process");
    if (mk_edn_is(r->type, ":fail")) {
        p->h->v[at - 1].dropped = true;
        return 0;
    }
    p->h->v[at - 1].o.answered = ++p->clock;
    p->h->v[at - 1].line = r->line;
    return read_answer(p, &p->h->v[at - 1], r);
}

/* --- the two formats ---------------------------------------------------------------------------
 */

static int parse_edn(struct parsing *p, struct mk_str text)
{
    struct mk_edn_reader reader;
    int rv;

    mk_edn_begin(&reader, text, 1);
    mk_edn_enter(&reader);
    for (;;) {
        struct mk_edn *e;
        struct record r;

        mk_arena_done(&p->mem);
        rv = mk_edn_next(&reader, &e, &p->mem, p->reterr);
        if (rv != 0)
            return rv == MK_ENOTFOUND ? 0 : rv;
        if (e->kind != MK_EDN_MAP)
            return mk_fault(p->reterr, MK_EMALFORMED, "line %u: an operation is a map", e->line);
        r = (struct record){mk_edn_get(e, ":process"), mk_edn_get(e, ":type"),  mk_edn_get(e, ":f"),
                            mk_edn_get(e, ":key"),     mk_edn_get(e, ":value"), e->line};
        rv = take_record(p, &r);
        if (rv != 0)
            return rv;
    }
}

static int parse_line(struct parsing *p, struct mk_str line, unsigned number)
{
    struct mk_edn_reader reader;
    struct mk_edn *v[4] = {0};
    struct record r;
    unsigned n = 0;
    int rv = 0;

    mk_edn_begin(&reader, line, number);
    mk_arena_done(&p->mem);
    while (n < 4 && (rv = mk_edn_next(&reader, &v[n], &p->mem, p->reterr)) == 0)
        n++;
    if (n > 0 && !is_number(v[0])) {
        p->records++;
        return 0;
    }
    if (rv != 0 && rv != MK_ENOTFOUND)
        return rv;
    r = (struct record){v[0], v[1], v[2], NULL, v[3], number};
    return n == 0 ? 0 : take_record(p, &r);
}

static int parse_log(struct parsing *p, struct mk_str text)
{
    const char *at = text.p, *end = text.p + text.n;

    for (unsigned line = 1; at < end; line++) {
        const char *nl = memchr(at, '\n', (size_t)(end - at));
        size_t n = (size_t)((nl == NULL ? end : nl) - at);
        const char *mark = memmem(at, n, LOG_MARK, strlen(LOG_MARK));
        int rv = 0;

        if (mark != NULL) {
            mark += strlen(LOG_MARK);
            rv = parse_line(p, (struct mk_str){mark, (size_t)(at + n - mark)}, line);
        }
        if (rv != 0)
            return rv;
        at += n + 1;
    }
    return 0;
}

/* EDN begins with a bracket, after blanks and comments. */
static bool is_edn(struct mk_str text)
{
    bool comment = false;

    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];

        if (c == ';' || c == '\n')
            comment = c == ';';
        else if (!comment && c != 0 && strchr(" \t\r,", c) == NULL)
            return c == '[' || c == '(' || c == '{';
    }
    return false;
}

int mk_linear_parse(struct mk_linear *h, struct mk_str text, struct mk_fault *reterr)
{
    struct parsing p = {.h = h, .reterr = reterr};
    int rv;

    MK_ASSERT(h->n == 0);
    if (text.n > MK_LINEAR_BYTES_MAX)
        return mk_fault(reterr, MK_ELIMIT, "longer than %u bytes", MK_LINEAR_BYTES_MAX);
    rv = is_edn(text) ? parse_edn(&p, text) : parse_log(&p, text);
    if (rv == 0 && p.records == 0)
        rv = mk_fault(reterr, MK_EMALFORMED,
                      "no record in it: neither EDN maps nor lines of Jepsen's log");
    mk_arena_done(&p.mem);
    mk_texts_done(&p.names);
    mk_free(p.open);
    return rv;
}
