/* mirror.c - a component that this node serves to readers without being of its committee: a read
 * replica (group/replica.h) on a bond of its own.
 *
 * The bond finds the committee, remembers the chain of epochs durably, and moves on to another
 * deployment; the replica is then opened again there. Readers are judged by the component's ACL as
 * members judge them: where it holds GateReaders by their tickets and cards, and by their quotes
 * where it has a floor of attestation; again when what is known of them changes. */
#include "node/node.h"

#include <mosaik/standing.h>

static void mirror_end(struct mk_bond_part *p, int status, const struct mk_fault *fault)
{
    struct mk_mirror *m = mk_container_of(p, struct mk_mirror, part);

    mk_replica_close(m->replica);
    m->replica = NULL;
    if (status != MK_ECANCELED)
        mk_mirror_log(m, fault != NULL ? fault->text : mk_strerror(status));
}

static void mirror_rebind(struct mk_bond_part *p)
{
    struct mk_mirror *m = mk_container_of(p, struct mk_mirror, part);
    struct mk_network *net = m->of->network;
    struct mk_replica_options o = {.component = &m->bond->component,
                                   .specs = m->machine->ops->surfaces,
                                   .n_specs = m->machine->ops->n_surfaces,
                                   .memory = m->bond->memory,
                                   .acl = &m->acl,
                                   .own_issuer = m->own_issuer,
                                   .issuers = m->issuers,
                                   .witness = net->witness,
                                   .standing = mk_network_standing(net),
                                   .report = &m->bond->report};
    int rv;

    mk_replica_close(m->replica);
    m->replica = NULL;
    rv = mk_replica_open(m->of->env, net->net, &m->replica, &o);
    if (rv == 0)
        return;
    m->replica = NULL;
    mk_mirror_log(m, rv == MK_EEXISTS ? "this node runs or serves that deployment already"
                                      : mk_strerror(rv));
}

static void describe(struct mk_mirror *m, const struct mk_component_options *o,
                     struct mk_reference *ret)
{
    m->label = mk_arena_str(&m->arena, o->label);
    m->stable_id = o->stable_id;
    mk_datum_copy(&m->acl, &mk_acl_composition_type, o->acl, &m->arena);
    m->own_issuer = o->own_issuer;
    m->issuers = o->issuers != NULL ? o->issuers : mk_issuer_book_issuers(m->of->network->issuers);
    *ret = (struct mk_reference){.label = o->label,
                                 .stable_id = o->stable_id,
                                 .has_version0 = true,
                                 .deployment = o->deployment,
                                 .deployed_content = o->content_hash,
                                 .roster = *o->roster,
                                 .addresses = o->addresses,
                                 .n_addresses = o->n_addresses,
                                 .acl = o->acl};
    if (o->founding != NULL)
        ret->operator_ = o->founding->default_operator;
}

int mk_mirror_open(struct mk_node *n, const struct mk_component_options *o, struct mk_fault *reterr)
{
    struct mk_mirror *m = mk_alloc(sizeof *m);
    struct mk_reference ref;
    int rv;

    m->of = n;
    m->machine = o->machine;
    describe(m, o, &ref);
    rv = mk_bond_open(n->network, &m->bond, &ref, reterr);
    if (rv != 0) {
        mk_arena_done(&m->arena);
        mk_free(m); /* the machine is still the caller's */
        return rv;
    }
    m->part = (struct mk_bond_part){.rebind = mirror_rebind, .end = mirror_end};
    mk_list_add_tail(&m->bond->parts, &m->part.node);
    mk_list_add_tail(&n->mirrors, &m->node);
    if (m->bond->bound)
        mirror_rebind(&m->part);
    return 0;
}

void mk_mirror_close(struct mk_mirror *m)
{
    mk_replica_close(m->replica);
    mk_list_del(&m->part.node);
    mk_bond_close(m->bond);
    mk_list_del(&m->node);
    m->machine->ops->free(m->machine);
    mk_arena_done(&m->arena);
    mk_free(m);
}

void mk_mirror_log(const struct mk_mirror *m, const char *text)
{
    mk_node_log(m->of, NULL, "replica", /* warning= */ true, "%.*s: %s", (int)m->label.n,
                m->label.p, text);
}
