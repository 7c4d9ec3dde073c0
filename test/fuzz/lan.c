/* lan.c - what anybody on the local network may send: DNS messages.
 *
 * Whoever is told of in an accepted message can be told of again, and is read as the same. */
#include "discovery/dns.h"
#include "discovery/lan_wire.h"
#include "targets.h"

#include <string.h>

static void check_peer(const struct mk_lan_peer *p)
{
    struct mk_lan_said said;
    struct mk_buf m = {0};

    FUZZ_CHECK(p->port != 0);
    mk_lan_put_answer(&m, p);
    FUZZ_CHECK(mk_lan_read(&said, mk_buf_bytes(&m)) == 0);
    FUZZ_CHECK(said.n_peers == 1 && !said.asks);
    FUZZ_CHECK(mk_peer_eq(&said.peers[0].peer, &p->peer));
    FUZZ_CHECK(mk_id_eq(&said.peers[0].universe, &p->universe));
    FUZZ_CHECK(said.peers[0].port == p->port && said.peers[0].ttl_s == p->ttl_s);
    FUZZ_CHECK(said.peers[0].has_address == p->has_address &&
               (!p->has_address || memcmp(said.peers[0].address, p->address, 4) == 0));
    mk_buf_done(&m);
}

/* Names anywhere in it end, and move on. */
static void check_names(const uint8_t *p, size_t n)
{
    struct mk_dns_reader r;

    if (mk_dns_open(&r, MK_BYTES(p, n)) != 0)
        return;
    for (size_t i = 12; i < n && i < 200; i++) {
        struct mk_dns_name name;
        size_t at = i;

        if (mk_dns_read_name(&r, &at, &name) != 0)
            continue;
        FUZZ_CHECK(at > i && at <= n);
        FUZZ_CHECK(name.n > 0 && name.n <= MK_DNS_NAME_MAX && name.b[name.n - 1] == 0);
    }
}

bool fuzz_lan(const uint8_t *p, size_t n)
{
    struct mk_lan_said said;

    check_names(p, n);
    if (mk_lan_read(&said, MK_BYTES(p, n)) != 0)
        return false;
    FUZZ_CHECK(said.n_peers <= MK_LAN_PEERS_MAX && said.n_known <= MK_LAN_PEERS_MAX);
    for (unsigned i = 0; i < said.n_peers; i++)
        check_peer(&said.peers[i]);
    return true;
}

static void make_peer(struct fuzz_random *r, struct mk_lan_peer *p)
{
    *p = (struct mk_lan_peer){.port = (uint16_t)(1 + fuzz_below(r, 65535)),
                              .ttl_s = (uint32_t)fuzz_odd_number(r),
                              .has_address = fuzz_below(r, 2) == 0};
    for (unsigned i = 0; i < 32; i++) {
        p->peer.b[i] = (uint8_t)fuzz_u64(r);
        p->universe.b[i] = (uint8_t)fuzz_u64(r);
        p->address[i % 4] = (uint8_t)fuzz_u64(r);
    }
}

void fuzz_make_lan(struct fuzz_random *r, struct mk_buf *out)
{
    struct mk_lan_peer peers[MK_LAN_PEERS_MAX];
    struct mk_peer known[MK_LAN_PEERS_MAX];
    unsigned n = (unsigned)fuzz_below(r, MK_LAN_PEERS_MAX + 1);

    for (unsigned i = 0; i < MK_LAN_PEERS_MAX; i++) {
        make_peer(r, &peers[i]);
        known[i] = peers[i].peer;
    }
    if (fuzz_below(r, 2) == 0)
        mk_lan_put_question(out, known, n);
    else
        mk_lan_put_answer(out, &peers[0]);
}
