/* cmd_deploy.c - `coalition deploy`: the operator's signed word where a component runs
 * (spec/committees.md, "Binding a reference").
 *
 * The record says the component's ids, its first roster and its addresses, all from the
 * file; readers take it only from the operator that the file names, so no other key signs
 * one here. Two records of one version with different bytes convict their operator: an OUT
 * that holds this component's record of the same or a later version is not written over. */
#include "deployment.h"
#include "program.h"

#include <mosaik/records.h>

#include <stdio.h>
#include <string.h>

struct input {
    const char *file, *component, *key, *out;
    uint64_t version; /* 0: not given */
    bool json;
};

/* The component as its file has it. */
struct target {
    struct mk_id stable_id, deployment, content_hash;
    struct mk_opt_peer owner;
    struct coa_contacts committee;
    struct mk_roster roster;
};

enum { OPT_JSON = 'j', OPT_COMPONENT = 'c', OPT_KEY = 'k', OPT_VERSION = 'n', OPT_OUT = 'o' };

static const struct argp_option options[] = {
    {"component", OPT_COMPONENT, "C", 0,
     "A module's kind, ticket_issuer, or the name of an organism file's organism", 0},
    {"key", OPT_KEY, "FILE", 0, "The operator's key", 0},
    {"version", OPT_VERSION, "N", 0, "From 1, ascending with each change (default: 1)", 0},
    {"output", OPT_OUT, "OUT", 0, "The file to write", 0},
    {"json", OPT_JSON, NULL, 0, "Print one JSON object", 0},
    {0}};

static void check_input(struct argp_state *state, const struct input *in)
{
    if (in->file == NULL)
        wrong_usage(state, "FILE is missing");
    if (in->component == NULL)
        wrong_usage(state, "--component is missing");
    if (in->key == NULL)
        wrong_usage(state, "--key is missing");
    if (in->out == NULL)
        wrong_usage(state, "-o OUT is missing");
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct input *in = state->input;

    switch (key) {
    case OPT_JSON:
        in->json = true;
        return 0;
    case OPT_COMPONENT:
        in->component = arg;
        return 0;
    case OPT_KEY:
        in->key = arg;
        return 0;
    case OPT_OUT:
        in->out = arg;
        return 0;
    case OPT_VERSION:
        if (parse_u64(&in->version, arg, UINT64_MAX) != 0 || in->version == 0)
            wrong_usage(state, "--version is \"%s\"; it must be a number from 1", arg);
        return 0;
    case ARGP_KEY_ARG:
        if (in->file != NULL)
            wrong_usage(state, "one FILE is expected");
        in->file = arg;
        return 0;
    case ARGP_KEY_END:
        check_input(state, in);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* --- the component ------------------------------------------------------------------- */

static int no_committee(const struct input *in)
{
    return complain(STATUS_USAGE, "%s: %s has no committee; its first roster must be stated",
                    in->file, in->component);
}

static int target_issuer(struct target *t, const struct input *in,
                         const struct coa_coalition_file *f, const struct coa_coalition_ids *ids)
{
    if (f->config.ticket_issuer == NULL)
        return complain(STATUS_CHECK, "%s: it ships no ticket issuer", in->file);
    t->stable_id = ids->tickets_root;
    t->deployment = ids->issuer_deployment;
    t->content_hash = ids->ticket_issuer_fp;
    t->owner = f->issuer.operator;
    t->committee = f->issuer.committee;
    return 0;
}

static int target_module(struct target *t, const struct input *in,
                         const struct coa_coalition_file *f, const struct coa_coalition_ids *ids,
                         enum coa_module_kind kind)
{
    const struct coa_module_ids *m = &ids->modules[kind];

    if (!m->shipped)
        return complain(STATUS_CHECK, "%s: it does not ship %s", in->file, in->component);
    t->stable_id = m->module_root;
    t->deployment = m->module_id;
    t->content_hash = m->content_hash;
    t->owner = f->modules[kind].operator;
    t->committee = f->modules[kind].committee;
    return 0;
}

static int target_of_coalition(struct target *t, const struct input *in,
                               const struct coa_coalition_file *f, struct mk_arena *arena)
{
    struct coa_coalition_ids ids;
    enum coa_module_kind kind;
    unsigned component = COA_ANCHOR_ISSUER;
    int status;

    if (f->serialised)
        return complain(STATUS_USAGE, "%s: a serialised config states no committee; name the file",
                        in->file);
    coa_coalition_derive(&f->config, &ids, NULL);
    if (strcmp(in->component, "ticket_issuer") == 0) {
        status = target_issuer(t, in, f, &ids);
    } else if (coa_module_kind_of(&kind, mk_str_of(in->component)) == 0) {
        component = kind;
        status = target_module(t, in, f, &ids, kind);
    } else {
        return complain(STATUS_USAGE,
                        "--component is \"%s\"; it must be atlas, almanac, chronicle, compute, "
                        "randomness or ticket_issuer; `coalition deploy --help` tells more",
                        in->component);
    }
    if (status != 0)
        return status;
    if (!t->owner.some)
        t->owner = f->operator;
    return coa_first_roster(f, &ids, component, &t->roster, arena) ? 0 : no_committee(in);
}

static int target_of_organism(struct target *t, const struct input *in,
                              const struct coa_organism_file *f, struct mk_arena *arena)
{
    struct coa_organism_ids ids;

    if (!mk_str_is(f->config.name, in->component))
        return complain(STATUS_USAGE, "--component is \"%s\"; the organism of %s is \"%s\"",
                        in->component, in->file, f->config.name.p);
    coa_organism_derive(&f->config, &ids, NULL);
    t->stable_id = ids.stable_id;
    t->deployment = ids.organism_id;
    t->content_hash = ids.content_hash;
    t->owner = f->notes.operator;
    t->committee = f->notes.committee;
    return coa_organism_first_roster(f, &ids.organism_id, &t->roster, arena) ? 0 : no_committee(in);
}

/* --- the record ---------------------------------------------------------------------- */

static void make_record(const struct target *t, const struct mk_key *key, uint64_t version,
                        struct mk_buf *out, struct mk_arena *arena)
{
    mk_address_d *addresses = mk_arena_take(arena, t->committee.n * sizeof *addresses);
    struct mk_deployment d = {
        .stable_id = t->stable_id,
        .deployment = t->deployment,
        .content_hash = t->content_hash,
        .version = version,
        .roster = t->roster,
        .addresses = {addresses, t->committee.n},
    };

    for (size_t i = 0; i < t->committee.n; i++)
        addresses[i] = t->committee.v[i].address;
    deployment_sign(&d, key, out);
}

/* Is there, at OUT, what this record must not replace? */
static int check_earlier(const struct input *in, const struct target *t, uint64_t version,
                         struct mk_bytes record)
{
    struct mk_deployment old;
    struct mk_arena arena = {0};
    struct mk_buf b = {0};
    int status = 0;

    if (read_file(in->out, &b, NULL) == 0 && !mk_bytes_eq(mk_buf_bytes(&b), record) &&
        mk_decode(&old, &mk_deployment_type, mk_buf_bytes(&b), &arena, NULL) == 0 &&
        mk_id_eq(&old.stable_id, &t->stable_id) && old.version >= version)
        status =
            complain(STATUS_CHECK,
                     "%s: it holds version %llu, which says something else; readers refuse "
                     "a version that goes back or comes twice, so give --version %llu",
                     in->out, (unsigned long long)old.version, (unsigned long long)old.version + 1);
    mk_arena_done(&arena);
    mk_buf_done(&b);
    return status;
}

static int check_owner(const struct input *in, const struct target *t, const struct mk_key *key)
{
    char stated[MK_ID_HEX], given[MK_ID_HEX];

    if (!t->owner.some)
        return complain(STATUS_USAGE,
                        "%s: no operator is stated for %s; readers take a Deployment only from "
                        "the operator that their file names",
                        in->file, in->component);
    if (mk_peer_eq(&t->owner.v, &key->peer))
        return 0;
    return complain(STATUS_CHECK, "%s: the key of %s; %s names the operator %s", in->key,
                    mk_peer_hex(&key->peer, given), in->file, mk_peer_hex(&t->owner.v, stated));
}

static int deploy(const struct input *in, const struct target *t, const struct mk_key *key,
                  struct mk_arena *arena)
{
    uint64_t version = in->version != 0 ? in->version : 1;
    struct mk_fault fault = {{0}};
    struct mk_buf record = {0};
    char hex[MK_ID_HEX];
    int status = check_owner(in, t, key), rv;

    if (status != 0)
        return status;
    make_record(t, key, version, &record, arena);
    status = check_earlier(in, t, version, mk_buf_bytes(&record));
    if (status == 0) {
        rv = write_file(in->out, mk_buf_bytes(&record), 0644, &fault);
        status = rv == 0 ? STATUS_DONE : complain_of(rv, &fault);
    }
    mk_buf_done(&record);
    if (status != STATUS_DONE)
        return status;
    if (in->json)
        print_json(json_pack("{s:o, s:I, s:s}", "deployment", json_id(&t->deployment), "version",
                             (json_int_t)version, "file", in->out));
    else
        printf("deployment %s version %llu of %s, %zu peers, in %s\n",
               mk_id_hex(&t->deployment, hex), (unsigned long long)version, in->component,
               t->roster.peers.n, in->out);
    return STATUS_DONE;
}

static int with_key(const struct input *in, const struct target *t, struct mk_arena *arena)
{
    struct mk_fault fault = {{0}};
    struct mk_key key;
    int rv = load_key(&key, in->key, &fault);

    if (rv != 0)
        return complain_of(rv, &fault);
    rv = deploy(in, t, &key, arena);
    mk_key_done(&key);
    return rv;
}

static int of_coalition(const struct input *in, struct mk_arena *arena)
{
    struct coa_coalition_file f;
    struct target t = {0};
    int status = load_coalition(&f, in->file);

    if (status != 0)
        return status;
    status = target_of_coalition(&t, in, &f, arena);
    if (status == 0)
        status = with_key(in, &t, arena);
    coa_coalition_file_done(&f);
    return status;
}

static int of_organism(const struct input *in, struct mk_arena *arena)
{
    struct coa_organism_file f;
    struct target t = {0};
    int status = load_organism(&f, in->file);

    if (status != 0)
        return status;
    status = target_of_organism(&t, in, &f, arena);
    if (status == 0)
        status = with_key(in, &t, arena);
    coa_organism_file_done(&f);
    return status;
}

int cmd_deploy(int argc, char **argv)
{
    static const struct argp argp = {
        options,
        parse,
        "FILE",
        "Sign where a component runs: its ids, its first roster, its addresses.\v"
        "FILE is a coalition file or an organism file; it states the component's committee and "
        "the operator whose key this is. Nodes name OUT as `deployment` and spread it.",
        NULL,
        NULL,
        NULL};
    struct input in = {0};
    struct mk_arena arena = {0};
    enum coa_file_kind kind;
    int status;

    parse_options(&argp, argc, argv, &in);
    status = load_kind(&kind, in.file);
    if (status == 0 && kind == COA_FILE_COALITION)
        status = of_coalition(&in, &arena);
    else if (status == 0 && kind == COA_FILE_ORGANISM)
        status = of_organism(&in, &arena);
    else if (status == 0)
        status =
            complain(STATUS_USAGE,
                     "%s: a lattice has no committee of its own; deploy its organisms", in.file);
    mk_arena_done(&arena);
    return status;
}
