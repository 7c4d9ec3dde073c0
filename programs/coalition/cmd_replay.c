/* cmd_replay.c - `coalition replay DIR`: apply a component's log again.
 *
 * DIR is a member's directory (with a node.toml) or one of `coalition up`, with several.
 * Each member's log is applied from its beginning, or from its oldest snapshot where it
 * was cut. The members of one component are then compared with each other, entry by entry:
 * where two have the same entry they must have come to the same commits. A log that is damaged,
 * or empty, was compared with nothing: it is named, and the others are replayed all the same.
 * Pointers to what other components committed are followed to those (replay_evidence.c). */
#include "components.h"
#include "replay_evidence.h"

#include <mosaik/loop.h>
#include <mosaik/replay.h>

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define REPLAYS_MAX 1024u
#define CONFIG "node.toml"

#define WITH_MAX 64u

struct input {
    struct words words;
    const char *with[WITH_MAX];
    unsigned n_with;
    const char *live;
    struct reach reach;
};

/** A component of a member whose log could not be applied. */
struct unread {
    char member[256];
    char label[128];
    struct mk_id deployment;
    bool empty; /* nothing is stored; else it is damaged */
    char why[MK_FAULT_MAX];
};

struct replaying {
    bool beside;        /* --with is being read */
    const char *member; /* the directory that is being read */
    struct mk_env *loop;
    struct replayed v[REPLAYS_MAX];
    unsigned n;
    struct unread unread[REPLAYS_MAX];
    unsigned n_unread;
    struct mk_env *loops[REPLAYS_MAX];
    unsigned n_loops;
};

static void note_unread(struct replaying *all, const struct mk_component_options *o, bool empty,
                        const struct mk_fault *why)
{
    struct unread *u = &all->unread[all->n_unread++];

    snprintf(u->member, sizeof u->member, "%s", all->member);
    snprintf(u->label, sizeof u->label, "%.*s", (int)o->label.n, o->label.p);
    u->deployment = o->deployment;
    u->empty = empty;
    snprintf(u->why, sizeof u->why, "%s", why->text);
}

static int replay_one(void *arg, struct mk_component_options *o, struct mk_fault *fault)
{
    struct replaying *all = arg;
    struct replayed *x = &all->v[all->n];
    struct mk_replay_options ro = {.stable_id = o->stable_id,
                                   .deployment = o->deployment,
                                   .roster = o->roster,
                                   .machine = o->machine};
    struct mk_fault why = {{0}};
    int rv;

    if (all->n + all->n_unread == REPLAYS_MAX)
        return mk_fault(fault, MK_ELIMIT, "%s: more than %u components", all->member, REPLAYS_MAX);
    rv = mk_replay_open(all->loop, &x->r, &ro, &why);
    if (rv == MK_ECORRUPT || rv == MK_ENOTFOUND) {
        note_unread(all, o, rv == MK_ENOTFOUND, &why);
        return 0;
    }
    if (rv != 0)
        return mk_fault(fault, rv, "%s: %.*s: %s", all->member, (int)o->label.n, o->label.p,
                        why.text);
    snprintf(x->member, sizeof x->member, "%s", all->member);
    snprintf(x->label, sizeof x->label, "%.*s", (int)o->label.n, o->label.p);
    x->deployment = o->deployment;
    x->beside = all->beside;
    all->n++;
    return 0;
}

/** Where the node file says the log is. */
static int open_state(struct replaying *all, const struct coa_node_file *f, struct mk_fault *fault)
{
    char path[PATH_MAX];
    int n = f->dir.p[0] == '/'
                ? snprintf(path, sizeof path, "%.*s", (int)f->dir.n, f->dir.p)
                : snprintf(path, sizeof path, "%s/%.*s", all->member, (int)f->dir.n, f->dir.p);

    if (n < 0 || (size_t)n >= sizeof path)
        return mk_fault(fault, MK_ELIMIT, "%s: the path of its state is too long", all->member);
    if (access(path, F_OK) != 0) /* opening would make it */
        return mk_fault(fault, MK_ENOTFOUND, "%s: it is not there", path);
    return mk_loop_open(&all->loop, path, fault);
}

static int replay_member(struct replaying *all, const char *member, struct mk_fault *fault)
{
    struct coa_node_file f;
    struct mk_buf b = {0};
    char config[PATH_MAX];
    int rv;

    all->member = member;
    if (snprintf(config, sizeof config, "%s/" CONFIG, member) >= (int)sizeof config)
        return mk_fault(fault, MK_ELIMIT, "%s: the path is too long", member);
    rv = read_file(config, &b, fault);
    if (rv == 0)
        rv = coa_node_file_parse(&f, config, mk_buf_bytes(&b), fault);
    mk_buf_done(&b);
    if (rv != 0)
        return rv;
    rv = open_state(all, &f, fault);
    if (rv == 0) {
        all->loops[all->n_loops++] = all->loop;
        rv = each_component(config, &f, (struct component_use){replay_one, all}, fault);
    }
    coa_node_file_done(&f);
    return rv;
}

/* --- which members ------------------------------------------------------------------------- */

static bool has_config(const char *dir)
{
    char path[PATH_MAX];

    return snprintf(path, sizeof path, "%s/" CONFIG, dir) < (int)sizeof path &&
           access(path, F_OK) == 0;
}

static int replay_all(struct replaying *all, const char *dir, struct mk_fault *fault)
{
    struct dirent **names = NULL;
    unsigned members = 0;
    int n, rv = 0;

    if (has_config(dir))
        return replay_member(all, dir, fault);
    n = scandir(dir, &names, NULL, alphasort);
    if (n < 0)
        return mk_fault(fault, MK_EINVALID, "%s: %s", dir, strerror(errno));
    for (int i = 0; i < n; i++) {
        char path[PATH_MAX];

        if (rv == 0 && names[i]->d_name[0] != '.' && members < REPLAYS_MAX &&
            snprintf(path, sizeof path, "%s/%s", dir, names[i]->d_name) < (int)sizeof path &&
            has_config(path)) {
            members++;
            rv = replay_member(all, path, fault);
        }
        free(names[i]);
    }
    free(names);
    if (rv == 0 && members == 0)
        rv = mk_fault(fault, MK_ENOTFOUND,
                      "%s: no " CONFIG " in it, nor in a directory below: a member's directory, "
                      "or one of `coalition up`, is wanted",
                      dir);
    return rv;
}

/* --- saying it ------------------------------------------------------------------------------- */

static json_t *surface_json(struct replayed *x, unsigned i)
{
    struct mk_replay_surface s;

    mk_replay_surface(x->r, &s, i);
    return json_pack("{s:s, s:s, s:I, s:o, s:o}", "kind", s.kind, "name", s.name, "index",
                     (json_int_t)s.index, "commit", json_id(&s.commit), "state", json_id(&s.state));
}

static json_t *replayed_json(struct replayed *x)
{
    const struct mk_replay_step *v;
    size_t n = mk_replay_steps(x->r, &v);
    json_t *surfaces = json_array();

    for (unsigned i = 0; i < mk_replay_surfaces(x->r); i++)
        json_array_append_new(surfaces, surface_json(x, i));
    return json_pack("{s:s, s:s, s:I, s:I, s:I, s:o}", "member", x->member, "component", x->label,
                     "snapshot", (json_int_t)mk_replay_snapshot(x->r), "entries", (json_int_t)n,
                     "last", (json_int_t)(n > 0 ? v[n - 1].index : mk_replay_snapshot(x->r)),
                     "surfaces", surfaces);
}

static void print_replayed(struct replayed *x)
{
    const struct mk_replay_step *v;
    size_t n = mk_replay_steps(x->r, &v);
    uint64_t snapshot = mk_replay_snapshot(x->r);

    printf("%s: %s: %zu entries ", x->member, x->label, n);
    if (snapshot > 0)
        printf("after the snapshot of entry %" PRIu64 " (the log before it is cut)\n", snapshot);
    else
        printf("from the beginning\n");
    for (unsigned i = 0; i < mk_replay_surfaces(x->r); i++) {
        struct mk_replay_surface s;
        char commit[MK_ID_HEX], state[MK_ID_HEX];

        mk_replay_surface(x->r, &s, i);
        printf("  %-6s %-14s %" PRIu64 " commits, commit %s, state %s\n", s.kind, s.name, s.index,
               mk_id_hex(&s.commit, commit), mk_id_hex(&s.state, state));
    }
}

/** A log that is empty beside one that is not: how many entries each has. */
static void count_beside(const struct replaying *all, struct unread *u)
{
    for (unsigned i = 0; i < all->n && u->empty; i++) {
        const struct replayed *x = &all->v[i];
        const struct mk_replay_step *v;
        size_t n = mk_replay_steps(x->r, &v);
        uint64_t last = n > 0 ? v[n - 1].index : mk_replay_snapshot(x->r);

        if (!mk_id_eq(&x->deployment, &u->deployment))
            continue;
        snprintf(u->why, sizeof u->why, "0 entries are stored here, and %" PRIu64 " in %s", last,
                 x->member);
        return;
    }
}

static json_t *unread_json(struct replaying *all, bool json)
{
    json_t *v = json_array();

    for (unsigned i = 0; i < all->n_unread; i++) {
        struct unread *u = &all->unread[i];

        count_beside(all, u);
        json_array_append_new(v, json_pack("{s:s, s:s, s:b, s:s}", "member", u->member, "component",
                                           u->label, "empty", u->empty, "reason", u->why));
        if (!json)
            printf("%s: %s: not replayed: %s\n", u->member, u->label, u->why);
    }
    return v;
}

/** The first pair of members that differ; NULL: none. */
static const struct replayed *divergence(const struct replaying *all, const struct replayed **ret,
                                         struct mk_replay_step *ret_step, const char **ret_what)
{
    for (unsigned i = 0; i < all->n; i++)
        for (unsigned k = i + 1; k < all->n; k++) {
            struct mk_replay_step other;

            if (!mk_id_eq(&all->v[i].deployment, &all->v[k].deployment) ||
                !mk_replay_differ(all->v[i].r, all->v[k].r, ret_step, &other))
                continue;
            *ret = &all->v[k];
            *ret_what = mk_id_eq(&ret_step->hash, &other.hash) ? "states" : "commits";
            return &all->v[i];
        }
    return NULL;
}

static int say(struct replaying *all, const struct followed *f, bool json)
{
    const struct replayed *b = NULL;
    struct mk_replay_step at;
    const char *what = NULL;
    const struct replayed *a = divergence(all, &b, &at, &what);
    json_t *v = json_array(), *o;

    for (unsigned i = 0; i < all->n; i++) {
        json_array_append_new(v, replayed_json(&all->v[i]));
        if (!json)
            print_replayed(&all->v[i]);
    }
    o = json_pack("{s:b, s:o, s:o, s:n, s:o}", "ok",
                  a == NULL && !f->has_broken && all->n_unread == 0, "replays", v, "unread",
                  unread_json(all, json), "divergence", "evidence", followed_json(f));
    if (a != NULL)
        json_object_set_new(o, "divergence",
                            json_pack("{s:s, s:I, s:[s,s], s:s}", "component", a->label, "entry",
                                      (json_int_t)at.index, "members", a->member, b->member, "what",
                                      what));
    if (json)
        print_json(o);
    else
        json_decref(o);
    if (!json)
        followed_print(f);
    if (a != NULL)
        return complain(STATUS_CHECK,
                        "%s: %s and %s have the same entry %" PRIu64 " and come to different %s",
                        a->label, a->member, b->member, at.index, what);
    if (all->n_unread > 0)
        return complain(STATUS_CHECK, "%s: %s: not replayed: %s", all->unread[0].member,
                        all->unread[0].label, all->unread[0].why);
    if (f->has_broken)
        return complain(STATUS_CHECK,
                        "%s: %s: entry %" PRIu64 " rests on what is not there (clock %" PRIu64
                        "): %s",
                        f->at->member, f->at->label, f->cite.entry, f->cite.pointer.clock, f->why);
    return STATUS_DONE;
}

enum { OPTION_LIVE = 2048 };

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct input *in = state->input;

    switch (key) {
    case 'w':
        if (in->n_with == WITH_MAX)
            wrong_usage(state, "--with: at most %u directories", WITH_MAX);
        in->with[in->n_with++] = arg;
        return 0;
    case OPTION_LIVE:
        in->live = arg;
        return 0;
    case 't':
        return parse_reach(key, arg, state, &in->reach);
    default:
        return parse_words(key, arg, state, &in->words, 1, 1, "a directory is");
    }
}

/** DIR, then what stands beside it. */
static int replay_dirs(struct replaying *all, const struct input *in, struct mk_fault *fault)
{
    int rv = replay_all(all, in->words.v[0], fault);

    all->beside = true;
    for (unsigned i = 0; i < in->n_with && rv == 0; i++)
        rv = replay_all(all, in->with[i], fault);
    return rv;
}

int cmd_replay(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"with", 'w', "DIR", 0,
         "Another component's member (or all below DIR): pointers to what it committed are looked "
         "for in its log; may be repeated",
         0},
        {"live", OPTION_LIVE, "FILE", 0,
         "A coalition file: components whose logs are not at hand are asked themselves", 0},
        OPTION_TIMEOUT("Seconds to read one surface with --live (10)"),
        OPTION_JSON("Print one JSON object"),
        {0}};
    static const struct argp argp = {
        options,
        parse,
        "DIR",
        "Apply the log of every component of a member (or of all members below DIR) again, "
        "from the beginning, or from the oldest snapshot where the log is cut, and compare what "
        "the members come to; follow each evidence pointer to the component that it names. "
        "Nothing is changed; the last entries may be such that were never committed.",
        NULL,
        NULL,
        NULL};
    struct input in = {.reach = {.timeout_ms = TIMEOUT_MS_DEFAULT}};
    struct followed f = {0};
    struct replaying *all;
    struct mk_fault fault = {{0}};
    int rv;

    parse_options(&argp, argc, argv, &in);
    all = mk_alloc(sizeof *all);
    rv = replay_dirs(all, &in, &fault);
    if (rv != 0)
        rv = complain_of(rv, &fault);
    else
        rv = follow_evidence(&f, all->v, all->n, in.live, &in.reach);
    if (rv == 0)
        rv = say(all, &f, in.words.json);
    for (unsigned i = 0; i < all->n; i++)
        mk_replay_close(all->v[i].r);
    for (unsigned i = 0; i < all->n_loops; i++)
        mk_loop_free(all->loops[i]);
    mk_free(all);
    return rv;
}
