/* Every member takes the hash of its whole state (machine, sessions, time, rosters, surfaces) at
 * one and the same entry of the log, so that they can be compared while the committee works. Then
 * each is asked for what it took, under a number that nobody else used. */
#include "check_states.h"

#include <mosaik/node.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#define AGAIN_MS 100u

/** What each member said; index 0: nothing yet. */
struct taken {
    uint64_t index;
    char hash[MK_ID_HEX];
};

static void take(struct taken *ret, const struct mk_status_answer *a, const char *deployment,
                 const char *nonce)
{
    json_t *o = a->status == 0 ? json_loadb((const char *)a->json.p, a->json.n, 0, NULL) : NULL;
    const json_t *c;
    size_t i;

    json_array_foreach(json_object_get(o, "components"), i, c)
    {
        const json_t *check = json_object_get(c, "check");
        const char *of = json_string_value(json_object_get(c, "deployment"));
        const char *under = json_string_value(json_object_get(check, "nonce"));
        const char *hash = json_string_value(json_object_get(check, "hash"));

        if (of == NULL || under == NULL || hash == NULL || strcmp(of, deployment) != 0 ||
            strcmp(under, nonce) != 0)
            continue;
        ret->index = (uint64_t)json_integer_value(json_object_get(check, "index"));
        snprintf(ret->hash, sizeof ret->hash, "%s", hash);
    }
    json_decref(o);
}

/** Asks them all, again and again; how many have said it by the deadline. */
static size_t gather(const struct checking *k, struct taken *v, const char *nonce)
{
    size_t n = k->reference->n_addresses, have;
    struct mk_status_answer *answers = mk_alloc((n + 1) * sizeof *answers);
    char deployment[MK_ID_HEX];

    mk_id_hex(&k->reference->deployment, deployment);
    do {
        have = 0;
        for (size_t i = 0; i < n; i++)
            answers[i] = (struct mk_status_answer){.address = k->reference->addresses[i]};
        mk_node_ask_all(k->agent->net, answers, n,
                        left_until(k->deadline) < 3000 ? left_until(k->deadline) : 3000);
        for (size_t i = 0; i < n; i++) {
            take(&v[i], &answers[i], deployment, nonce);
            mk_buf_done(&answers[i].json);
            have += v[i].index != 0;
        }
        if (have < n)
            mk_loop_turn(k->agent->loop, AGAIN_MS);
    } while (have < n && left_until(k->deadline) > 1);
    mk_free(answers);
    return have;
}

static bool all_equal(const struct taken *v, size_t n)
{
    const struct taken *first = NULL;

    for (size_t i = 0; i < n; i++) {
        if (v[i].index == 0)
            continue;
        if (first != NULL && (first->index != v[i].index || strcmp(first->hash, v[i].hash) != 0))
            return false;
        first = &v[i];
    }
    return true;
}

static void print(const struct checking *k, const struct taken *v, size_t have)
{
    size_t n = k->reference->n_addresses;
    json_t *list = json_array();

    for (size_t i = 0; i < n; i++) {
        struct mk_str a = k->reference->addresses[i];

        if (!k->json && v[i].index != 0)
            printf("  %.64s  entry %llu  %s\n", a.p, (unsigned long long)v[i].index, v[i].hash);
        else if (!k->json)
            printf("  %.64s  no answer\n", a.p);
        json_array_append_new(
            list, json_pack("{s:s%, s:I, s:o}", "peer", a.p, a.n < 64 ? a.n : (size_t)64, "index",
                            (json_int_t)v[i].index, "hash",
                            v[i].index != 0 ? json_string(v[i].hash) : json_null()));
    }
    if (k->json)
        print_json(json_pack("{s:b, s:I, s:o}", "equal", (int)all_equal(v, n), "answered",
                             (json_int_t)have, "members", list));
    else
        json_decref(list);
}

int check_states(const struct checking *k, struct mk_str address)
{
    size_t n = k->reference->n_addresses, have;
    struct taken *v = mk_alloc((n + 1) * sizeof *v);
    struct mk_fault fault = {{0}};
    char text[17];
    uint64_t nonce;
    int rv;

    if (getrandom(&nonce, sizeof nonce, 0) != (ssize_t)sizeof nonce) {
        mk_free(v);
        return complain(STATUS_CHECK, "no random numbers");
    }
    snprintf(text, sizeof text, "%016llx", (unsigned long long)nonce);
    do {
        rv = mk_node_check(k->agent->net, address, &k->reference->deployment, nonce,
                           left_until(k->deadline), &fault);
        if (rv == MK_ENOTLEADER)
            mk_loop_turn(k->agent->loop, AGAIN_MS);
    } while (rv == MK_ENOTLEADER && left_until(k->deadline) > 1);
    if (rv != 0) {
        mk_free(v);
        return complain_of(rv, &fault);
    }
    have = gather(k, v, text);
    print(k, v, have);
    if (!all_equal(v, n))
        rv = complain(STATUS_CHECK, "the members have different states at one entry");
    else if (have < n)
        rv = complain(STATUS_TIMEOUT, "%zu of %zu members answered", have, n);
    mk_free(v);
    return rv;
}
