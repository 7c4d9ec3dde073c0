/* bind.c - what a file knows of a component, as a reference. */
#include <coalition/bind.h>
#include <mosaik/issuers.h>

static void put_addresses(struct mk_reference *ret, const struct coa_contacts *c,
                          struct mk_arena *arena)
{
    struct mk_str *v = mk_arena_take(arena, (c->n + 1) * sizeof *v);

    for (size_t i = 0; i < c->n; i++)
        v[i] = c->v[i].address;
    ret->addresses = v;
    ret->n_addresses = c->n;
}

int coa_module_reference(const struct coa_coalition_file *f, const struct coa_coalition_ids *ids,
                         enum coa_module_kind kind, struct mk_reference *ret,
                         struct mk_arena *arena)
{
    const struct coa_module_ids *m = &ids->modules[kind];
    struct mk_reference r = {.label = mk_str_of(coa_module_name(kind)),
                             .stable_id = m->module_root};

    if (!m->shipped)
        return MK_ENOTFOUND;
    r.content_hash = (struct mk_opt_id){true, m->content_hash};
    r.operator_ = f->modules[kind].operator.some ? f->modules[kind].operator: f->operator;
    r.deployment = m->module_id;
    r.deployed_content = m->content_hash;
    r.has_version0 = coa_first_roster(f, ids, kind, &r.roster, arena);
    put_addresses(&r, &f->modules[kind].committee, arena);
    r.acl = &coa_module_body(&f->config, kind)->acl;
    *ret = r;
    return 0;
}

static struct mk_roster roster_of(const struct coa_contacts *c, const struct mk_id *deployment,
                                  struct mk_arena *arena)
{
    struct mk_peer *peers = mk_arena_take(arena, c->n * sizeof *peers);

    for (size_t i = 0; i < c->n; i++)
        peers[i] = c->v[i].peer;
    return (struct mk_roster){.deployment = *deployment, .epoch = 1, .peers = {peers, c->n}};
}

void coa_organism_binding(const struct coa_coalition_file *f, size_t i, struct mk_reference *ret,
                          struct mk_arena *arena)
{
    const struct coa_organism_ref *o = &f->config.organisms.v[i];
    static const struct coa_notes none;
    const struct coa_notes *notes = f->organisms != NULL ? &f->organisms[i] : &none;
    const struct coa_organism_file *own = notes->organism;
    const struct coa_contacts *committee = &notes->committee;
    struct mk_reference r = {
        .label = o->role, .stable_id = o->stable_id, .content_hash = o->content_hash};
    struct coa_organism_ids ids;

    if (committee->n == 0 && own != NULL)
        committee = &own->notes.committee;
    r.operator_ = notes->operator;
    if (!r.operator_.some && own != NULL)
        r.operator_ = own->notes.operator;
    if (own != NULL && committee->n > 0) {
        coa_organism_derive(&own->config, &ids, NULL);
        r.has_version0 = true;
        r.deployment = ids.organism_id;
        r.deployed_content = ids.content_hash;
        r.acl = &own->config.acl;
        r.roster = roster_of(committee, &ids.organism_id, arena);
    }
    put_addresses(&r, committee, arena);
    *ret = r;
}

int coa_know_issuers(const struct coa_coalition_file *f, const struct coa_coalition_ids *ids,
                     struct mk_issuer_book *book, struct mk_fault *reterr)
{
    struct mk_arena arena = {0};
    struct mk_roster roster;
    int rv = 0;

    if (f->config.ticket_issuer != NULL &&
        coa_first_roster(f, ids, COA_ANCHOR_ISSUER, &roster, &arena))
        rv = mk_issuer_book_add(book, &ids->tickets_root, &roster, reterr);
    for (size_t i = 0; rv == 0 && i < f->foreign.n; i++) {
        const struct coa_foreign_issuer *x = &f->foreign.v[i];

        if (x->committee.n == 0)
            continue;
        roster = roster_of(&x->committee, &MK_ZERO_ID, &arena);
        rv = mk_issuer_book_add(book, &x->root, &roster, reterr);
    }
    mk_arena_done(&arena);
    return rv;
}
