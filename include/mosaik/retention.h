/* retention.h - how much of a surface's past its members promise to keep, for readers that come
 * back and for whoever resolves evidence later (evidence.h).
 *
 * A surface declares it (machine.h: retain_commits, retain_bytes); a node may promise more, never
 * less (its file's `retention`). A commit is let go when both are true, it is not among the newest
 * `commits` any more, and it is older than `ms` of machine time; or when `bytes` are used up, which
 * is said. A stream's reader that asks for what is gone is told where what is left begins
 * (mk_feed_cbs.gap); a map's gets a snapshot. */
#ifndef MOSAIK_RETENTION_H
#define MOSAIK_RETENTION_H

#include <mosaik/machine.h>
#include <mosaik/network.h>

#define MK_RETAIN_COMMITS_MAX (4u << 20) /* of one surface, whatever is promised */
#define MK_RETAIN_BYTES_MAX (1u << 30)

struct mk_retention {
    uint64_t commits; /* the newest so many */
    uint64_t ms;      /* and all that is younger */
    uint64_t bytes;   /* of payloads: no more than these */
};

/** What a spec declares, defaults filled in. */
void mk_retention_declared(const struct mk_surface_spec *s, struct mk_retention *ret);
/** The greater of each, and no more than the limits above. */
void mk_retention_raise(struct mk_retention *r, const struct mk_retention *by);

/** Text like "7d", "200000 commits, 36h, 512MiB": each part at most once, in any order; parts that
 * are left out are 0. Units s, m, h, d; KiB, MiB, GiB. MK_EMALFORMED with the rule. */
int mk_retention_parse(struct mk_retention *ret, struct mk_str text, struct mk_fault *reterr);

/** What a member says of one surface. */
struct mk_retained {
    struct mk_peer peer;
    struct mk_retention promised;
    uint64_t oldest, index; /* the first commit that it still has; the newest */
    bool cut;               /* `bytes` made it let go of what it had promised to keep */
};
/** Asks every member of the bond's roster that can be reached. ret has room for MK_ROSTER_MAX; the
 * one that reaches back furthest is first. Blocks. 0; MK_ENOTFOUND: nobody knows that surface;
 * MK_EUNREACHABLE with what was said. */
int mk_retention_wait(struct mk_bond *b, const struct mk_surface_spec *spec, uint32_t timeout_ms,
                      struct mk_retained *ret, size_t *ret_n, struct mk_fault *reterr);

#endif /* MOSAIK_RETENTION_H */
