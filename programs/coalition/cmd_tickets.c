/* cmd_tickets.c - `coalition tickets issue`, `tickets revoke` (revoke.c), `tickets show`
 * (spec/services.md, "Ticket issuer").
 *
 * An issuer is a roster of signers. Here its members come together with their key files:
 * each signs the same claims, a majority makes the ticket, and the ticket is judged as a
 * component would judge it before it is handed out. `show` reads any ticket; with the
 * issuer's coalition file it also says whether the ticket holds. */
#include "issuer.h"
#include "revoke.h"

#include <mosaik/issuers.h>
#include <mosaik/ticket.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#define DAY_SECONDS 86400u

struct input {
    const char *verb, *file; /* issue: the coalition file; show: the ticket */
    const char *keys[MK_ROSTER_MAX];
    unsigned n_keys;
    const char *sub, *aud, *scope, *out;
    const char *issuer; /* show: the coalition file to judge by */
    struct revoke revoke;
    uint64_t days, life_s, from;
    bool json;
};

enum {
    OPT_JSON = 'j',
    OPT_KEY = 'k',
    OPT_SUB = 's',
    OPT_AUD = 'a',
    OPT_SCOPE = 'c',
    OPT_DAYS = 'd',
    OPT_FROM = 'f',
    OPT_OUT = 'o',
    OPT_ISSUER = 'i',
    OPT_JTI = 'r',
    OPT_LIST = 'l',
    OPT_OFFLINE = 'n',
    OPT_SECONDS = 'e',
};

static const struct argp_option options[] = {
    {"key", OPT_KEY, "FILE", 0,
     "issue, revoke: the key of a member of the issuer's roster; repeat it", 0},
    {"sub", OPT_SUB, "PEER", 0, "issue: the bearer's peer id", 0},
    {"aud", OPT_AUD, "ID", 0,
     "issue: the component's stable id, or the kind of a module that FILE ships", 0},
    {"scope", OPT_SCOPE, "SCOPE", 0, "issue: read, write, or \"read write\" (default)", 0},
    {"days", OPT_DAYS, "N", 0, "issue: when it ends, 1 to 90 days from now (default: 30)", 0},
    {"seconds", OPT_SECONDS, "N", 0,
     "issue: the same in seconds, for tickets that are short-lived and renewed", 0},
    {"from", OPT_FROM, "UNIX_SECONDS", 0, "issue: when it begins to hold (default: now)", 0},
    {"output", OPT_OUT, "OUT", 0, "issue: write the ticket to a file; revoke: the list", 0},
    {"jti", OPT_JTI, "HEX", 0, "revoke: the ticket's jti, as issue and show print it; repeat it",
     0},
    {"list", OPT_LIST, "FILE", 0, "revoke: an earlier list, whose tickets stay revoked", 0},
    {"offline", OPT_OFFLINE, NULL, 0, "revoke: do not spread the list, only write it", 0},
    {"timeout", 't', "S", 0, "revoke: seconds until a node must have the list (10)", 0},
    {"issuer", OPT_ISSUER, "FILE", 0, "show: judge the ticket by this coalition file's issuer", 0},
    {"json", OPT_JSON, NULL, 0, "Print one JSON object", 0},
    {0}};

static bool is_issue(const struct input *in)
{
    return strcmp(in->verb, "issue") == 0;
}

static bool is_revoke(const struct input *in)
{
    return strcmp(in->verb, "revoke") == 0;
}

static void check_input(struct argp_state *state, const struct input *in)
{
    if (in->verb == NULL || (!is_issue(in) && !is_revoke(in) && strcmp(in->verb, "show") != 0))
        wrong_usage(state, "`issue FILE`, `revoke FILE` or `show TICKET` is expected");
    if (in->file == NULL)
        wrong_usage(state, "FILE is missing");
    if (!is_issue(in) && !is_revoke(in))
        return;
    if (in->n_keys == 0)
        wrong_usage(state, "--key is missing");
    if (is_revoke(in) && in->revoke.n_jti == 0 && in->revoke.list == NULL)
        wrong_usage(state, "--jti is missing");
    if (is_revoke(in) && in->revoke.offline && in->out == NULL)
        wrong_usage(state, "--offline wants --output: where else would the list go?");
    if (is_issue(in) && in->sub == NULL)
        wrong_usage(state, "--sub is missing");
    if (in->days != 0 && in->life_s != 0)
        wrong_usage(state, "--days and --seconds: one of them says when it ends");
    if (is_issue(in) && in->aud == NULL)
        wrong_usage(state, "--aud is missing");
}

static error_t parse_number(int key, const char *arg, struct argp_state *state)
{
    struct input *in = state->input;

    if (key == OPT_DAYS) {
        if (parse_u64(&in->days, arg, MK_TICKET_DAYS_MAX) != 0 || in->days == 0)
            wrong_usage(state, "--days is \"%s\"; it must be 1 to %u", arg, MK_TICKET_DAYS_MAX);
    } else if (key == OPT_SECONDS) {
        if (parse_u64(&in->life_s, arg, MK_TICKET_DAYS_MAX * DAY_SECONDS) != 0 || in->life_s == 0)
            wrong_usage(state, "--seconds is \"%s\"; it must be 1 to %u", arg,
                        MK_TICKET_DAYS_MAX * DAY_SECONDS);
    } else if (parse_u64(&in->from, arg, UINT64_C(1) << 40) != 0 || in->from == 0) {
        wrong_usage(state, "--from is \"%s\"; it must be a unix time in seconds", arg);
    }
    return 0;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct input *in = state->input;

    switch (key) {
    case OPT_JSON:
        in->json = true;
        return 0;
    case OPT_KEY:
        if (in->n_keys == MK_ROSTER_MAX)
            wrong_usage(state, "a roster has at most %u peers", MK_ROSTER_MAX);
        in->keys[in->n_keys++] = arg;
        return 0;
    case OPT_SUB:
        in->sub = arg;
        return 0;
    case OPT_AUD:
        in->aud = arg;
        return 0;
    case OPT_SCOPE:
        in->scope = arg;
        return 0;
    case OPT_OUT:
        in->out = arg;
        return 0;
    case OPT_ISSUER:
        in->issuer = arg;
        return 0;
    case OPT_DAYS:
    case OPT_SECONDS:
    case OPT_FROM:
        return parse_number(key, arg, state);
    case OPT_JTI:
        if (in->revoke.n_jti == REVOKE_MAX || strlen(arg) != 32 ||
            mk_unhex(in->revoke.jti[in->revoke.n_jti].b, 16, arg, 32) != 0)
            wrong_usage(state, "--jti is \"%s\"; it must be 32 hex digits, at most %u times", arg,
                        REVOKE_MAX);
        in->revoke.n_jti++;
        return 0;
    case OPT_LIST:
        in->revoke.list = arg;
        return 0;
    case OPT_OFFLINE:
        in->revoke.offline = true;
        return 0;
    case 't':
        if (parse_timeout(&in->revoke.timeout_ms, arg) != 0)
            wrong_usage(state, "--timeout: seconds are wanted");
        return 0;
    case ARGP_KEY_ARG:
        if (in->verb == NULL)
            in->verb = arg;
        else if (in->file == NULL)
            in->file = arg;
        else
            wrong_usage(state, "one FILE is expected");
        return 0;
    case ARGP_KEY_END:
        check_input(state, in);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* As a component would: the roster, the signatures, the times. */
static int judge(const struct issuer *i, struct mk_bytes ticket, const struct mk_claims *c,
                 uint64_t now_s, struct mk_fault *reterr)
{
    struct mk_issuer_book *book = mk_issuer_book_new();
    struct mk_claims again;
    int rv = mk_issuer_book_add(book, &i->ids.tickets_root, &i->roster, reterr);

    if (rv == 0)
        rv = mk_ticket_check(&again, ticket, mk_issuer_book_issuers(book), &i->ids.tickets_root,
                             &c->aud, &c->sub, c->read ? MK_SCOPE_READ : MK_SCOPE_WRITE,
                             now_s * 1000, reterr);
    mk_issuer_book_free(book);
    return rv;
}

/* --- issue ------------------------------------------------------------------------------- */

static int take_scope(struct mk_claims *c, const char *scope)
{
    if (scope == NULL)
        scope = "read write";
    c->read = strcmp(scope, "read") == 0 || strcmp(scope, "read write") == 0;
    c->write = strcmp(scope, "write") == 0 || strcmp(scope, "read write") == 0;
    if (c->read || c->write)
        return 0;
    return complain(STATUS_USAGE, "--scope is \"%s\"; it must be read, write or \"read write\"",
                    scope);
}

static int take_audience(struct mk_claims *c, const struct issuer *i, const char *aud)
{
    enum coa_module_kind kind;

    if (mk_id_unhex(&c->aud, mk_str_of(aud)) == 0)
        return 0;
    if (coa_module_kind_of(&kind, mk_str_of(aud)) != 0)
        return complain(STATUS_USAGE,
                        "--aud is \"%s\"; it must be a stable id of 64 hex digits, without 0x, or "
                        "the kind of a module",
                        aud);
    if (!i->ids.modules[kind].shipped)
        return complain(STATUS_CHECK, "--aud: the coalition does not ship %s", aud);
    c->aud = i->ids.modules[kind].module_root;
    return 0;
}

static int take_claims(struct mk_claims *ret, const struct input *in, const struct issuer *i)
{
    struct mk_claims c = {.iss = i->ids.tickets_root, .iat = (uint64_t)time(NULL)};
    int status = take_scope(&c, in->scope);

    if (status == 0)
        status = take_audience(&c, i, in->aud);
    if (status != 0)
        return status;
    if (mk_peer_unhex(&c.sub, mk_str_of(in->sub)) != 0)
        return complain(STATUS_USAGE,
                        "--sub is \"%s\"; it must be a peer id of 64 hex digits, without 0x",
                        in->sub);
    if (getrandom(c.jti, sizeof c.jti, 0) != (ssize_t)sizeof c.jti)
        return complain(STATUS_CHECK, "no randomness: %s", strerror(errno));
    c.nbf = in->from != 0 ? in->from : c.iat;
    c.exp = c.iat + (in->life_s != 0 ? in->life_s : (in->days != 0 ? in->days : 30) * DAY_SECONDS);
    if (c.nbf >= c.exp)
        return complain(STATUS_USAGE, "--from is after the ticket's end");
    *ret = c;
    return 0;
}

static json_t *json_claims(const struct mk_claims *c)
{
    struct mk_buf text = {0};
    json_t *o;

    mk_claims_format(c, &text);
    o = json_loadb((const char *)text.p, text.n, 0, NULL);
    mk_buf_done(&text);
    return o;
}

static void print_claims(const struct mk_claims *c)
{
    char hex[MK_ID_HEX];

    printf("iss    %s\n", mk_id_hex(&c->iss, hex));
    printf("sub    %s\n", mk_peer_hex(&c->sub, hex));
    printf("aud    %s\n", mk_id_hex(&c->aud, hex));
    printf("scope  %s%s%s\n", c->read ? "read" : "", c->read && c->write ? " " : "",
           c->write ? "write" : "");
    printf("iat    %llu\nnbf    %llu\nexp    %llu\n", (unsigned long long)c->iat,
           (unsigned long long)c->nbf, (unsigned long long)c->exp);
    mk_hex(hex, c->jti, sizeof c->jti);
    printf("jti    %s\n", hex);
}

static void print_hex(struct mk_bytes b)
{
    char *digits = mk_alloc(2 * b.n + 1);

    mk_hex(digits, b.p, b.n);
    puts(digits);
    mk_free(digits);
}

static int hand_out(const struct input *in, const struct mk_claims *c, struct mk_bytes ticket)
{
    struct mk_fault fault = {{0}};
    int rv = in->out != NULL ? write_file(in->out, ticket, 0600, &fault) : 0;

    if (rv != 0)
        return complain_of(rv, &fault);
    if (in->json) {
        print_json(json_pack("{s:o, s:o}", "ticket", json_hex(ticket.p, ticket.n), "claims",
                             json_claims(c)));
    } else {
        print_claims(c);
        print_hex(ticket);
    }
    return STATUS_DONE;
}

static void sign_ticket(const struct mk_key *key, const struct issuer *i, struct mk_bytes claims,
                        struct mk_signature *ret)
{
    mk_ticket_sign(key, &i->ids.tickets_root, i->roster.epoch, claims, ret);
}

static int issue_by(const struct input *in, const struct issuer *i)
{
    struct mk_peer_signature shares[MK_ROSTER_MAX];
    struct mk_buf claims = {0}, ticket = {0};
    struct mk_fault fault = {{0}};
    struct mk_claims c;
    int status = take_claims(&c, in, i), rv = 0;

    if (status != 0)
        return status;
    mk_claims_format(&c, &claims);
    status = issuer_sign(i, shares, in->keys, in->n_keys, sign_ticket, mk_buf_bytes(&claims));
    if (status == 0) {
        rv = mk_ticket_build(&ticket, &i->ids.tickets_root, i->roster.epoch, mk_buf_bytes(&claims),
                             shares, in->n_keys, &fault);
        if (rv == 0)
            rv = judge(i, mk_buf_bytes(&ticket), &c, c.nbf, &fault);
        status = rv == 0 ? hand_out(in, &c, mk_buf_bytes(&ticket)) : complain_of(rv, &fault);
    }
    mk_buf_done(&claims);
    mk_buf_done(&ticket);
    return status;
}

static int issue(const struct input *in)
{
    struct issuer i;
    int status = issuer_open(&i, in->file);

    if (status != 0)
        return status;
    status = issue_by(in, &i);
    issuer_done(&i);
    return status;
}

/* --- show -------------------------------------------------------------------------------- */

struct shown {
    struct mk_claims claims;
    struct mk_signed_ticket signed_;
};

static int read_ticket(struct shown *ret, struct mk_bytes bytes, struct mk_arena *arena,
                       struct mk_fault *reterr)
{
    struct mk_ticket t;
    int rv = bytes.n > MK_TICKET_MAX
                 ? mk_fault(reterr, MK_ELIMIT, "a ticket has at most %u bytes", MK_TICKET_MAX)
                 : mk_decode(&t, &mk_ticket_type, bytes, arena, reterr);

    if (rv == 0)
        rv = mk_decode(&ret->signed_, &mk_signed_ticket_type, t.data, arena, reterr);
    if (rv == 0)
        rv = mk_claims_parse(&ret->claims, ret->signed_.claims, reterr);
    if (rv == 0 && !mk_id_eq(&t.class, &ret->claims.iss))
        rv = mk_fault(reterr, MK_EMALFORMED, "its class is not its issuer's root");
    return rv;
}

/* why: empty when it holds, else the reason. */
static int judged(const struct input *in, const struct shown *s, struct mk_bytes ticket,
                  struct mk_fault *why)
{
    struct issuer i;
    int status = issuer_open(&i, in->issuer);

    if (status != 0)
        return status;
    if (judge(&i, ticket, &s->claims, (uint64_t)time(NULL), why) == 0)
        why->text[0] = '\0';
    issuer_done(&i);
    return 0;
}

static void show_text(const struct shown *s, const struct mk_fault *why)
{
    char hex[MK_ID_HEX];

    print_claims(&s->claims);
    printf("epoch  %llu\n", (unsigned long long)s->signed_.epoch);
    for (size_t i = 0; i < s->signed_.signatures.n; i++)
        printf("signed %s\n", mk_peer_hex(&s->signed_.signatures.v[i].peer, hex));
    if (why == NULL)
        puts("the signatures were not judged: --issuer was not given");
    else
        printf("%s%s\n", why->text[0] == '\0' ? "it holds" : "refused: ", why->text);
}

static json_t *show_json(const struct shown *s, struct mk_bytes ticket, const struct mk_fault *why)
{
    json_t *signers = json_array();

    for (size_t i = 0; i < s->signed_.signatures.n; i++)
        json_array_append_new(signers, json_id(&s->signed_.signatures.v[i].peer));
    return json_pack("{s:o, s:o, s:I, s:o, s:s, s:o}", "ticket", json_hex(ticket.p, ticket.n),
                     "claims", json_claims(&s->claims), "epoch", (json_int_t)s->signed_.epoch,
                     "signers", signers, "verdict",
                     why == NULL            ? "unchecked"
                     : why->text[0] == '\0' ? "ok"
                                            : "refused",
                     "reason",
                     why != NULL && why->text[0] != '\0' ? json_string(why->text) : json_null());
}

static int show_bytes(const struct input *in, struct mk_bytes ticket)
{
    struct mk_fault fault = {{0}};
    struct mk_arena arena = {0};
    struct shown s;
    bool judging = in->issuer != NULL;
    int status, rv = read_ticket(&s, ticket, &arena, &fault);

    if (rv != 0) {
        status = complain(STATUS_USAGE, "%s: not a ticket of an issuer: %s", in->file, fault.text);
    } else {
        status = judging ? judged(in, &s, ticket, &fault) : 0;
        if (status == 0 && in->json)
            print_json(show_json(&s, ticket, judging ? &fault : NULL));
        else if (status == 0)
            show_text(&s, judging ? &fault : NULL);
        if (status == 0 && fault.text[0] != '\0')
            status = STATUS_CHECK;
    }
    mk_arena_done(&arena);
    return status;
}

static int show(const struct input *in)
{
    struct mk_buf b = {0};
    struct mk_fault fault = {{0}};
    int rv = read_named(in->file, &b, &fault);

    rv = rv != 0 ? complain_of(rv, &fault) : show_bytes(in, mk_buf_bytes(&b));
    mk_buf_done(&b);
    return rv;
}

int cmd_tickets(int argc, char **argv)
{
    static const struct argp argp = {options,
                                     parse,
                                     "issue FILE\nrevoke FILE\nshow TICKET",
                                     "Issue a ticket with the key files of a majority of the "
                                     "issuer's roster, revoke some, or show "
                                     "what one says.\vFILE is the coalition file that ships the "
                                     "issuer and states its committee. The "
                                     "bearer must possess the key of --sub.",
                                     NULL,
                                     NULL,
                                     NULL};
    struct input in = {.revoke.timeout_ms = TIMEOUT_MS_DEFAULT};

    parse_options(&argp, argc, argv, &in);
    if (is_issue(&in))
        return issue(&in);
    if (!is_revoke(&in))
        return show(&in);
    in.revoke.file = in.file;
    in.revoke.keys = in.keys;
    in.revoke.n_keys = in.n_keys;
    in.revoke.out = in.out;
    in.revoke.json = in.json;
    return revoke(&in.revoke);
}
