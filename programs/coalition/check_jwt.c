/* check_jwt.c - `coalition check jwt TOKEN --key JWK`: is it signed by that key, and would it
 * count as a ticket now?
 *
 * The payload must be claims, as for a ticket: one JSON object, no key twice, no number out of
 * range, no text with a zero byte; exp must be there and ahead, nbf and iat not be ahead, aud be
 * what --aud says. Only who asks with --signature-only has the signature judged and nothing
 * else; `claims` then shows the payload if it is claims, and `reason` says that none counted. */
#include "check.h"

#include <mosaik/jwt.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define TOKENS_MAX 256u
#define ALGS_MAX 16u
#define BASE64URL "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

struct input {
    const char *tokens[TOKENS_MAX];
    unsigned n;
    const char *key;
    const char *algs;
    const char *audience;
    uint64_t at;
    bool timed; /* --at was given */
    bool signature_only;
    bool json;
};

enum {
    OPT_SIGNATURE = 's',
    OPT_JSON = 'j',
    OPT_KEY = 'k',
    OPT_ALG = 'l',
    OPT_AT = 'a',
    OPT_AUD = 'u'
};

static const struct argp_option options[] = {
    {"key", OPT_KEY, "JWK", 0, "The key: a JWK or a JWK set, a file or the JSON itself", 0},
    {"alg", OPT_ALG, "A,B", 0, "Only these algorithms (else those that the key is for)", 0},
    {"at", OPT_AT, "UNIX_SECONDS", 0, "Judge as of this time (now)", 0},
    {"aud", OPT_AUD, "S", 0, "The audience that the token must name", 0},
    {"signature-only", OPT_SIGNATURE, NULL, 0,
     "Judge the signature alone, whatever the payload is and says", 0},
    {"json", OPT_JSON, NULL, 0, "Print one JSON object a token", 0},
    {0}};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct input *in = state->input;

    switch (key) {
    case OPT_JSON:
        in->json = true;
        return 0;
    case OPT_SIGNATURE:
        in->signature_only = true;
        return 0;
    case OPT_KEY:
        in->key = arg;
        return 0;
    case OPT_ALG:
        in->algs = arg;
        return 0;
    case OPT_AT:
        if (parse_u64(&in->at, arg, INT64_MAX / 1000) != 0)
            wrong_usage(state, "--at is \"%s\"; it must be unix seconds", arg);
        in->timed = true;
        return 0;
    case OPT_AUD:
        in->audience = arg;
        return 0;
    case ARGP_KEY_ARG:
        if (in->n == TOKENS_MAX)
            wrong_usage(state, "at most %u tokens", TOKENS_MAX);
        in->tokens[in->n++] = arg;
        return 0;
    case ARGP_KEY_END:
        if (in->n == 0)
            wrong_usage(state, "TOKEN is missing");
        if (in->key == NULL)
            wrong_usage(state, "--key is missing");
        if (in->signature_only && (in->audience != NULL || in->timed))
            wrong_usage(state,
                        "--signature-only judges no claims: it cannot stand with --aud, --at");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/** Three parts of base64url: an argument like that is meant as a token. */
static bool is_token(const char *arg)
{
    unsigned dots = 0;

    for (const char *p = arg; *p != '\0'; p++)
        dots += *p == '.';
    return dots == 2 && arg[0] != '.' && arg[strspn(arg, BASE64URL ".")] == '\0';
}

/** A token's first part is the base64 of an object, so it begins with none of these. */
static bool is_path(const char *arg)
{
    return arg[0] == '/' || arg[0] == '~' || strncmp(arg, "./", 2) == 0 ||
           strncmp(arg, "../", 3) == 0;
}

/* What is meant by the argument: a file's content without the white space around it, or the
 * argument itself. A status. */
static int read_argument(struct mk_buf *ret, const char *arg)
{
    struct mk_fault fault = {{0}};

    if (strcmp(arg, "-") != 0 && access(arg, F_OK) != 0) {
        if (is_path(arg))
            return complain(STATUS_USAGE, "%s: %s", arg, strerror(errno));
        mk_buf_put_str(ret, arg);
        return STATUS_DONE;
    }
    if (read_file(arg, ret, &fault) != 0)
        return complain(STATUS_USAGE, "%s", fault.text);
    while (ret->n > 0 && strchr(" \t\r\n", ret->p[ret->n - 1]) != NULL)
        ret->n--;
    return STATUS_DONE;
}

static int allow_all(struct mk_jwt_keys *keys, const char *algs)
{
    struct mk_fault fault = {{0}};

    for (const char *at = algs; at != NULL;) {
        const char *comma = strchr(at, ',');
        struct mk_str name = {at, comma != NULL ? (size_t)(comma - at) : strlen(at)};

        if (mk_jwt_keys_allow(keys, name, &fault) != 0)
            return complain(STATUS_USAGE, "--alg: %s", fault.text);
        at = comma != NULL ? comma + 1 : NULL;
    }
    return STATUS_DONE;
}

static int load_keys(struct mk_jwt_keys *keys, const struct input *in)
{
    struct mk_buf json = {0};
    struct mk_fault fault = {{0}};
    int status;

    if (strcmp(in->key, "-") != 0 && in->key[strspn(in->key, " \t\r\n")] != '{' &&
        access(in->key, F_OK) != 0)
        return complain(STATUS_USAGE, "--key: %s: %s, and it is no JSON", in->key, strerror(errno));
    status = read_argument(&json, in->key);

    if (status == STATUS_DONE) {
        int rv = mk_jwt_keys_add_jwk(keys, mk_buf_bytes(&json), &fault);

        /* A key that is well formed, but not for this, refuses; anything else is a bad file. */
        if (rv != 0 && rv != MK_EINVALID && rv != MK_ENOTSUP)
            status = complain(STATUS_USAGE, "--key: %s", fault.text);
        else if (rv != 0)
            fprintf(stderr, "coalition check jwt: --key: %s\n", fault.text);
    }
    mk_wipe(json.p, json.n);
    mk_buf_done(&json);
    return status == STATUS_DONE ? allow_all(keys, in->algs) : status;
}

/* The payload as claims; NULL, with the rule that it broke. */
static json_t *claims_of(struct mk_bytes payload, struct mk_fault *why)
{
    json_error_t at;
    json_t *claims = json_loadb((const char *)payload.p, payload.n,
                                JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &at);

    if (claims == NULL) {
        mk_fault(why, MK_EMALFORMED, "the signature is right, but the payload is malformed: %s",
                 at.text);
    } else if (!json_is_object(claims)) {
        mk_fault(why, MK_EMALFORMED,
                 "the signature is right, but the payload is malformed: claims are a JSON object");
        json_decref(claims);
        claims = NULL;
    }
    return claims;
}

/* 0, or the error with the reason; *claims is given, or NULL. */
static int judge(const struct mk_jwt_keys *keys, const struct input *in, struct mk_bytes token,
                 json_t **claims, struct mk_fault *why)
{
    struct mk_str audience = in->audience != NULL ? mk_str_of(in->audience) : MK_STR("");
    struct mk_jwt_policy policy = {
        .keys = keys, .audiences = &audience, .n_audiences = in->audience != NULL};
    struct mk_buf payload = {0};
    uint64_t expires;
    int rv = mk_jwt_verify(keys, &payload, token, why);

    if (rv == 0)
        *claims = claims_of(mk_buf_bytes(&payload), why);
    mk_buf_done(&payload);
    if (rv != 0)
        return rv;
    if (in->signature_only) {
        mk_fault(why, 0, "the signature alone was judged, as asked: no claim counted");
        return 0;
    }
    return *claims == NULL ? MK_EMALFORMED
                           : mk_jwt_judge(&policy, token, in->at * 1000, &expires, NULL, why);
}

static int check_one(const struct mk_jwt_keys *keys, const struct input *in, const char *arg)
{
    struct mk_fault why = {{0}};
    struct mk_buf token = {0};
    json_t *claims = NULL;
    bool is_file = strcmp(arg, "-") == 0 || access(arg, F_OK) == 0;
    int status = read_argument(&token, arg), rv;

    if (status != STATUS_DONE) {
        mk_buf_done(&token);
        return status;
    }
    rv = judge(keys, in, mk_buf_bytes(&token), &claims, &why);
    if (rv != 0 && !is_file && !is_token(arg)) {
        struct mk_fault as_token = why;

        mk_fault(&why, rv, "there is no file of that name, and as a token: %s", as_token.text);
    }
    print_item(json_pack("{s:s, s:o, s:o}", "verdict", rv == 0 ? "ok" : "refused", "reason",
                         why.text[0] != '\0' ? json_string(why.text) : json_null(), "claims",
                         claims != NULL ? claims : json_null()),
               in->json);
    mk_buf_done(&token);
    return rv == 0 ? STATUS_DONE : STATUS_CHECK;
}

int check_jwt(int argc, char **argv)
{
    static const struct argp argp = {
        options,
        parse,
        "TOKEN...",
        "Verify compact JSON Web Signatures as tickets would be: each TOKEN is a file, - or the "
        "token itself.\vHS256, HS384, HS512 (a shared secret; not for an ACL), ES256, ES256K, "
        "ES384, ES512, EdDSA, RS256, RS384, RS512, PS256, PS384, PS512. A JWK's use, key_ops and "
        "alg count.",
        NULL,
        NULL,
        NULL};
    struct input in = {.at = unix_now()};
    struct mk_jwt_keys *keys = mk_jwt_keys_new();
    int status, worst = STATUS_DONE;

    parse_options(&argp, argc, argv, &in);
    status = load_keys(keys, &in);
    for (unsigned i = 0; i < in.n && status != STATUS_USAGE; i++) {
        status = check_one(keys, &in, in.tokens[i]);
        worst = status > worst ? status : worst;
    }
    mk_jwt_keys_free(keys);
    return status == STATUS_USAGE ? status : worst;
}
