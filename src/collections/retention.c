/* retention.c - how long the past is kept, as numbers and as text (mosaik/retention.h). */
#include <mosaik/retention.h>

#include "collections/history.h"

#include <string.h>

void mk_retention_declared(const struct mk_surface_spec *s, struct mk_retention *ret)
{
    *ret = (struct mk_retention){.commits =
                                     s->retain_commits > 0 ? s->retain_commits : MK_RETAIN_COMMITS,
                                 .bytes = s->retain_bytes > 0 ? s->retain_bytes : MK_RETAIN_BYTES};
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

void mk_retention_raise(struct mk_retention *r, const struct mk_retention *by)
{
    r->commits = by->commits > r->commits ? by->commits : r->commits;
    r->ms = by->ms > r->ms ? by->ms : r->ms;
    r->bytes = by->bytes > r->bytes ? by->bytes : r->bytes;
    r->commits = least(r->commits, MK_RETAIN_COMMITS_MAX);
    r->bytes = least(r->bytes, MK_RETAIN_BYTES_MAX);
}

/* --- text ----------------------------------------------------------------------------------- */

static const struct unit {
    const char *name;
    size_t field;
    uint64_t factor;
} units[] = {
    {"commits", offsetof(struct mk_retention, commits), 1},
    {"s", offsetof(struct mk_retention, ms), 1000},
    {"m", offsetof(struct mk_retention, ms), 60 * 1000},
    {"h", offsetof(struct mk_retention, ms), 3600 * 1000},
    {"d", offsetof(struct mk_retention, ms), 86400 * 1000ull},
    {"KiB", offsetof(struct mk_retention, bytes), 1u << 10},
    {"MiB", offsetof(struct mk_retention, bytes), 1u << 20},
    {"GiB", offsetof(struct mk_retention, bytes), 1u << 30},
};

static int parse_part(struct mk_retention *ret, const char *p, size_t n, struct mk_fault *reterr)
{
    uint64_t number = 0, *field;
    size_t i = 0;

    for (; i < n && p[i] >= '0' && p[i] <= '9'; i++) {
        number = 10 * number + (uint64_t)(p[i] - '0');
        if (number > UINT32_MAX)
            return mk_fault(reterr, MK_EMALFORMED, "a number over %u", UINT32_MAX);
    }
    if (i == 0 || number == 0)
        return mk_fault(reterr, MK_EMALFORMED, "a part does not begin with a number above 0");
    while (i < n && p[i] == ' ')
        i++;
    for (size_t k = 0; k < sizeof units / sizeof units[0]; k++) {
        if (strlen(units[k].name) != n - i || memcmp(units[k].name, p + i, n - i) != 0)
            continue;
        field = (uint64_t *)(void *)((char *)ret + units[k].field);
        if (*field != 0)
            return mk_fault(reterr, MK_EMALFORMED, "commits, time and bytes stand once each");
        *field = number * units[k].factor;
        return 0;
    }
    return mk_fault(reterr, MK_EMALFORMED,
                    "\"%.*s\" is no unit; they are commits, s, m, h, d, KiB, MiB, GiB",
                    (int)(n - i < 32 ? n - i : 32), p + i);
}

int mk_retention_parse(struct mk_retention *ret, struct mk_str text, struct mk_fault *reterr)
{
    struct mk_retention r = {0};
    size_t at = 0;
    int rv = 0;

    do {
        size_t end = at, from = at, to;

        while (end < text.n && text.p[end] != ',')
            end++;
        for (; from < end && text.p[from] == ' '; from++)
            ;
        for (to = end; to > from && text.p[to - 1] == ' '; to--)
            ;
        rv = parse_part(&r, text.p + from, to - from, reterr);
        at = end + 1;
    } while (rv == 0 && at <= text.n);
    if (rv == 0 && (r.commits > MK_RETAIN_COMMITS_MAX || r.bytes > MK_RETAIN_BYTES_MAX))
        rv = mk_fault(reterr, MK_EMALFORMED, "at most %u commits and %u MiB are kept of a surface",
                      MK_RETAIN_COMMITS_MAX, MK_RETAIN_BYTES_MAX >> 20);
    if (rv == 0)
        *ret = r;
    return rv;
}
