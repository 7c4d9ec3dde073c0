/* cmd_up.c - `coalition up FILE`: every committee that the file ships, on this machine.
 *
 * A new directory is laid out first, whole (up_lay_out.c); then every member is started as a
 * process of its own (supervise.c), the committees found themselves, and a card is published for
 * each catalogue entry. A directory that is there already is started as it is. */
#include "up.h"

#include "atlas/atlas.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static volatile sig_atomic_t stopping;

static void on_signal(int signo)
{
    (void)signo;
    stopping = 1;
}

/* --- cards
 * ------------------------------------------------------------------------------------------------------------
 */

static struct atlas_card card_of(struct up *u, const struct coa_atlas_member *m)
{
    const struct part *p = up_part_of(u, &m->stable_id);
    struct atlas_card c = {.member_id = mk_member_id_of(&m->stable_id),
                           .stable_id = m->stable_id,
                           .kind = m->kind,
                           .role = m->role,
                           .status = {.tag = atlas_status_Active},
                           .version = 1};

    if (p != NULL) {
        c.content_hash = (struct mk_opt_id){true, p->ids.content_hash};
        c.endpoint_hints = (struct atlas_hints){p->list, p->n};
    }
    atlas_card_sign(&c, &u->ids.modules[COA_ATLAS].module_id, &u->operator_);
    return c;
}

/** Waits in slices, so that meanwhile members are tended and Ctrl-C is heard. 0: ready, or told to
 * stop. */
static int wait_bond(struct up *u, struct mk_bond *bond, struct mk_fault *reterr)
{
    uint64_t deadline = deadline_in(PUBLISH_MS);
    struct mk_fault slice = {{0}};
    const char *why;
    int rv;

    do {
        rv = mk_bond_wait(bond, 200, &slice);
        up_tend(u);
    } while (rv == MK_EUNREACHABLE && left_until(deadline) > 1 && !stopping);
    if (stopping || rv == 0)
        return 0;
    why = strstr(slice.text, " ms: "); /* "not reachable within 200 ms": of the last slice */
    return mk_fault(reterr, rv, "not ready within %u s: %s", PUBLISH_MS / 1000,
                    why != NULL ? why + 5 : slice.text);
}

/** One card for each catalogue entry; a newer one that is there already stays. */
static int publish_cards(struct up *u, struct agent *a)
{
    struct coa_atlas_members m =
        coa_atlas_catalogue(&u->file.config.lattices, &u->file.config.organisms, &u->arena);
    struct component atlas;
    struct mk_bond *bond;
    struct mk_fault fault = {{0}};
    int rv;

    if (u->file.config.atlas == NULL || (!u->fresh && m.n > 0))
        return 0;
    rv = agent_find(a, "atlas", &atlas);
    if (rv == 0 && mk_bond_open(a->net, &bond, &atlas.reference, &fault) != 0)
        rv = complain(STATUS_CHECK, "%s", fault.text);
    if (rv == 0 && wait_bond(u, bond, &fault) != 0)
        rv = complain(STATUS_TIMEOUT, "atlas: %s", fault.text);
    for (size_t i = 0; rv == 0 && i < m.n && !stopping; i++) {
        struct atlas_card c = card_of(u, &m.v[i]);
        int err = atlas_publish_wait(bond, &c, PUBLISH_MS, &fault);

        up_tend(u);
        if (err != 0)
            rv = complain(status_of(err), "card of %.*s: %s", (int)m.v[i].role.n, m.v[i].role.p,
                          fault.text);
        if (i == 0)
            u->first_card_ms = monotonic_ms() - u->started_ms;
    }
    return rv;
}

/* --- running
 * -----------------------------------------------------------------------------------------------------------
 */

/** Waits until the committee of each part has a leader that answers: by a bond that is ready. */
static int wait_ready(struct up *u, struct agent *a)
{
    for (unsigned i = 0; i < u->n_parts && !stopping; i++) {
        struct component c;
        struct mk_bond *bond;
        struct mk_fault fault = {{0}};
        char hex[MK_ID_HEX];
        const char *name =
            u->parts[i].organism != NULL ? mk_id_hex(&u->parts[i].ids.stable_id, hex) : "atlas";

        if (u->parts[i].organism != NULL && up_part_of(u, &u->parts[i].ids.stable_id) != NULL) {
            struct component *v;
            size_t n = agent_components(a, &v);
            bool referenced = false;

            for (size_t k = 0; k < n; k++)
                referenced |= mk_id_eq(&v[k].reference.stable_id, &u->parts[i].ids.stable_id);
            if (!referenced)
                continue; /* runs beside the coalition, which does not name it */
        }
        if (agent_find(a, name, &c) != 0 ||
            mk_bond_open(a->net, &bond, &c.reference, &fault) != 0 ||
            wait_bond(u, bond, &fault) != 0)
            return complain(STATUS_TIMEOUT, "%s: %s", u->parts[i].name, fault.text);
        mk_bond_close(bond);
    }
    return 0;
}

/** Roles of the file's organisms that nobody runs here: whole, as a list and as a text. */
static json_t *absent_of(const struct up *u, struct mk_buf *text)
{
    const struct coa_organism_refs *organisms = &u->file.config.organisms;
    json_t *roles = json_array();

    for (size_t i = 0; i < organisms->n; i++) {
        if (up_part_of(u, &organisms->v[i].stable_id) != NULL)
            continue;
        mk_buf_printf(text, "%s%.*s", text->n > 0 ? ", " : "", (int)organisms->v[i].role.n,
                      organisms->v[i].role.p);
        json_array_append_new(roles, json_text(organisms->v[i].role));
    }
    return roles;
}

static void say_ready(struct up *u)
{
    const char *local = up_below(u, "local.toml");
    json_t *e = up_event("ready"), *roles;
    struct mk_buf advice = {0}, absent = {0}, as = {0};
    char hex[MK_ID_HEX];
    uint64_t ms = monotonic_ms() - u->started_ms;

    mk_id_hex(&u->ids.coalition_id, hex);
    roles = absent_of(u, &absent);
    if (up_issues(u))
        mk_buf_printf(&as, " --key %s --ticket %s", up_below(u, "operator.key"),
                      up_below(u, "operator.ticket"));
    mk_buf_put_u8(&as, 0);
    mk_buf_printf(&advice, "  coalition status %s\n", local);
    if (absent.n == 0)
        mk_buf_printf(&advice, "  coalition bind %s%s\n", local, (const char *)as.p);
    if (u->file.config.atlas != NULL)
        mk_buf_printf(&advice, "  coalition atlas list %s%s\n", local, (const char *)as.p);
    if (absent.n > 0)
        mk_buf_printf(
            &advice,
            "\nnot run here: %.*s. With --with ORGANISM.toml, in another --dir, it would be; "
            "until then\n`coalition bind` finds nobody there and does not end with 0.\n",
            (int)absent.n, (const char *)absent.p);
    json_object_set_new(e, "coalition_id", json_string(hex));
    json_object_set_new(e, "file", json_string(local));
    json_object_set_new(e, "ms", json_integer((json_int_t)ms));
    json_object_set_new(e, "first_card_ms", json_integer((json_int_t)u->first_card_ms));
    json_object_set_new(e, "absent", roles);
    up_say(u, e, "ready      after %llu ms\n\n%.*s\nCtrl-C stops it.", (unsigned long long)ms,
           (int)advice.n, (const char *)advice.p);
    mk_buf_done(&advice);
    mk_buf_done(&absent);
    mk_buf_done(&as);
}

static int run(struct up *u)
{
    struct agent a;
    struct reach r = {0};
    char attest[PATH_MAX + 16];
    int rv;

    snprintf(attest, sizeof attest, "%s/attest.toml", u->emulator);
    r.attest = u->emulator[0] != '\0' ? attest : NULL;
    if (up_issues(u)) { /* a gated Atlas takes cards from who shows a ticket */
        r.key = up_below(u, "operator.key");
        r.tickets[r.n_tickets++] = up_below(u, "operator.ticket");
    }
    u->started_ms = monotonic_ms();
    rv = up_start_members(u);
    if (rv == 0)
        rv = agent_open(&a, up_below(u, "local.toml"), &r);
    if (rv == 0) {
        rv = publish_cards(u, &a);
        if (rv == 0)
            rv = wait_ready(u, &a);
        if (rv != 0)
            up_complain_ends(u);
        if (rv == 0 && !stopping)
            say_ready(u);
        while (rv == 0 && !stopping) {
            mk_loop_turn(a.loop, 200);
            up_tend(u);
        }
        agent_close(&a);
    }
    children_stop(&u->children, 10000);
    if (stopping)
        up_say(u, up_event("stopped"), "stopped");
    return stopping ? STATUS_DONE : rv;
}

/* --- the command
 * ------------------------------------------------------------------------------------------------------------
 */

enum { OPTION_EMULATOR = 2048 };

static const struct argp_option options[] = {
    {"with", 'w', "FILE", 0, "An organism file to run too; may be repeated", 0},
    {"source", 's', "NAME=SOURCE", 0,
     "Where an organism reads: - (standard input), file:PATH or exec:COMMAND; by its name", 0},
    {"dir", 'd', "DIR", 0, "Where everything is kept (coalition-<instance name>)", 0},
    {"tdx-emulator", OPTION_EMULATOR, "DIR", 0,
     "Development: members show emulated TDX quotes, which prove nothing; DIR is made when it is "
     "not there (`coalition emulator`)",
     0},
    {"json", 'j', NULL, 0, "Print one JSON object an event", 0},
    {0}};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct up_input *in = state->input;

    switch (key) {
    case 'w':
        if (in->n_with == WITH_MAX)
            wrong_usage(state, "--with: at most %u", WITH_MAX);
        in->with[in->n_with++] = arg;
        return 0;
    case 's':
        if (in->n_sources == WITH_MAX || strchr(arg, '=') == NULL || strchr(arg, '\'') != NULL)
            wrong_usage(state, "--source: NAME=SOURCE is wanted, without single quotes");
        in->sources[in->n_sources++] = arg;
        return 0;
    case OPTION_EMULATOR:
        in->emulator = arg;
        return 0;
    case 'd':
        in->dir = arg;
        return 0;
    case 'j':
        in->json = true;
        return 0;
    case ARGP_KEY_ARG:
        if (in->file != NULL)
            wrong_usage(state, "too many arguments");
        in->file = arg;
        return 0;
    case ARGP_KEY_END:
        if (in->file == NULL)
            wrong_usage(state, "a coalition file is missing");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static int choose_dir(struct up *u)
{
    char name[160];

    snprintf(name, sizeof name, "coalition-%.128s", u->file.config.instance_name.p);
    for (char *c = name; *c != '\0'; c++) {
        if (*c == '/')
            *c = '_';
    }
    if (snprintf(u->dir, sizeof u->dir, "%s", u->in.dir != NULL ? u->in.dir : name) >=
        PATH_MAX - 300)
        return complain(STATUS_USAGE, "--dir: the path is too long");
    return 0;
}

int cmd_up(int argc, char **argv)
{
    static const struct argp argp = {
        options,
        parse,
        "FILE",
        "Run every committee that the coalition file ships on this machine, as real "
        "processes over TLS on loopback, with keys and operators made for it. DIR/local.toml "
        "is the file to bind through.",
        NULL,
        NULL,
        NULL};
    struct sigaction sa = {.sa_handler = on_signal};
    struct up *u = mk_alloc(sizeof *u);
    char hex[MK_ID_HEX];
    json_t *e;
    int rv;

    u->dir_fd = -1;
    parse_options(&argp, argc, argv, &u->in);
    sigaction(SIGINT, &sa, NULL);
    sigaction(SIGTERM, &sa, NULL);
    rv = load_coalition(&u->file, u->in.file);
    if (rv == 0) {
        coa_coalition_derive(&u->file.config, &u->ids, NULL);
        rv = choose_dir(u);
    }
    if (rv == 0)
        rv = up_collect_parts(u);
    if (rv == 0)
        rv = up_open_directory(u);
    if (rv == 0) {
        e = up_event("coalition");
        json_object_set_new(e, "coalition_id", json_string(mk_id_hex(&u->ids.coalition_id, hex)));
        json_object_set_new(e, "dir", json_string(u->dir));
        up_say(u, e, "coalition  %s  %.*s\ndirectory  %s", hex, (int)u->file.config.instance_name.n,
               u->file.config.instance_name.p, u->dir);
        rv = run(u);
    }
    for (unsigned i = 0; i < u->n_parts; i++) {
        if (u->parts[i].organism != NULL)
            coa_organism_file_done(u->parts[i].organism);
    }
    children_free(&u->children);
    if (u->dir_fd >= 0)
        close(u->dir_fd);
    coa_coalition_file_done(&u->file);
    mk_key_done(&u->operator_);
    mk_arena_done(&u->arena);
    mk_free(u);
    return rv;
}
