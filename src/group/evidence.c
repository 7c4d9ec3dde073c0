/* evidence.c - is a pointer resolved by what came beside it (mosaik/evidence.h)?
 *
 * The happy path, from trust to the datum: the anchor names an operator, whose Deployment names a
 * roster; changes lead from there to the epoch of the certificate; the certificate covers a head;
 * the commit hashes onto that head; its payload's own clock is the pointer's. Each step is a
 * signature or a hash, so the verdict follows from the bytes and everybody comes to the same one.
 *
 * What was learned on the way stays in the book, whatever becomes of the command: it is true
 * whoever said it, and it is what keeps an epoch that is over from signing more. */
#include <mosaik/evidence.h>

#include "base/assert.h"
#include "collections/certificate.h"
#include "collections/surface.h"
#include "group/proof.h"

#include <string.h>

MK_STRUCT_DEFINE(mk_chain_link, "ChainLink", MK_LINK_TABLE)
MK_SEQ_DEFINE(mk_evidence_links, mk_chain_link, MK_EVIDENCE_LINKS_MAX, 0)
MK_SEQ_DEFINE(mk_roster_changes, mk_roster_change, MK_EVIDENCE_CHAIN_MAX, 0)
MK_OPTION_DEFINE(mk_opt_deployment, mk_deployment)
MK_BLOB_DEFINE(mk_evidence_payload, MK_EVIDENCE_PAYLOAD_MAX)
MK_BLOB_DEFINE(mk_evidence_command, MK_EVIDENCE_COMMAND_MAX)
MK_STRUCT_DEFINE(mk_exhibit, "Exhibit", MK_EXHIBIT_TABLE)
MK_SEQ_DEFINE(mk_exhibits, mk_exhibit, MK_EVIDENCE_MAX, 0)
MK_STRUCT_DEFINE(mk_evidenced, "Evidenced", MK_EVIDENCED_TABLE)

struct mk_evidence_known {
    struct mk_id deployment;
    struct mk_reader_memory *memory;
};

/* --- the book ----------------------------------------------------------------------------------
 */

void mk_evidence_book_done(struct mk_evidence_book *b)
{
    for (size_t i = 0; i < b->n; i++)
        mk_reader_memory_free(b->v[i].memory);
    mk_free(b->v);
    *b = (struct mk_evidence_book){0};
}

static size_t place_of(const struct mk_evidence_book *b, const struct mk_id *deployment)
{
    size_t at = 0;

    while (at < b->n && mk_id_cmp(&b->v[at].deployment, deployment) < 0)
        at++;
    return at;
}

static struct mk_reader_memory *known(const struct mk_evidence_book *b,
                                      const struct mk_id *deployment)
{
    size_t at = place_of(b, deployment);

    return at < b->n && mk_id_eq(&b->v[at].deployment, deployment) ? b->v[at].memory : NULL;
}

static void put_known(struct mk_evidence_book *b, const struct mk_id *deployment,
                      struct mk_reader_memory *memory)
{
    size_t at = place_of(b, deployment);

    b->v = mk_realloc(b->v, (b->n + 1) * sizeof *b->v);
    memmove(&b->v[at + 1], &b->v[at], (b->n - at) * sizeof *b->v);
    b->v[at] = (struct mk_evidence_known){*deployment, memory};
    b->n++;
}

void mk_evidence_book_snapshot(const struct mk_evidence_book *b, struct mk_buf *out)
{
    struct mk_buf one = {0};

    mk_put_varint(out, b->n);
    for (size_t i = 0; i < b->n; i++) {
        mk_buf_clear(&one);
        mk_reader_memory_encode(b->v[i].memory, &one);
        mk_buf_put(out, b->v[i].deployment.b, sizeof b->v[i].deployment.b);
        mk_put_varint(out, one.n);
        mk_buf_put(out, one.p, one.n);
    }
    mk_buf_done(&one);
}

int mk_evidence_book_restore(struct mk_evidence_book *b, struct mk_bytes snapshot,
                             struct mk_fault *reterr)
{
    struct mk_reader r = {.p = snapshot.p, .n = snapshot.n};
    uint64_t n = mk_read_varint(&r);
    int rv = r.failed || n > MK_EVIDENCE_DEPLOYMENTS_MAX ? MK_EMALFORMED : 0;

    MK_ASSERT(b->n == 0);
    for (uint64_t i = 0; i < n && rv == 0; i++) {
        struct mk_bytes id = mk_read_bytes(&r, sizeof(struct mk_id)), one;
        struct mk_reader_memory *memory;
        struct mk_id deployment;
        uint64_t len = mk_read_varint(&r);

        one = mk_read_bytes(&r, len > r.n ? r.n + 1 : (size_t)len);
        rv = r.failed ? MK_EMALFORMED : mk_reader_memory_decode(&memory, one, NULL);
        if (rv != 0)
            break;
        memcpy(deployment.b, id.p, sizeof deployment.b);
        if ((i > 0 && mk_id_cmp(&b->v[i - 1].deployment, &deployment) >= 0) ||
            !mk_id_eq(&mk_reader_roster(memory, mk_reader_epoch(memory))->deployment, &deployment))
            rv = MK_EMALFORMED;
        put_known(b, &deployment, memory);
    }
    if (rv == 0 && r.n == 0 && !r.failed)
        return 0;
    mk_evidence_book_done(b);
    return mk_fault(reterr, MK_EMALFORMED, "the book of evidence in a snapshot: damaged");
}

/* --- clocks ------------------------------------------------------------------------------------
 */

static int read_number(const struct mk_type *t, const void *p, uint64_t *ret)
{
    if (t->kind == MK_KIND_U8)
        *ret = *(const uint8_t *)p;
    else if (t->kind == MK_KIND_U16)
        *ret = *(const uint16_t *)p;
    else if (t->kind == MK_KIND_U32)
        *ret = *(const uint32_t *)p;
    else if (t->kind == MK_KIND_U64)
        *ret = *(const uint64_t *)p;
    else
        return MK_ENOTFOUND;
    return 0;
}

/* The field of a datum that is its clock. */
static int clock_in(const struct mk_type *t, const char *field, struct mk_bytes datum,
                    struct mk_arena *arena, uint64_t *ret)
{
    uint8_t *value = mk_arena_take(arena, t->size);

    if (t->kind != MK_KIND_STRUCT || mk_decode(value, t, datum, arena, NULL) != 0)
        return MK_ENOTFOUND;
    for (size_t i = 0; i < t->n_fields; i++)
        if (strcmp(t->fields[i].name, field) == 0)
            return read_number(t->fields[i].type, value + t->fields[i].offset, ret);
    return MK_ENOTFOUND;
}

static int clock_of_marker(struct mk_bytes payload, struct mk_arena *arena, uint64_t *ret)
{
    struct mk_retirement_marker m;

    if (mk_decode(&m, &mk_retirement_marker_type, payload, arena, NULL) != 0)
        return MK_ENOTFOUND;
    switch ((enum mk_retirement_instant_tag)m.effective_at.tag) {
    case mk_retirement_instant_AtSequence:
        *ret = m.effective_at.u.at_sequence.seq;
        return 0;
    case mk_retirement_instant_AtTimestamp:
        *ret = m.effective_at.u.at_timestamp.unix_ms;
        return 0;
    case mk_retirement_instant_AtTick:
        *ret = m.effective_at.u.at_tick.tick;
        return 0;
    }
    return MK_ENOTFOUND;
}

/* Of a keyed surface: the value that the change wrote. */
static int clock_of_change(const struct mk_evidence_surface *s, struct mk_bytes payload,
                           struct mk_arena *arena, uint64_t *ret)
{
    struct mk_map_op op;

    if (mk_decode(&op, &mk_map_op_type, payload, arena, NULL) != 0)
        return MK_ENOTFOUND;
    if (op.tag == mk_map_op_Insert)
        return clock_in(s->spec->value, s->clock, op.u.insert.value, arena, ret);
    if (op.tag == mk_map_op_CompareSet)
        return clock_in(s->spec->value, s->clock, op.u.compare_set.value, arena, ret);
    return MK_ENOTFOUND;
}

int mk_evidence_clock(const struct mk_evidence_surface *s, uint64_t index, bool marker,
                      struct mk_bytes payload, uint64_t *ret)
{
    struct mk_arena arena = {0};
    int rv;

    if (marker)
        rv = clock_of_marker(payload, &arena, ret);
    else if (s->clock == NULL) {
        *ret = index;
        rv = 0;
    } else if (mk_surface_keyed(s->spec->kind))
        rv = clock_of_change(s, payload, &arena, ret);
    else
        rv = clock_in(s->spec->value, s->clock, payload, &arena, ret);
    mk_arena_done(&arena);
    return rv;
}

/* --- resolving -----------------------------------------------------------------------------------
 */

static int check_record(const struct mk_evidence_anchor *anchor, const struct mk_deployment *d,
                        struct mk_fault *reterr)
{
    struct mk_buf m = {0};
    int rv = 0;

    if (!anchor->operator_.some || !mk_peer_eq(&anchor->operator_.v, &d->operator))
        return mk_fault(reterr, MK_ENOTFOUND,
                        "its Deployment is signed by another operator than this member's");
    if (!mk_id_eq(&d->stable_id, &anchor->stable_id) ||
        !mk_id_eq(&d->roster.deployment, &d->deployment))
        return mk_fault(reterr, MK_ENOTFOUND, "its Deployment is another component's");
    if (anchor->content_hash.some && !mk_id_eq(&anchor->content_hash.v, &d->content_hash))
        return mk_fault(reterr, MK_EREFUSED,
                        "its Deployment is of another content than the pinned");
    mk_buf_put_str(&m, "mosaik.deployment.v1");
    mk_encode(&m, &mk_deployment_type, d);
    if (mk_verify(&d->operator, MK_BYTES(m.p, m.n - sizeof d->signature), &d->signature) != 0)
        rv = mk_fault(reterr, MK_ENOTFOUND, "its Deployment is not signed by that operator");
    mk_buf_done(&m);
    return rv;
}

/** The roster that the chain begins with: the record's, or the anchor's own. */
static int first_roster(const struct mk_evidence_anchor *anchor, const struct mk_exhibit *e,
                        const struct mk_roster **ret, struct mk_fault *reterr)
{
    int rv;

    if (!e->record.some) {
        if (anchor->first == NULL)
            return mk_fault(reterr, MK_ENOTFOUND, "it comes without its member's Deployment");
        *ret = anchor->first;
        return 0;
    }
    rv = check_record(anchor, &e->record.v, reterr);
    *ret = &e->record.v.roster;
    return rv;
}

/** What is known of that deployment, with what the evidence says of its rosters. */
static int learn(struct mk_evidence_book *b, const struct mk_roster *first,
                 const struct mk_exhibit *e, struct mk_reader_memory **ret, struct mk_fault *reterr)
{
    struct mk_reader_memory *m = known(b, &first->deployment);
    struct mk_fault why = {{0}};
    int rv = 0;

    if (m == NULL && b->n == MK_EVIDENCE_DEPLOYMENTS_MAX)
        return mk_fault(reterr, MK_ELIMIT, "more than %u deployments are cited",
                        MK_EVIDENCE_DEPLOYMENTS_MAX);
    if (m == NULL) {
        m = mk_reader_memory_new(first);
        put_known(b, &first->deployment, m);
    }
    for (size_t i = 0; i < e->chain.n && rv == 0; i++)
        rv = mk_reader_learn(m, &e->chain.v[i], &why);
    *ret = m;
    if (rv == MK_ECONFLICT)
        return mk_fault(reterr, rv, "%s", why.text);
    return rv == 0 ? 0 : mk_fault(reterr, MK_ENOTFOUND, "its chain of rosters: %s", why.text);
}

static int check_commit(const struct mk_exhibit *e, const struct mk_id *schema,
                        struct mk_fault *reterr)
{
    const struct mk_head *head = &e->certificate.head;
    struct mk_id marker = mk_schema_digest(&mk_retirement_marker_type);
    struct mk_id payload = mk_hash(e->payload), hash;

    hash = mk_commit_hash(&e->before, e->index, e->marker ? &marker : schema, &payload);
    if (!mk_id_eq(&hash, &e->pointer.commit))
        return mk_fault(reterr, MK_ENOTFOUND, "the commit beside it has another hash");
    if (head->index < e->index || head->index - e->index != e->between.n)
        return mk_fault(reterr, MK_ENOTFOUND, "its commits do not reach the certified head");
    for (size_t i = 0; i < e->between.n; i++)
        hash = mk_commit_hash(&hash, e->index + 1 + i, &e->between.v[i].digest,
                              &e->between.v[i].payload);
    if (!mk_id_eq(&hash, &head->commit))
        return mk_fault(reterr, MK_ENOTFOUND,
                        "the certified head of index %llu is of another history",
                        (unsigned long long)head->index);
    return 0;
}

static const struct mk_evidence_surface *find_surface(const struct mk_evidence_anchor *anchor,
                                                      const struct mk_id *surface)
{
    for (size_t i = 0; i < anchor->n_surfaces; i++) {
        struct mk_id id = mk_surface_id(anchor->surfaces[i].spec, &anchor->stable_id);

        if (mk_id_eq(&id, surface))
            return &anchor->surfaces[i];
    }
    return NULL;
}

static int check_pointer(const struct mk_evidence_anchor *anchor, const struct mk_exhibit *e,
                         const struct mk_evidence_surface **ret, struct mk_fault *reterr)
{
    struct mk_member_id member = mk_member_id_of(&anchor->stable_id);
    uint64_t clock;

    if (!mk_id_eq(&e->stable_id, &anchor->stable_id) ||
        memcmp(e->pointer.member.b, member.b, sizeof member.b) != 0)
        return mk_fault(reterr, MK_EREFUSED, "it names another member");
    *ret = find_surface(anchor, &e->pointer.surface);
    if (*ret == NULL || !mk_id_eq(&e->certificate.head.surface, &e->pointer.surface))
        return mk_fault(reterr, MK_EREFUSED, "it names a surface that is not cited here");
    if (mk_evidence_clock(*ret, e->index, e->marker, e->payload, &clock) != 0)
        return mk_fault(reterr, MK_EREFUSED, "the commit has no clock of its own");
    if (clock != e->pointer.clock)
        return mk_fault(reterr, MK_EREFUSED, "its clock is %llu, that of the commit %llu",
                        (unsigned long long)e->pointer.clock, (unsigned long long)clock);
    return 0;
}

int mk_evidence_resolve(struct mk_evidence_book *b, const struct mk_evidence_anchor *anchor,
                        const struct mk_exhibit *e, struct mk_resolved *ret,
                        struct mk_fault *reterr)
{
    const struct mk_evidence_surface *surface = NULL;
    const struct mk_roster *first = NULL;
    struct mk_reader_memory *memory = NULL;
    struct mk_fault why = {{0}};
    struct mk_id schema;
    int rv = check_pointer(anchor, e, &surface, reterr);

    if (rv != 0)
        return rv;
    schema = mk_surface_schema(surface->spec);
    rv = check_commit(e, &schema, reterr);
    if (rv == 0)
        rv = first_roster(anchor, e, &first, reterr);
    if (rv == 0)
        rv = learn(b, first, e, &memory, reterr);
    if (rv != 0)
        return rv;
    rv = mk_reader_believes(memory, &e->certificate, &why);
    if (rv != 0)
        return mk_fault(reterr, rv == MK_ECONFLICT ? rv : MK_ENOTFOUND, "%s", why.text);
    *ret = (struct mk_resolved){.pointer = e->pointer,
                                .stable_id = e->stable_id,
                                .deployment = first->deployment,
                                .index = e->index,
                                .marker = e->marker,
                                .spec = surface->spec,
                                .payload = e->payload};
    return 0;
}
