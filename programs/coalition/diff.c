/* diff.c - finds the rotations between two coalition files and every id that moves.
 *
 * Members are matched by stable id; what is left over is matched by name or role in
 * declared order, which is a retirement with a replacement; what is still left was
 * added or removed. */
#include "diff.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void rotation(struct diff *d, const char *kind, const char *what, struct mk_str name)
{
    char component[MK_NAME_MAX + 32];

    snprintf(component, sizeof component, "%s%s%.*s", what,
             what[0] != '\0' && name.n > 0 ? " " : "", (int)name.n, name.n > 0 ? name.p : "");
    json_array_append_new(d->rotations,
                          json_pack("{s:s, s:s}", "kind", kind, "component", component));
}

static void move(struct diff *d, const char *id, const struct mk_id *old, const struct mk_id *new)
{
    if (old != NULL && new != NULL && mk_id_eq(old, new))
        return;
    if (old == NULL && new == NULL)
        return;
    json_array_append_new(d->moves, json_pack("{s:s, s:o, s:o}", "id", id, "old",
                                              old != NULL ? json_id(old) : json_null(), "new",
                                              new != NULL ? json_id(new) : json_null()));
}

/* --- members ------------------------------------------------------------------------- */

/* A lattice or an organism, whatever it is called. */
struct member {
    struct mk_str name;
    struct mk_id stable_id;
    struct mk_opt_id pin;
    struct mk_opt_id content; /* of its own file, when it was loaded */
    const struct coa_notes *notes;
    bool matched;
};
struct members {
    struct member *v;
    size_t n;
    const char *what; /* "lattice", "organism" */
    bool pins_folded;
};

static struct members lattices_of(const struct side *s)
{
    const struct coa_lattice_refs *l = &s->f.config.lattices;
    struct members m = {mk_alloc(l->n * sizeof *m.v), l->n, "lattice", false};

    for (size_t i = 0; i < l->n; i++) {
        m.v[i] = (struct member){.name = l->v[i].name,
                                 .stable_id = l->v[i].stable_id,
                                 .content = l->v[i].content_hash,
                                 .notes = s->f.lattices != NULL ? &s->f.lattices[i] : NULL};
    }
    return m;
}

static struct members organisms_of(const struct side *s)
{
    const struct coa_organism_refs *o = &s->f.config.organisms;
    struct members m = {mk_alloc(o->n * sizeof *m.v), o->n, "organism", true};

    for (size_t i = 0; i < o->n; i++) {
        const struct coa_notes *notes = s->f.organisms != NULL ? &s->f.organisms[i] : NULL;

        m.v[i] = (struct member){.name = o->v[i].role,
                                 .stable_id = o->v[i].stable_id,
                                 .pin = o->v[i].content_hash,
                                 .notes = notes};
        if (notes != NULL && notes->organism != NULL)
            m.v[i].content =
                (struct mk_opt_id){true, coa_organism_content_hash(&notes->organism->config)};
    }
    return m;
}

static bool same_opt_id(const struct mk_opt_id *a, const struct mk_opt_id *b)
{
    return a->some == b->some && (!a->some || mk_id_eq(&a->v, &b->v));
}

static bool same_peers(const struct coa_contacts *a, const struct coa_contacts *b)
{
    if (a->n != b->n)
        return false;
    for (size_t i = 0; i < a->n; i++) {
        if (!mk_peer_eq(&a->v[i].peer, &b->v[i].peer))
            return false;
    }
    return true;
}

static bool same_operator(const struct mk_opt_peer *a, const struct mk_opt_peer *b)
{
    return a->some == b->some && (!a->some || mk_peer_eq(&a->v, &b->v));
}

/* An organism's fingerprint moves with its role, stable id and pin. */
static void move_fingerprint(struct diff *d, const struct members *of, const struct member *a,
                             const struct member *b)
{
    const struct member *const sides[2] = {a, b};
    const struct member *named = b != NULL ? b : a;
    char id[MK_NAME_MAX + 48];
    struct mk_id fp[2];

    if (!of->pins_folded)
        return;
    for (int i = 0; i < 2; i++) {
        struct coa_organism_ref ref;

        if (sides[i] == NULL)
            continue;
        ref = (struct coa_organism_ref){sides[i]->name, sides[i]->stable_id, sides[i]->pin};
        fp[i] = coa_organism_ref_fp(&ref);
    }
    snprintf(id, sizeof id, "%s.%.*s.fingerprint", of->what, (int)named->name.n, named->name.p);
    move(d, id, a != NULL ? &fp[0] : NULL, b != NULL ? &fp[1] : NULL);
}

/* Beside a member: not folded, and not in the anchors either. */
static void compare_member_notes(struct diff *d, const char *what, const struct member *a,
                                 const struct member *b)
{
    if (a->notes == NULL || b->notes == NULL)
        return;
    if (!same_operator(&a->notes->operator, & b->notes->operator))
        rotation(d, "member-operator-changed", what, b->name);
    if (!same_peers(&a->notes->committee, &b->notes->committee))
        rotation(d, "member-committee-changed", what, b->name);
}

static void compare_pinned(struct diff *d, const char *what, const struct member *a,
                           const struct member *b)
{
    char id[MK_NAME_MAX + 48];

    if (!same_opt_id(&a->pin, &b->pin)) {
        rotation(d,
                 !a->pin.some   ? "pin-added"
                 : !b->pin.some ? "pin-removed"
                                : "pinned-content-changed",
                 what, b->name);
        snprintf(id, sizeof id, "%s.%.*s.content_hash", what, (int)b->name.n, b->name.p);
        move(d, id, a->pin.some ? &a->pin.v : NULL, b->pin.some ? &b->pin.v : NULL);
        d->folded = true;
        return;
    }
    if (a->content.some && b->content.some && !mk_id_eq(&a->content.v, &b->content.v)) {
        rotation(d, "member-content-changed", what, b->name);
        snprintf(id, sizeof id, "%s.%.*s.content_hash", what, (int)b->name.n, b->name.p);
        move(d, id, &a->content.v, &b->content.v);
        d->content = true;
    }
}

static int member_cmp(const void *a, const void *b)
{
    const struct member *const *x = a, *const *y = b;

    return mk_id_cmp(&(*x)->stable_id, &(*y)->stable_id);
}

/* Pairs those with equal stable ids: O(n log n). */
static void match_by_id(struct diff *d, struct members *old, struct members *new)
{
    struct member **index = mk_alloc(old->n * sizeof(struct member *));
    size_t last = 0;
    bool reordered = false;

    for (size_t i = 0; i < old->n; i++)
        index[i] = &old->v[i];
    qsort(index, old->n, sizeof(struct member *), member_cmp);
    for (size_t i = 0; i < new->n; i++) {
        struct member *b = &new->v[i];
        struct member **found = bsearch(&b, index, old->n, sizeof(struct member *), member_cmp);
        struct member *a;

        if (found == NULL)
            continue;
        a = *found;
        a->matched = b->matched = true;
        reordered |= (size_t)(a - old->v) < last;
        last = (size_t)(a - old->v);
        if (!mk_str_eq(a->name, b->name)) {
            rotation(d, new->pins_folded ? "role-changed" : "label-changed", new->what, b->name);
            d->folded |= new->pins_folded;
        }
        compare_pinned(d, new->what, a, b);
        move_fingerprint(d, new, a, b);
        compare_member_notes(d, new->what, a, b);
    }
    if (reordered) {
        rotation(d, "reordered", new->what, (struct mk_str){0});
        d->folded = true;
    }
    mk_free(index);
}

/* What is left: the same name is a retirement with a replacement. */
static void match_rest(struct diff *d, struct members *old, struct members *new)
{
    char id[MK_NAME_MAX + 48];

    for (size_t i = 0; i < old->n; i++) {
        struct member *a = &old->v[i], *b = NULL;

        if (a->matched)
            continue;
        d->folded = true;
        for (size_t k = 0; k < new->n &&b == NULL; k++) {
            if (!new->v[k].matched && mk_str_eq(new->v[k].name, a->name))
                b = &new->v[k];
        }
        snprintf(id, sizeof id, "%s.%.*s.stable_id", old->what, (int)a->name.n, a->name.p);
        move(d, id, &a->stable_id, b != NULL ? &b->stable_id : NULL);
        move_fingerprint(d, old, a, b);
        rotation(d, b != NULL ? "member-retired" : "member-removed", old->what, a->name);
        d->retired |= b != NULL;
        if (b != NULL)
            b->matched = true;
    }
    for (size_t i = 0; i < new->n; i++) {
        if (new->v[i].matched)
            continue;
        d->folded = true;
        snprintf(id, sizeof id, "%s.%.*s.stable_id", new->what, (int)new->v[i].name.n,
                 new->v[i].name.p);
        move(d, id, NULL, &new->v[i].stable_id);
        move_fingerprint(d, new, NULL, &new->v[i]);
        rotation(d, "member-added", new->what, new->v[i].name);
    }
}

static void compare_members(struct diff *d, struct members old, struct members new)
{
    match_by_id(d, &old, &new);
    match_rest(d, &old, &new);
    mk_free(old.v);
    mk_free(new.v);
}

/* --- modules and issuer --------------------------------------------------------------------- */

static void compare_anchors(struct diff *d, const char *what, const struct coa_notes *a,
                            const struct coa_notes *b)
{
    if (d->old->f.serialised || d->new->f.serialised)
        return;
    if (!same_operator(&a->operator, & b->operator))
        rotation(d, "operator-changed", what, (struct mk_str){0});
    if (!same_peers(&a->committee, &b->committee)) {
        rotation(d, "first-roster-changed", what, (struct mk_str){0});
        d->anchors = true;
    }
}

static void move_module(struct diff *d, enum coa_module_kind kind)
{
    const struct coa_module_ids *a = &d->old->ids.modules[kind], *b = &d->new->ids.modules[kind];
    const struct {
        const char *name;
        const struct mk_id *old, *new;
    } ids[] = {{"module_fp", &a->module_fp, &b->module_fp},
               {"module_root", &a->module_root, &b->module_root},
               {"module_id", &a->module_id, &b->module_id},
               {"content_hash", &a->content_hash, &b->content_hash},
               {"committee", &a->committee, &b->committee}};
    struct coa_surfaces surfaces = coa_module_surfaces(kind);
    char id[128];

    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        snprintf(id, sizeof id, "%s.%s", coa_module_name(kind), ids[i].name);
        move(d, id, a->shipped ? ids[i].old : NULL, b->shipped ? ids[i].new : NULL);
    }
    for (size_t i = 0; i < surfaces.n; i++) {
        struct mk_id old = coa_surface_id_of(&surfaces.v[i], &a->module_root);
        struct mk_id new = coa_surface_id_of(&surfaces.v[i], &b->module_root);

        snprintf(id, sizeof id, "%s.surfaces.%.*s", coa_module_name(kind),
                 (int)surfaces.v[i].name.n, surfaces.v[i].name.p);
        move(d, id, a->shipped ? &old : NULL, b->shipped ? &new : NULL);
    }
}

static void compare_module(struct diff *d, enum coa_module_kind kind)
{
    const struct coa_module_ids *a = &d->old->ids.modules[kind], *b = &d->new->ids.modules[kind];
    const char *name = coa_module_name(kind);

    if (a->shipped != b->shipped) {
        rotation(d, b->shipped ? "module-added" : "module-removed", name, (struct mk_str){0});
        d->folded = true;
    } else if (a->shipped && !mk_id_eq(&a->module_fp, &b->module_fp)) {
        rotation(d, "module-changed", name, (struct mk_str){0});
        d->folded = true;
    }
    if (a->shipped && b->shipped)
        compare_anchors(d, name, &d->old->f.modules[kind], &d->new->f.modules[kind]);
    move_module(d, kind);
}

static void compare_issuer(struct diff *d)
{
    const struct coa_coalition_ids *a = &d->old->ids, *b = &d->new->ids;
    bool had = d->old->f.config.ticket_issuer != NULL;
    bool has = d->new->f.config.ticket_issuer != NULL;

    if (had != has) {
        rotation(d, has ? "ticket-issuer-added" : "ticket-issuer-removed", "ticket_issuer",
                 (struct mk_str){0});
        d->folded = true;
    } else if (had && !mk_id_eq(&a->ticket_issuer_fp, &b->ticket_issuer_fp)) {
        rotation(d, "ticket-issuer-rotated", "ticket_issuer", (struct mk_str){0});
        d->folded = true;
    }
    if (had && has)
        compare_anchors(d, "ticket_issuer", &d->old->f.issuer, &d->new->f.issuer);
    move(d, "tickets_root", &a->tickets_root, &b->tickets_root);
    move(d, "ticket_issuer_fp", had ? &a->ticket_issuer_fp : NULL,
         has ? &b->ticket_issuer_fp : NULL);
    move(d, "ticket_issuer.deployment", had ? &a->issuer_deployment : NULL,
         has ? &b->issuer_deployment : NULL);
}

static void compare_rest(struct diff *d)
{
    const struct coa_coalition_file *a = &d->old->f, *b = &d->new->f;

    if (a->config.retirement_policy != b->config.retirement_policy)
        rotation(d, "policy-changed", "coalition", (struct mk_str){0});
    if (a->serialised || b->serialised)
        return;
    if (!same_operator(&a->operator, & b->operator)) {
        rotation(d, "operator-changed", "coalition", (struct mk_str){0});
        d->anchors = true;
    }
    if (!mk_str_eq(a->publish.change_channel, b->publish.change_channel) ||
        !mk_str_eq(a->publish.contact, b->publish.contact) ||
        !mk_str_eq(a->publish.notes, b->publish.notes) || !same_peers(&a->peers, &b->peers))
        rotation(d, "links-changed", "coalition", (struct mk_str){0});
}

void diff_find(struct diff *d)
{
    if (!mk_str_eq(d->old->f.config.instance_name, d->new->f.config.instance_name)) {
        rotation(d, "coalition-renamed", "coalition", d->new->f.config.instance_name);
        d->folded = d->renamed = true;
    }
    move(d, "coalition_id", &d->old->ids.coalition_id, &d->new->ids.coalition_id);
    if (!d->old->f.serialised && !d->new->f.serialised) {
        struct mk_id old = coa_file_anchors_digest(&d->old->f, &d->old->ids, NULL);
        struct mk_id new = coa_file_anchors_digest(&d->new->f, &d->new->ids, NULL);

        move(d, "anchors_digest", &old, &new);
    }
    compare_members(d, lattices_of(d->old), lattices_of(d->new));
    compare_members(d, organisms_of(d->old), organisms_of(d->new));
    for (unsigned i = 0; i < COA_MODULE_KINDS; i++)
        compare_module(d, (enum coa_module_kind)i);
    compare_issuer(d);
    compare_rest(d);
}

/* --- what to do ------------------------------------------------------------------------------ */

static void say(json_t *list, const char *text)
{
    json_array_append_new(list, json_string(text));
}

static bool both_ship(const struct diff *d, enum coa_module_kind kind)
{
    return d->old->ids.modules[kind].shipped && d->new->ids.modules[kind].shipped;
}

static bool ships_any(const struct side *s)
{
    for (unsigned i = 0; i < COA_MODULE_KINDS; i++) {
        if (s->ids.modules[i].shipped)
            return true;
    }
    return false;
}

static void advise_folded(struct diff *d)
{
    say(d->advise, "the fingerprint changes: integrators compiled against the old one time out on "
                   "every module until they recompile");
    if (ships_any(d->new))
        say(d->advise, "every module re-derives, also those whose own config stands; their logs "
                       "start anew under new ids");
    if (both_ship(d, COA_CHRONICLE))
        say(d->advise, "the Chronicle continues only through `continues`: seal the old log first "
                       "and put its checkpoint into the new file");
    if (both_ship(d, COA_ATLAS))
        say(d->advise, "each operator signs his card again: a card is tied to its module id");
    if (d->old->f.config.ticket_issuer != NULL)
        say(d->advise, "TICKETS_ROOT moves: tickets of the old root are refused by the new "
                       "deployments");
    if (d->retired)
        say(d->advise, "organisms that span a retired member re-derive too; ask their operators");
    if (d->renamed)
        say(d->advise, "the old instance name is spent: never use it for another composition");
}

static void steps_folded(struct diff *d)
{
    bool issuer = d->new->f.config.ticket_issuer != NULL;

    if (both_ship(d, COA_CHRONICLE))
        say(d->steps, "seal the old Chronicle with an entry Published that names the new "
                      "coalition, and put its checkpoint into `continues`; freeze again");
    say(d->steps, "freeze the new file and record its fingerprint and anchors digest");
    if (issuer)
        say(d->steps, "start the ticket issuer under its new root and re-issue every ticket, "
                      "before any cutover");
    if (ships_any(d->new))
        say(d->steps, "sign a Deployment for each component and bring up the new committees "
                      "beside the old ones");
    if (d->new->ids.modules[COA_ATLAS].shipped)
        say(d->steps, "publish the members' cards in the new Atlas");
    say(d->steps, "publish the new handshake and announce it on the change channel, with the old "
                  "and the new ids and the cutover time");
    say(d->steps, "wait until the integrators that matter have recompiled");
    if (ships_any(d->old))
        say(d->steps, "retire the old deployments, each marker naming its replacement");
}

void diff_advise(struct diff *d)
{
    bool lenient = d->new->f.config.retirement_policy == COA_LENIENT;

    if (d->folded) {
        advise_folded(d);
        steps_folded(d);
        return;
    }
    if (d->content) {
        say(d->advise, lenient ? "a member's content changed: the lenient policy leaves the "
                                 "fingerprint's publication to you"
                               : "a member's content changed: the conservative policy republishes "
                                 "the handshake, although the fingerprint stands");
        say(d->advise, "readers that pinned the old content hash refuse the new deployment, by "
                       "name");
        say(d->steps, "check the member's new content hash against its operator's handshake");
        say(d->steps, "publish the handshake again and announce it on the change channel");
    }
    if (d->anchors) {
        say(d->advise, "the anchors digest changes: integrators that compare it must be told; a "
                       "first roster in a file is never edited for a running deployment, later "
                       "rosters come from its chain");
        say(d->steps, "publish the new anchors digest beside the standing fingerprint");
    }
    if (!d->content && !d->anchors && json_array_size(d->rotations) > 0)
        say(d->advise, "nothing that integrators compiled in changes");
}
