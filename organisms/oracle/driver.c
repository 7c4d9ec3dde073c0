/* driver.c - the sources' ticks, with their evidence, into commands (oracle.h).
 *
 * Every member follows every source; the one that leads commits. Of a source's pair the newest tick
 * alone waits, so a slow committee skips ticks and holds no queue. What another member committed
 * meanwhile is not sent again: the map of latest says so. */
#include "oracle/oracle.h"

#include <string.h>

#define COMMAND_BYTES (192u << 10) /* of evidence in one command; the rest waits for the next */

struct oracle_driver;

/** A source's pair. */
struct followed {
    struct oracle_driver *d;
    struct oracle_source key;
    struct mk_evidence_surface surface;
    struct mk_surface_spec spec;
    struct mk_evidence_feed *feed;
    struct mk_buf newest; /* pc of the exhibit that waits; empty: none */
    uint64_t clock;
    bool sent;
};

struct oracle_driver {
    struct mk_driver driver;
    struct mk_host *host;
    struct mk_arena arena; /* content, names */
    struct coa_oracle_content content;
    struct mk_bond *bonds[COA_ORACLE_SOURCES_MAX];
    struct followed *v; /* by source, then pair */
    size_t n;
    struct mk_exec exec;
    bool committing, stopped;
    uint64_t observed, refused, gaps;
};

/** Is what waits newer than what the component knows already? */
static bool is_news(const struct oracle_driver *d, const struct followed *f)
{
    const struct mk_surfaces *s = mk_host_surfaces(d->host);
    struct mk_arena arena = {0};
    struct oracle_observed known;
    struct mk_buf key = {0};
    struct mk_bytes v;
    bool news = true;

    if (f->newest.n == 0 || s == NULL)
        return false;
    mk_encode(&key, &oracle_source_type, &f->key);
    if (mk_map_get(s, (unsigned)d->content.pairs.n, mk_buf_bytes(&key), &v) == 0 &&
        mk_decode(&known, &oracle_observed_type, v, &arena, NULL) == 0)
        news = f->clock > known.evidence.clock;
    mk_buf_done(&key);
    mk_arena_done(&arena);
    return news;
}

static void commit(struct oracle_driver *d);

static void exec_cb(struct mk_exec *x, int status, const struct mk_outcome *outcome,
                    const struct mk_fault *fault)
{
    struct oracle_driver *d = mk_container_of(x, struct oracle_driver, exec);

    (void)outcome;
    d->committing = false;
    if (status == MK_ECANCELED || d->stopped)
        return;
    if (status == 0) {
        d->observed++;
    } else if (status != MK_ESTALE) {
        d->refused++;
        mk_host_log(d->host, "observations were refused: %s", fault->text);
    }
    for (size_t i = 0; i < d->n; i++)
        if (d->v[i].sent) {
            d->v[i].sent = false;
            mk_buf_clear(&d->v[i].newest); /* no newer one came while it was on its way */
        }
    commit(d);
}

static void commit(struct oracle_driver *d)
{
    struct mk_exhibit exhibits[MK_EVIDENCE_MAX];
    struct mk_evidence_pointer pointers[MK_EVIDENCE_MAX];
    struct oracle_command c = {.tag = oracle_command_Observe};
    struct mk_buf command = {0}, out = {0};
    struct mk_arena arena = {0};
    size_t n = 0, bytes = 0;

    if (d->committing || !mk_host_leads(d->host))
        return;
    for (size_t i = 0; i < d->n && n < MK_EVIDENCE_MAX; i++) {
        struct followed *f = &d->v[i];

        if (!is_news(d, f) || bytes + f->newest.n > COMMAND_BYTES ||
            mk_decode(&exhibits[n], &mk_exhibit_type, mk_buf_bytes(&f->newest), &arena, NULL) != 0)
            continue;
        bytes += f->newest.n;
        pointers[n] = exhibits[n].pointer;
        f->sent = true;
        n++;
    }
    if (n > 0) {
        c.u.observe.pointers = (struct oracle_pointers){pointers, n};
        mk_encode(&command, &oracle_command_type, &c);
        mk_evidenced_put(&out, mk_buf_bytes(&command), exhibits, n);
        d->exec.cb = exec_cb;
        d->committing = mk_host_execute(d->host, &d->exec, mk_buf_bytes(&out)) == 0;
    }
    mk_buf_done(&command);
    mk_buf_done(&out);
    mk_arena_done(&arena);
}

/* --- sources
 * --------------------------------------------------------------------------------------- */

static void feed_evidence(struct mk_evidence_feed *feed, const struct mk_exhibit *e)
{
    struct followed *f = mk_evidence_feed_owner(feed);

    mk_buf_clear(&f->newest);
    mk_encode(&f->newest, &mk_exhibit_type, e);
    f->clock = e->pointer.clock;
    f->sent = false;
    commit(f->d);
}

static void feed_gap(struct mk_evidence_feed *feed, uint64_t first, uint64_t last)
{
    struct followed *f = mk_evidence_feed_owner(feed);

    f->d->gaps += last - first + 1;
}

static void feed_ended(struct mk_evidence_feed *feed, int status, const struct mk_fault *fault)
{
    struct followed *f = mk_evidence_feed_owner(feed);

    if (status != MK_ECANCELED && !f->d->stopped)
        mk_host_log(f->d->host, "the source's %s ended: %s", f->spec.name,
                    fault != NULL ? fault->text : mk_strerror(status));
}

static const struct mk_evidence_feed_cbs feed_cbs = {feed_evidence, feed_gap, feed_ended};

static int follow_source(struct oracle_driver *d, size_t at, struct mk_fault *reterr)
{
    const struct coa_oracle_source *s = &d->content.sources.v[at];
    const char *const *names = oracle_names(&d->content.pairs, &d->arena);
    struct mk_reference r = {.label = MK_STR_INIT("source"),
                             .stable_id = s->stable_id,
                             .operator_ = {true, s->operator} };
    int rv = mk_bond_open(mk_host_network(d->host), &d->bonds[at], &r, reterr);

    for (size_t i = 0; i < d->content.pairs.n && rv == 0; i++) {
        struct followed *f = &d->v[d->n++];

        f->d = d;
        f->key = (struct oracle_source){mk_member_id_of(&s->stable_id), (uint16_t)i};
        f->spec = price_feed_surface(names[i]);
        f->surface = (struct mk_evidence_surface){&f->spec, "seq"};
        rv = mk_evidence_feed_open(d->bonds[at], &f->feed, &f->surface, 0, NULL, &feed_cbs, f);
    }
    return rv;
}

static int driver_start(struct mk_driver *driver, struct mk_host *h, struct mk_fault *reterr)
{
    struct oracle_driver *d = mk_container_of(driver, struct oracle_driver, driver);
    int rv = 0;

    d->host = h;
    d->v = mk_alloc(d->content.sources.n * d->content.pairs.n * sizeof *d->v);
    for (size_t i = 0; i < d->content.sources.n && rv == 0; i++)
        rv = follow_source(d, i, reterr);
    return rv;
}

static void driver_changed(struct mk_driver *driver)
{
    commit(mk_container_of(driver, struct oracle_driver, driver));
}

static void driver_status(const struct mk_driver *driver, struct mk_buf *json)
{
    const struct oracle_driver *d = mk_container_of(driver, struct oracle_driver, driver);
    struct mk_bond_status s;
    char hex[MK_ID_HEX];

    mk_buf_printf(json, "\"observed\":%llu,\"refused\":%llu,\"gaps\":%llu,\"sources\":[",
                  (unsigned long long)d->observed, (unsigned long long)d->refused,
                  (unsigned long long)d->gaps);
    for (size_t i = 0; i < d->content.sources.n; i++) {
        mk_bond_status(d->bonds[i], &s);
        mk_buf_printf(json, "%s{\"stable_id\":\"%s\",\"linked\":%u}", i > 0 ? "," : "",
                      mk_id_hex(&s.stable_id, hex), s.linked);
    }
    mk_buf_put_str(json, "]");
}

static void driver_stop(struct mk_driver *driver)
{
    struct oracle_driver *d = mk_container_of(driver, struct oracle_driver, driver);

    d->stopped = true;
    for (size_t i = 0; i < d->n; i++) {
        mk_evidence_feed_close(d->v[i].feed);
        mk_buf_done(&d->v[i].newest);
    }
    for (size_t i = 0; i < COA_ORACLE_SOURCES_MAX; i++)
        mk_bond_close(d->bonds[i]);
    mk_free(d->v);
    mk_arena_done(&d->arena);
    mk_free(d);
}

static const struct mk_driver_ops driver_ops = {
    .start = driver_start, .changed = driver_changed, .status = driver_status, .stop = driver_stop};

int oracle_driver_new(struct mk_driver **ret, struct mk_bytes content, struct mk_fault *reterr)
{
    struct oracle_driver *d = mk_alloc(sizeof *d);
    struct mk_bytes own = {mk_arena_copy(&d->arena, content.p, content.n), content.n};
    int rv;

    d->driver.ops = &driver_ops;
    rv = mk_decode(&d->content, &coa_oracle_content_type, own, &d->arena, reterr);
    if (rv == 0)
        rv = coa_oracle_check(&d->content, reterr);
    if (rv != 0) {
        driver_stop(&d->driver);
        return rv;
    }
    *ret = &d->driver;
    return 0;
}
