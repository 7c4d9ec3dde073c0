/* lan_wire.h - what peers of one local network tell each other by DNS-SD (RFC 6763):
 *
 *   PTR  _coalition._tcp.local -> <40 hex>._coalition._tcp.local
 *   SRV  <40 hex>._coalition._tcp.local -> port, <40 hex>.local
 *   TXT  the same name: "peer=<64 hex>" "universe=<64 hex>"
 *   A    <40 hex>.local -> address, when it is one and known
 *
 * <40 hex> begins the peer id: a label has room for no more. */
#ifndef DISCOVERY_LAN_WIRE_H
#define DISCOVERY_LAN_WIRE_H

#include <mosaik/id.h>
#include <mosaik/key.h>

#define MK_LAN_GROUP "224.0.0.251:5353"
#define MK_LAN_TTL_S 120u
#define MK_LAN_PEERS_MAX 16u /* of one message */

struct mk_lan_peer {
    struct mk_peer peer;
    struct mk_id universe;
    uint16_t port;
    bool has_address;
    uint8_t address[4];
    uint32_t ttl_s; /* 0: it leaves */
};

struct mk_lan_said {
    bool asks;                                  /* who is there? */
    struct mk_lan_peer peers[MK_LAN_PEERS_MAX]; /* told: in a question, known already */
    unsigned n_peers;
    struct mk_peer
        known[MK_LAN_PEERS_MAX]; /* in a question: whose answer is not wanted; the first */
    unsigned n_known;            /*   20 bytes of each */
};
/** Reads a message: what of it is of our service; foreign services are passed over. Peers beyond
 * the limit are left out. MK_EMALFORMED, MK_ELIMIT. */
int mk_lan_read(struct mk_lan_said *ret, struct mk_bytes message);
/** "Who is there?", with those that are known and need not answer. */
void mk_lan_put_question(struct mk_buf *out, const struct mk_peer *known, unsigned n_known);
/** Sets port and address from "host:port" where it says one that others can use: a name, 0.0.0.0
 * and loopback set the port alone. What is no address sets nothing. */
void mk_lan_place(struct mk_lan_peer *p, const char *address);
void mk_lan_put_answer(struct mk_buf *out, const struct mk_lan_peer *p);

#endif
