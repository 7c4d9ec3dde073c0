/* reader.c - what a reader remembers of one deployment.
 *
 * Everything here was checked when it came: the roster of each epoch follows
 * from the one before, each certificate from the roster of its epoch. What the
 * memory adds is time: a newest point of each surface never goes back, an epoch
 * that ended proves nothing beyond the heads it ended with, and of two valid
 * statements that exclude each other both are kept as the proof, after which the
 * deployment is not believed any more: nobody can tell which half is right.
 *
 * Its bytes: a version, then each item with its length: the first roster, the
 * changes, the certificates by surface, the pair in conflict. Reading them back
 * goes through the same checks as hearing them did. */
#include "collections/certificate.h"

#include "base/assert.h"

#include <string.h>

#define MEMORY_VERSION 1u
#define ITEM_MAX (1u << 20) /* bytes of one stored record */

/* An epoch: its roster and how it came about. */
struct epoch {
    struct mk_arena arena;
    struct mk_buf bytes; /* pc(RosterChange); empty for the first */
    struct mk_roster roster;
    struct mk_heads ended; /* of the epoch before, by surface */
    struct mk_roster_change change;
};

struct mk_reader_memory {
    struct epoch **epochs; /* the first epoch's roster first */
    size_t n_epochs;
    struct mk_certificate *newest; /* sorted by surface; own their signatures */
    size_t n_newest;
    bool conflict;
    struct mk_certificate a, b;
    struct mk_arena guilty_arena;
    struct mk_peers guilty;
};

static struct mk_certificate certificate_copy(const struct mk_certificate *c)
{
    struct mk_certificate copy = *c;

    copy.signatures.v = mk_memdup(c->signatures.v, c->signatures.n * sizeof *c->signatures.v);
    return copy;
}

static void certificate_done(struct mk_certificate *c)
{
    mk_free((void *)(uintptr_t)c->signatures.v);
    *c = (struct mk_certificate){.head = {.epoch = 0}};
}

static struct mk_roster *push_epoch(struct mk_reader_memory *m)
{
    struct epoch *e = mk_alloc(sizeof *e);

    m->epochs = mk_realloc(m->epochs, (m->n_epochs + 1) * sizeof(struct epoch *));
    m->epochs[m->n_epochs++] = e;
    return &e->roster;
}

struct mk_reader_memory *mk_reader_memory_new(const struct mk_roster *first)
{
    struct mk_reader_memory *m = mk_alloc(sizeof *m);
    struct mk_roster *r = push_epoch(m);

    *r = *first;
    r->peers.v = mk_arena_copy(&m->epochs[0]->arena, first->peers.v,
                               first->peers.n * sizeof *first->peers.v);
    return m;
}

void mk_reader_memory_free(struct mk_reader_memory *m)
{
    if (m == NULL)
        return;
    for (size_t i = 0; i < m->n_epochs; i++) {
        mk_arena_done(&m->epochs[i]->arena);
        mk_buf_done(&m->epochs[i]->bytes);
        mk_free(m->epochs[i]);
    }
    for (size_t i = 0; i < m->n_newest; i++)
        certificate_done(&m->newest[i]);
    if (m->conflict) {
        certificate_done(&m->a);
        certificate_done(&m->b);
    }
    mk_arena_done(&m->guilty_arena);
    mk_free(m->epochs);
    mk_free(m->newest);
    mk_free(m);
}

/* --- the chain of epochs ------------------------------------------------------------ */

uint64_t mk_reader_epoch(const struct mk_reader_memory *m)
{
    return m->epochs[m->n_epochs - 1]->roster.epoch;
}

static struct epoch *epoch_at(const struct mk_reader_memory *m, uint64_t epoch)
{
    uint64_t first = m->epochs[0]->roster.epoch;

    if (epoch < first || epoch - first >= m->n_epochs)
        return NULL;
    return m->epochs[epoch - first];
}

const struct mk_roster *mk_reader_roster(const struct mk_reader_memory *m, uint64_t epoch)
{
    struct epoch *e = epoch_at(m, epoch);

    return e == NULL ? NULL : &e->roster;
}

const struct mk_roster_change *mk_reader_change(const struct mk_reader_memory *m, uint64_t epoch)
{
    struct epoch *e = epoch_at(m, epoch);

    return e == NULL || e->bytes.n == 0 ? NULL : &e->change;
}

static int learn_known(const struct mk_roster *known, const struct mk_roster *told,
                       struct mk_fault *reterr)
{
    struct mk_id a = mk_roster_id(known), b = mk_roster_id(told);

    if (mk_id_eq(&a, &b))
        return 0;
    return mk_fault(reterr, MK_ECONFLICT, "two rosters of epoch %llu",
                    (unsigned long long)known->epoch);
}

int mk_reader_learn(struct mk_reader_memory *m, const struct mk_roster_change *change,
                    struct mk_fault *reterr)
{
    const struct epoch *known = epoch_at(m, change->roster.epoch);
    struct mk_roster_change own;
    struct epoch *e;
    int rv;

    if (known != NULL)
        return learn_known(&known->roster, &change->roster, reterr);
    if (change->roster.epoch < m->epochs[0]->roster.epoch)
        return 0; /* before our time: neither checked nor needed */
    if (change->roster.epoch > mk_reader_epoch(m) + 1)
        return mk_fault(reterr, MK_ENOTFOUND, "roster change to epoch %llu: %llu is not known",
                        (unsigned long long)change->roster.epoch,
                        (unsigned long long)change->roster.epoch - 1);
    if (m->n_epochs >= MK_READER_EPOCHS_MAX)
        return mk_fault(reterr, MK_ELIMIT, "more than %u epochs", MK_READER_EPOCHS_MAX);
    rv = mk_roster_change_check(change, &m->epochs[m->n_epochs - 1]->roster, reterr);
    if (rv != 0)
        return rv;
    push_epoch(m);
    e = m->epochs[m->n_epochs - 1];
    mk_encode(&e->bytes, &mk_roster_change_type, change);
    rv = mk_decode(&own, &mk_roster_change_type, mk_buf_bytes(&e->bytes), &e->arena, NULL);
    MK_ASSERT(rv == 0);
    e->roster = own.roster;
    e->ended = own.heads;
    e->change = own;
    return 0;
}

/* An epoch that is over vouches for no more than the heads it ended with. */
static int check_ended(const struct mk_reader_memory *m, const struct mk_head *h,
                       struct mk_fault *reterr)
{
    const struct epoch *next = epoch_at(m, h->epoch + 1);
    const struct mk_head *last = NULL;

    if (next == NULL)
        return 0;
    for (size_t i = 0; i < next->ended.n; i++)
        if (mk_id_eq(&next->ended.v[i].surface, &h->surface))
            last = &next->ended.v[i];
    if (last == NULL || h->index > last->index)
        return mk_fault(reterr, MK_ESIGNATURE,
                        "certificate: of the old epoch %llu, for index %llu beyond its last, %llu",
                        (unsigned long long)h->epoch, (unsigned long long)h->index,
                        (unsigned long long)(last == NULL ? 0 : last->index));
    if (mk_heads_conflict(h, last))
        return mk_fault(reterr, MK_ESIGNATURE,
                        "certificate: it contradicts the head that epoch %llu ended with",
                        (unsigned long long)h->epoch);
    return 0;
}

/* --- certificates ---------------------------------------------------------------------- */

/* Where a surface is, or would be, in the sorted list. */
static size_t place_of(const struct mk_reader_memory *m, const struct mk_id *surface,
                       bool *ret_there)
{
    size_t low = 0, high = m->n_newest;

    *ret_there = false;
    while (low < high) {
        size_t mid = (low + high) / 2;
        int order = mk_id_cmp(&m->newest[mid].head.surface, surface);

        if (order == 0) {
            *ret_there = true;
            return mid;
        }
        if (order < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static void set_conflict(struct mk_reader_memory *m, const struct mk_certificate *a,
                         const struct mk_certificate *b)
{
    MK_ASSERT(!m->conflict);
    m->conflict = true;
    m->a = certificate_copy(a);
    m->b = certificate_copy(b);
    mk_signed_both(&m->a, &m->b, &m->guilty, &m->guilty_arena);
}

static int conflict_fault(const struct mk_reader_memory *m, struct mk_fault *reterr)
{
    char hex[MK_ID_HEX] = "nobody alone";

    if (m->guilty.n > 0)
        mk_peer_hex(&m->guilty.v[0], hex);
    return mk_fault(reterr, MK_ECONFLICT,
                    "two certified heads of index %llu exclude each other; %zu peers signed both, "
                    "the first %s",
                    (unsigned long long)m->a.head.index, m->guilty.n, hex);
}

/* Both are valid. One index of one surface has one commit and one state, in whatever epoch. */
static bool excludes(const struct mk_head *a, const struct mk_head *b)
{
    return a->index == b->index &&
           (!mk_id_eq(&a->commit, &b->commit) || !mk_id_eq(&a->state, &b->state));
}

static void insert_newest(struct mk_reader_memory *m, size_t at, const struct mk_certificate *c)
{
    m->newest = mk_realloc(m->newest, (m->n_newest + 1) * sizeof *m->newest);
    memmove(&m->newest[at + 1], &m->newest[at], (m->n_newest - at) * sizeof *m->newest);
    m->newest[at] = certificate_copy(c);
    m->n_newest++;
}

/* Is c older than what is known? Index, then time; an epoch never goes back. */
static bool is_lower(const struct mk_head *c, const struct mk_head *known)
{
    if (c->epoch < known->epoch || c->index < known->index)
        return true;
    return c->index == known->index && c->time_ms < known->time_ms;
}

static int check_known_epoch(const struct mk_reader_memory *m, const struct mk_certificate *c,
                             struct mk_fault *reterr)
{
    const struct mk_roster *roster = mk_reader_roster(m, c->head.epoch);
    int rv;

    if (c->head.epoch > mk_reader_epoch(m))
        return mk_fault(reterr, MK_ENOTFOUND, "certificate: of epoch %llu, %llu is the last known",
                        (unsigned long long)c->head.epoch, (unsigned long long)mk_reader_epoch(m));
    if (roster == NULL)
        return mk_fault(reterr, MK_ESIGNATURE,
                        "certificate: of epoch %llu, before the first that is known",
                        (unsigned long long)c->head.epoch);
    rv = mk_certificate_check(c, roster, reterr);
    return rv != 0 ? rv : check_ended(m, &c->head, reterr);
}

int mk_reader_accept(struct mk_reader_memory *m, const struct mk_certificate *c,
                     struct mk_fault *reterr)
{
    struct mk_certificate *known;
    bool there;
    size_t at;
    int rv;

    if (m->conflict)
        return conflict_fault(m, reterr);
    rv = check_known_epoch(m, c, reterr);
    if (rv != 0)
        return rv;
    at = place_of(m, &c->head.surface, &there);
    if (!there) {
        if (m->n_newest >= MK_READER_SURFACES_MAX)
            return mk_fault(reterr, MK_ELIMIT, "more than %u surfaces", MK_READER_SURFACES_MAX);
        insert_newest(m, at, c);
        return 0;
    }
    known = &m->newest[at];
    if (excludes(&known->head, &c->head)) {
        set_conflict(m, known, c);
        return conflict_fault(m, reterr);
    }
    if (is_lower(&c->head, &known->head))
        return mk_fault(reterr, MK_ESTALE, "certificate: of index %llu, %llu is known",
                        (unsigned long long)c->head.index, (unsigned long long)known->head.index);
    certificate_done(known);
    *known = certificate_copy(c);
    return 0;
}

int mk_reader_newest(const struct mk_reader_memory *m, const struct mk_id *surface,
                     const struct mk_certificate **ret)
{
    bool there;
    size_t at = place_of(m, surface, &there);

    if (!there)
        return MK_ENOTFOUND;
    *ret = &m->newest[at];
    return 0;
}

uint64_t mk_reader_newest_ms(const struct mk_reader_memory *m)
{
    uint64_t ms = 0;

    for (size_t i = 0; i < m->n_newest; i++)
        if (m->newest[i].head.time_ms > ms)
            ms = m->newest[i].head.time_ms;
    return ms;
}

int mk_reader_fresh(const struct mk_certificate *c, uint64_t now_ms, uint64_t max_age_ms,
                    struct mk_fault *reterr)
{
    uint64_t time_ms = c->head.time_ms;

    if (time_ms > now_ms && time_ms - now_ms > MK_FUTURE_MS)
        return mk_fault(reterr, MK_ESTALE, "the head is %llu ms in this reader's future",
                        (unsigned long long)(time_ms - now_ms));
    if (time_ms < now_ms && now_ms - time_ms > max_age_ms)
        return mk_fault(reterr, MK_ESTALE, "the head is %llu ms old, %llu are allowed",
                        (unsigned long long)(now_ms - time_ms), (unsigned long long)max_age_ms);
    return 0;
}

bool mk_reader_conflict(const struct mk_reader_memory *m, const struct mk_certificate **a,
                        const struct mk_certificate **b, struct mk_peers *ret_guilty)
{
    if (!m->conflict)
        return false;
    *a = &m->a;
    *b = &m->b;
    *ret_guilty = m->guilty;
    return true;
}

/* --- through a restart ------------------------------------------------------------------- */

static void put_item(struct mk_buf *out, const struct mk_type *t, const void *value)
{
    mk_put_varint(out, mk_encoded_len(t, value));
    mk_encode(out, t, value);
}

void mk_reader_memory_encode(const struct mk_reader_memory *m, struct mk_buf *out)
{
    mk_buf_put_u8(out, MEMORY_VERSION);
    put_item(out, &mk_roster_type, &m->epochs[0]->roster);
    mk_put_varint(out, m->n_epochs - 1);
    for (size_t i = 1; i < m->n_epochs; i++) {
        mk_put_varint(out, m->epochs[i]->bytes.n);
        mk_buf_put(out, m->epochs[i]->bytes.p, m->epochs[i]->bytes.n);
    }
    mk_put_varint(out, m->n_newest);
    for (size_t i = 0; i < m->n_newest; i++)
        put_item(out, &mk_certificate_type, &m->newest[i]);
    mk_buf_put_u8(out, m->conflict);
    if (m->conflict) {
        put_item(out, &mk_certificate_type, &m->a);
        put_item(out, &mk_certificate_type, &m->b);
    }
}

/* One stored record; on failure *rv says so and stays. */
static void take_item(struct mk_reader *r, const struct mk_type *t, void *ret,
                      struct mk_arena *arena, int *rv)
{
    uint64_t n = mk_read_varint(r);

    if (*rv == 0 && (r->failed || n > ITEM_MAX || n > r->n))
        *rv = MK_EMALFORMED;
    if (*rv == 0)
        *rv = mk_decode(ret, t, mk_read_bytes(r, (size_t)n), arena, NULL);
}

static int decode_chain(struct mk_reader_memory *m, struct mk_reader *r, struct mk_arena *arena)
{
    struct mk_roster_change change;
    uint64_t n = mk_read_varint(r);
    int rv = r->failed || n >= MK_READER_EPOCHS_MAX ? MK_EMALFORMED : 0;

    for (uint64_t i = 0; i < n && rv == 0; i++) {
        take_item(r, &mk_roster_change_type, &change, arena, &rv);
        if (rv == 0)
            rv = mk_reader_learn(m, &change, NULL);
    }
    return rv == 0 && m->n_epochs != n + 1 ? MK_EMALFORMED : rv;
}

static int decode_newest(struct mk_reader_memory *m, struct mk_reader *r, struct mk_arena *arena)
{
    struct mk_certificate c;
    uint64_t n = mk_read_varint(r);
    int rv = r->failed || n > MK_READER_SURFACES_MAX ? MK_EMALFORMED : 0;

    for (uint64_t i = 0; i < n && rv == 0; i++) {
        take_item(r, &mk_certificate_type, &c, arena, &rv);
        if (rv == 0 && i > 0 &&
            mk_id_cmp(&m->newest[m->n_newest - 1].head.surface, &c.head.surface) >= 0)
            rv = MK_EMALFORMED;
        if (rv == 0)
            rv = mk_reader_accept(m, &c, NULL);
    }
    return rv;
}

static int decode_conflict(struct mk_reader_memory *m, struct mk_reader *r, struct mk_arena *arena)
{
    struct mk_certificate a, b;
    uint8_t there = mk_read_u8(r);
    int rv = r->failed || there > 1 ? MK_EMALFORMED : 0;

    if (rv != 0 || there == 0)
        return rv;
    take_item(r, &mk_certificate_type, &a, arena, &rv);
    take_item(r, &mk_certificate_type, &b, arena, &rv);
    if (rv == 0)
        rv = check_known_epoch(m, &a, NULL);
    if (rv == 0)
        rv = check_known_epoch(m, &b, NULL);
    if (rv == 0 && (!mk_id_eq(&a.head.surface, &b.head.surface) || !excludes(&a.head, &b.head)))
        rv = MK_EMALFORMED;
    if (rv == 0)
        set_conflict(m, &a, &b);
    return rv;
}

int mk_reader_memory_decode(struct mk_reader_memory **ret, struct mk_bytes in,
                            struct mk_fault *reterr)
{
    struct mk_reader r = {.p = in.p, .n = in.n};
    struct mk_reader_memory *m = NULL;
    struct mk_arena arena = {0};
    struct mk_roster first;
    int rv = mk_read_u8(&r) == MEMORY_VERSION ? 0 : MK_EMALFORMED;

    take_item(&r, &mk_roster_type, &first, &arena, &rv);
    if (rv != 0)
        goto out;
    m = mk_reader_memory_new(&first);
    rv = decode_chain(m, &r, &arena);
    if (rv == 0)
        rv = decode_newest(m, &r, &arena);
    if (rv == 0)
        rv = decode_conflict(m, &r, &arena);
    if (rv == 0 && (r.failed || r.n > 0))
        rv = MK_EMALFORMED;
out:
    mk_arena_done(&arena);
    if (rv != 0) {
        mk_reader_memory_free(m);
        return mk_fault(reterr, MK_EMALFORMED, "a reader's memory: damaged (%s)", mk_strerror(rv));
    }
    *ret = m;
    return 0;
}
