/* admission.c - tokens and clauses (ffi.h). */
#include "ffi/ffi.h"

#include <mosaik/jwt.h>

struct mk_jwt_keys *mkf_jwt_keys_new(void)
{
    return mk_jwt_keys_new();
}

void mkf_jwt_keys_free(struct mk_jwt_keys *k)
{
    mk_jwt_keys_free(k);
}

int mkf_jwt_keys_add(struct mk_jwt_keys *k, const char *alg, const uint8_t *key, size_t n,
                     char *err)
{
    return mk_jwt_keys_add(k, mk_str_of(alg), MK_BYTES(key, n), mkf_fault(err));
}

int mkf_jwt_keys_add_jwk(struct mk_jwt_keys *k, const char *json, char *err)
{
    struct mk_str text = mk_str_of(json);

    return mk_jwt_keys_add_jwk(k, MK_BYTES(text.p, text.n), mkf_fault(err));
}

int mkf_jwt_judge(struct mkf_agent *a, const struct mk_jwt_keys *k, const char *token,
                  const char *issuer, const char *audience, const char *peer, uint64_t now_ms,
                  uint64_t *ret_expires_ms, struct mkf_bytes *ret_claims, char *err)
{
    struct mk_str text = mk_str_of(token), iss = mk_str_of(issuer != NULL ? issuer : ""),
                  aud = mk_str_of(audience != NULL ? audience : "");
    struct mk_jwt_policy p = {.keys = k,
                              .issuers = &iss,
                              .n_issuers = issuer != NULL,
                              .audiences = &aud,
                              .n_audiences = audience != NULL};
    struct mk_peer bearer;
    int rv;

    if (peer != NULL) {
        if (mk_peer_unhex(&bearer, mk_str_of(peer)) != 0)
            return mk_fault(mkf_fault(err), MK_EINVALID, "the peer is not 64 hex digits");
        p.peer = &bearer;
    }
    mk_buf_clear(&a->lent);
    rv = mk_jwt_judge(&p, MK_BYTES(text.p, text.n), now_ms, ret_expires_ms, &a->lent,
                      mkf_fault(err));
    if (rv == 0)
        *ret_claims = mkf_bytes(mk_buf_bytes(&a->lent));
    return rv;
}

int mkf_jwt_issue_secret(struct mkf_agent *a, const char *alg, const uint8_t *secret, size_t n,
                         const char *claims, struct mkf_bytes *ret, char *err)
{
    struct mk_str text = mk_str_of(claims);
    int rv;

    mk_buf_clear(&a->lent);
    rv = mk_jwt_issue_secret(&a->lent, mk_str_of(alg), MK_BYTES(secret, n),
                             MK_BYTES(text.p, text.n), mkf_fault(err));
    if (rv == 0)
        *ret = mkf_bytes(mk_buf_bytes(&a->lent));
    return rv;
}

void mkf_jwt_issue(struct mkf_agent *a, const uint8_t seed[32], const char *claims,
                   struct mkf_bytes *ret)
{
    struct mk_str text = mk_str_of(claims);
    struct mk_key key;

    mk_key_from_seed(&key, seed);
    mk_buf_clear(&a->lent);
    mk_jwt_issue(&a->lent, &key, MK_BYTES(text.p, text.n));
    mk_key_done(&key);
    *ret = mkf_bytes(mk_buf_bytes(&a->lent));
}

void mkf_jwt_ticket(struct mkf_agent *a, const char *token, struct mkf_bytes *ret)
{
    struct mk_str text = mk_str_of(token);
    struct mk_ticket t = {.class = mk_id_of_text(MK_STR("jwt")),
                          .data = {MK_BYTES(text.p, text.n).p, text.n}};

    mk_buf_clear(&a->lent);
    mk_encode(&a->lent, &mk_ticket_type, &t);
    *ret = mkf_bytes(mk_buf_bytes(&a->lent));
}

int mkf_acl_json(struct mkf_agent *a, const uint8_t *acl, size_t n, struct mkf_bytes *ret,
                 char *err)
{
    struct mk_acl_composition composition;
    struct mk_arena arena = {0};
    int rv = mkf_acl(&composition, acl, n, &arena, err);

    if (rv == 0) {
        mk_buf_clear(&a->lent);
        mk_print_json(&a->lent, &mk_acl_composition_type, &composition);
        *ret = mkf_bytes(mk_buf_bytes(&a->lent));
    }
    mk_arena_done(&arena);
    return rv;
}
