/* peers.c - what peers say of themselves, as programs see it: tags, entries, comparing with one
 * peer, and the rule by tags for streams. */
#include "node/network.h"
#include <mosaik/stream.h>

#include <stdio.h>

_Static_assert(MK_NETWORK_TAGS_MAX == MK_ENTRY_TAGS_MAX, "an entry has room for them");

int mk_network_tag(struct mk_network *n, const struct mk_str *tags, size_t n_tags)
{
    struct mk_id ids[MK_ENTRY_TAGS_MAX];

    if (n_tags > MK_ENTRY_TAGS_MAX)
        return MK_ELIMIT;
    for (size_t i = 0; i < n_tags; i++)
        ids[i] = mk_id_of_text(tags[i]);
    return mk_discovery_tag(n->discovery, ids, n_tags);
}

bool mk_network_tagged(struct mk_network *n, const struct mk_peer *peer, const struct mk_id *tag)
{
    return mk_discovery_has_tag(n->discovery, peer, tag);
}

size_t mk_network_peers(struct mk_network *n)
{
    return mk_discovery_size(n->discovery);
}

int mk_network_feed(struct mk_network *n, struct mk_bytes entry, struct mk_fault *reterr)
{
    return mk_discovery_feed(n->discovery, entry, reterr);
}

int mk_network_entry(struct mk_network *n, struct mk_bytes *ret)
{
    return mk_discovery_self(n->discovery, ret);
}

/* --- comparing --------------------------------------------------------------------------- */

struct syncing {
    struct mk_wait wait; /* first */
    struct mk_discovery_sync sync;
};

static void synced_cb(struct mk_discovery_sync *s, int status, const struct mk_fault *fault)
{
    struct syncing *q = mk_container_of(s, struct syncing, sync);

    q->wait.done = true;
    q->wait.status = status;
    q->wait.fault = *fault;
}

int mk_network_sync_wait(struct mk_network *n, struct mk_str peer, uint32_t timeout_ms,
                         struct mk_fault *reterr)
{
    struct syncing q = {.sync = {.cb = synced_cb}};
    char address[MK_HOST_PORT_MAX], detail[MK_REASON_MAX];
    struct mk_peer who;
    unsigned close;
    int rv = mk_net_parse_address(&who, address, peer, reterr);

    if (rv != 0)
        return rv;
    if (mk_peer_eq(&who, &n->key.peer))
        return mk_fault(reterr, MK_EINVALID, "that is this agent itself");
    mk_discovery_sync(n->discovery, &q.sync, &who, address);
    if (!mk_loop_run_until(n->env, mk_wait_done, &q, timeout_ms)) {
        mk_discovery_diagnose(n->discovery, &who, &close, detail);
        mk_discovery_sync_cancel(&q.sync);
        return mk_fault(reterr, MK_EUNREACHABLE, "%s%s%s", mk_close_text(close),
                        detail[0] != 0 ? ": " : "", detail);
    }
    if (q.wait.status != 0 && reterr != NULL)
        *reterr = q.wait.fault;
    return q.wait.status;
}

void mk_network_why_not(struct mk_network *n, const struct mk_peer *peer, char ret[MK_FAULT_MAX])
{
    char detail[MK_REASON_MAX];
    unsigned close;

    ret[0] = '\0';
    if (mk_net_link(n->net, peer) != NULL)
        return;
    mk_discovery_diagnose(n->discovery, peer, &close, detail);
    snprintf(ret, MK_FAULT_MAX, "%s%s%s", mk_close_text(close), detail[0] != '\0' ? ": " : "",
             detail);
}

/* --- the rule by tags ----------------------------------------------------------------------- */

static bool tag_rule_admits(struct mk_stream_rule *rule, const struct mk_bearer *b, uint32_t rtt_us,
                            char reason[256])
{
    const struct mk_tag_rule *r = mk_container_of(rule, struct mk_tag_rule, rule);
    struct mk_peer_entry entry;

    (void)rtt_us;
    for (size_t i = 0; i < r->n_words; i++) {
        const struct mk_id id = mk_id_of_text(r->words[i]);
        int word = r->words[i].n < 128 ? (int)r->words[i].n : 128;

        if (mk_network_tagged(r->network, &b->peer, &id))
            continue;
        rule->unknown = mk_discovery_entry(r->network->discovery, &entry, &b->peer) != 0;
        snprintf(reason, 256,
                 rule->unknown
                     ? "the tag \"%.*s\" is asked for, and its entry is not known here yet"
                     : "its entry does not show the tag \"%.*s\"",
                 word, r->words[i].p);
        return false;
    }
    return true;
}

void mk_tag_rule_init(struct mk_tag_rule *r, struct mk_network *n, const struct mk_str *words,
                      size_t n_words)
{
    *r = (struct mk_tag_rule){
        .rule = {.admits = tag_rule_admits}, .network = n, .words = words, .n_words = n_words};
}
