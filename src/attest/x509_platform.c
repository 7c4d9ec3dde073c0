/* x509_platform.c - the SGX extension of a PCK certificate: SEQUENCE OF { oid, value }, where
 * the oid's last arcs say what it is: 2 the TCB (.1 to .16 components, .17 PCESVN, .18
 * CPUSVN), 3 the PCE's id, 4 the FMSPC. What is not needed is skipped; what is must be there
 * once. */
#include "attest/der.h"
#include "attest/x509.h"

#include <string.h>

static const uint8_t prefix[] = {0x2a, 0x86, 0x48, 0x86, 0xf8, 0x4d, 1, 13, 1};

enum { ARC_TCB = 2, ARC_PCE_ID = 3, ARC_FMSPC = 4, TCB_PCE_SVN = 17, TCB_CPU_SVN = 18 };

/* The item's arc below the prefix and `above` (0: none), or 0 when it is another oid. */
static unsigned take_arc(struct der *d, unsigned above)
{
    struct mk_bytes oid = der_take(d, DER_OID);
    size_t n = sizeof prefix + (above > 0);

    if (d->bad || oid.n != n + 1 || memcmp(oid.p, prefix, sizeof prefix) != 0 ||
        (above > 0 && oid.p[n - 1] != above) || oid.p[n] >= 0x80)
        return 0;
    return oid.p[n];
}

static void take_octets(struct der *d, uint8_t *ret, size_t n)
{
    struct mk_bytes b = der_take(d, DER_OCTET_STRING);

    if (b.n != n)
        d->bad = true;
    else if (n > 0)
        memcpy(ret, b.p, n);
}

static void take_skip(struct der *d)
{
    int tag = der_peek(d);

    if (tag < 0)
        d->bad = true;
    else
        der_take(d, (uint8_t)tag);
}

/* One item of the TCB; its bit in *seen. */
static void tcb_item(struct der *d, struct x509_platform *p, uint32_t *seen)
{
    unsigned arc = take_arc(d, ARC_TCB);
    uint32_t v;

    if (arc == TCB_CPU_SVN) {
        take_octets(d, p->cpu_svn, sizeof p->cpu_svn);
    } else if (arc >= 1 && arc <= TCB_PCE_SVN) {
        v = der_take_u32(d);
        if (v > (arc == TCB_PCE_SVN ? UINT16_MAX : UINT8_MAX))
            d->bad = true;
        else if (arc == TCB_PCE_SVN)
            p->pce_svn = (uint16_t)v;
        else
            p->svn[arc - 1] = (uint8_t)v;
    } else {
        d->bad = true;
    }
    if (!d->bad && (*seen & 1u << arc) != 0)
        d->bad = true;
    *seen |= arc < 32 ? 1u << arc : 0;
}

static void platform_tcb(struct der *d, struct x509_platform *p)
{
    struct der list = der_enter(d, DER_SEQUENCE);
    uint32_t seen = 0;

    while (der_more(&list)) {
        struct der item = der_enter(&list, DER_SEQUENCE);

        tcb_item(&item, p, &seen);
        if (!der_done(&item))
            list.bad = true;
    }
    if (!der_done(&list) || seen != 0x7fffe)
        d->bad = true;
}

int x509_platform_parse(struct x509_platform *ret, struct mk_bytes sgx, struct mk_fault *reterr)
{
    struct der d = der_of(sgx), list = der_enter(&d, DER_SEQUENCE);
    struct x509_platform p = {0};
    uint32_t seen = 0;

    while (der_more(&list)) {
        struct der item = der_enter(&list, DER_SEQUENCE);
        unsigned arc = take_arc(&item, 0);

        if (arc == ARC_TCB)
            platform_tcb(&item, &p);
        else if (arc == ARC_PCE_ID)
            take_octets(&item, p.pce_id, sizeof p.pce_id);
        else if (arc == ARC_FMSPC)
            take_octets(&item, p.fmspc, sizeof p.fmspc);
        else
            take_skip(&item);
        if (!der_done(&item) || (arc > 0 && arc < 32 && (seen & 1u << arc) != 0))
            list.bad = true;
        seen |= arc < 32 ? 1u << arc : 0;
    }
    if (!der_done(&list) || !der_done(&d) || (seen & 0x1c) != 0x1c)
        return mk_fault(reterr, MK_EMALFORMED,
                        "PCK certificate: its SGX extension lacks TCB, PCE id or FMSPC");
    *ret = p;
    return 0;
}
