/* Every member takes the hash of its whole state (machine, sessions, time, rosters, surfaces) at
 * one and the same entry of the log, so that they can be compared while the committee works. Then
 * each is asked for what it took, under a number that nobody else used. */
#include "check_states.h"

#include <mosaik/node.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#define AGAIN_MS 100u
#define WAIT_MIN_MS 250u
#define WAIT_MAX_MS 3000u

/** What each member said; index 0: nothing yet, and why. */
struct taken {
    uint64_t index;
    struct mk_fault why;
    char hash[MK_ID_HEX];
};

static void take(struct taken *ret, const struct mk_status_answer *a, const char *deployment,
                 const char *nonce)
{
    json_t *o = a->status == 0 ? json_loadb((const char *)a->json.p, a->json.n, 0, NULL) : NULL;
    const json_t *c;
    size_t i;

    if (a->status != 0)
        ret->why = a->fault;
    else
        mk_fault(&ret->why, MK_ETIMEDOUT, "it answers, but has not taken this hash");
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

/** Asks those that have not said it, each at most wait_ms; how many have said it now. A member that
 * is silent must not keep the others' word back, nor use up the time. */
static size_t ask_rest(const struct checking *k, struct taken *v, const char *nonce,
                       uint32_t wait_ms)
{
    size_t n = k->reference->n_addresses, asked = 0, have = 0;
    struct mk_status_answer *answers = mk_alloc((n + 1) * sizeof *answers);
    struct taken **of = mk_alloc((n + 1) * sizeof(struct taken *));
    char deployment[MK_ID_HEX];

    mk_id_hex(&k->reference->deployment, deployment);
    for (size_t i = 0; i < n; i++) {
        if (v[i].index != 0)
            continue;
        answers[asked] = (struct mk_status_answer){.address = k->reference->addresses[i]};
        of[asked++] = &v[i];
    }
    mk_node_ask_all(k->agent->net, answers, asked, wait_ms);
    for (size_t i = 0; i < asked; i++) {
        take(of[i], &answers[i], deployment, nonce);
        mk_buf_done(&answers[i].json);
    }
    for (size_t i = 0; i < n; i++)
        have += v[i].index != 0;
    mk_free(of);
    mk_free(answers);
    return have;
}

/** Again and again, with more patience each time; how many have said it by the deadline. */
static size_t gather(const struct checking *k, struct taken *v, const char *nonce)
{
    size_t n = k->reference->n_addresses, have;
    uint32_t wait_ms = WAIT_MIN_MS;

    do {
        uint32_t left = left_until(k->deadline);

        have = ask_rest(k, v, nonce, left < wait_ms ? left : wait_ms);
        wait_ms = wait_ms < WAIT_MAX_MS ? 2 * wait_ms : wait_ms;
        if (have < n)
            mk_loop_turn(k->agent->loop, AGAIN_MS);
    } while (have < n && left_until(k->deadline) > 1);
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
            printf("  %.64s  no answer: %s\n", a.p, v[i].why.text);
        json_array_append_new(
            list, json_pack("{s:s%, s:I, s:o, s:s}", "peer", a.p, a.n < 64 ? a.n : (size_t)64,
                            "index", (json_int_t)v[i].index, "hash",
                            v[i].index != 0 ? json_string(v[i].hash) : json_null(), "why",
                            v[i].index != 0 ? "" : v[i].why.text));
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
        rv = mk_node_check(k->asker, address, &k->reference->deployment, nonce,
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
