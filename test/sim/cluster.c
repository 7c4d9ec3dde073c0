/* Boots members as a program would, from the disk alone: store, net, group; dials the
 * others for ever. Commands of the tests go through mk_group_submit() of a member; the
 * world runs until they are answered. */
#include "cluster.h"
#include "checks.h"
#include "toy.h"
#include "collections/certificate.h"
#include "group/state.h"

#include "base/assert.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *cluster_again;

void cluster_violation(const char *fmt, ...)
{
    va_list ap;

    fflush(stdout);
    if (cluster_again != NULL)
        fprintf(stderr, "again: %s\n", cluster_again);
    fprintf(stderr, "violation: ");
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fprintf(stderr, "\n");
    abort();
}

/* --- processes ------------------------------------------------------------------------- */

static int open_group(struct process *p, struct mk_fault *f)
{
    static const struct mk_acl_composition open_acl;
    struct cluster *c = p->c;
    struct mk_bytes tickets[MK_TICKETS_MAX];
    struct mk_group_options o = {
        .deployment = c->deployment,
        .stable_id = c->stable_id,
        .roster = &c->roster,
        .key = &c->keys[p->i],
        .machine = toy_new_version((c->foreign >> p->i & 1) != 0 ? 2 : 1),
        .acl = c->o.acl != NULL ? c->o.acl : &open_acl,
        .witness = p->witness,
        .found = !c->o.unfounded,
        .join = p->i >= c->roster.peers.n,
        .snapshot_entries = c->o.snapshot_entries,
        .quiet_ms = c->o.quiet_ms,
        .lease_ms = c->o.lease_ms,
        .applied = checks_applied,
        .applied_arg = p,
        .uncured = c->o.uncured,
        .own_issuer = c->o.own_issuer,
        .issuers = c->o.issuers,
        .tickets = tickets,
    };

    if (c->o.tickets != NULL)
        o.n_tickets = c->o.tickets(c->o.tickets_arg, c, p->i, tickets);
    return mk_group_open(p->env, p->net, p->store, &p->group, &o, f);
}

static int open_witness(struct process *p, struct mk_fault *f)
{
    struct mk_witness_options o = {0};

    if (p->c->o.attest == NULL)
        return 0;
    p->c->o.attest(p->c->o.attest_arg, p->i, &o);
    return mk_witness_open(p->env, p->net, &p->witness, &o, f);
}

static const char *own_address(const struct process *p)
{
    static char address[32];

    snprintf(address, sizeof address, "n%u:7000", p->i);
    return address;
}

static void dial_others(struct process *p)
{
    for (unsigned i = 0; i < p->c->n; i++) {
        char address[32];

        snprintf(address, sizeof address, "n%u:7000", i);
        if (i != p->i)
            mk_net_dial(p->net, &p->dials[i], &p->c->peers[i], address);
    }
}

static void *process_boot(struct mk_env *e, unsigned node, void *arg)
{
    struct cluster_boot *b = arg;
    struct process *p = mk_alloc(sizeof *p);
    struct mk_net_options net = {.key = &b->c->keys[b->i],
                                 .network = MK_UNIVERSE,
                                 .vouched = !b->c->o.tls,
                                 .newest_protocol = (b->c->old >> b->i & 1) != 0 ? 1 : 0};
    struct mk_fault f = {{0}};

    (void)node;
    p->c = b->c;
    p->i = b->i;
    p->env = e;
    p->blank_at = p->c->blank[p->i];
    mk_env_vouch(e, &p->c->peers[p->i]);
    if ((p->c->aside >> p->i & 1) != 0 && mk_store_set_aside(e, "it was damaged", &f) != 0)
        cluster_violation("member %u: %s", p->i, f.text);
    p->c->aside &= ~(1u << p->i);
    if (mk_store_open(e, &p->store, &(struct mk_store_options){0}, &f) != 0 ||
        mk_net_open(e, &p->net, &net) != 0 || mk_net_listen(p->net, own_address(p), &f) != 0 ||
        open_witness(p, &f) != 0 || open_group(p, &f) != 0) {
        snprintf(p->failed, sizeof p->failed, "%s", f.text);
        return p;
    }
    dial_others(p);
    return p;
}

static void process_destroy(void *state)
{
    struct process *p = state;

    mk_group_close(p->group);
    mk_witness_close(p->witness);
    for (unsigned i = 0; i < p->c->n && p->net != NULL; i++)
        if (p->dials[i].impl != NULL)
            mk_net_undial(&p->dials[i]);
    if (p->net != NULL)
        mk_net_close(p->net);
    mk_store_close(p->store, NULL, NULL);
    mk_free(p);
}

static const struct world_program process_program = {process_boot, process_destroy};

/* --- the cluster ------------------------------------------------------------------------- */

static int key_cmp(const void *a, const void *b)
{
    return mk_peer_cmp(&((const struct mk_key *)a)->peer, &((const struct mk_key *)b)->peer);
}

static void make_keys(struct cluster *c)
{
    for (unsigned i = 0; i < c->n + c->o.clients; i++) {
        uint8_t seed[32] = "simulated member";

        seed[16] = (uint8_t)i;
        mk_key_from_seed(i < c->n ? &c->keys[i] : &c->client_keys[i - c->n], seed);
    }
    qsort(c->keys, c->n, sizeof c->keys[0], key_cmp);
    for (unsigned i = 0; i < c->n; i++)
        c->peers[i] = c->keys[i].peer;
}

struct cluster *cluster_new(const struct cluster_options *o)
{
    struct cluster *c = mk_alloc(sizeof *c);

    c->o = *o;
    c->old = o->old;
    c->n = (o->n == 0 ? 3 : o->n) + o->spares;
    make_keys(c);
    c->stable_id = mk_id_of_text(MK_STR("a simulated component"));
    c->deployment = mk_id_of_text(MK_STR("a simulated deployment"));
    c->roster = (struct mk_roster){.deployment = c->deployment, .epoch = 1};
    c->roster.peers = (struct mk_peers){c->peers, c->n - o->spares};
    c->w = world_new(o->seed);
    if (o->tls)
        world_hash_bytes(c->w, false);
    for (unsigned i = 0; i < c->n + o->clients; i++)
        c->boots[i] = (struct cluster_boot){c, i};
    checks_open(c);
    for (unsigned i = 0; i < c->n; i++)
        world_boot(c->w, i, &process_program, &c->boots[i]);
    clients_boot(c);
    return c;
}

void cluster_free(struct cluster *c)
{
    world_on_step(c->w, NULL, NULL);
    world_free(c->w);
    checks_close(c);
    mk_buf_done(&c->history);
    mk_free(c);
}

struct process *cluster_process(struct cluster *c, unsigned i)
{
    return world_is_up(c->w, i) && (c->rogues >> i & 1) == 0 ? world_state(c->w, i) : NULL;
}

struct mk_group *cluster_group(struct cluster *c, unsigned i)
{
    struct process *p = cluster_process(c, i);

    return p == NULL ? NULL : p->group;
}

/* Costs nothing, as conditions that are asked after each event must. */
static void glance(struct cluster *c, unsigned i, struct mk_group_status *ret)
{
    struct mk_group *g = cluster_group(c, i);

    memset(ret, 0, sizeof *ret);
    if (g != NULL)
        mk_group_glance(g, ret);
}

void cluster_status(struct cluster *c, unsigned i, struct mk_group_status *ret)
{
    struct mk_group *g = cluster_group(c, i);

    memset(ret, 0, sizeof *ret);
    if (g != NULL)
        mk_group_status(g, ret);
}

struct mk_id cluster_machine_id(void)
{
    struct mk_machine *m = toy_new();
    struct mk_id id = mk_machine_signature(m->ops);

    m->ops->free(m);
    return id;
}

int cluster_leader(struct cluster *c)
{
    struct mk_group_status s;
    uint64_t term = 0;
    int leader = -1;

    for (unsigned i = 0; i < c->n; i++) {
        glance(c, i, &s);
        if (s.state == MK_GROUP_LEADING && s.term > term) {
            leader = (int)i;
            term = s.term;
        }
    }
    return leader;
}

unsigned cluster_follower(struct cluster *c)
{
    int leader = cluster_leader(c);

    for (unsigned i = 0; i < c->n; i++)
        if ((int)i != leader && cluster_group(c, i) != NULL)
            return i;
    return 0;
}

/* --- waiting --------------------------------------------------------------------------------- */

static bool is_ready(void *arg)
{
    struct cluster *c = arg;
    struct mk_group_status s;
    int leader = cluster_leader(c);

    if (leader < 0)
        return false;
    glance(c, (unsigned)leader, &s);
    return s.applied >= 2 && s.applied == s.last;
}

bool cluster_until_ready(struct cluster *c, uint64_t ms)
{
    return world_run_until(c->w, is_ready, c, ms);
}

struct state_wait {
    struct cluster *c;
    unsigned i;
    enum mk_group_state state;
};

static bool has_state(void *arg)
{
    struct state_wait *x = arg;
    struct mk_group_status s;

    cluster_status(x->c, x->i, &s);
    return s.state == x->state;
}

bool cluster_until_state(struct cluster *c, unsigned i, enum mk_group_state state, uint64_t ms)
{
    return world_run_until(c->w, has_state, &(struct state_wait){c, i, state}, ms);
}

static bool is_equal(void *arg)
{
    struct cluster *c = arg;
    struct mk_group_status s, l;
    int leader = cluster_leader(c);

    if (leader < 0)
        return false;
    glance(c, (unsigned)leader, &l);
    for (unsigned i = 0; i < c->n; i++) {
        glance(c, i, &s);
        if (cluster_in_roster(c, i) && (s.applied != l.last || s.applied < 2))
            return false;
    }
    return true;
}

bool cluster_until_equal(struct cluster *c, uint64_t ms)
{
    return world_run_until(c->w, is_equal, c, ms);
}

/* --- who is of it ------------------------------------------------------------------------- */

bool cluster_in_roster(struct cluster *c, unsigned i)
{
    int leader = cluster_leader(c);
    const struct mk_roster *r =
        leader < 0 ? &c->roster : mk_group_roster(cluster_group(c, (unsigned)leader));

    for (size_t k = 0; k < r->peers.n; k++)
        if (mk_peer_eq(&r->peers.v[k], &c->peers[i]))
            return true;
    return false;
}

void cluster_lose_disk(struct cluster *c, unsigned i)
{
    struct mk_group_status s;

    c->blank[i] = 1;
    for (unsigned k = 0; k < c->n; k++) {
        glance(c, k, &s);
        if (s.commit > c->blank[i])
            c->blank[i] = s.commit;
    }
    world_lose_disk(c->w, i);
    world_restart(c->w, i);
}

int cluster_propose(struct cluster *c, unsigned bits)
{
    int leader = cluster_leader(c);
    struct mk_peer peers[CLUSTER_MEMBERS_MAX];
    struct mk_peer_signature signatures[CLUSTER_MEMBERS_MAX];
    struct mk_proposal p;
    const struct mk_roster *now;
    struct mk_buf m = {0};
    size_t n = 0, n_signatures = 0;
    int rv;

    if (leader < 0)
        return MK_ENOTLEADER;
    now = mk_group_roster(cluster_group(c, (unsigned)leader));
    for (unsigned i = 0; i < c->n; i++)
        if ((bits >> i & 1) != 0)
            peers[n++] = c->peers[i];
    memset(&p, 0, sizeof p);
    p.roster = (struct mk_roster){c->deployment, now->epoch + 1, mk_roster_id(now), {peers, n}};
    mk_proposal_message(&m, &p.roster);
    for (unsigned i = 0; i < c->n; i++) {
        if (!mk_roster_has(now, &c->peers[i]))
            continue;
        signatures[n_signatures].peer = c->peers[i];
        mk_sign(&c->keys[i], mk_buf_bytes(&m), &signatures[n_signatures++].signature);
    }
    mk_buf_done(&m);
    p.signatures = (struct mk_peer_signatures){signatures, n_signatures};
    rv = mk_group_propose(cluster_group(c, (unsigned)leader), &p, NULL);
    return rv;
}

static bool is_settled(void *arg)
{
    struct cluster *c = arg;
    int leader = cluster_leader(c);

    return leader >= 0 && mk_group_settled(cluster_group(c, (unsigned)leader));
}

bool cluster_until_settled(struct cluster *c, uint64_t ms)
{
    return world_run_until(c->w, is_settled, c, ms);
}

/* --- commands -----------------------------------------------------------------------------------
 */

struct waiting {
    struct mk_submit submit;
    bool done;
    int status;
    char answer[64];
};

static void command_cb(struct mk_submit *s, int status, const struct mk_outcome *o)
{
    struct waiting *x = mk_container_of(s, struct waiting, submit);

    x->done = true;
    x->status = status;
    if (o != NULL && o->answer.n < sizeof x->answer)
        memcpy(x->answer, o->answer.p, o->answer.n);
}

static bool is_done(void *arg)
{
    return ((struct waiting *)arg)->done;
}

/* The waiting is left behind when the deadline passes: a callback may still come. */
int cluster_command_as(struct cluster *c, unsigned member, uint64_t session, uint64_t number,
                       const char *command, uint64_t ms, char answer[64])
{
    struct waiting *x = checks_memory(c, sizeof *x);
    struct mk_group *g = cluster_group(c, member);
    int rv;

    if (g == NULL)
        return MK_EUNREACHABLE;
    x->submit.cb = command_cb;
    rv = mk_group_submit(g, &x->submit, session, number, MK_BYTES(command, strlen(command)));
    if (rv != 0)
        return rv;
    if (!world_run_until(c->w, is_done, x, ms))
        return MK_ETIMEDOUT;
    if (answer != NULL)
        memcpy(answer, x->answer, sizeof x->answer);
    return x->status;
}

int cluster_command(struct cluster *c, unsigned member, const char *command, uint64_t ms)
{
    return cluster_command_as(c, member, checks_session(c), 1, command, ms, NULL);
}

int cluster_set(struct cluster *c, const char *key, const char *value, uint64_t ms)
{
    char command[300];
    int leader = cluster_leader(c), rv;

    snprintf(command, sizeof command, "set %s %s", key, value);
    rv = cluster_command(c, leader < 0 ? cluster_follower(c) : (unsigned)leader, command, ms);
    if (rv == 0)
        checks_acknowledged(c, key, value);
    return rv;
}

bool cluster_write_many(struct cluster *c, unsigned n)
{
    char key[16], value[16];

    for (unsigned i = 0; i < n; i++) {
        snprintf(key, sizeof key, "k%u", i % 37);
        snprintf(value, sizeof value, "%u", i);
        if (cluster_set(c, key, value, 5000) != 0)
            return false;
    }
    return true;
}

const char *cluster_value(struct cluster *c, unsigned member, const char *key)
{
    static char text[256];
    struct mk_group *g = cluster_group(c, member);
    struct mk_buf k = {0};
    struct mk_bytes v;

    memset(text, 0, sizeof text);
    toy_text(&k, key);
    if (g != NULL && mk_map_get(mk_group_surfaces(g), 0, mk_buf_bytes(&k), &v) == 0)
        memcpy(text, v.p + 1, v.n - 1);
    mk_buf_done(&k);
    return text;
}
