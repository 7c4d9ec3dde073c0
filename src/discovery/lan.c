/* lan.c - neighbours on the local network, by multicast DNS (RFC 6762) and DNS-SD (RFC 6763).
 *
 * Happy path. A node that others may dial announces itself twice when it opens; everybody asks who
 * is there, soon, then ever less often, and says whom he knows already; whoever is not among them
 * answers after a short random while, once a second at most. What is heard is a hint like those of
 * a configuration: somebody is dialed, his certificate says who he is, his entry is signed. An
 * address is the one that the answer names, else the one that it came from.
 *
 * Who answers with nonsense, or for others, costs us dials that fail: at most
 * MK_DISCOVERY_LAN_MAX at a time, none to peers that are known, forgotten when the answer's life
 * ends. Datagrams above a rate are not looked at.
 *
 * Left out of RFC 6762: probing for the name (it begins with the peer id, so it is nobody else's),
 * IPv6, and answers to one asker alone. */
#include "discovery/discovery_int.h"
#include "discovery/lan_wire.h"

#include <stdio.h>
#include <string.h>

#define LAN_ASK_FIRST_MS 1000u /* between the first two questions; then twice as long, ... */
#define LAN_ASK_LAST_MS 60000u /* ... up to this */
#define LAN_DELAY_MIN_MS 20u   /* an answer waits, by chance: RFC 6762 section 6 */
#define LAN_DELAY_MAX_MS 120u
#define LAN_ANSWER_GAP_NS (1 * MK_S)
#define LAN_ANNOUNCEMENTS 2u
#define LAN_RATE 50u /* datagrams a second that are looked at */
#define LAN_BURST 200u

struct lan_known {
    struct mk_peer peer;
    uint64_t until_ns;
};

struct mk_lan {
    struct mk_discovery *d;
    struct mk_cast cast;
    struct mk_timer timer;
    struct mk_lan_peer self; /* port 0: we are not dialed, and only ask */
    uint64_t ask_ns, ask_gap_ms;
    uint64_t answer_ns; /* UINT64_MAX: nobody asked */
    uint64_t answered_ns;
    unsigned announcements; /* still to be made */
    struct lan_known known[MK_LAN_PEERS_MAX];
    unsigned n_known;
    uint64_t tokens, filled_ns; /* in 1/1000 */
};

static uint64_t lan_chance_ns(struct mk_lan *l)
{
    uint32_t v;

    mk_entropy(l->d->env, &v, sizeof v);
    return (LAN_DELAY_MIN_MS + v % (LAN_DELAY_MAX_MS - LAN_DELAY_MIN_MS)) * MK_MS;
}

static void lan_arm(struct mk_lan *l)
{
    uint64_t at = l->ask_ns < l->answer_ns ? l->ask_ns : l->answer_ns;

    mk_timer_start(l->d->env, &l->timer, at);
}

/* --- sending ----------------------------------------------------------------------------- */

static void lan_answer(struct mk_lan *l, uint32_t ttl_s)
{
    struct mk_buf m = {0};

    l->self.ttl_s = ttl_s;
    mk_lan_put_answer(&m, &l->self);
    mk_cast_send(&l->cast, mk_buf_bytes(&m));
    mk_buf_done(&m);
    l->answered_ns = mk_now(l->d->env);
    l->answer_ns = UINT64_MAX;
}

static void lan_ask(struct mk_lan *l)
{
    uint64_t now = mk_now(l->d->env);
    struct mk_peer known[MK_LAN_PEERS_MAX];
    struct mk_buf m = {0};
    unsigned n = 0;

    for (unsigned i = 0; i < l->n_known; i++) {
        if (now < l->known[i].until_ns)
            known[n++] = l->known[i].peer;
    }
    mk_lan_put_question(&m, known, n);
    mk_cast_send(&l->cast, mk_buf_bytes(&m));
    mk_buf_done(&m);
    l->ask_ns = now + l->ask_gap_ms * MK_MS;
    l->ask_gap_ms = 2 * l->ask_gap_ms < LAN_ASK_LAST_MS ? 2 * l->ask_gap_ms : LAN_ASK_LAST_MS;
}

static void lan_timer_cb(struct mk_timer *t)
{
    struct mk_lan *l = mk_container_of(t, struct mk_lan, timer);
    uint64_t now = mk_now(l->d->env);

    if (now >= l->answer_ns) {
        lan_answer(l, MK_LAN_TTL_S);
        if (l->announcements > 0 && --l->announcements > 0)
            l->answer_ns = now + LAN_ANSWER_GAP_NS;
    }
    if (now >= l->ask_ns)
        lan_ask(l);
    lan_arm(l);
}

/* --- hearing ----------------------------------------------------------------------------- */

static bool lan_admits(struct mk_lan *l)
{
    uint64_t now = mk_now(l->d->env), gone_ms = (now - l->filled_ns) / MK_MS;

    l->filled_ns += gone_ms * MK_MS;
    l->tokens += gone_ms * LAN_RATE;
    if (l->tokens > LAN_BURST * 1000)
        l->tokens = LAN_BURST * 1000;
    if (l->tokens < 1000)
        return false;
    l->tokens -= 1000;
    return true;
}

static void lan_asked(struct mk_lan *l, const struct mk_lan_said *said)
{
    uint64_t now = mk_now(l->d->env), at = now + lan_chance_ns(l);

    for (unsigned i = 0; i < said->n_known; i++) {
        if (memcmp(said->known[i].b, l->self.peer.b, 20) == 0)
            return;
    }
    if (l->self.port == 0 || l->answer_ns != UINT64_MAX)
        return;
    if (l->answered_ns != 0 && at < l->answered_ns + LAN_ANSWER_GAP_NS)
        at = l->answered_ns + LAN_ANSWER_GAP_NS;
    l->answer_ns = at;
    lan_arm(l);
}

static void lan_remember(struct mk_lan *l, const struct mk_peer *peer, uint64_t until_ns)
{
    unsigned oldest = 0;

    for (unsigned i = 0; i < l->n_known; i++) {
        if (mk_peer_eq(&l->known[i].peer, peer)) {
            l->known[i].until_ns = until_ns;
            return;
        }
        if (l->known[i].until_ns < l->known[oldest].until_ns)
            oldest = i;
    }
    if (l->n_known < MK_LAN_PEERS_MAX)
        oldest = l->n_known++;
    l->known[oldest] = (struct lan_known){*peer, until_ns};
}

/* Somebody says that he is there, or that he leaves. */
static void lan_told(struct mk_lan *l, const struct mk_lan_peer *p, const char *from)
{
    struct mk_discovery *d = l->d;
    uint64_t now = mk_now(d->env);
    uint32_t ttl_s = p->ttl_s < MK_LAN_TTL_S ? p->ttl_s : MK_LAN_TTL_S;
    char address[MK_ENTRY_ADDRESS_MAX + 1];

    if (mk_peer_eq(&p->peer, &d->self))
        return;
    if (!mk_id_eq(&p->universe, &d->network)) {
        d->stats.lan_ignored++;
        return;
    }
    d->stats.lan_heard++;
    if (p->has_address)
        snprintf(address, sizeof address, "%u.%u.%u.%u:%u", p->address[0], p->address[1],
                 p->address[2], p->address[3], p->port);
    else
        snprintf(address, sizeof address, "%s:%u", from, p->port);
    lan_remember(l, &p->peer, now + ttl_s * MK_S / 2);
    mk_contacts_lan(d, &p->peer, address, now + ttl_s * MK_S);
}

static void lan_got(struct mk_cast *c, struct mk_bytes datagram, const char *from)
{
    struct mk_lan *l = mk_container_of(c, struct mk_lan, cast);
    struct mk_lan_said said;

    if (!lan_admits(l) || mk_lan_read(&said, datagram) != 0) {
        l->d->stats.lan_ignored++;
        return;
    }
    if (said.asks)
        lan_asked(l, &said);
    for (unsigned i = 0; i < said.n_peers; i++)
        lan_told(l, &said.peers[i], from);
}

/* --- opening ----------------------------------------------------------------------------- */

/* Where we say that we are: the first address of our entry. */
static void lan_self(struct mk_lan *l)
{
    struct mk_discovery *d = l->d;
    char address[MK_ENTRY_ADDRESS_MAX + 1];

    l->self = (struct mk_lan_peer){.peer = d->self, .universe = d->network};
    if (d->observe_only || d->n_addresses == 0)
        return;
    snprintf(address, sizeof address, "%.*s", (int)d->addresses[0].n,
             (const char *)d->addresses[0].p);
    mk_lan_place(&l->self, address);
}

int mk_discovery_lan(struct mk_discovery *d, const char *interface, struct mk_fault *reterr)
{
    struct mk_lan *l;
    uint64_t now = mk_now(d->env);
    int rv;

    if (d->lan != NULL)
        return mk_fault(reterr, MK_EEXISTS, "the local network is listened to already");
    l = mk_alloc(sizeof *l);
    l->d = d;
    l->cast.got = lan_got;
    l->timer.cb = lan_timer_cb;
    l->tokens = LAN_BURST * 1000;
    l->filled_ns = now;
    rv = mk_cast_open(d->env, &l->cast, MK_LAN_GROUP, interface, reterr);
    if (rv != 0) {
        mk_free(l);
        return rv;
    }
    lan_self(l);
    l->announcements = l->self.port != 0 ? LAN_ANNOUNCEMENTS : 0;
    l->answer_ns = l->self.port != 0 ? now + lan_chance_ns(l) : UINT64_MAX;
    l->ask_ns = now + lan_chance_ns(l);
    l->ask_gap_ms = LAN_ASK_FIRST_MS;
    d->lan = l;
    lan_arm(l);
    return 0;
}

void mk_lan_close(struct mk_discovery *d)
{
    struct mk_lan *l = d->lan;

    if (l == NULL)
        return;
    if (l->self.port != 0)
        lan_answer(l, 0);
    mk_timer_stop(&l->timer);
    mk_cast_close(&l->cast);
    mk_free(l);
    d->lan = NULL;
}
