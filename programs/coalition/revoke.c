/* revoke.c - `coalition tickets revoke`: an issuer's list of revoked tickets, signed by the key
 * files of a majority of its roster, and spread.
 *
 * A list takes the place of the one before, so it names every ticket that is to stay revoked:
 * --list reads the one before. Its version is the time of its signing; it counts for 24 hours, so
 * an issuer with revoked tickets signs it again each day (`revoke --list OLD`). It is spread like
 * any record: one node that takes it is enough, and the command waits until one says that it has.
 */
#include "revoke.h"
#include "agent.h"
#include "issuer.h"

#include <mosaik/issuers.h>
#include <mosaik/node.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ASK_MS 1000u /* a round of questions */

struct list {
    struct mk_b16 *jti;
    size_t n;
    uint64_t version;
    struct mk_buf bytes; /* pc(SignedRevocations) */
    struct mk_arena arena;
};

static int compare(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct mk_b16));
}

/** The tickets of an earlier list of the same issuer; its version is a floor for ours. */
static int take_earlier(struct list *l, const char *path, const struct issuer *i)
{
    struct mk_signed_revocations body;
    struct mk_ticket_revocations old;
    struct mk_fault fault = {{0}};
    struct mk_buf b = {0};
    int rv = read_named(path, &b, &fault);
    struct mk_bytes bytes = {mk_arena_copy(&l->arena, b.p, b.n), b.n};

    mk_buf_done(&b);
    if (rv != 0)
        return complain_of(rv, &fault);
    if (mk_decode(&body, &mk_signed_revocations_type, bytes, &l->arena, &fault) != 0 ||
        mk_decode(&old, &mk_ticket_revocations_type, body.list, &l->arena, &fault) != 0)
        return complain(STATUS_USAGE, "%s: not a list of revocations: %s", path, fault.text);
    if (!mk_id_eq(&old.root, &i->ids.tickets_root))
        return complain(STATUS_USAGE, "%s: it is a list of another issuer", path);
    memcpy(l->jti, old.jti.v, old.jti.n * sizeof *l->jti);
    l->n = old.jti.n;
    l->version = old.version;
    return 0;
}

static int gather(struct list *l, const struct revoke *r, const struct issuer *i)
{
    struct timespec now;
    uint64_t now_ms;
    size_t kept = 0;
    int status = 0;

    l->jti = mk_arena_take(&l->arena, (MK_REVOCATIONS_MAX + REVOKE_MAX) * sizeof *l->jti);
    if (r->list != NULL)
        status = take_earlier(l, r->list, i);
    if (status != 0)
        return status;
    memcpy(l->jti + l->n, r->jti, r->n_jti * sizeof *l->jti);
    l->n += r->n_jti;
    qsort(l->jti, l->n, sizeof *l->jti, compare);
    for (size_t k = 0; k < l->n; k++) {
        if (kept == 0 || compare(&l->jti[kept - 1], &l->jti[k]) != 0)
            l->jti[kept++] = l->jti[k];
    }
    l->n = kept;
    if (l->n > MK_REVOCATIONS_MAX)
        return complain(STATUS_USAGE, "a list holds at most %u tickets", MK_REVOCATIONS_MAX);
    clock_gettime(CLOCK_REALTIME, &now);
    now_ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
    l->version = now_ms > l->version ? now_ms : l->version + 1;
    return 0;
}

static void sign_list(const struct mk_key *key, const struct issuer *i, struct mk_bytes list,
                      struct mk_signature *ret)
{
    mk_revocations_sign(key, &i->ids.tickets_root, i->roster.epoch, list, ret);
}

static int build(struct list *l, const struct revoke *r, const struct issuer *i)
{
    struct mk_ticket_revocations list = {.root = i->ids.tickets_root,
                                         .epoch = i->roster.epoch,
                                         .version = l->version,
                                         .jti = {l->jti, l->n}};
    struct mk_peer_signature shares[MK_ROSTER_MAX];
    struct mk_fault fault = {{0}};
    struct mk_buf body = {0};
    int status, rv;

    mk_encode(&body, &mk_ticket_revocations_type, &list);
    status = issuer_sign(i, shares, r->keys, r->n_keys, sign_list, mk_buf_bytes(&body));
    if (status == 0) {
        rv = mk_revocations_build(&l->bytes, mk_buf_bytes(&body), shares, r->n_keys, &fault);
        if (rv == 0 && l->bytes.n > MK_REVOCATIONS_BYTES_MAX)
            rv = mk_fault(&fault, MK_ELIMIT, "the list is larger than %u bytes",
                          MK_REVOCATIONS_BYTES_MAX);
        status = rv != 0 ? complain_of(rv, &fault) : 0;
    }
    mk_buf_done(&body);
    return status;
}

/* --- spreading ------------------------------------------------------------------------- */

static bool has_list(const struct mk_status_answer *a, const struct mk_id *root, uint64_t version)
{
    json_t *o = a->status == 0 ? json_loadb((const char *)a->json.p, a->json.n, 0, NULL) : NULL;
    const json_t *issuer;
    char hex[MK_ID_HEX];
    bool has = false;
    size_t i;

    mk_id_hex(root, hex);
    json_array_foreach(json_object_get(o, "issuers"), i, issuer)
    {
        const char *named = json_string_value(json_object_get(issuer, "root"));
        json_int_t known = json_integer_value(json_object_get(issuer, "list_ms"));

        has |= named != NULL && strcmp(named, hex) == 0 && (uint64_t)known >= version;
    }
    json_decref(o);
    return has;
}

/** How many of the file's members have the list by now. */
static unsigned count_having(struct agent *a, const struct list *l, uint32_t timeout_ms)
{
    struct mk_status_answer *v;
    size_t n = agent_members(a, &v);
    unsigned having = 0;

    mk_node_ask_all(a->net, v, n, timeout_ms);
    for (size_t i = 0; i < n; i++) {
        having += has_list(&v[i], &a->ids.tickets_root, l->version);
        mk_buf_done(&v[i].json);
    }
    return having;
}

static int spread(const struct revoke *r, const struct list *l, unsigned *ret_having)
{
    const uint64_t deadline = deadline_in(r->timeout_ms);
    struct mk_fault fault = {{0}};
    struct agent a;
    int status = agent_open(&a, r->file, NULL), rv;

    *ret_having = 0;
    if (status == 0) {
        rv = mk_network_revoke(a.net, mk_buf_bytes(&l->bytes), &fault);
        status = rv != 0 ? complain_of(rv, &fault) : 0;
    }
    while (status == 0 && *ret_having == 0 && left_until(deadline) > 1) {
        uint32_t left = left_until(deadline);

        mk_loop_turn(a.loop, 20);
        *ret_having = count_having(&a, l, left < ASK_MS ? left : ASK_MS);
    }
    if (status == 0 && *ret_having == 0)
        status = complain(STATUS_TIMEOUT,
                          "no node of the file says that it has the list; run it again, with the "
                          "list that was written, until one does");
    agent_close(&a);
    return status;
}

/* --- the command ----------------------------------------------------------------------- */

static void tell(const struct revoke *r, const struct list *l, unsigned having)
{
    if (r->json)
        print_json(json_pack("{s:I, s:I, s:s?, s:i}", "version", (json_int_t)l->version, "revoked",
                             (json_int_t)l->n, "file", r->out, "nodes", (int)having));
    else
        printf("%zu on the list of %llu, which %u nodes have%s%s\n", l->n,
               (unsigned long long)l->version, having, r->out != NULL ? ", in " : "",
               r->out != NULL ? r->out : "");
}

int revoke(const struct revoke *r)
{
    struct mk_fault fault = {{0}};
    struct issuer i;
    struct list l = {0};
    unsigned having = 0;
    int status = issuer_open(&i, r->file), rv;

    if (status != 0)
        return status;
    status = gather(&l, r, &i);
    if (status == 0)
        status = build(&l, r, &i);
    if (status == 0 && r->out != NULL) {
        rv = write_file(r->out, mk_buf_bytes(&l.bytes), 0644, &fault);
        status = rv != 0 ? complain_of(rv, &fault) : 0;
    }
    if (status == 0 && !r->offline)
        status = spread(r, &l, &having);
    if (status == 0)
        tell(r, &l, having);
    mk_buf_done(&l.bytes);
    mk_arena_done(&l.arena);
    issuer_done(&i);
    return status;
}
