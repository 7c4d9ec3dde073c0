/* lan_wire.c - see lan_wire.h.
 *
 * Records of one message are gathered by name, then put together: a peer counts when its SRV and
 * its TXT are there. That its TXT says whom it speaks of, and that the name agrees with it, is all
 * that is checked: nothing here is proven, and nothing is believed but where to dial. */
#include "discovery/lan_wire.h"

#include "discovery/dns.h"
#include "env/address.h"
#include <mosaik/error.h>

#include <stdio.h>
#include <string.h>

#define SERVICE "_coalition._tcp.local"
#define NAME_HEX 40u

/* What was said of one instance. */
struct instance {
    struct mk_dns_name name, host;
    bool has_srv, has_txt;
    struct mk_lan_peer peer;
};

struct gathered {
    struct mk_dns_name service;
    struct instance v[MK_LAN_PEERS_MAX];
    unsigned n;
};

static void peer_label(char out[NAME_HEX + 1], const struct mk_peer *peer)
{
    char hex[MK_ID_HEX];

    mk_peer_hex(peer, hex);
    memcpy(out, hex, NAME_HEX);
    out[NAME_HEX] = 0;
}

static struct mk_dns_name instance_name(const struct mk_peer *peer)
{
    char label[NAME_HEX + 1], text[NAME_HEX + sizeof SERVICE + 1];

    peer_label(label, peer);
    snprintf(text, sizeof text, "%s.%s", label, SERVICE);
    return mk_dns_name_of(text);
}

static struct mk_dns_name host_name(const struct mk_peer *peer)
{
    char label[NAME_HEX + 1], text[NAME_HEX + 8];

    peer_label(label, peer);
    snprintf(text, sizeof text, "%s.local", label);
    return mk_dns_name_of(text);
}

/* --- reading ------------------------------------------------------------------------------- */

/* Is it <one label>.<service>? */
static bool is_instance(const struct gathered *g, const struct mk_dns_name *name)
{
    size_t label = 1u + name->b[0];

    return name->n == label + g->service.n &&
           memcmp(name->b + label, g->service.b, g->service.n) == 0;
}

static struct instance *instance_get(struct gathered *g, const struct mk_dns_name *name)
{
    for (unsigned i = 0; i < g->n; i++) {
        if (mk_dns_name_eq(&g->v[i].name, name))
            return &g->v[i];
    }
    if (g->n == MK_LAN_PEERS_MAX || !is_instance(g, name))
        return NULL;
    g->v[g->n].name = *name;
    return &g->v[g->n++];
}

/* "key=<64 hex>" among the strings of a TXT; the first counts (RFC 6763 section 6.4). */
static bool txt_id(struct mk_id *ret, struct mk_bytes txt, const char *key)
{
    size_t n = strlen(key);

    for (size_t at = 0; at < txt.n; at += 1u + txt.p[at]) {
        struct mk_str s = {(const char *)txt.p + at + 1, txt.p[at]};

        if (s.n > txt.n - at - 1)
            return false;
        if (s.n > n && memcmp(s.p, key, n) == 0)
            return mk_id_unhex(ret, (struct mk_str){s.p + n, s.n - n}) == 0;
    }
    return false;
}

static void take_txt(struct instance *i, const struct mk_dns_record *rec)
{
    struct mk_dns_name named;
    struct mk_id peer;

    if (!txt_id(&peer, rec->data, "peer=") || !txt_id(&i->peer.universe, rec->data, "universe="))
        return;
    memcpy(i->peer.peer.b, peer.b, sizeof i->peer.peer.b);
    named = instance_name(&i->peer.peer);
    i->has_txt = mk_dns_name_eq(&named, &i->name);
    i->peer.ttl_s = rec->ttl;
}

static void take_srv(const struct mk_dns_reader *r, struct instance *i,
                     const struct mk_dns_record *rec)
{
    size_t at = rec->data_at + 6;

    if (rec->data.n < 7 || mk_dns_read_name(r, &at, &i->host) != 0 ||
        at != rec->data_at + rec->data.n)
        return;
    i->peer.port = (uint16_t)(256u * rec->data.p[4] + rec->data.p[5]);
    i->has_srv = i->peer.port != 0;
}

static void take_record(const struct mk_dns_reader *r, struct gathered *g,
                        const struct mk_dns_record *rec)
{
    struct instance *i =
        rec->type == MK_DNS_SRV || rec->type == MK_DNS_TXT ? instance_get(g, &rec->name) : NULL;

    if (i != NULL && rec->type == MK_DNS_TXT)
        take_txt(i, rec);
    else if (i != NULL)
        take_srv(r, i, rec);
}

/* Addresses are looked for when the hosts are known. */
static void take_addresses(struct gathered *g, struct mk_dns_reader r)
{
    struct mk_dns_record rec;

    while (mk_dns_record(&r, &rec)) {
        if (rec.type != MK_DNS_A || rec.data.n != 4)
            continue;
        for (unsigned i = 0; i < g->n; i++) {
            if (!g->v[i].has_srv || !mk_dns_name_eq(&g->v[i].host, &rec.name))
                continue;
            g->v[i].peer.has_address = true;
            memcpy(g->v[i].peer.address, rec.data.p, 4);
        }
    }
}

/* Known answers of a question name instances alone. */
static void take_known(struct mk_lan_said *ret, const struct mk_dns_reader *r,
                       const struct gathered *g, const struct mk_dns_record *rec)
{
    char hex[MK_ID_HEX];
    struct mk_dns_name name;
    struct mk_id id;
    size_t at = rec->data_at;

    if (rec->type != MK_DNS_PTR || !mk_dns_name_eq(&rec->name, &g->service) ||
        ret->n_known == MK_LAN_PEERS_MAX || mk_dns_read_name(r, &at, &name) != 0 ||
        !is_instance(g, &name) || name.b[0] != NAME_HEX)
        return;
    memset(hex, '0', sizeof hex);
    memcpy(hex, name.b + 1, NAME_HEX);
    if (mk_id_unhex(&id, (struct mk_str){hex, 64}) == 0)
        memcpy(ret->known[ret->n_known++].b, id.b, sizeof id.b);
}

int mk_lan_read(struct mk_lan_said *ret, struct mk_bytes message)
{
    struct gathered g = {.service = mk_dns_name_of(SERVICE)};
    struct mk_dns_reader r, records;
    struct mk_dns_question q;
    struct mk_dns_record rec;
    int rv = mk_dns_open(&r, message);

    *ret = (struct mk_lan_said){0};
    if (rv != 0)
        return rv;
    while (mk_dns_question(&r, &q))
        ret->asks |= mk_dns_name_eq(&q.name, &g.service) && q.class == MK_DNS_IN &&
                     (q.type == MK_DNS_PTR || q.type == MK_DNS_ANY);
    records = r;
    while (mk_dns_record(&r, &rec)) {
        if (rec.class != MK_DNS_IN)
            continue;
        if ((r.flags & 0x8000) == 0)
            take_known(ret, &r, &g, &rec);
        else
            take_record(&r, &g, &rec);
    }
    if (r.failed || r.at != message.n)
        return MK_EMALFORMED;
    take_addresses(&g, records);
    for (unsigned i = 0; i < g.n; i++) {
        if (g.v[i].has_srv && g.v[i].has_txt)
            ret->peers[ret->n_peers++] = g.v[i].peer;
    }
    return 0;
}

/* --- writing ------------------------------------------------------------------------------- */

void mk_lan_put_question(struct mk_buf *out, const struct mk_peer *known, unsigned n_known)
{
    const struct mk_dns_name service = mk_dns_name_of(SERVICE);

    mk_dns_put_header(out, 0, 1, n_known, 0);
    mk_dns_put_question(out, &service, MK_DNS_PTR);
    for (unsigned i = 0; i < n_known; i++) {
        struct mk_dns_name name = instance_name(&known[i]);

        mk_dns_put_record(out, &service, MK_DNS_PTR, MK_DNS_IN, MK_LAN_TTL_S,
                          MK_BYTES(name.b, name.n));
    }
}

static void put_string(struct mk_buf *out, const char *key, const char *hex)
{
    mk_buf_put_u8(out, (uint8_t)(strlen(key) + strlen(hex)));
    mk_buf_put(out, key, strlen(key));
    mk_buf_put(out, hex, strlen(hex));
}

void mk_lan_put_answer(struct mk_buf *out, const struct mk_lan_peer *p)
{
    const struct mk_dns_name service = mk_dns_name_of(SERVICE), name = instance_name(&p->peer),
                             host = host_name(&p->peer);
    struct mk_buf srv = {0}, txt = {0};
    char hex[MK_ID_HEX];

    mk_dns_put_header(out, MK_DNS_RESPONSE, 0, 3, p->has_address);
    mk_dns_put_record(out, &service, MK_DNS_PTR, MK_DNS_IN, p->ttl_s, MK_BYTES(name.b, name.n));
    mk_dns_put_u16(&srv, 0); /* priority, weight */
    mk_dns_put_u16(&srv, 0);
    mk_dns_put_u16(&srv, p->port);
    mk_buf_put(&srv, host.b, host.n);
    mk_dns_put_record(out, &name, MK_DNS_SRV, MK_DNS_IN | MK_DNS_FLUSH, p->ttl_s,
                      mk_buf_bytes(&srv));
    put_string(&txt, "peer=", mk_peer_hex(&p->peer, hex));
    put_string(&txt, "universe=", mk_id_hex(&p->universe, hex));
    mk_dns_put_record(out, &name, MK_DNS_TXT, MK_DNS_IN | MK_DNS_FLUSH, p->ttl_s,
                      mk_buf_bytes(&txt));
    if (p->has_address)
        mk_dns_put_record(out, &host, MK_DNS_A, MK_DNS_IN | MK_DNS_FLUSH, p->ttl_s,
                          MK_BYTES(p->address, 4));
    mk_buf_done(&srv);
    mk_buf_done(&txt);
}

/* "a.b.c.d", and nothing else. */
static bool ipv4(uint8_t ret[4], const char *host)
{
    for (unsigned i = 0; i < 4; i++) {
        unsigned v = 0, digits = 0;

        for (; *host >= '0' && *host <= '9' && digits < 3; digits++)
            v = 10 * v + (unsigned)(*host++ - '0');
        if (digits == 0 || v > 255 || *host++ != (i < 3 ? '.' : 0))
            return false;
        ret[i] = (uint8_t)v;
    }
    return true;
}

void mk_lan_place(struct mk_lan_peer *p, const char *address)
{
    char host[MK_HOST_MAX];

    if (mk_address_split(address, host, &p->port) != 0)
        return;
    p->has_address = ipv4(p->address, host) && p->address[0] != 0 && p->address[0] != 127;
}
