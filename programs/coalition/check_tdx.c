/* check_tdx.c - `coalition check tdx QUOTE`: parses and verifies a TDX or SGX quote.
 *
 * Without --collateral the chain to the root is all that is judged: tcb_status is null, and
 * nothing says whether the platform has been patched or revoked. */
#include "check.h"

#include <mosaik/attest.h>

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define FILES_MAX 64u

struct input {
    const char *quotes[FILES_MAX];
    unsigned n_quotes;
    const char *collateral[FILES_MAX];
    unsigned n_collateral;
    const char *root;
    uint64_t at;
    bool json;
};

enum { OPT_JSON = 'j', OPT_COLLATERAL = 'c', OPT_AT = 'a', OPT_ROOT = 'r' };

static const struct argp_option options[] = {
    {"collateral", OPT_COLLATERAL, "FILE", 0,
     "TCB info, QE identity, revocation lists and their chains: a file of all, or a directory, or "
     "one after the other with several options",
     0},
    {"at", OPT_AT, "UNIX_SECONDS", 0, "Judge as of this time (now)", 0},
    {"root", OPT_ROOT, "PEM", 0, "Trust this root certificate instead of Intel's", 0},
    {"json", OPT_JSON, NULL, 0, "Print one JSON object", 0},
    {0}};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct input *in = state->input;

    switch (key) {
    case OPT_JSON:
        in->json = true;
        return 0;
    case OPT_COLLATERAL:
        if (in->n_collateral == FILES_MAX)
            wrong_usage(state, "at most %u --collateral", FILES_MAX);
        in->collateral[in->n_collateral++] = arg;
        return 0;
    case OPT_AT:
        if (parse_u64(&in->at, arg, INT64_MAX) != 0)
            wrong_usage(state, "--at is \"%s\"; it must be unix seconds", arg);
        return 0;
    case OPT_ROOT:
        in->root = arg;
        return 0;
    case ARGP_KEY_ARG:
        if (in->n_quotes == FILES_MAX)
            wrong_usage(state, "at most %u quotes", FILES_MAX);
        in->quotes[in->n_quotes++] = arg;
        return 0;
    case ARGP_KEY_END:
        if (in->n_quotes == 0)
            wrong_usage(state, "QUOTE is missing");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* --- root and collateral ----------------------------------------------------------------- */

static int load_root(struct mk_quote_root **ret, const char *path)
{
    struct mk_buf pem = {0};
    struct mk_fault fault = {{0}};
    int rv;

    if (path == NULL) {
        *ret = mk_quote_root_intel();
        return STATUS_DONE;
    }
    rv = read_file(path, &pem, &fault);
    if (rv == 0) {
        rv = mk_quote_root_new(ret, mk_buf_bytes(&pem), &fault);
        if (rv != 0)
            complain(STATUS_USAGE, "%s: %s", path, fault.text);
    } else {
        complain(STATUS_USAGE, "%s", fault.text);
    }
    mk_buf_done(&pem);
    return rv == 0 ? STATUS_DONE : STATUS_USAGE;
}

struct docs {
    struct mk_buf v[FILES_MAX];
    const char *path[FILES_MAX]; /* NULL: of a directory */
    unsigned n;
};

static int docs_read(struct docs *d, const char *path)
{
    struct mk_fault fault = {{0}};

    if (d->n == FILES_MAX)
        return complain(STATUS_USAGE, "%s: more than %u files of collateral", path, FILES_MAX);
    if (read_file(path, &d->v[d->n++], &fault) != 0)
        return complain(STATUS_USAGE, "%s", fault.text);
    return STATUS_DONE;
}

/* A file, or all plain files of a directory. */
static int docs_take(struct docs *d, const char *path)
{
    struct dirent *e;
    struct stat st;
    int status = STATUS_DONE;
    DIR *dir;

    if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode)) {
        status = docs_read(d, path);
        if (status == STATUS_DONE)
            d->path[d->n - 1] = path;
        return status;
    }
    dir = opendir(path);
    if (dir == NULL)
        return complain(STATUS_USAGE, "%s: cannot be read", path);
    while (status == STATUS_DONE && (e = readdir(dir)) != NULL) {
        char full[4096];

        snprintf(full, sizeof full, "%s/%s", path, e->d_name);
        if (stat(full, &st) == 0 && S_ISREG(st.st_mode) && e->d_name[0] != '.')
            status = docs_read(d, full);
    }
    closedir(dir);
    return status;
}

/* A file that is no collateral at all is a bad file; whatever else is wrong with a document, the
 * verdict says when it was needed. Files of a directory may be anything. */
static int docs_check(struct mk_collateral *c, const struct docs *d)
{
    for (unsigned i = 0; i < d->n; i++) {
        struct mk_bytes doc = mk_buf_bytes(&d->v[i]);
        struct mk_fault fault = {{0}};
        int rv = d->path[i] != NULL ? mk_collateral_add(c, &doc, 1, &fault) : 0;

        if (rv == MK_EMALFORMED || rv == MK_ELIMIT)
            return complain(STATUS_USAGE, "%s: %s", d->path[i], fault.text);
    }
    return STATUS_DONE;
}

static int load_collateral(struct mk_collateral *c, const struct input *in, struct mk_fault *why)
{
    struct mk_bytes slices[FILES_MAX];
    struct docs d = {0};
    int status = STATUS_DONE;

    for (unsigned i = 0; status == STATUS_DONE && i < in->n_collateral; i++)
        status = docs_take(&d, in->collateral[i]);
    if (status == STATUS_DONE)
        status = docs_check(c, &d);
    for (unsigned i = 0; i < d.n; i++)
        slices[i] = mk_buf_bytes(&d.v[i]);
    if (status == STATUS_DONE) /* together: one may sign what stands in another */
        mk_collateral_add(c, slices, d.n, why);
    for (unsigned i = 0; i < d.n; i++)
        mk_buf_done(&d.v[i]);
    return status;
}

/* --- the item --------------------------------------------------------------------------- */

static const char *chain_name(enum mk_quote_chain c)
{
    switch (c) {
    case MK_QUOTE_CHAIN_OK:
        return "ok";
    case MK_QUOTE_CHAIN_REFUSED:
        return "refused";
    case MK_QUOTE_CHAIN_ABSENT:
        break;
    }
    return "absent";
}

static json_t *advisories(const struct mk_quote_verdict *v)
{
    json_t *list = json_array();

    for (unsigned i = 0; i < v->n_advisories; i++)
        json_array_append_new(list, json_string(v->advisories[i]));
    return list;
}

/* The registers of a TDX quote; of an SGX quote they are null. */
static void set_measurements(json_t *o, const struct mk_quote *q)
{
    static const char *const names[] = {"rtmr0", "rtmr1", "rtmr2", "rtmr3"};
    bool td = q != NULL && q->tee == MK_TEE_TDX;
#define REGISTER(field) (td ? json_hex(q->td.field, sizeof q->td.field) : json_null())

    json_object_set_new(o, "mr_td", REGISTER(mr_td));
    for (unsigned i = 0; i < 4; i++)
        json_object_set_new(o, names[i], REGISTER(rtmr[i]));
    json_object_set_new(o, "mr_config_id", REGISTER(mr_config_id));
    json_object_set_new(o, "mr_owner", REGISTER(mr_owner));
    json_object_set_new(o, "mr_owner_config", REGISTER(mr_owner_config));
#undef REGISTER
    if (q != NULL && !td) {
        json_object_set_new(o, "mr_enclave", json_hex(q->enclave.mr_enclave, 32));
        json_object_set_new(o, "mr_signer", json_hex(q->enclave.mr_signer, 32));
    }
    json_object_set_new(o, "report_data",
                        q != NULL ? json_hex(mk_quote_report_data(q), 64) : json_null());
}

static json_t *item(const struct mk_quote *q, const struct mk_quote_verdict *v)
{
    json_t *o = json_object();

    json_object_set_new(o, "verdict", json_string(v->ok ? "ok" : "refused"));
    json_object_set_new(o, "reason", v->ok ? json_null() : json_string(v->reason));
    json_object_set_new(o, "version", q != NULL ? json_integer(q->version) : json_null());
    json_object_set_new(o, "tee", q != NULL ? json_string(mk_tee_name(q->tee)) : json_null());
    json_object_set_new(o, "chain", json_string(chain_name(v->chain)));
    json_object_set_new(o, "tcb_status",
                        v->has_status ? json_string(mk_tcb_status_name(v->status)) : json_null());
    json_object_set_new(o, "advisories", advisories(v));
    set_measurements(o, q);
    return o;
}

/* Collateral that was refused is the likelier reason than that it is missing. */
static void blame_collateral(struct mk_quote_verdict *v, const struct mk_fault *why)
{
    if (!v->ok && !v->has_status && why->text[0] != '\0' &&
        strncmp(v->reason, "collateral", 10) == 0)
        memcpy(v->reason, why->text, sizeof v->reason);
}

static int judge(const struct input *in, const char *path, struct mk_quote_root *root,
                 struct mk_collateral *c, const struct mk_fault *why)
{
    struct mk_buf bytes = {0};
    struct mk_fault fault = {{0}};
    struct mk_quote_verdict v = {.chain = MK_QUOTE_CHAIN_ABSENT};
    struct mk_quote q;
    int status = read_raw_or_hex(path, &bytes);
    bool parsed;

    if (status != STATUS_DONE) {
        mk_buf_done(&bytes);
        return status;
    }
    parsed = mk_quote_parse(&q, mk_buf_bytes(&bytes), &fault) == 0;
    if (parsed)
        mk_quote_verify(root, c, &q, NULL, in->at, &v);
    else
        memcpy(v.reason, fault.text, sizeof v.reason);
    blame_collateral(&v, why);
    print_item(item(parsed ? &q : NULL, &v), in->json);
    mk_buf_done(&bytes);
    return v.ok ? STATUS_DONE : STATUS_CHECK;
}

int check_tdx(int argc, char **argv)
{
    static const struct argp argp = {
        options,
        parse,
        "QUOTE...",
        "Verify a TDX (version 4, 5) or SGX (version 3) quote, binary or hex, and show what it "
        "measures. Without --collateral nothing is said about the platform's TCB status.",
        NULL,
        NULL,
        NULL};
    struct input in = {.at = unix_now()};
    struct mk_quote_root *root = NULL;
    struct mk_collateral *c = NULL;
    struct mk_fault why = {{0}};
    int status;

    parse_options(&argp, argc, argv, &in);
    status = load_root(&root, in.root);
    if (status == STATUS_DONE && in.n_collateral > 0) {
        c = mk_collateral_new(root);
        status = load_collateral(c, &in, &why);
    }
    for (unsigned i = 0; status != STATUS_USAGE && i < in.n_quotes; i++) {
        int one = judge(&in, in.quotes[i], root, c, &why);

        status = one > status ? one : status;
    }
    mk_collateral_free(c);
    mk_quote_root_free(root);
    return status;
}
