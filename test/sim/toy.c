/* Words in a command are separated by one space; see cluster.h for what there is. The
 * counters are kept beside the surfaces, so that snapshots carry a machine's own state
 * too. */
#include "toy.h"
#include "planted.h"

#include <stdio.h>
#include <string.h>

#define COUNTERS 16u

struct toy {
    struct mk_machine machine;
    uint64_t counters[COUNTERS];
};

const struct mk_surface_spec cluster_surfaces[2] = {
    {.kind = MK_SURFACE_MAP, .name = "words", .key = &mk_text_type, .value = &mk_text_type},
    {.kind = MK_SURFACE_STREAM, .name = "ticks", .value = &mk_u64_type},
};

void toy_text(struct mk_buf *out, const char *text)
{
    struct mk_str s = {text, strlen(text)};

    mk_encode(out, &mk_text_type, &s);
}

static uint64_t number_of(const char *digits)
{
    uint64_t v = 0;

    for (; *digits >= '0' && *digits <= '9'; digits++)
        v = v * 10 + (uint64_t)(*digits - '0');
    return v;
}

struct words {
    char text[512];
    const char *v[3];
    unsigned n;
};

static void split(struct words *w, struct mk_bytes command)
{
    char *at;

    memset(w, 0, sizeof *w);
    memcpy(w->text, command.p, command.n < sizeof w->text ? command.n : sizeof w->text - 1);
    at = w->text;
    while (w->n < 3) {
        char *space = w->n < 2 ? strchr(at, ' ') : NULL;

        w->v[w->n++] = at;
        if (space == NULL)
            return;
        *space = 0;
        at = space + 1;
    }
}

static int toy_map(struct mk_apply *a, const struct words *w)
{
    struct mk_buf key = {0}, value = {0};
    int rv;

    toy_text(&key, w->v[1]);
    if (w->n == 3)
        toy_text(&value, w->v[2]);
    if (w->n == 3)
        rv = mk_map_insert(a, 0, mk_buf_bytes(&key), mk_buf_bytes(&value), NULL);
    else
        rv = mk_map_remove(a, 0, mk_buf_bytes(&key), NULL);
    mk_buf_done(&key);
    mk_buf_done(&value);
    return rv;
}

#define BULK_KEYS 64u
#define BULK_BYTES 4000u

/* A quarter of a MiB at once: states that take many chunks. */
static int toy_bulk(struct mk_apply *a, const char *number)
{
    char key[32], text[BULK_BYTES + 1];
    int rv = 0;

    for (unsigned i = 0; i < BULK_KEYS && rv == 0; i++) {
        struct mk_buf k = {0}, v = {0};

        snprintf(key, sizeof key, "bulk-%.8s-%u", number, i);
        for (unsigned j = 0; j < BULK_BYTES; j++)
            text[j] = (char)('a' + (i + j * j + (unsigned)number_of(number)) % 26);
        text[BULK_BYTES] = 0;
        toy_text(&k, key);
        toy_text(&v, text);
        rv = mk_map_insert(a, 0, mk_buf_bytes(&k), mk_buf_bytes(&v), NULL);
        mk_buf_done(&k);
        mk_buf_done(&v);
    }
    return rv;
}

static int toy_apply(struct mk_machine *m, struct mk_apply *a, struct mk_bytes command)
{
    struct toy *t = (struct toy *)m;
    struct mk_buf item = {0};
    struct words w;
    char text[32];

    split(&w, command);
    if ((strcmp(w.v[0], "set") == 0 && w.n == 3) || (strcmp(w.v[0], "remove") == 0 && w.n == 2))
        return toy_map(a, &w);
    if (strcmp(w.v[0], "add") == 0 && w.n == 2) {
        uint64_t *c = &t->counters[number_of(w.v[1]) % COUNTERS];

        snprintf(text, sizeof text, "%llu", (unsigned long long)++*c);
        mk_answer(a, MK_BYTES(text, strlen(text)));
        return 0;
    }
    if (strcmp(w.v[0], "tick") == 0 && w.n == 2) {
        uint64_t v = number_of(w.v[1]);

        mk_encode(&item, &mk_u64_type, &v);
        mk_stream_append(a, 1, mk_buf_bytes(&item));
        mk_buf_done(&item);
        return 0;
    }
    if (strcmp(w.v[0], "bulk") == 0 && w.n == 2)
        return toy_bulk(a, w.v[1]);
    if (strcmp(w.v[0], "fill") == 0)
        return 0;
    return mk_refuse(a, "no such command: %s", w.v[0]);
}

static int toy_query(struct mk_machine *m, const struct mk_surfaces *s, struct mk_bytes query,
                     struct mk_buf *answer, struct mk_fault *reterr)
{
    struct toy *t = (struct toy *)m;
    struct mk_buf key = {0};
    struct mk_bytes value;
    struct words w;

    split(&w, query);
    if (strcmp(w.v[0], "count") == 0 && w.n == 2) {
        mk_buf_printf(answer, "%llu",
                      (unsigned long long)t->counters[number_of(w.v[1]) % COUNTERS]);
        return 0;
    }
    if (strcmp(w.v[0], "get") != 0 || w.n != 2)
        return mk_fault(reterr, MK_EMALFORMED, "no such query: %s", w.v[0]);
    toy_text(&key, w.v[1]);
    if (mk_map_get(s, 0, mk_buf_bytes(&key), &value) == 0 && value.n > 1)
        mk_buf_put(answer, value.p + 1, value.n - 1); /* short texts: one byte of length */
    mk_buf_done(&key);
    return 0;
}

static void toy_snapshot(const struct mk_machine *m, struct mk_buf *out)
{
    for (unsigned i = 0; i < COUNTERS; i++)
        mk_buf_put_u64le(out, ((const struct toy *)m)->counters[i]);
}

static int toy_restore(struct mk_machine *m, struct mk_bytes snapshot, struct mk_fault *reterr)
{
    struct mk_reader r = {snapshot.p, snapshot.n, false};

    for (unsigned i = 0; i < COUNTERS; i++)
        ((struct toy *)m)->counters[i] = mk_read_u64le(&r);
    return r.failed || r.n != 0 ? mk_fault(reterr, MK_EMALFORMED, "toy: bad snapshot") : 0;
}

static void toy_free(struct mk_machine *m)
{
    mk_free(m);
}

#define TOY_OPS(v)                                                                                \
    {                                                                                             \
        .name = "toy", .version = v, .surfaces = cluster_surfaces, .n_surfaces = 2,               \
        .apply = toy_apply, .query = toy_query, .snapshot = toy_snapshot, .restore = toy_restore, \
        .free = toy_free,                                                                         \
    }

static const struct mk_machine_ops toy_ops[] = {TOY_OPS(1), TOY_OPS(2)};

struct mk_machine *toy_new_version(unsigned version)
{
    struct toy *t = mk_alloc(sizeof *t);
    static unsigned made;

    t->machine.ops = &toy_ops[version - 1];
    if (planted_unequal)
        t->counters[1] = made++;
    return &t->machine;
}

struct mk_machine *toy_new(void)
{
    return toy_new_version(1);
}
