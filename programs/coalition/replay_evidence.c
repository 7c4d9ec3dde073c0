/* replay_evidence.c - see the header.
 *
 * That a pointer was proven is decided when its entry is applied, from what is in the entry: the
 * replay has judged it already, as every member did. Here the other end is looked at: does the log
 * of the component that is named hold that commit? First in the logs at hand; what none of them is
 * of is asked for at the component itself, whose retained commits are read and verified. */
#include "replay_evidence.h"

#include "agent.h"

#include <mosaik/evidence.h>
#include <mosaik/loop.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define SURFACES_LIVE_MAX 256u

static bool is_of(const struct mk_replay *r, const struct mk_member_id *member)
{
    struct mk_member_id id = mk_member_id_of(mk_replay_stable_id(r));

    return memcmp(id.b, member->b, sizeof id.b) == 0;
}

static void broken(struct followed *f, const struct replayed *x, const struct mk_replay_cite *c,
                   const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/** Only the first one is told. */
static void broken(struct followed *f, const struct replayed *x, const struct mk_replay_cite *c,
                   const char *fmt, ...)
{
    va_list ap;

    if (f->has_broken)
        return;
    f->has_broken = true;
    f->at = x;
    f->cite = *c;
    va_start(ap, fmt);
    vsnprintf(f->why, sizeof f->why, fmt, ap);
    va_end(ap);
}

/* --- in the logs ---------------------------------------------------------------------------------
 */

enum place { PLACE_FOUND, PLACE_NOT_THERE, PLACE_CUT, PLACE_NO_LOG };

/** Looks in every log of the component that is named: members may have cut theirs differently. */
static enum place look(const struct replayed *v, size_t n, const struct mk_replay_cite *c,
                       const struct replayed **ret, uint64_t *ret_index)
{
    enum place best = PLACE_NO_LOG;

    for (size_t i = 0; i < n; i++) {
        uint64_t index = 0;
        int rv;

        if (!is_of(v[i].r, &c->pointer.member))
            continue;
        rv = mk_replay_find(v[i].r, &c->pointer.surface, &c->pointer.commit, &index);
        if (rv == 0) {
            *ret = &v[i];
            *ret_index = index;
            return PLACE_FOUND;
        }
        if (best == PLACE_NO_LOG || rv != MK_ESTALE) {
            best = rv == MK_ESTALE ? PLACE_CUT : PLACE_NOT_THERE;
            *ret = &v[i];
            *ret_index = index;
        }
    }
    return best;
}

/* --- at the component itself
 * ----------------------------------------------------------------------- */

/** A pointer that no log holds. */
struct sought {
    const struct replayed *x;
    const struct mk_replay_cite *cite;
    const struct replayed *cut; /* a log of that component that begins later; NULL: none at hand */
    uint64_t cut_index;
    bool found;
};

struct live {
    struct followed *f;
    struct agent agent;
    struct sought *v;
    size_t n;
    const struct mk_id *surface; /* being read */
    uint64_t first;              /* commit that was seen first */
    bool done;
    struct mk_fault ended;
};

static void live_evidence(struct mk_evidence_feed *feed, const struct mk_exhibit *e)
{
    struct live *l = mk_evidence_feed_owner(feed);

    if (l->first == 0)
        l->first = e->index;
    for (size_t i = 0; i < l->n; i++)
        if (mk_id_eq(&l->v[i].cite->pointer.commit, &e->pointer.commit) &&
            mk_id_eq(&l->v[i].cite->pointer.surface, l->surface))
            l->v[i].found = l->v[i].cite->pointer.clock == e->pointer.clock;
    l->done = e->index == e->certificate.head.index;
}

static void live_ended(struct mk_evidence_feed *feed, int status, const struct mk_fault *fault)
{
    struct live *l = mk_evidence_feed_owner(feed);

    if (fault != NULL)
        l->ended = *fault;
    else
        mk_fault(&l->ended, status, "%s", mk_strerror(status));
    l->done = true;
}

static bool live_done(void *arg)
{
    return ((const struct live *)arg)->done;
}

/** The clock of a surface that this build knows. */
static const char *clock_of(const struct mk_surface_spec *spec)
{
    static const char *const names[] = {"seq", "version", "round"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        for (size_t k = 0; k < spec->value->n_fields && spec->value->kind == MK_KIND_STRUCT; k++)
            if (strcmp(spec->value->fields[k].name, names[i]) == 0)
                return names[i];
    return NULL;
}

/** The component and surface that a pointer names. */
static const struct mk_surface_spec *find_live(struct live *l, const struct mk_evidence_pointer *p,
                                               struct mk_reference *ret)
{
    struct component *v;
    size_t n = agent_components(&l->agent, &v);

    for (size_t i = 0; i < n; i++) {
        struct mk_member_id member = mk_member_id_of(&v[i].reference.stable_id);

        if (memcmp(member.b, p->member.b, sizeof member.b) != 0)
            continue;
        for (unsigned k = 0; k < v[i].n_surfaces; k++) {
            struct mk_id id = mk_surface_id(&v[i].surfaces[k], &v[i].reference.stable_id);

            *ret = v[i].reference;
            if (mk_id_eq(&id, &p->surface))
                return &v[i].surfaces[k];
        }
    }
    return NULL;
}

/** Reads what the component retains of one surface; the sought of it are found or not. */
static int read_live(struct live *l, const struct mk_evidence_pointer *p, uint32_t timeout_ms,
                     struct mk_fault *fault)
{
    static const struct mk_evidence_feed_cbs cbs = {.evidence = live_evidence, .ended = live_ended};
    struct mk_evidence_feed *feed = NULL;
    struct mk_evidence_surface surface;
    struct mk_bond *bond = NULL;
    struct mk_reference r;
    int rv = 0;

    surface.spec = find_live(l, p, &r);
    if (surface.spec == NULL)
        return mk_fault(fault, MK_ENOTFOUND, "the file names no component with that surface");
    if (mk_surface_keyed(surface.spec->kind))
        return mk_fault(fault, MK_ENOTSUP, "a %s is not read back from outside: give --with",
                        mk_surface_kind_name(surface.spec->kind));
    surface.clock = clock_of(surface.spec);
    l->surface = &p->surface;
    l->first = 0;
    l->done = false;
    l->ended.text[0] = '\0';
    rv = mk_bond_open(l->agent.net, &bond, &r, fault);
    if (rv == 0)
        rv = mk_evidence_feed_open(bond, &feed, &surface, 0, NULL, &cbs, l);
    if (rv == 0 && !mk_loop_run_until(l->agent.loop, live_done, l, timeout_ms)) {
        struct mk_bond_status s;

        mk_bond_status(bond, &s);
        rv = mk_fault(fault, MK_ETIMEDOUT, "not read within %u ms: %.300s", timeout_ms, s.text);
    }
    if (rv == 0 && l->ended.text[0] != '\0')
        rv = mk_fault(fault, MK_EUNREACHABLE, "%.400s", l->ended.text);
    mk_evidence_feed_close(feed);
    mk_bond_close(bond);
    return rv;
}

/** What is left is told: without a log, not followed; otherwise broken. */
static void conclude(struct followed *f, const struct sought *s, bool asked, uint64_t first,
                     const char *why)
{
    if (s->found) {
        f->live++;
    } else if (asked && first > 1) {
        broken(f, s->x, s->cite,
               "the component serves its commits from %" PRIu64 " on, and it is "
               "not among them: its retention is shorter than what is cited here",
               first);
    } else if (asked) {
        broken(f, s->x, s->cite, "the component never made that commit");
    } else if (s->cut != NULL) {
        broken(f, s->x, s->cite,
               "%.150s holds that surface from commit %" PRIu64 " on, and it is "
               "not among them",
               s->cut->member, s->cut_index);
    } else {
        f->not_followed++;
        if (why != NULL)
            snprintf(f->why, sizeof f->why, "%s", f->has_broken ? f->why : why);
    }
}

static int follow_live(struct followed *f, struct sought *v, size_t n, const char *file,
                       const struct reach *reach)
{
    struct live l = {.f = f, .v = v, .n = n};
    const struct mk_id *seen[SURFACES_LIVE_MAX];
    size_t n_seen = 0;
    int rv = agent_open(&l.agent, file, reach);

    for (size_t i = 0; i < n && rv == 0; i++) {
        const struct mk_evidence_pointer *p = &v[i].cite->pointer;
        struct mk_fault fault = {{0}};
        bool known = false, asked;

        for (size_t k = 0; k < n_seen; k++)
            known |= mk_id_eq(seen[k], &p->surface);
        if (known || n_seen == SURFACES_LIVE_MAX)
            continue;
        seen[n_seen++] = &p->surface;
        asked = read_live(&l, p, reach->timeout_ms, &fault) == 0;
        for (size_t k = i; k < n; k++)
            if (mk_id_eq(&v[k].cite->pointer.surface, &p->surface))
                conclude(f, &v[k], asked, l.first, fault.text);
    }
    agent_close(&l.agent);
    return rv;
}

/* --- all of it
 * -------------------------------------------------------------------------------------- */

static uint64_t last_entry(const struct replayed *x)
{
    const struct mk_replay_step *v;
    size_t n = mk_replay_steps(x->r, &v);

    return n > 0 ? v[n - 1].index : mk_replay_snapshot(x->r);
}

/** Members of one committee have the same log: the pointers of the one that is furthest count. */
static bool is_repeated(const struct replayed *v, size_t n, size_t i)
{
    for (size_t k = 0; k < n; k++) {
        if (k == i || v[k].beside || !mk_id_eq(&v[k].deployment, &v[i].deployment))
            continue;
        if (last_entry(&v[k]) > last_entry(&v[i]) ||
            (last_entry(&v[k]) == last_entry(&v[i]) && k < i))
            return true;
    }
    return v[i].beside;
}

static void follow_one(struct followed *f, const struct replayed *v, size_t n,
                       const struct replayed *x, const struct mk_replay_cite *c,
                       struct sought *sought, size_t *n_sought)
{
    const struct replayed *in = NULL;
    uint64_t index = 0;

    f->pointers++;
    if (!c->resolved) {
        f->refused++;
        if (!f->has_refused) {
            f->has_refused = true;
            f->refused_at = x;
            f->refused_cite = *c;
        }
        return;
    }
    switch (look(v, n, c, &in, &index)) {
    case PLACE_FOUND:
        f->in_logs++;
        return;
    case PLACE_NOT_THERE:
        broken(f, x, c, "%.150s never made that commit", in->member);
        return;
    case PLACE_CUT:
    case PLACE_NO_LOG:
        sought[(*n_sought)++] = (struct sought){.x = x, .cite = c, .cut = in, .cut_index = index};
    }
}

int follow_evidence(struct followed *ret, const struct replayed *v, size_t n, const char *live,
                    const struct reach *reach)
{
    struct sought *sought = NULL;
    size_t n_sought = 0, room = 0;
    int rv = 0;

    memset(ret, 0, sizeof *ret);
    for (size_t i = 0; i < n; i++) {
        const struct mk_replay_cite *c;
        size_t n_cites = is_repeated(v, n, i) ? 0 : mk_replay_cites(v[i].r, &c);

        room += n_cites;
        sought = mk_realloc(sought, (room + 1) * sizeof *sought);
        for (size_t k = 0; k < n_cites; k++)
            follow_one(ret, v, n, &v[i], &c[k], sought, &n_sought);
    }
    if (live != NULL && n_sought > 0)
        rv = follow_live(ret, sought, n_sought, live, reach);
    for (size_t i = 0; live == NULL && i < n_sought; i++)
        conclude(ret, &sought[i], /* asked= */ false, 0, NULL);
    mk_free(sought);
    return rv;
}

/* --- saying it
 * ---------------------------------------------------------------------------------------- */

static json_t *cite_json(const struct replayed *x, const struct mk_replay_cite *c, const char *why)
{
    const struct mk_evidence_pointer *p = &c->pointer;

    return json_pack("{s:s, s:s, s:I, s:{s:o, s:o, s:I, s:o}, s:s}", "component", x->label,
                     "member", x->member, "entry", (json_int_t)c->entry, "pointer", "member",
                     json_hex(p->member.b, sizeof p->member.b), "surface", json_id(&p->surface),
                     "clock", (json_int_t)p->clock, "commit", json_id(&p->commit), "why", why);
}

json_t *followed_json(const struct followed *f)
{
    return json_pack(
        "{s:I, s:I, s:I, s:I, s:I, s:o, s:o}", "pointers", (json_int_t)f->pointers, "in_logs",
        (json_int_t)f->in_logs, "live", (json_int_t)f->live, "not_followed",
        (json_int_t)f->not_followed, "refused", (json_int_t)f->refused, "unresolved",
        f->has_broken ? cite_json(f->at, &f->cite, f->why) : json_null(), "first_refused",
        f->has_refused ? cite_json(f->refused_at, &f->refused_cite, f->refused_cite.why)
                       : json_null());
}

void followed_print(const struct followed *f)
{
    if (f->pointers == 0)
        return;
    printf(
        "evidence: %zu pointers: %zu found in the logs at hand, %zu at the component itself, %zu "
        "proven by their entries alone, %zu refused\n",
        f->pointers, f->in_logs, f->live, f->not_followed, f->refused);
    if (!f->has_broken && f->why[0] != '\0')
        printf("  not followed: %s\n", f->why);
    if (f->has_refused)
        printf("  first refused: %s, entry %" PRIu64 ", clock %" PRIu64 ": %s\n",
               f->refused_at->label, f->refused_cite.entry, f->refused_cite.pointer.clock,
               f->refused_cite.why);
}
