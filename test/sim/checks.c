/* Checkers, cheap enough to run after every event: each looks only at members whose
 * applied index, role or certificates moved since it looked last. */
#include "checks.h"
#include "collections/certificate.h"
#include "collections/surface.h"
#include "group/group_int.h"

#include <stdio.h>
#include <string.h>

#define TERMS_MAX 4096u
#define CERTIFY_EVERY 8u /* entries */
#define CERTIFIED_MAX 4096u
#define ACKNOWLEDGED_MAX 1024u

struct certified {
    unsigned surface;
    uint64_t index;
    struct mk_id commit, state;
};

struct acknowledged {
    char key[32], value[200];
};

/* The configuration as far as it is committed. */
struct settled {
    uint64_t index; /* of its entry; 0: not seen yet */
    struct mk_configuration conf;
};

struct checks {
    struct mk_arena mem;
    uint64_t sessions, committed, led_term;
    int leaders[TERMS_MAX]; /* by term: 1 + the member that led it */
    struct mk_buf hashes;   /* struct mk_id by applied index */
    struct settled settled;
    struct certified *certified;
    unsigned n_certified;
    struct acknowledged *acknowledged;
    unsigned n_acknowledged;
    struct mk_reader_memory *memory; /* the chain of epochs */
};

void *checks_memory(struct cluster *c, size_t n)
{
    return mk_arena_take(&c->checks->mem, n);
}

uint64_t checks_session(struct cluster *c)
{
    return 1000 + ++c->checks->sessions;
}

/* --- one leader a term -------------------------------------------------------------------- */

static void check_leader(struct cluster *c, unsigned i, const struct mk_group_status *s)
{
    int *led;

    if (s->state != MK_GROUP_LEADING)
        return;
    if (s->term >= TERMS_MAX)
        cluster_violation("term %llu: elections run away", (unsigned long long)s->term);
    led = &c->checks->leaders[s->term];
    if (*led != 0 && *led != (int)i + 1)
        cluster_violation("term %llu has two leaders: %d and %u", (unsigned long long)s->term,
                          *led - 1, i);
    *led = (int)i + 1;
}

/* --- equal states ----------------------------------------------------------------------------- */

static void check_state(struct cluster *c, struct process *p, uint64_t applied)
{
    struct mk_buf *b = &c->checks->hashes;
    struct mk_id now, *known;

    if (applied < p->checked)
        cluster_violation("member %u went back from %llu to %llu", p->i,
                          (unsigned long long)p->checked, (unsigned long long)applied);
    if (applied == p->checked)
        return;
    p->checked = applied;
    now = mk_group_state_hash(p->group);
    if (b->n < (applied + 1) * sizeof now) {
        size_t more = (applied + 1) * sizeof now - b->n;

        memset(mk_buf_grow(b, more), 0, more);
    }
    known = (struct mk_id *)(void *)b->p + applied;
    if (mk_id_is_zero(known))
        *known = now;
    else if (!mk_id_eq(known, &now))
        cluster_violation("member %u has another state at %llu than others had", p->i,
                          (unsigned long long)applied);
}

/* In the middle of a turn: several entries are applied in one. */
void checks_applied(void *arg, uint64_t index)
{
    struct process *p = arg;

    if (p->group != NULL)
        check_state(p->c, p, index);
}

/* --- one change at a time ---------------------------------------------------------------- */

static bool conf_of(struct process *p, uint64_t index, struct mk_configuration *ret)
{
    const struct mk_entry *e = mk_consensus_entry(p->group->raft, index);

    return e != NULL && e->type == MK_ENTRY_CHANGE &&
           mk_configuration_decode(ret, MK_BYTES(e->blob->p, e->blob->n)) == 0;
}

/* Servers that are in one of the two and not, or not in the same role, in the other. */
static unsigned steps_between(const struct mk_configuration *a, const struct mk_configuration *b)
{
    unsigned n = 0;

    for (unsigned i = 0; i < a->n; i++) {
        const struct mk_server *s = mk_configuration_find(b, a->servers[i].id);

        n += s == NULL || s->role != a->servers[i].role;
    }
    for (unsigned i = 0; i < b->n; i++)
        n += mk_configuration_find(a, b->servers[i].id) == NULL;
    return n;
}

static void settle(struct cluster *c, struct process *p, uint64_t index,
                   const struct mk_configuration *conf)
{
    struct settled *s = &c->checks->settled;

    if (s->index > 0 && index > s->index && steps_between(&s->conf, conf) > 1)
        cluster_violation("member %u: the configuration of entry %llu is more than a step from "
                          "that of entry %llu",
                          p->i, (unsigned long long)index, (unsigned long long)s->index);
    *s = (struct settled){index, *conf};
}

/* No log has two configurations beyond what is known to be committed anywhere, and each that
 * is committed is a step from the one before. */
static void check_changes(struct cluster *c, struct process *p, const struct mk_group_status *s)
{
    struct checks *k = c->checks;
    struct mk_configuration conf;
    unsigned open = 0;
    uint64_t at = k->settled.index + 1;

    if (p->group->raft == NULL || (p->conf_last == s->last && p->conf_commit == k->committed))
        return;
    p->conf_last = s->last;
    p->conf_commit = k->committed;
    if (at < mk_consensus_first(p->group->raft))
        at = mk_consensus_first(p->group->raft);
    for (; at <= s->last; at++) {
        if (!conf_of(p, at, &conf))
            continue;
        if (at <= s->commit)
            settle(c, p, at, &conf);
        open += at > k->committed;
    }
    if (open > 1)
        cluster_violation("member %u has %u changes of the configuration under way", p->i, open);
}

/* --- machine time ------------------------------------------------------------------------------
 */

/* A life goes on in its order; a snapshot that is installed is newer, too. */
static void check_time(struct process *p, uint64_t time_ms)
{
    if (time_ms < p->time_ms)
        cluster_violation("member %u: machine time went back from %llu to %llu", p->i,
                          (unsigned long long)p->time_ms, (unsigned long long)time_ms);
    p->time_ms = time_ms;
}

/* --- certificates -------------------------------------------------------------------------------
 */

static void check_certified(struct cluster *c, unsigned surface, const struct mk_head *h)
{
    struct checks *k = c->checks;

    for (unsigned i = k->n_certified; i > 0 && i + 64 > k->n_certified; i--) {
        struct certified *x = &k->certified[i - 1];

        if (x->surface != surface || x->index != h->index)
            continue;
        if (!mk_id_eq(&x->commit, &h->commit) || !mk_id_eq(&x->state, &h->state))
            cluster_violation("conflicting certificates of surface %u at %llu", surface,
                              (unsigned long long)h->index);
        return;
    }
    if (k->n_certified < CERTIFIED_MAX)
        k->certified[k->n_certified++] = (struct certified){surface, h->index, h->commit, h->state};
}

/* The chain of epochs is followed as a reader does. */
static const struct mk_roster *roster_of(struct cluster *c, struct process *p, uint64_t epoch)
{
    struct mk_reader_memory *m = c->checks->memory;
    struct mk_fault f;

    while (mk_reader_epoch(m) < epoch) {
        const struct mk_roster_change *change = mk_group_change(p->group, mk_reader_epoch(m) + 1);

        if (change == NULL)
            cluster_violation("member %u certifies epoch %llu and cannot prove it", p->i,
                              (unsigned long long)epoch);
        if (mk_reader_learn(m, change, &f) != 0)
            cluster_violation("member %u has a bad change of the roster: %s", p->i, f.text);
    }
    return mk_reader_roster(m, epoch);
}

/* What is certified is what this member has, where it stands at the same index. */
static void check_head(struct process *p, unsigned surface, const struct mk_head *h)
{
    struct mk_head own;

    mk_state_head(p->group->st, surface, &own);
    if (own.index == h->index &&
        (!mk_id_eq(&own.commit, &h->commit) || !mk_id_eq(&own.state, &h->state)))
        cluster_violation("member %u has not what surface %u's certificate says at %llu", p->i,
                          surface, (unsigned long long)h->index);
}

/* Nobody signs two heads for one index. */
static void check_conflict(struct cluster *c, struct process *p)
{
    const struct mk_certificate *a, *b;
    struct mk_peers guilty;

    if (c->rogues == 0 && mk_group_conflict(p->group, &a, &b, &guilty))
        cluster_violation("member %u holds proof that two heads were signed for index %llu", p->i,
                          (unsigned long long)a->head.index);
}

static void check_certificates(struct cluster *c, struct process *p)
{
    const struct mk_surfaces *s = mk_group_surfaces(p->group);

    for (unsigned i = 0; i < 2; i++) {
        const struct mk_certificate *cert;
        struct mk_fault f;

        if (mk_group_certificate(p->group, &s->v[i].id, &cert) != 0)
            continue;
        if (p->certified[i] == cert->head.index && p->certified_ms[i] == cert->head.time_ms)
            continue;
        p->certified[i] = cert->head.index;
        p->certified_ms[i] = cert->head.time_ms;
        if (mk_certificate_check(cert, roster_of(c, p, cert->head.epoch), &f) != 0)
            cluster_violation("member %u has a bad certificate: %s", p->i, f.text);
        check_certified(c, i, &cert->head);
        check_head(p, i, &cert->head);
    }
}

/* --- limits, and who leads ------------------------------------------------------------------
 */

static void check_queue(struct process *p)
{
    if (p->group->pending_bytes > MK_PROPOSED_MAX)
        cluster_violation("member %u holds %zu bytes of commands, over its limit", p->i,
                          (size_t)p->group->pending_bytes);
}

/* Leader completeness: whoever leads has all that was ever committed. */
static void check_complete(struct cluster *c, unsigned i, const struct mk_group_status *s)
{
    if (s->commit > c->checks->committed)
        c->checks->committed = s->commit;
    if (s->state == MK_GROUP_LEADING && s->term >= c->checks->led_term &&
        s->last < c->checks->committed)
        cluster_violation("member %u leads term %llu with %llu entries; %llu were committed", i,
                          (unsigned long long)s->term, (unsigned long long)s->last,
                          (unsigned long long)c->checks->committed);
    if (s->state == MK_GROUP_LEADING && s->term > c->checks->led_term)
        c->checks->led_term = s->term;
}

/* A disk that was made to fail excuses nothing else; liars in the committee do. */
static bool excused(const struct cluster *c, const char *why)
{
    if (!c->may_fail)
        return false;
    return c->rogues != 0 || strstr(why, mk_strerror(MK_EIO)) != NULL ||
           strstr(why, mk_strerror(MK_ENOSPACE)) != NULL ||
           (c->excuse != NULL && strstr(why, c->excuse) != NULL);
}

static void check_opened(struct cluster *c, struct process *p)
{
    if (p->group == NULL && !excused(c, p->failed))
        cluster_violation("member %u does not open: %s", p->i, p->failed);
}

/* A member with an empty disk votes for nobody before it has all that was committed when it
 * lost what it had. */
static void check_vote(struct process *p, const struct mk_group_status *s)
{
    if (p->blank_at == 0 || s->vote == 0)
        return;
    if (s->last < p->blank_at)
        cluster_violation("member %u votes with %llu entries; it lost a disk when %llu were "
                          "committed",
                          p->i, (unsigned long long)s->last, (unsigned long long)p->blank_at);
}

static void check_step(void *arg)
{
    struct cluster *c = arg;

    for (unsigned i = 0; i < c->n; i++) {
        struct process *p = cluster_process(c, i);
        struct mk_group_status s;

        if (p == NULL)
            continue;
        check_opened(c, p);
        if (p->group == NULL)
            continue;
        mk_group_glance(p->group, &s);
        if (s.state == MK_GROUP_FAILED && !excused(c, s.why))
            cluster_violation("member %u failed: %s", i, s.why);
        check_leader(c, i, &s);
        check_vote(p, &s);
        check_state(c, p, s.applied);
        check_time(p, s.time_ms);
        if (s.applied % CERTIFY_EVERY == 0 && s.applied != p->asked) {
            p->asked = s.applied;
            cluster_status(c, i, &s); /* whoever asks makes certificates of what was signed */
        }
        check_certificates(c, p);
        check_conflict(c, p);
        check_queue(p);
        check_complete(c, i, &s);
        check_changes(c, p, &s);
    }
}

void checks_open(struct cluster *c)
{
    c->checks = mk_alloc(sizeof *c->checks);
    c->checks->certified = mk_alloc(CERTIFIED_MAX * sizeof(struct certified));
    c->checks->acknowledged = mk_alloc(ACKNOWLEDGED_MAX * sizeof(struct acknowledged));
    c->checks->memory = mk_reader_memory_new(&c->roster);
    world_on_step(c->w, check_step, c);
}

void checks_close(struct cluster *c)
{
    mk_arena_done(&c->checks->mem);
    mk_reader_memory_free(c->checks->memory);
    mk_buf_done(&c->checks->hashes);
    mk_free(c->checks->certified);
    mk_free(c->checks->acknowledged);
    mk_free(c->checks);
}

/* --- what was acknowledged
 * --------------------------------------------------------------------------- */

void checks_acknowledged(struct cluster *c, const char *key, const char *value)
{
    struct checks *k = c->checks;
    struct acknowledged *a = NULL;

    for (unsigned i = 0; i < k->n_acknowledged; i++)
        if (strcmp(k->acknowledged[i].key, key) == 0)
            a = &k->acknowledged[i];
    if (a == NULL && k->n_acknowledged < ACKNOWLEDGED_MAX)
        a = &k->acknowledged[k->n_acknowledged++];
    if (a == NULL)
        return;
    snprintf(a->key, sizeof a->key, "%s", key);
    snprintf(a->value, sizeof a->value, "%s", value);
}

void cluster_check_durable(struct cluster *c)
{
    for (unsigned m = 0; m < c->n; m++)
        for (unsigned i = 0; cluster_in_roster(c, m) && i < c->checks->n_acknowledged; i++) {
            const struct acknowledged *a = &c->checks->acknowledged[i];

            if (strcmp(cluster_value(c, m, a->key), a->value) != 0)
                cluster_violation("member %u lost %s=%s: it has '%s'", m, a->key, a->value,
                                  cluster_value(c, m, a->key));
        }
}
