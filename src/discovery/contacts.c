/* contacts.c - whom we dial, and why.
 *
 *   wanted     somebody here holds it: dialed until it is given up
 *   hint       a first contact: dialed without pause while we have no link at all,
 *              else for some seconds every half a minute, so that two halves of a
 *              network that lost each other meet again
 *   neighbour  chosen among the entries, so that we gossip with a few and no single loss cuts
 *              us off; forgotten when it does not answer, or will not talk
 *   lan        a first contact that multicast told us of (lan.c): as a hint, for a while
 *   anchor     a neighbour that lasted a minute, the first MK_DISCOVERY_ANCHORS_MAX of them: when
 *              the link breaks it is dialed again like a hint, as long as its entry lives
 *
 * A neighbour is chosen among the network groups (prefix.h) that there are entries of, each as
 * likely as the other, then within the group; groups that no neighbour is of come first. So who
 * fills the table with peers of his own gets one place with us, not all of them, and the anchors
 * are those whom we knew before he came.
 *
 * One contact and one dial a peer, however many reasons there are. Its addresses are
 * the hint's and those of its newest entry; when they change while there is no link,
 * the dial begins anew. */
#include "discovery/discovery_int.h"

#include <stdio.h>
#include <string.h>

#define CONTACT_TRY_NS (5 * MK_S)    /* a hint or neighbour has this long to answer */
#define CONTACT_PAUSE_NS (30 * MK_S) /* then a hint rests, jittered by half */
#define CONTACT_PICK_NS (500 * MK_MS)
#define CONTACT_IDLE_NS (5 * MK_S)    /* when there was nobody to pick */
#define CONTACT_TALK_NS (10 * MK_S)   /* a neighbour that is linked has this long to talk */
#define CONTACT_ANCHOR_NS (60 * MK_S) /* then it is one of long standing */

struct mk_contact *mk_contacts_find(struct mk_discovery *d, const struct mk_peer *peer)
{
    mk_list_each(n, &d->contacts)
    {
        struct mk_contact *c = mk_container_of(n, struct mk_contact, node);

        if (mk_peer_eq(&c->peer, peer))
            return c;
    }
    return NULL;
}

static struct mk_contact *contact_get(struct mk_discovery *d, const struct mk_peer *peer)
{
    struct mk_contact *c = mk_contacts_find(d, peer);

    if (c != NULL)
        return c;
    c = mk_alloc(sizeof *c);
    c->peer = *peer;
    c->linked_ns = mk_net_link(d->net, peer) != NULL ? mk_now(d->env) : 0;
    mk_list_add_tail(&d->contacts, &c->node);
    return c;
}

static void contact_undial(struct mk_discovery *d, struct mk_contact *c)
{
    if (!c->dialing)
        return;
    c->last_close = c->dial.last_close;
    memcpy(c->last_detail, c->dial.last_detail, sizeof c->last_detail);
    mk_net_undial(&c->dial);
    c->dialing = false;
    c->since_ns = mk_now(d->env);
}

static void contact_free(struct mk_discovery *d, struct mk_contact *c)
{
    contact_undial(d, c);
    d->n_hints -= c->is_hint;
    d->n_anchors -= c->is_anchor;
    d->n_lan -= c->is_lan;
    mk_list_del(&c->node);
    mk_buf_done(&c->hint);
    mk_free(c);
}

static void contact_set_hint(struct mk_contact *c, const char *address)
{
    mk_buf_clear(&c->hint);
    mk_buf_put(&c->hint, address, strlen(address) + 1);
}

/* The addresses of the peer's entry, each with a 0, one after the other. */
static void contact_addresses(struct mk_discovery *d, const struct mk_peer *peer,
                              struct mk_buf *out)
{
    const struct mk_record_key key = mk_record_peer_key(peer);
    const struct mk_record *r = mk_catalog_find(&d->table, &key);
    struct mk_arena arena = {0};
    struct mk_peer_entry e;

    if (r != NULL &&
        mk_decode(&e, &mk_peer_entry_type, mk_buf_bytes(&r->bytes), &arena, NULL) == 0) {
        for (size_t i = 0; i < e.addresses.n; i++) {
            mk_buf_put(out, e.addresses.v[i].p, e.addresses.v[i].n);
            mk_buf_put_u8(out, 0);
        }
    }
    mk_arena_done(&arena);
}

/* Starts the dial, when an address is known. */
static void contact_dial(struct mk_discovery *d, struct mk_contact *c)
{
    struct mk_buf all = {0};

    mk_buf_put(&all, c->hint.p, c->hint.n);
    contact_addresses(d, &c->peer, &all);
    for (size_t at = 0; at < all.n; at += strlen((char *)all.p + at) + 1) {
        if (c->dialing)
            mk_dial_add_address(&c->dial, (char *)all.p + at);
        else
            mk_net_dial(d->net, &c->dial, &c->peer, (char *)all.p + at);
        c->dialing = true;
    }
    c->addresses = mk_hash(mk_buf_bytes(&all));
    c->since_ns = mk_now(d->env);
    mk_buf_done(&all);
}

void mk_contacts_entry(struct mk_discovery *d, const struct mk_peer *peer)
{
    struct mk_contact *c = mk_contacts_find(d, peer);
    struct mk_buf all = {0};
    struct mk_id hash;

    if (c == NULL || !c->dialing || mk_net_link(d->net, peer) != NULL)
        return;
    mk_buf_put(&all, c->hint.p, c->hint.n);
    contact_addresses(d, peer, &all);
    hash = mk_hash(mk_buf_bytes(&all));
    mk_buf_done(&all);
    if (mk_id_eq(&hash, &c->addresses))
        return;
    contact_undial(d, c);
    contact_dial(d, c);
}

void mk_contacts_link_up(struct mk_discovery *d, const struct mk_peer *peer)
{
    struct mk_contact *c = mk_contacts_find(d, peer);

    if (c != NULL)
        c->linked_ns = mk_now(d->env);
    mk_discovery_poke(d);
}

void mk_contacts_link_down(struct mk_discovery *d, const struct mk_peer *peer, unsigned close,
                           const char *detail)
{
    struct mk_contact *c = mk_contacts_find(d, peer);

    if (c != NULL) {
        c->linked_ns = 0;
        c->since_ns = mk_now(d->env);
        c->last_close = close;
        snprintf(c->last_detail, sizeof c->last_detail, "%s", detail != NULL ? detail : "");
    }
    mk_discovery_poke(d);
}

/* --- decisions ----------------------------------------------------------------------- */

static uint64_t contact_random(struct mk_discovery *d, uint64_t below)
{
    uint64_t r;

    mk_entropy(d->env, &r, sizeof r);
    return below > 0 ? r % below : 0;
}

/* A hint while there is no link to it. Returns when to look again. */
static uint64_t contact_hint(struct mk_discovery *d, struct mk_contact *c, bool alone)
{
    uint64_t now = mk_now(d->env);

    if (alone) {
        if (!c->dialing)
            contact_dial(d, c);
        return UINT64_MAX;
    }
    if (c->dialing && now - c->since_ns >= CONTACT_TRY_NS) {
        contact_undial(d, c);
        c->next_ns = now + CONTACT_PAUSE_NS / 2 + contact_random(d, CONTACT_PAUSE_NS);
    } else if (!c->dialing && now >= c->next_ns) {
        contact_dial(d, c);
    }
    return c->dialing ? c->since_ns + CONTACT_TRY_NS : c->next_ns;
}

/* Is it of use: in conversation, or about to be? */
static bool contact_talks(struct mk_discovery *d, const struct mk_contact *c)
{
    return mk_gossip_find(d, &c->peer) != NULL || mk_now(d->env) - c->linked_ns < CONTACT_TALK_NS;
}

static bool contact_is_known(struct mk_discovery *d, const struct mk_peer *peer)
{
    const struct mk_record_key key = mk_record_peer_key(peer);
    const struct mk_record *r = mk_catalog_find(&d->table, &key);

    return r != NULL && !r->head.departed;
}

/* A neighbour that talks: of long standing by now? Returns when to look again. */
static uint64_t contact_lasts(struct mk_discovery *d, struct mk_contact *c)
{
    uint64_t now = mk_now(d->env);

    if (!c->is_anchor && d->n_anchors < MK_DISCOVERY_ANCHORS_MAX &&
        now - c->linked_ns >= CONTACT_ANCHOR_NS) {
        c->is_anchor = true;
        d->n_anchors++;
    }
    if (mk_gossip_find(d, &c->peer) == NULL)
        return c->linked_ns + CONTACT_TALK_NS;
    return c->is_anchor ? UINT64_MAX : now + CONTACT_ANCHOR_NS;
}

/* One contact's turn. Returns when to look again; c may be gone. */
static uint64_t contact_advance(struct mk_discovery *d, struct mk_contact *c, bool alone)
{
    bool linked = mk_net_link(d->net, &c->peer) != NULL;
    uint64_t now = mk_now(d->env);

    if (c->wants > 0) {
        if (!c->dialing)
            contact_dial(d, c);
        return UINT64_MAX;
    }
    if (c->is_lan && (now >= c->lan_until_ns || (!linked && contact_is_known(d, &c->peer)))) {
        c->is_lan = false;
        d->n_lan--;
    }
    if (c->is_hint || c->is_lan)
        return linked ? UINT64_MAX : contact_hint(d, c, alone);
    if (c->is_neighbour && linked && contact_talks(d, c))
        return contact_lasts(d, c);
    if (c->is_neighbour && !linked && now - c->since_ns < CONTACT_TRY_NS)
        return c->since_ns + CONTACT_TRY_NS;
    if (c->is_anchor && !linked && contact_is_known(d, &c->peer)) {
        c->is_neighbour = false;
        return contact_hint(d, c, alone);
    }
    if (c->is_anchor && linked && contact_talks(d, c)) {
        c->is_neighbour = true; /* it is back */
        return UINT64_MAX;
    }
    contact_free(d, c);
    return UINT64_MAX;
}

/* Could r's peer be a neighbour? Its group, or 0. */
static uint32_t contact_eligible(struct mk_discovery *d, const struct mk_record *r)
{
    const struct mk_contact *c;

    if (r->head.group == 0 || mk_peer_eq(&r->head.signer, &d->self) ||
        mk_net_link(d->net, &r->head.signer) != NULL)
        return 0;
    c = mk_contacts_find(d, &r->head.signer);
    if (c != NULL && (c->dialing || c->is_neighbour))
        return 0;
    return r->head.group;
}

/* How many neighbours are of that group? */
static unsigned contact_taken(const struct mk_discovery *d, uint32_t group)
{
    unsigned n = 0;

    mk_list_each(i, &d->contacts)
    {
        const struct mk_contact *c = mk_container_of(i, struct mk_contact, node);

        n += c->is_neighbour && c->group == group;
    }
    return n;
}

/* The lot of a group in a draw: those that few neighbours are of win, then chance does. */
static uint64_t contact_lot(const struct mk_discovery *d, uint32_t group, uint64_t salt)
{
    uint64_t h = (group ^ salt) * UINT64_C(0x9e3779b97f4a7c15);

    h ^= h >> 32;
    return (uint64_t)contact_taken(d, group) << 32 |
           (uint32_t)(h * UINT64_C(0xbf58476d1ce4e5b9) >> 16);
}

/* Chooses one among the entries: a group, then one of it. */
static bool contact_pick(struct mk_discovery *d)
{
    uint64_t salt = contact_random(d, UINT64_MAX), best = UINT64_MAX;
    const struct mk_record *found = NULL;
    uint32_t group = 0;
    size_t n = 0;

    for (size_t i = 0; i < d->table.n_kind[MK_RECORD_PEER]; i++) {
        const struct mk_record *r = d->table.v[i]; /* peers come first */
        uint32_t of = contact_eligible(d, r);
        uint64_t lot = of != 0 && of != group ? contact_lot(d, of, salt) : best;

        if (of == 0 || lot > best)
            continue;
        if (of != group) {
            best = lot;
            group = of;
            n = 0;
        }
        if (contact_random(d, ++n) == 0)
            found = r;
    }
    if (found != NULL) {
        struct mk_contact *c = contact_get(d, &found->head.signer);

        c->is_neighbour = true;
        c->group = group;
        contact_dial(d, c);
    }
    return found != NULL;
}

size_t mk_contacts_neighbours(const struct mk_discovery *d)
{
    size_t n = 0;

    mk_list_each(i, &d->contacts)
    {
        const struct mk_contact *c = mk_container_of(i, struct mk_contact, node);

        n += c->linked_ns != 0;
    }
    return n;
}

/* Enough neighbours? Only those count that we dialed: whoever dials us chose himself, and
 * many of his kind shall not keep us from finding others. Returns when to look again. */
static uint64_t contact_neighbours(struct mk_discovery *d)
{
    size_t n = 0, enough = d->observe_only ? 1 : MK_DISCOVERY_DEGREE;
    uint64_t now = mk_now(d->env);

    mk_list_each(i, &d->contacts)
    {
        const struct mk_contact *c = mk_container_of(i, struct mk_contact, node);

        n += c->is_neighbour || mk_gossip_find(d, &c->peer) != NULL;
    }
    if (n >= enough)
        return UINT64_MAX;
    if (now >= d->pick_ns)
        d->pick_ns = now + (contact_pick(d) ? CONTACT_PICK_NS : CONTACT_IDLE_NS);
    return d->pick_ns;
}

uint64_t mk_contacts_advance(struct mk_discovery *d)
{
    bool alone = mk_net_next_link(d->net, NULL) == NULL;
    uint64_t next = UINT64_MAX, at;

    mk_list_each(n, &d->contacts)
    {
        at = contact_advance(d, mk_container_of(n, struct mk_contact, node), alone);
        next = at < next ? at : next;
    }
    at = contact_neighbours(d);
    return at < next ? at : next;
}

void mk_contacts_close(struct mk_discovery *d)
{
    mk_list_each(n, &d->contacts) contact_free(d, mk_container_of(n, struct mk_contact, node));
}

/* --- the interface --------------------------------------------------------------------- */

void mk_discovery_hint(struct mk_discovery *d, const struct mk_peer *peer, const char *address)
{
    struct mk_contact *c = mk_contacts_find(d, peer);

    if (mk_peer_eq(peer, &d->self) ||
        (d->n_hints >= MK_DISCOVERY_HINTS_MAX && (c == NULL || !c->is_hint)))
        return;
    c = contact_get(d, peer);
    d->n_hints += !c->is_hint;
    c->is_hint = true;
    contact_set_hint(c, address);
    mk_contacts_entry(d, peer);
    mk_discovery_poke(d);
}

void mk_contacts_lan(struct mk_discovery *d, const struct mk_peer *peer, const char *address,
                     uint64_t until_ns)
{
    struct mk_contact *c = mk_contacts_find(d, peer);

    if (until_ns <= mk_now(d->env)) {
        if (c != NULL && c->is_lan)
            c->lan_until_ns = 0;
        mk_discovery_poke(d);
        return;
    }
    if (c == NULL && (d->n_lan >= MK_DISCOVERY_LAN_MAX || contact_is_known(d, peer)))
        return;
    c = contact_get(d, peer);
    d->n_lan += !c->is_lan;
    c->is_lan = true;
    c->lan_until_ns = until_ns;
    if (!c->is_hint && c->wants == 0)
        contact_set_hint(c, address);
    mk_contacts_entry(d, peer);
    mk_discovery_poke(d);
}

void mk_discovery_want(struct mk_discovery *d, const struct mk_peer *peer, const char *hint)
{
    struct mk_contact *c;

    if (mk_peer_eq(peer, &d->self))
        return;
    c = contact_get(d, peer);
    c->wants++;
    if (hint != NULL)
        contact_set_hint(c, hint);
    mk_contacts_entry(d, peer);
    mk_discovery_poke(d);
}

void mk_discovery_unwant(struct mk_discovery *d, const struct mk_peer *peer)
{
    struct mk_contact *c = mk_contacts_find(d, peer);

    if (mk_peer_eq(peer, &d->self))
        return;
    MK_ASSERT(c != NULL && c->wants > 0);
    c->wants--;
    c->since_ns = mk_now(d->env);
    mk_discovery_poke(d);
}

void mk_discovery_diagnose(struct mk_discovery *d, const struct mk_peer *peer, unsigned *ret_close,
                           char ret_detail[MK_REASON_MAX])
{
    const struct mk_contact *c = mk_contacts_find(d, peer);

    ret_detail[0] = '\0';
    if (mk_net_link(d->net, peer) != NULL) {
        *ret_close = MK_CLOSE_NONE;
    } else if (c == NULL || (!c->dialing && c->last_close == 0)) {
        *ret_close = MK_CLOSE_UNREACHABLE;
        snprintf(ret_detail, MK_REASON_MAX, "no address of this peer is known");
    } else if (c->dialing && c->dial.last_close != 0) {
        *ret_close = c->dial.last_close;
        snprintf(ret_detail, MK_REASON_MAX, "%s", c->dial.last_detail);
    } else if (c->dialing && c->last_close == 0 && mk_dial_waits(&c->dial, ret_detail)) {
        *ret_close = MK_CLOSE_UNREACHABLE;
    } else {
        *ret_close = c->last_close;
        snprintf(ret_detail, MK_REASON_MAX, "%s", c->last_detail);
    }
}
