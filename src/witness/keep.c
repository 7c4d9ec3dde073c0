/* keep.c - what was seen of collateral outlives the process: without it, whoever writes into the
 * collateral's directory could go back to older documents over a restart.
 *
 *     collateral/<root's id>      mk_collateral_seen()
 *
 * It is written before a verdict that rests on newer documents is used; without a directory (an
 * integrator's) there is nothing to keep it in. */
#include "witness/witness_int.h"

#include <stdio.h>

#define SEEN_BYTES_MAX (1u << 20)

static void path_of(char out[96], struct mk_bytes seen)
{
    char hex[65];

    mk_hex(hex, seen.p + 1, 32);
    snprintf(out, 96, "collateral/%s", hex);
}

void keep_recall(struct mk_witness *w)
{
    struct mk_buf now = {0}, kept = {0};
    struct mk_fault f = {{0}};
    char path[96];

    mk_collateral_seen(w->collateral, &now);
    path_of(path, mk_buf_bytes(&now));
    if (mk_file_load(w->env, path, SEEN_BYTES_MAX, &kept) == 0 &&
        mk_collateral_recall(w->collateral, mk_buf_bytes(&kept), &f) != 0)
        snprintf(w->fault, sizeof w->fault, "%.250s", f.text);
    mk_buf_done(&now);
    mk_buf_done(&kept);
}

void keep_seen(struct mk_witness *w)
{
    struct mk_buf now = {0}, kept = {0};
    char path[96];

    mk_collateral_seen(w->collateral, &now);
    path_of(path, mk_buf_bytes(&now));
    if (mk_mkdir(w->env, "collateral") == 0 && mk_dir_sync(w->env, "") == 0 &&
        (mk_file_load(w->env, path, SEEN_BYTES_MAX, &kept) != 0 ||
         !mk_bytes_eq(mk_buf_bytes(&kept), mk_buf_bytes(&now))) &&
        mk_file_store(w->env, path, mk_buf_bytes(&now)) != 0)
        snprintf(w->fault, sizeof w->fault, "collateral: what was seen could not be kept");
    mk_buf_done(&now);
    mk_buf_done(&kept);
}
