/* handshake.c - the facts of a handshake, out of the files and what derives from them.
 *
 * The checklists of integrators and operators decide what must be stated: for every member
 * its operator, a link to that operator's own handshake and a ticket root; for every module
 * whether it is shipped, and then what it is, how it fails, who runs it; where it begins
 * (peers) and where changes are announced. What must be stated and is not becomes null and
 * a line of `missing`; silence would be ambiguous. There is no time in it: the same files
 * give the same bytes. */
#include "handshake.h"
#include "print_c.h"
#include "program.h"

#include <stdio.h>
#include <string.h>

#define WHERE_MAX 64u

enum {
    NEED_OPERATOR = 1,
    NEED_HANDSHAKE = 2,
    NEED_TICKET_ROOT = 4,
    NEED_COMMITTEE = 8,
    NEED_DESCRIPTION = 16,
    NEED_STATE_MACHINE = 32,
    NEED_FAILURE_POLICY = 64,
    NEED_RETENTION = 128,
};

/* A component while it is described. */
struct part {
    struct handshake *h;
    json_t *o;
    char where[WHERE_MAX];                /* its table in the file; "" for the file itself */
    char role[MK_NAME_MAX + 32];          /* in the roll call; "" when it takes no part */
    const struct coa_notes *notes;        /* never NULL */
    const struct coa_notes *other;        /* what its own file says; never NULL */
    const struct mk_peer *owner;          /* when neither states an operator; may be NULL */
    const struct mk_acl_composition *acl; /* NULL: not known here */
    unsigned needs;
};

static const struct coa_notes no_notes;

static void lack(struct handshake *h, const char *where, const char *key)
{
    char path[WHERE_MAX + 64];

    snprintf(path, sizeof path, "%s%s%s", where, where[0] != '\0' ? "." : "", key);
    json_array_append_new(h->missing, json_string(path));
}

/* value is given, NULL when it is not stated. */
static void state(struct part *p, const char *key, json_t *value, bool needed)
{
    if (value == NULL && needed)
        lack(p->h, p->where, key);
    if (value != NULL || needed)
        json_object_set_new(p->o, key, value != NULL ? value : json_null());
}

static json_t *text_or_none(struct mk_str a, struct mk_str b)
{
    struct mk_str s = a.p != NULL ? a : b;

    return s.p != NULL ? json_stringn(s.p, s.n) : NULL;
}

static void set_id(json_t *o, const char *key, const struct mk_id *id)
{
    json_object_set_new(o, key, json_id(id));
}

static json_t *json_datum(const struct mk_type *t, const void *value)
{
    struct mk_buf text = {0};
    json_t *o;

    mk_print_json(&text, t, value);
    o = json_loadb((const char *)text.p, text.n, JSON_DECODE_ANY, NULL);
    mk_buf_done(&text);
    return o;
}

static json_t *json_contacts(const struct coa_contacts *c)
{
    json_t *list = json_array();

    for (size_t i = 0; i < c->n; i++)
        json_array_append_new(list, json_text(c->v[i].address));
    return list;
}

static json_t *json_surface_list(const struct coa_surfaces *s, const struct mk_id *stable_id)
{
    json_t *list = json_array();

    for (size_t i = 0; i < s->n; i++) {
        struct mk_id id = coa_surface_id_of(&s->v[i], stable_id);

        json_array_append_new(list,
                              json_pack("{s:o, s:o, s:o, s:o}", "kind", json_text(s->v[i].kind),
                                        "name", json_text(s->v[i].name), "surface_id", json_id(&id),
                                        "layout", json_text(s->v[i].layout)));
    }
    return list;
}

/* --- the roll call ---------------------------------------------------------------------- */

static json_t *roll_entry(json_t *roll, const struct mk_peer *peer)
{
    json_t *wanted = peer != NULL ? json_id(peer) : json_null(), *entry;
    size_t i;

    json_array_foreach(roll, i, entry)
    {
        if (json_equal(json_object_get(entry, "operator"), wanted)) {
            json_decref(wanted);
            return entry;
        }
    }
    entry = json_pack("{s:o, s:[]}", "operator", wanted, "roles");
    json_array_append_new(roll, entry);
    return entry;
}

static void enlist(struct handshake *h, const struct mk_peer *peer, json_t *name, const char *role)
{
    json_t *entry = roll_entry(json_object_get(h->facts, "operators"), peer);

    if (name != NULL && peer != NULL)
        json_object_set(entry, "name", name);
    json_array_append_new(json_object_get(entry, "roles"), json_string(role));
}

/* --- what stands beside a component ------------------------------------------------------- */

static bool gated_by_tdx(const struct mk_acl_clause *c)
{
    return c->tag == mk_acl_clause_RequireTdx || c->tag == mk_acl_clause_VerifyPeerTdx ||
           c->tag == mk_acl_clause_TdxInSet ||
           (c->tag == mk_acl_clause_AttestationFloor && c->u.attestation_floor.level > 0);
}

static void add_measurements(json_t *list, const struct mk_acl_clause *c)
{
    const struct mk_type *t = &mk_measurements_type;

    if (c->tag == mk_acl_clause_RequireTdx)
        json_array_append_new(list, json_datum(t, &c->u.require_tdx.measurements));
    if (c->tag == mk_acl_clause_VerifyPeerTdx)
        json_array_append_new(list, json_datum(t, &c->u.verify_peer_tdx.measurements));
    for (size_t i = 0; c->tag == mk_acl_clause_TdxInSet && i < c->u.tdx_in_set.set.n; i++)
        json_array_append_new(list, json_datum(t, &c->u.tdx_in_set.set.v[i]));
}

/* A gate whose measurements stand in no clause needs them stated beside it. */
static void describe_tdx(struct part *p)
{
    const struct mk_opt_measurements *m =
        p->notes->measurements.some ? &p->notes->measurements : &p->other->measurements;
    json_t *list = json_array();
    bool gated = m->some;

    if (m->some)
        json_array_append_new(list, json_datum(&mk_measurements_type, &m->v));
    for (size_t i = 0; p->acl != NULL && i < p->acl->clauses.n; i++) {
        gated |= gated_by_tdx(&p->acl->clauses.v[i]);
        if (!m->some)
            add_measurements(list, &p->acl->clauses.v[i]);
    }
    if (p->acl != NULL || gated)
        json_object_set_new(p->o, "tdx_gated", json_boolean(gated));
    if (gated)
        state(p, "measurements", json_array_size(list) > 0 ? json_incref(list) : NULL, true);
    json_decref(list);
}

static void describe_operator(struct part *p)
{
    const struct mk_peer *owner =
        p->notes->operator.some ? &p->notes->operator.v : p->other->operator.some
        ? &p->other->operator.v : p->owner;
    json_t *name = text_or_none(p->notes->operator_name, p->other->operator_name);

    state(p, "operator", owner != NULL ? json_id(owner) : NULL, p->needs & NEED_OPERATOR);
    if (p->role[0] != '\0')
        enlist(p->h, owner, name, p->role);
    state(p, "operator_name", name, false);
}

static void describe(struct part *p)
{
    const struct coa_notes *n = p->notes, *m = p->other;
    const struct coa_contacts *committee = n->committee.n > 0 ? &n->committee : &m->committee;
    const struct mk_opt_id *root = n->ticket_root.some ? &n->ticket_root : &m->ticket_root;

    state(p, "description", text_or_none(n->description, m->description),
          p->needs & NEED_DESCRIPTION);
    describe_operator(p);
    state(p, "handshake", text_or_none(n->handshake, m->handshake), p->needs & NEED_HANDSHAKE);
    state(p, "ticket_root", root->some ? json_id(&root->v) : NULL, p->needs & NEED_TICKET_ROOT);
    if (p->acl != NULL)
        json_object_set_new(p->o, "acl", json_datum(&mk_acl_clauses_type, &p->acl->clauses));
    describe_tdx(p);
    state(p, "committee", committee->n > 0 ? json_contacts(committee) : NULL,
          p->needs & NEED_COMMITTEE);
    state(p, "state_machine", text_or_none(n->state_machine, m->state_machine),
          p->needs & NEED_STATE_MACHINE);
    state(p, "failure_policy", text_or_none(n->failure_policy, m->failure_policy),
          p->needs & NEED_FAILURE_POLICY);
    state(p, "retention", text_or_none(n->retention, m->retention), p->needs & NEED_RETENTION);
}

static void publish(struct handshake *h, const struct coa_publish *p)
{
    struct part whole = {.h = h, .o = h->facts, .where = "publish"};
    struct mk_str none = {0};

    state(&whole, "change_channel", text_or_none(p->change_channel, none), true);
    state(&whole, "contact", text_or_none(p->contact, none), false);
    state(&whole, "notes", text_or_none(p->notes, none), false);
}

/* --- organisms and lattices ------------------------------------------------------------------ */

static json_t *json_spanned_lattices(const struct coa_lattice_refs *l)
{
    json_t *list = json_array();

    for (size_t i = 0; i < l->n; i++)
        json_array_append_new(list, json_pack("{s:o, s:o}", "name", json_text(l->v[i].name),
                                              "stable_id", json_id(&l->v[i].stable_id)));
    return list;
}

static json_t *json_spanned_organisms(const struct coa_organism_refs *o)
{
    json_t *list = json_array();

    for (size_t i = 0; i < o->n; i++)
        json_array_append_new(list, json_pack("{s:o, s:o}", "role", json_text(o->v[i].role),
                                              "stable_id", json_id(&o->v[i].stable_id)));
    return list;
}

static bool is_composite(const struct coa_organism_file *f)
{
    return f->config.lattices.n + f->config.organisms.n > 0;
}

static void organism_ids(json_t *o, const struct coa_organism_file *f)
{
    struct coa_organism_ids ids;

    coa_organism_derive(&f->config, &ids, NULL);
    set_id(o, "stable_id", &ids.stable_id);
    json_object_set_new(o, "member_id", json_id(&ids.member_id));
    set_id(o, "content_hash", &ids.content_hash);
    set_id(o, "organism_id", &ids.organism_id);
    set_id(o, "committee_id", &ids.committee);
    json_object_set_new(o, "surfaces", json_surface_list(&f->surfaces, &ids.stable_id));
    json_object_set_new(o, "composite", json_boolean(is_composite(f)));
    if (f->config.lattices.n > 0)
        json_object_set_new(o, "spanned_lattices", json_spanned_lattices(&f->config.lattices));
    if (f->config.organisms.n > 0)
        json_object_set_new(o, "spanned_organisms", json_spanned_organisms(&f->config.organisms));
}

static void begin(struct handshake *ret, const char *kind, struct mk_str name)
{
    ret->facts = json_pack("{s:s, s:s, s:o, s:i}", "format", "mosaik.handshake.v1", "kind", kind,
                           "name", json_text(name), "schema_version", (int)COA_SCHEMA_VERSION);
    ret->missing = json_array();
}

static unsigned organism_needs(const struct coa_organism_file *f)
{
    unsigned needs = NEED_OPERATOR | NEED_COMMITTEE | NEED_DESCRIPTION | NEED_STATE_MACHINE |
                     NEED_FAILURE_POLICY | NEED_RETENTION;

    return f->config.acl.clauses.n > 0 ? needs | NEED_TICKET_ROOT : needs; /* open: no ticket */
}

void handshake_organism(struct handshake *ret, const struct coa_organism_file *f)
{
    struct part p = {.h = ret,
                     .notes = &f->notes,
                     .other = &no_notes,
                     .acl = &f->config.acl,
                     .needs = organism_needs(f)};

    begin(ret, "organism", f->config.name);
    p.o = ret->facts;
    organism_ids(p.o, f);
    set_id(p.o, "network", &f->network);
    state(&p, "content_type", text_or_none(f->content_type, (struct mk_str){0}), false);
    json_object_set_new(p.o, "content", json_hex(f->config.content.p, f->config.content.n));
    describe(&p);
    publish(ret, &f->publish);
}

static void lattice_organism(struct handshake *h, const struct coa_lattice_file *f, unsigned i)
{
    const struct coa_organism_file *organism = f->organisms[i];
    struct part p = {.h = h,
                     .o = json_object(),
                     .notes = &organism->notes,
                     .other = &f->notes,
                     .acl = &organism->config.acl,
                     .needs = NEED_OPERATOR | NEED_COMMITTEE};

    snprintf(p.where, sizeof p.where, "%s", COA_LATTICE_ORGANISM_NAMES[i]);
    snprintf(p.role, sizeof p.role, "%s", COA_LATTICE_ORGANISM_NAMES[i]);
    json_object_set_new(p.o, "role", json_string(COA_LATTICE_ORGANISM_NAMES[i]));
    json_object_set_new(p.o, "organism", json_text(organism->config.name));
    organism_ids(p.o, organism);
    describe(&p);
    json_array_append_new(json_object_get(h->facts, "organisms"), p.o);
}

void handshake_lattice(struct handshake *ret, const struct coa_lattice_file *f)
{
    struct part p = {.h = ret,
                     .role = "lattice",
                     .notes = &f->notes,
                     .other = &no_notes,
                     .needs = NEED_OPERATOR | NEED_TICKET_ROOT | NEED_DESCRIPTION |
                              NEED_FAILURE_POLICY | NEED_RETENTION};
    struct mk_id stable_id = coa_lattice_stable_id(&f->config), id = coa_lattice_id(&f->config);
    struct mk_member_id member = mk_member_id_of(&stable_id);
    json_t *operators;

    begin(ret, "lattice", f->config.name);
    p.o = ret->facts;
    json_object_set_new(p.o, "chain_id", json_integer((json_int_t)f->config.chain_id));
    set_id(p.o, "stable_id", &stable_id);
    json_object_set_new(p.o, "member_id", json_id(&member));
    set_id(p.o, "content_hash", &id);
    operators = json_array();
    json_object_set_new(p.o, "operators", operators);
    describe(&p);
    publish(ret, &f->publish);
    json_object_set_new(p.o, "organisms", json_array());
    for (unsigned i = 0; i < COA_LATTICE_ORGANISMS; i++)
        lattice_organism(ret, f, i);
}

/* --- coalitions ---------------------------------------------------------------------------------
 */

static void coalition_lattice(struct handshake *h, const struct coa_coalition_file *f, size_t i)
{
    const struct coa_lattice_ref *l = &f->config.lattices.v[i];
    struct mk_member_id member = mk_member_id_of(&l->stable_id);
    struct part p = {.h = h,
                     .o = json_object(),
                     .notes = f->lattices != NULL ? &f->lattices[i] : &no_notes,
                     .other = &no_notes,
                     .needs = NEED_OPERATOR | NEED_HANDSHAKE | NEED_TICKET_ROOT};

    snprintf(p.where, sizeof p.where, "lattice[%zu]", i);
    snprintf(p.role, sizeof p.role, "lattice %.*s", (int)l->name.n, l->name.p);
    json_object_set_new(p.o, "name", json_text(l->name));
    set_id(p.o, "stable_id", &l->stable_id);
    json_object_set_new(p.o, "member_id", json_id(&member));
    if (l->content_hash.some)
        set_id(p.o, "content_hash", &l->content_hash.v);
    describe(&p);
    json_array_append_new(json_object_get(h->facts, "lattices"), p.o);
}

static void coalition_organism(struct handshake *h, const struct coa_coalition_file *f, size_t i)
{
    const struct coa_organism_ref *r = &f->config.organisms.v[i];
    const struct coa_notes *notes = f->organisms != NULL ? &f->organisms[i] : &no_notes;
    const struct coa_organism_file *own = notes->organism;
    struct mk_member_id member = mk_member_id_of(&r->stable_id);
    struct mk_id fp = coa_organism_ref_fp(r);
    struct part p = {.h = h,
                     .o = json_object(),
                     .notes = notes,
                     .other = own != NULL ? &own->notes : &no_notes,
                     .acl = own != NULL ? &own->config.acl : NULL,
                     .needs = NEED_OPERATOR | NEED_HANDSHAKE | NEED_FAILURE_POLICY};

    if (own == NULL || own->config.acl.clauses.n > 0)
        p.needs |= NEED_TICKET_ROOT; /* an open one needs no ticket */
    if (own != NULL && is_composite(own))
        p.needs |= NEED_STATE_MACHINE;
    snprintf(p.where, sizeof p.where, "organism[%zu]", i);
    snprintf(p.role, sizeof p.role, "organism %.*s", (int)r->role.n, r->role.p);
    json_object_set_new(p.o, "role", json_text(r->role));
    set_id(p.o, "stable_id", &r->stable_id);
    json_object_set_new(p.o, "member_id", json_id(&member));
    json_object_set_new(p.o, "pinned", json_boolean(r->content_hash.some));
    if (r->content_hash.some)
        set_id(p.o, "content_hash", &r->content_hash.v);
    set_id(p.o, "fingerprint", &fp);
    if (own != NULL)
        organism_ids(p.o, own);
    describe(&p);
    json_array_append_new(json_object_get(h->facts, "organisms"), p.o);
}

/* The catalogue is all that Atlas's content says, and it stands above. */
static void module_parameters(json_t *o, enum coa_module_kind kind, struct mk_bytes content)
{
    struct mk_arena arena = {0};
    const struct mk_type *t = coa_module_content_type(kind);
    void *value = mk_arena_take(&arena, t->size);

    if (kind != COA_ATLAS && mk_decode(value, t, content, &arena, NULL) == 0)
        json_object_set_new(o, "parameters", json_datum(t, value));
    if (kind == COA_CHRONICLE) {
        const struct coa_chronicle_content *c = value;

        json_object_set_new(o, "external_anchor", json_boolean(!mk_str_is(c->anchor, "none")));
    }
    mk_arena_done(&arena);
}

static void module_ids(json_t *o, enum coa_module_kind kind, const struct coa_module_ids *ids)
{
    struct coa_surfaces surfaces = coa_module_surfaces(kind);

    set_id(o, "module_root", &ids->module_root);
    set_id(o, "module_id", &ids->module_id);
    set_id(o, "module_fp", &ids->module_fp);
    set_id(o, "content_hash", &ids->content_hash);
    set_id(o, "committee_id", &ids->committee);
    json_object_set_new(o, "surfaces", json_surface_list(&surfaces, &ids->module_root));
}

static void coalition_module(struct handshake *h, const struct coa_coalition_file *f,
                             const struct coa_coalition_ids *ids, enum coa_module_kind kind)
{
    const struct coa_module_config *body = coa_module_body(&f->config, kind);
    const char *name = coa_module_name(kind);
    struct part p = {.h = h,
                     .o = json_pack("{s:s, s:b}", "kind", name, "shipped", body != NULL),
                     .notes = &f->modules[kind],
                     .other = &no_notes,
                     .owner = f->operator.some ? &f->operator.v : NULL,
                     .needs = NEED_OPERATOR | NEED_COMMITTEE | NEED_DESCRIPTION |
                              NEED_STATE_MACHINE | NEED_FAILURE_POLICY };

    json_array_append_new(json_object_get(h->facts, "modules"), p.o);
    if (body == NULL)
        return;
    snprintf(p.where, sizeof p.where, "%s", name);
    snprintf(p.role, sizeof p.role, "module %s", name);
    p.acl = &body->acl;
    json_object_set_new(p.o, "instance", json_text(body->instance));
    module_ids(p.o, kind, &ids->modules[kind]);
    module_parameters(p.o, kind, body->content);
    describe(&p);
}

static void coalition_issuer(struct handshake *h, const struct coa_coalition_file *f,
                             const struct coa_coalition_ids *ids)
{
    const struct coa_ticket_issuer_config *t = f->config.ticket_issuer;
    struct part p = {.h = h,
                     .o = json_pack("{s:b}", "shipped", t != NULL),
                     .where = "ticket_issuer",
                     .role = "ticket issuer",
                     .notes = &f->issuer,
                     .other = &no_notes,
                     .owner = f->operator.some ? &f->operator.v : NULL,
                     .needs = NEED_OPERATOR | NEED_COMMITTEE };

    json_object_set_new(h->facts, "ticket_issuer", p.o);
    if (t == NULL)
        return;
    p.acl = &t->acl;
    json_object_set_new(p.o, "name", json_text(t->name));
    set_id(p.o, "root", &ids->tickets_root);
    set_id(p.o, "fingerprint", &ids->ticket_issuer_fp);
    describe(&p);
}

/* The definition itself, both ways of writing it. */
static void definition(json_t *facts, const struct coa_coalition_config *c)
{
    struct mk_buf header = {0}, serial = {0};

    print_c(&header, c);
    coa_coalition_encode(c, &serial);
    json_object_set_new(facts, "config_c", json_stringn((const char *)header.p, header.n));
    json_object_set_new(facts, "config_hex", json_hex(serial.p, serial.n));
    mk_buf_done(&header);
    mk_buf_done(&serial);
}

static void coalition_head(struct handshake *h, const struct coa_coalition_file *f,
                           const struct coa_coalition_ids *ids)
{
    struct part whole = {.h = h, .o = h->facts, .where = ""};

    set_id(whole.o, "coalition_id", &ids->coalition_id);
    if (!f->serialised) {
        struct mk_id anchors = coa_file_anchors_digest(f, ids, NULL);

        set_id(whole.o, "anchors_digest", &anchors);
    }
    json_object_set_new(
        whole.o, "retirement_policy",
        json_string(f->config.retirement_policy == COA_LENIENT ? "lenient" : "conservative"));
    state(&whole, "operator", f->operator.some ? json_id(&f->operator.v) : NULL, true);
    publish(h, &f->publish);
    state(&whole, "peers", f->peers.n > 0 ? json_contacts(&f->peers) : NULL, true);
    for (size_t i = 0; i < 4; i++) {
        static const char *const lists[] = {"lattices", "organisms", "modules", "operators"};

        json_object_set_new(whole.o, lists[i], json_array());
    }
    enlist(h, f->operator.some ? &f->operator.v : NULL, NULL, "coalition");
}

void handshake_coalition(struct handshake *ret, const struct coa_coalition_file *f)
{
    struct coa_coalition_ids ids;

    coa_coalition_derive(&f->config, &ids, NULL);
    begin(ret, "coalition", f->config.instance_name);
    coalition_head(ret, f, &ids);
    for (size_t i = 0; i < f->config.lattices.n; i++)
        coalition_lattice(ret, f, i);
    for (size_t i = 0; i < f->config.organisms.n; i++)
        coalition_organism(ret, f, i);
    for (unsigned i = 0; i < COA_MODULE_KINDS; i++)
        coalition_module(ret, f, &ids, (enum coa_module_kind)i);
    coalition_issuer(ret, f, &ids);
    definition(ret->facts, &f->config);
}

void handshake_done(struct handshake *h)
{
    json_decref(h->facts);
    json_decref(h->missing);
    *h = (struct handshake){0};
}
