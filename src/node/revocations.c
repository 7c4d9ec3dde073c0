/* revocations.c - lists of revoked tickets on a network handle: they come by discovery into the
 * issuer book, bonds that run are judged again, and the lists are kept in the loop's directory,
 * so that a restart of everybody at once forgets no revocation.
 *
 *     revocations/<issuer's root>      pc(SignedRevocations), the newest
 *
 * Without a directory there is nothing to keep them in: an integrator hears them anew. */
#include "node/network.h"

#include <stdio.h>

static void path_of(char out[96], const struct mk_id *root)
{
    char hex[MK_ID_HEX];

    snprintf(out, 96, "revocations/%s", mk_id_hex(root, hex));
}

/** Writes what is not on disk yet. */
static void keep_lists(struct mk_network *n)
{
    struct mk_issuer_state st;

    for (size_t i = 0; mk_issuer_book_state(n->issuers, i, &st, mk_wall_ms(n->env)); i++) {
        struct mk_buf old = {0};
        struct mk_bytes list;
        char path[96];

        path_of(path, &st.root);
        if (mk_discovery_list(n->discovery, &list, &st.root) == 0 &&
            (mk_file_load(n->env, path, MK_REVOCATIONS_BYTES_MAX, &old) != 0 ||
             !mk_bytes_eq(mk_buf_bytes(&old), list)) &&
            mk_mkdir(n->env, "revocations") == 0 && mk_dir_sync(n->env, "") == 0)
            mk_file_store(n->env, path, list);
        mk_buf_done(&old);
    }
}

void mk_network_lists_changed(struct mk_network *n)
{
    uint64_t changes = mk_issuer_book_changes(n->issuers);

    if (changes == n->lists_seen)
        return;
    n->lists_seen = changes;
    keep_lists(n);
    mk_streams_rejudge(&n->streams);
}

/** At the end of the first turn: by then the issuers' rosters are in the book. */
static void recall_cb(struct mk_task *t)
{
    struct mk_network *n = mk_container_of(t, struct mk_network, recall);
    struct mk_issuer_state st;

    for (size_t i = 0; mk_issuer_book_state(n->issuers, i, &st, mk_wall_ms(n->env)); i++) {
        struct mk_buf list = {0};
        char path[96];

        path_of(path, &st.root);
        if (mk_file_load(n->env, path, MK_REVOCATIONS_BYTES_MAX, &list) == 0)
            mk_discovery_revoke(n->discovery, mk_buf_bytes(&list), NULL); /* or it is too old */
        mk_buf_done(&list);
    }
}

void mk_network_lists_recall(struct mk_network *n)
{
    n->recall.cb = recall_cb;
    mk_later(n->env, &n->recall);
}

struct mk_issuer_book *mk_network_issuers(struct mk_network *n)
{
    return n->issuers;
}

int mk_network_revoke(struct mk_network *n, struct mk_bytes list, struct mk_fault *reterr)
{
    int rv = mk_discovery_revoke(n->discovery, list, reterr);

    return rv == MK_EEXISTS ? 0 : rv;
}
