/* eventlog.c - replays an event log (TCG "PC Client Platform Firmware Profile", 10.2; TDX: the
 * table CCEL of UEFI 2.10, 38.4).
 *
 *   Spec ID event (SHA-1 format): which digests follow, and their sizes
 *   events (format 2): register, type, digests, data
 *
 * rtmr[i] = SHA-384(rtmr[i] || digest), for each event but EV_NO_ACTION. Register 0 of the
 * log is MR_TD, which cannot be extended; 1 to 4 are RTMR0 to RTMR3. The log is a stranger's
 * claim: only a replay that gives the registers of a verified quote makes its digests true,
 * and nothing makes an event's data true but its digest. */
#include <mosaik/attest.h>

#include "attest/le.h"
#include "attest/p256.h"

#include <string.h>

#define ALG_SHA384 0x000cu
#define ALGS_MAX 16u
#define EV_NO_ACTION 3u
#define SHA1_LEN 20u

struct log {
    const uint8_t *p;
    size_t n, at;
    unsigned event; /* for messages */
    struct {
        uint16_t id, size;
    } algs[ALGS_MAX];
    uint32_t n_algs;
};

static int log_bad(const struct log *l, const char *what, struct mk_fault *reterr)
{
    return mk_fault(reterr, MK_EMALFORMED, "event log: event %u at byte %zu: %s", l->event, l->at,
                    what);
}

/* The next n bytes; NULL past the end. */
static const uint8_t *log_take(struct log *l, size_t n)
{
    const uint8_t *p = l->p + l->at;

    if (l->n - l->at < n)
        return NULL;
    l->at += n;
    return p;
}

static bool log_u32(struct log *l, uint32_t *ret)
{
    const uint8_t *p = log_take(l, 4);

    if (p != NULL)
        *ret = le32(p);
    return p != NULL;
}

/* Signature 16, class 4, version 4, count 4, then { id 2, size 2 } each. */
static int log_algorithms(struct log *l, const uint8_t *data, size_t n, struct mk_fault *reterr)
{
    bool sha384 = false;

    if (n < 28 || memcmp(data, "Spec ID Event03", 16) != 0)
        return log_bad(l, "not a Spec ID event of version 3", reterr);
    l->n_algs = le32(data + 24);
    if (l->n_algs == 0 || l->n_algs > ALGS_MAX || n < 28 + 4 * (size_t)l->n_algs)
        return log_bad(l, "bad number of algorithms", reterr);
    for (uint32_t i = 0; i < l->n_algs; i++) {
        l->algs[i].id = le16(data + 28 + 4 * i);
        l->algs[i].size = le16(data + 30 + 4 * i);
        if (l->algs[i].id == ALG_SHA384 && l->algs[i].size != 48)
            return log_bad(l, "SHA-384 with another size than 48", reterr);
        sha384 |= l->algs[i].id == ALG_SHA384;
    }
    if (!sha384)
        return mk_fault(reterr, MK_ENOTSUP, "event log: it has no SHA-384 digests");
    return 0;
}

static int log_first(struct log *l, struct mk_fault *reterr)
{
    uint32_t index, type, n;
    const uint8_t *data;

    if (!log_u32(l, &index) || !log_u32(l, &type) || log_take(l, SHA1_LEN) == NULL ||
        !log_u32(l, &n) || (data = log_take(l, n)) == NULL)
        return log_bad(l, "it ends inside", reterr);
    if (type != EV_NO_ACTION)
        return log_bad(l, "the first event must be EV_NO_ACTION", reterr);
    return log_algorithms(l, data, n, reterr);
}

/* The digest's size, or 0 when the log's head did not name the algorithm. */
static size_t alg_size(const struct log *l, uint16_t id)
{
    for (uint32_t i = 0; i < l->n_algs; i++) {
        if (l->algs[i].id == id)
            return l->algs[i].size;
    }
    return 0;
}

/* The SHA-384 digest among an event's digests. */
static int log_digest(struct log *l, const uint8_t **ret, struct mk_fault *reterr)
{
    uint32_t count;

    *ret = NULL;
    if (!log_u32(l, &count) || count > l->n_algs)
        return log_bad(l, "bad number of digests", reterr);
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *id = log_take(l, 2), *digest;
        size_t n = id != NULL ? alg_size(l, le16(id)) : 0;

        digest = n > 0 ? log_take(l, n) : NULL;
        if (digest == NULL)
            return log_bad(l, "a digest of an unknown algorithm, or cut off", reterr);
        if (le16(id) == ALG_SHA384)
            *ret = digest;
    }
    if (*ret == NULL)
        return log_bad(l, "no SHA-384 digest", reterr);
    return 0;
}

static void extend(uint8_t rtmr[48], const uint8_t digest[48])
{
    uint8_t both[96];

    memcpy(both, rtmr, 48);
    memcpy(both + 48, digest, 48);
    sha384(MK_BYTES(both, sizeof both), rtmr);
}

static int log_event(struct log *l, struct mk_eventlog_result *r, struct mk_fault *reterr)
{
    uint32_t index, type, n;
    const uint8_t *digest;
    int rv;

    if (!log_u32(l, &index) || !log_u32(l, &type))
        return log_bad(l, "it ends inside", reterr);
    rv = log_digest(l, &digest, reterr);
    if (rv != 0)
        return rv;
    if (!log_u32(l, &n) || log_take(l, n) == NULL)
        return log_bad(l, "its data are cut off", reterr);
    if (type == EV_NO_ACTION)
        return 0;
    if (index < 1 || index > 4)
        return log_bad(l, "it extends a register other than RTMR0 to RTMR3", reterr);
    extend(r->rtmr[index - 1], digest);
    r->n_extended++;
    return 0;
}

/* Nothing but zeros, or nothing but 0xff, is left: firmware fills its area so. */
static bool log_ended(const struct log *l)
{
    const uint8_t *p = l->p + l->at;
    size_t n = l->n - l->at;

    return n == 0 || ((p[0] == 0 || p[0] == 0xff) && memcmp(p, p + 1, n - 1) == 0);
}

int mk_eventlog_replay(struct mk_eventlog_result *ret, struct mk_bytes log, struct mk_fault *reterr)
{
    struct mk_eventlog_result r = {.n_events = 1};
    struct log l = {.p = log.p, .n = log.n};
    int rv;

    if (log.n > MK_EVENTLOG_MAX)
        return mk_fault(reterr, MK_ELIMIT, "event log: longer than %u bytes", MK_EVENTLOG_MAX);
    rv = log_first(&l, reterr);
    while (rv == 0 && !log_ended(&l)) {
        l.event = r.n_events++;
        rv = log_event(&l, &r, reterr);
    }
    if (rv != 0)
        return rv;
    *ret = r;
    return 0;
}
