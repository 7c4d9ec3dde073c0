/* up_lay_out.c - a new directory of `coalition up`, whole before anything runs:
 *
 *   DIR/coalition.id         the fingerprint this directory belongs to; last of all
 *   DIR/operator.key         operator of the coalition, of every component, of every member
 *   DIR/local.toml           the file an integrator on this machine binds through
 *   DIR/<organism>.toml      organism files that it names
 *   DIR/<component>-<n>/     a member: node.toml, node.key, its state, its log
 *   DIR/tdx-emulator         with --tdx-emulator: where it is
 *   DIR/<component>.deployment   the signed Deployment that nodes spread */
#include "deployment.h"
#include "emit.h"
#include "up.h"

#include <stdio.h>
#include <string.h>

static int put_file(const char *path, const struct mk_buf *b)
{
    struct mk_fault fault = {{0}};
    int rv = write_file(path, mk_buf_bytes(b), 0600, &fault);

    return rv != 0 ? complain_of(rv, &fault) : 0;
}

static int new_key(struct mk_key *ret, const char *path)
{
    struct mk_fault fault = {{0}};
    int rv = make_key(ret, path, &fault);

    return rv != 0 ? complain_of(rv, &fault) : 0;
}

static void sort_members(struct part *p)
{
    for (unsigned i = 1; i < p->n; i++) {
        for (unsigned k = i; k > 0 && mk_peer_cmp(&p->peers[k - 1], &p->peers[k]) > 0; k--) {
            struct mk_peer peer = p->peers[k];
            char address[sizeof p->addresses[0]];

            memcpy(address, p->addresses[k], sizeof address);
            p->peers[k] = p->peers[k - 1];
            memcpy(p->addresses[k], p->addresses[k - 1], sizeof address);
            p->peers[k - 1] = peer;
            memcpy(p->addresses[k - 1], address, sizeof address);
        }
    }
    for (unsigned i = 0; i < p->n; i++)
        p->list[i] = mk_str_of(p->addresses[i]);
}

/** Keys, ports and node files of one component's members. */
static int lay_out_members(struct up *u, struct part *p)
{
    char hex[MK_ID_HEX], name[128];
    int rv = 0;

    for (unsigned i = 0; rv == 0 && i < p->n; i++) {
        struct mk_key key = {0};
        struct mk_buf path = {0}, b = {0};
        uint16_t port = u->port = free_port(u->port);

        up_member_name(name, p, i);
        rv = up_make_dir(up_below(u, name));
        mk_buf_printf(&path, "%s/node.key%c", up_below(u, name), 0);
        if (rv == 0)
            rv = new_key(&key, (const char *)path.p);
        p->peers[i] = key.peer;
        snprintf(p->addresses[i], sizeof p->addresses[i], "%s@127.0.0.1:%u",
                 mk_peer_hex(&key.peer, hex), port);
        mk_key_done(&key);
        mk_buf_printf(&b, "key = \"node.key\"\nlisten = \"127.0.0.1:%u\"\ndir = \"state\"\n", port);
        if (up_issues(u) && p->organism == NULL)
            mk_buf_put_str(&b, "tickets = [\"ticket\"]\n");
        if (p->organism == NULL)
            mk_buf_printf(&b,
                          "components = [{ file = \"../local.toml\", component = \"%s\", "
                          "deployment = \"../%s\" }]\n",
                          p->name, p->record);
        else
            mk_buf_printf(
                &b, "components = [{ file = \"../%s\", deployment = \"../%s\", source = '%s' }]\n",
                p->file_name, p->record, p->source);
        if (u->emulator[0] != '\0')
            mk_buf_printf(&b,
                          "\n[attest] # an emulator: it proves nothing\nsource = \"emulator\"\n"
                          "emulator = '%s'\nroot = '%s/root.pem'\ncollateral = "
                          "'%s/collateral'\n",
                          u->emulator, u->emulator, u->emulator);
        mk_buf_clear(&path);
        mk_buf_printf(&path, "%s/node.toml%c", up_below(u, name), 0);
        if (rv == 0)
            rv = put_file((const char *)path.p, &b);
        mk_buf_done(&path);
        mk_buf_done(&b);
    }
    sort_members(p);
    return rv;
}

static int write_deployment(struct up *u, const struct part *p)
{
    struct mk_deployment d = {
        .stable_id = p->organism != NULL ? p->ids.stable_id : u->ids.modules[0].module_root,
        .deployment = p->organism != NULL ? p->ids.organism_id : u->ids.modules[0].module_id,
        .content_hash = p->organism != NULL ? p->ids.content_hash : u->ids.modules[0].content_hash,
        .version = 1,
        .addresses = {p->list, p->n},
    };
    struct mk_buf b = {0};
    int rv;

    d.roster =
        (struct mk_roster){.deployment = d.deployment, .epoch = 1, .peers = {p->peers, p->n}};
    deployment_sign(&d, &u->operator_, &b);
    rv = put_file(up_below(u, p->record), &b);
    mk_buf_done(&b);
    return rv;
}

static int write_organism(struct up *u, const struct part *p)
{
    struct emit_component anchors = {
        .operator_ = u->operator_hex, .committee = p->list, .n_committee = p->n};
    struct mk_buf b = {0};
    int rv;

    emit_organism(&b, &p->organism->config, "price-feed", &anchors);
    rv = put_file(up_below(u, p->file_name), &b);
    mk_buf_done(&b);
    return rv;
}

/** The file an integrator binds through; read back and compared by its fingerprint. */
static int write_local(struct up *u)
{
    const struct coa_coalition_config *c = &u->file.config;
    struct emit_component *organisms =
        mk_arena_take(&u->arena, (c->organisms.n + 1) * sizeof *organisms);
    struct emit_coalition e = {.config = c, .operator_ = u->operator_hex, .organisms = organisms};
    struct coa_coalition_file back;
    struct mk_id id;
    struct mk_buf b = {0};
    int rv;

    for (size_t i = 0; i < c->organisms.n; i++) {
        const struct part *p = up_part_of(u, &c->organisms.v[i].stable_id);

        organisms[i].operator_ = u->operator_hex;
        if (p != NULL) {
            organisms[i].config = p->file_name;
            organisms[i].committee = p->list;
            organisms[i].n_committee = p->n;
        }
    }
    e.peers = u->parts[0].list;
    e.n_peers = u->parts[0].n;
    if (u->parts[0].organism == NULL)
        e.issuer = e.atlas = (struct emit_component){.operator_ = u->operator_hex,
                                                     .committee = u->parts[0].list,
                                                     .n_committee = u->parts[0].n};
    emit_coalition(&b, &e);
    rv = put_file(up_below(u, "local.toml"), &b);
    mk_buf_done(&b);
    if (rv == 0)
        rv = load_coalition(&back, up_below(u, "local.toml"));
    if (rv != 0)
        return rv;
    id = coa_coalition_id(&back.config);
    if (!mk_id_eq(&id, &u->ids.coalition_id))
        rv = complain(STATUS_CHECK, "%s: it does not give the same fingerprint as %s",
                      up_below(u, "local.toml"), u->in.file);
    coa_coalition_file_done(&back);
    return rv;
}

int up_lay_out(struct up *u)
{
    struct mk_buf b = {0};
    char hex[MK_ID_HEX];
    int rv = new_key(&u->operator_, up_below(u, "operator.key"));

    mk_peer_hex(&u->operator_.peer, u->operator_hex);
    for (unsigned i = 0; rv == 0 && i < u->n_parts; i++)
        rv = lay_out_members(u, &u->parts[i]);
    for (unsigned i = 0; rv == 0 && i < u->n_parts; i++) {
        rv = write_deployment(u, &u->parts[i]);
        if (rv == 0 && u->parts[i].organism != NULL)
            rv = write_organism(u, &u->parts[i]);
    }
    if (rv == 0)
        rv = write_local(u);
    mk_buf_printf(&b, "%s\n", mk_id_hex(&u->ids.coalition_id, hex));
    if (rv == 0)
        rv = put_file(up_below(u, "coalition.id"), &b); /* last: the directory is whole */
    mk_buf_done(&b);
    return rv;
}
