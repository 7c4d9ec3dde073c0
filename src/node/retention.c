/* retention.c - asking a component's members how much of a surface they keep (mosaik/retention.h):
 * each is asked for its status, where the surface stands with what is promised. */
#include "node/network.h"
#include "node/node.h"

#include <jansson.h>
#include <string.h>

static uint64_t number(const json_t *o, const char *key)
{
    json_int_t v = json_integer_value(json_object_get(o, key));

    return v < 0 ? 0 : (uint64_t)v;
}

static const json_t *find_surface(const json_t *status, const struct mk_id *surface)
{
    const json_t *c, *s;
    char hex[MK_ID_HEX];
    size_t i, k;

    mk_id_hex(surface, hex);
    json_array_foreach(json_object_get(status, "components"), i, c)
    {
        json_array_foreach(json_object_get(c, "surfaces"), k, s)
        {
            const char *id = json_string_value(json_object_get(s, "surface"));

            if (id != NULL && strcmp(id, hex) == 0)
                return s;
        }
    }
    return NULL;
}

static bool read_answer(const struct mk_status_answer *a, const struct mk_id *surface,
                        struct mk_retained *ret)
{
    json_t *o = json_loadb((const char *)a->json.p, a->json.n, 0, NULL);
    const json_t *s = find_surface(o, surface), *r = json_object_get(s, "retention");

    if (r != NULL) {
        ret->promised =
            (struct mk_retention){number(r, "commits"), number(r, "ms"), number(r, "bytes")};
        ret->oldest = number(s, "oldest");
        ret->index = number(s, "index");
        ret->cut = json_is_true(json_object_get(r, "cut"));
    }
    json_decref(o);
    return r != NULL;
}

int mk_retention_wait(struct mk_bond *b, const struct mk_surface_spec *spec, uint32_t timeout_ms,
                      struct mk_retained *ret, size_t *ret_n, struct mk_fault *reterr)
{
    struct mk_status_answer answers[MK_ROSTER_MAX];
    struct mk_peer peers[MK_ROSTER_MAX];
    struct mk_id surface;
    size_t n, found = 0, answered = 0;
    int rv = mk_bond_wait(b, timeout_ms, reterr);

    if (rv != 0)
        return rv;
    surface = mk_surface_id(spec, &b->reference.stable_id);
    n = b->component.roster.peers.n;
    memcpy(peers, b->component.roster.peers.v, n * sizeof *peers);
    mk_network_ask(b->network, "status", MK_BYTES(NULL, 0), peers, answers, n, timeout_ms);
    for (size_t i = 0; i < n; i++) {
        struct mk_retained r = {.peer = peers[i]};

        answered += answers[i].status == 0;
        if (answers[i].status == 0 && read_answer(&answers[i], &surface, &r)) {
            size_t at = found++;

            for (; at > 0 && ret[at - 1].oldest > r.oldest; at--)
                ret[at] = ret[at - 1];
            ret[at] = r;
        }
        if (answers[i].status != 0 && answered == 0 && reterr != NULL)
            *reterr = answers[i].fault;
        mk_buf_done(&answers[i].json);
    }
    *ret_n = found;
    if (answered == 0)
        return MK_EUNREACHABLE;
    return found > 0 ? 0
                     : mk_fault(reterr, MK_ENOTFOUND, "no member says anything of %s", spec->name);
}
