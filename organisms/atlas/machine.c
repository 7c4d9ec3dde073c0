/* machine.c - which cards Atlas accepts (spec/services.md, "Atlas").
 *
 * State beside the map: per member of the catalogue, its operator and the version of the
 * last SetOperator. It starts from the founding record; the catalogue is the module's
 * content and never changes within a deployment. */
#include "atlas/atlas.h"
#include "atlas/internal.h"

#include <stdlib.h>
#include <string.h>

#define ATLAS_CARDS 0u

const struct mk_surface_spec atlas_surfaces[1] = {
    {.kind = MK_SURFACE_MAP, .name = "cards", .key = &mk_member_id_type, .value = &atlas_card_type},
};

struct member {
    const struct coa_atlas_member *entry; /* of the catalogue */
    bool has_operator;
    struct mk_peer operator_;
    uint64_t version; /* of the last SetOperator; 0: as founded */
};

struct atlas {
    struct mk_machine machine;
    struct mk_arena arena;
    struct coa_atlas_content content;
    struct member *members; /* as content.members */
    struct member **by_id;  /* the same, sorted by stable id */
    bool has_default;
    struct mk_peer default_operator;
};

/* What a snapshot carries beside the map: members in catalogue order. */
#define ATLAS_MEMBER_STATE_TABLE(F, S) \
    F(S, mk_opt_peer, operator)        \
    F(S, mk_u64, version)
MK_STRUCT_DECLARE(atlas_member_state, ATLAS_MEMBER_STATE_TABLE)
MK_SEQ_DECLARE(atlas_member_states, atlas_member_state)
#define ATLAS_STATE_TABLE(F, S)         \
    F(S, mk_opt_peer, default_operator) \
    F(S, atlas_member_states, members)
MK_STRUCT_DECLARE(atlas_state, ATLAS_STATE_TABLE)
MK_STRUCT_DEFINE(atlas_member_state, "MemberState", ATLAS_MEMBER_STATE_TABLE)
MK_SEQ_DEFINE(atlas_member_states, atlas_member_state, COA_MEMBERS_MAX, 0)
MK_STRUCT_DEFINE(atlas_state, "AtlasState", ATLAS_STATE_TABLE)

static int compare_members(const void *x, const void *y)
{
    const struct member *const *a = x, *const *b = y;

    return mk_id_cmp(&(*a)->entry->stable_id, &(*b)->entry->stable_id);
}

static struct member *find_member(struct atlas *a, const struct mk_id *stable_id)
{
    size_t low = 0, high = a->content.members.n;

    while (low < high) {
        size_t mid = low + (high - low) / 2;
        int order = mk_id_cmp(stable_id, &a->by_id[mid]->entry->stable_id);

        if (order == 0)
            return a->by_id[mid];
        if (order < 0)
            high = mid;
        else
            low = mid + 1;
    }
    return NULL;
}

/** The member's operator, else the default one, else NULL. */
static const struct mk_peer *operator_of(const struct atlas *a, const struct member *m)
{
    if (m->has_operator)
        return &m->operator_;
    return a->has_default ? &a->default_operator : NULL;
}

/* --- publish -------------------------------------------------------------------------------- */

/** The rules that need the card and the catalogue alone. */
static int check_card(struct atlas *a, struct mk_apply *ap, const struct atlas_card *c)
{
    const struct member *m = find_member(a, &c->stable_id);
    const struct mk_member_id fits = mk_member_id_of(&c->stable_id);
    const struct mk_peer *by;

    if (m == NULL)
        return mk_refuse(ap, "stable_id: not in this coalition's catalogue");
    if (c->kind != m->entry->kind || !mk_str_eq(c->role, m->entry->role))
        return mk_refuse(ap, "kind and role: the catalogue says kind %u, role %.*s", m->entry->kind,
                         (int)m->entry->role.n, m->entry->role.p);
    if (memcmp(c->member_id.b, fits.b, sizeof fits.b) != 0)
        return mk_refuse(ap, "member_id: not the first 20 bytes of the stable id");
    by = operator_of(a, m);
    if (by == NULL)
        return mk_refuse(ap, "operator: this member has none, and there is no default operator");
    if (!mk_peer_eq(&c->operator, by))
        return mk_refuse(ap, "operator: not this member's operator");
    if (c->successor_hint.some && c->status.tag == atlas_status_Active)
        return mk_refuse(ap, "successor_hint: only on a card that is Retiring or Retired");
    if (atlas_card_verify(c, mk_apply_deployment(ap)) != 0)
        return mk_refuse(ap, "signature: not the operator's over this card and this module");
    return 0;
}

/** The rules that compare with the stored card. */
static int check_successor_of(struct mk_apply *ap, const struct atlas_card *c,
                              const struct atlas_card *stored)
{
    const uint64_t before = stored != NULL ? stored->version : 0;

    if (c->version <= before) {
        mk_refuse(ap, "version: %llu is not above the stored %llu", (unsigned long long)c->version,
                  (unsigned long long)before);
        return MK_ESTALE; /* whoever read the stored one before it moved reads again */
    }
    if (c->version - before > ATLAS_VERSION_STEP_MAX)
        return mk_refuse(ap, "version: more than 2^32 above the stored %llu",
                         (unsigned long long)before);
    if (stored != NULL && c->status.tag < stored->status.tag)
        return mk_refuse(ap, "status: only moves forward, from Active to Retiring to Retired");
    return 0;
}

static int publish(struct atlas *a, struct mk_apply *ap, const struct atlas_card *c)
{
    struct mk_arena arena = {0};
    struct atlas_card stored;
    struct mk_bytes key = MK_BYTES(c->member_id.b, sizeof c->member_id.b), old;
    struct mk_buf value = {0};
    bool has_stored, changed;
    int rv;

    rv = check_card(a, ap, c);
    if (rv != 0)
        return rv;
    mk_encode(&value, &atlas_card_type, c);
    has_stored = mk_map_get(mk_apply_surfaces(ap), ATLAS_CARDS, key, &old) == 0;
    if (has_stored && mk_bytes_eq(old, mk_buf_bytes(&value)))
        goto out; /* byte for byte the stored one: accepted again, changes nothing */
    if (has_stored) {
        rv = mk_decode(&stored, &atlas_card_type, old, &arena, NULL);
        if (rv != 0)
            goto out;
    }
    rv = check_successor_of(ap, c, has_stored ? &stored : NULL);
    if (rv == 0)
        rv = mk_map_insert(ap, ATLAS_CARDS, key, mk_buf_bytes(&value), &changed);
out:
    mk_buf_done(&value);
    mk_arena_done(&arena);
    return rv;
}

/* --- set operator ------------------------------------------------------------------------------
 */

static int set_operator(struct atlas *a, struct mk_apply *ap, const struct atlas_set_operator *s)
{
    struct member *m = find_member(a, &s->member);
    const struct mk_peer *before;

    if (m == NULL)
        return mk_refuse(ap, "member: not in this coalition's catalogue");
    if (s->version != m->version + 1)
        return mk_refuse(ap, "version: must be %llu", (unsigned long long)(m->version + 1));
    before = operator_of(a, m);
    if (before == NULL)
        return mk_refuse(
            ap, "signature: this member has no operator, and there is no default operator");
    if (atlas_set_operator_verify(s, mk_apply_deployment(ap), before) != 0)
        return mk_refuse(ap, "signature: not by the operator before");
    m->has_operator = true;
    m->operator_ = s->operator;
    m->version = s->version;
    return 0;
}

static int atlas_apply(struct mk_machine *machine, struct mk_apply *ap, struct mk_bytes command)
{
    struct atlas *a = mk_container_of(machine, struct atlas, machine);
    struct mk_arena arena = {0};
    struct atlas_command c;
    struct mk_fault fault;
    int rv;

    rv = mk_decode(&c, &atlas_command_type, command, &arena, &fault);
    if (rv != 0)
        rv = mk_refuse(ap, "command: %.120s", fault.text);
    else if (c.tag == atlas_command_Publish)
        rv = publish(a, ap, &c.u.publish);
    else
        rv = set_operator(a, ap, &c.u.set_operator);
    mk_arena_done(&arena);
    return rv;
}

/* --- founding, snapshot
 * ---------------------------------------------------------------------------- */

static void atlas_founded(struct mk_machine *machine, struct mk_apply *ap)
{
    struct atlas *a = mk_container_of(machine, struct atlas, machine);
    const struct mk_founding *f = mk_apply_founding(ap);

    a->has_default = f->default_operator.some;
    a->default_operator = f->default_operator.v;
    for (size_t i = 0; i < f->operators.n; i++) {
        struct member *m = find_member(a, &f->operators.v[i].member);

        if (m == NULL)
            continue;
        m->has_operator = true;
        m->operator_ = f->operators.v[i].operator;
    }
}

static void atlas_snapshot(const struct mk_machine *machine, struct mk_buf *out)
{
    const struct atlas *a = mk_container_of(machine, struct atlas, machine);
    struct atlas_member_state *states = mk_alloc((a->content.members.n + 1) * sizeof *states);
    struct atlas_state s = {.default_operator = {a->has_default, a->default_operator},
                            .members = {states, a->content.members.n}};

    for (size_t i = 0; i < a->content.members.n; i++) {
        const struct member *m = &a->members[i];

        states[i] = (struct atlas_member_state){.operator= {m->has_operator, m->operator_},
                                                .version = m->version};
    }
    mk_encode(out, &atlas_state_type, &s);
    mk_free(states);
}

static int atlas_restore(struct mk_machine *machine, struct mk_bytes snapshot,
                         struct mk_fault *reterr)
{
    struct atlas *a = mk_container_of(machine, struct atlas, machine);
    struct mk_arena arena = {0};
    struct atlas_state s;
    int rv = mk_decode(&s, &atlas_state_type, snapshot, &arena, reterr);

    if (rv == 0 && s.members.n != a->content.members.n)
        rv = mk_fault(reterr, MK_EMALFORMED,
                      "atlas: the snapshot has %zu members, the catalogue %zu", s.members.n,
                      a->content.members.n);
    if (rv == 0) {
        a->has_default = s.default_operator.some;
        a->default_operator = s.default_operator.v;
        for (size_t i = 0; i < s.members.n; i++) {
            a->members[i].has_operator = s.members.v[i].operator.some;
            a->members[i].operator_ = s.members.v[i].operator.v;
            a->members[i].version = s.members.v[i].version;
        }
    }
    mk_arena_done(&arena);
    return rv;
}

static int atlas_query(struct mk_machine *machine, const struct mk_surfaces *s,
                       struct mk_bytes query, struct mk_buf *answer, struct mk_fault *reterr)
{
    struct mk_bytes value;

    (void)machine;
    if (query.n != sizeof(struct mk_member_id))
        return mk_fault(reterr, MK_EMALFORMED, "query: a member id of 20 bytes");
    if (mk_map_get(s, ATLAS_CARDS, query, &value) != 0)
        return mk_fault(reterr, MK_ENOTFOUND, "no card of this member");
    mk_buf_put(answer, value.p, value.n);
    return 0;
}

static void atlas_free(struct mk_machine *machine)
{
    struct atlas *a = mk_container_of(machine, struct atlas, machine);

    mk_arena_done(&a->arena);
    mk_free(a);
}

static const struct mk_machine_ops atlas_ops = {
    .name = "atlas",
    .version = 2, /* 2: a stale version is refused by MK_ESTALE */
    .surfaces = atlas_surfaces,
    .n_surfaces = 1,
    .apply = atlas_apply,
    .query = atlas_query,
    .snapshot = atlas_snapshot,
    .restore = atlas_restore,
    .founded = atlas_founded,
    .free = atlas_free,
};

int atlas_machine_new(struct mk_machine **ret, struct mk_bytes content, struct mk_fault *reterr)
{
    struct atlas *a = mk_alloc(sizeof *a);
    struct mk_bytes own = {mk_arena_copy(&a->arena, content.p, content.n), content.n};
    int rv = mk_decode(&a->content, &coa_atlas_content_type, own, &a->arena, reterr);

    if (rv != 0) {
        atlas_free(&a->machine);
        return rv;
    }
    a->machine.ops = &atlas_ops;
    a->members = mk_arena_take(&a->arena, (a->content.members.n + 1) * sizeof *a->members);
    a->by_id = mk_arena_take(&a->arena, (a->content.members.n + 1) * sizeof *a->by_id);
    for (size_t i = 0; i < a->content.members.n; i++) {
        a->members[i].entry = &a->content.members.v[i];
        a->by_id[i] = &a->members[i];
    }
    qsort(a->by_id, a->content.members.n, sizeof *a->by_id, compare_members);
    *ret = &a->machine;
    return 0;
}
