/* A conversation takes messages while it has credit; what it does not take is held here
 * in order, with a limit, and goes out when it is writable again. */
#include "group/group_int.h"

#include <string.h>

void mk_outbox_done(struct mk_outbox *o)
{
    mk_buf_done(&o->held);
    o->at = 0;
    o->conv = NULL;
}

static void outbox_hold(struct mk_outbox *o, const struct mk_bytes *parts, size_t n, size_t total)
{
    if (o->at > 0 && o->at == o->held.n) {
        mk_buf_clear(&o->held);
        o->at = 0;
    }
    mk_buf_put_u32le(&o->held, (uint32_t)total);
    for (size_t i = 0; i < n; i++)
        mk_buf_put(&o->held, parts[i].p, parts[i].n);
}

bool mk_outbox_put(struct mk_outbox *o, const struct mk_bytes *parts, size_t n)
{
    size_t total = 0;

    if (o->conv == NULL)
        return true;
    for (size_t i = 0; i < n; i++)
        total += parts[i].n;
    MK_ASSERT(total <= MK_NET_MESSAGE_MAX);
    if (o->held.n == o->at && mk_conv_sendv(o->conv, parts, n) == 0)
        return true;
    if (o->held.n - o->at + total > MK_OUTBOX_MAX)
        return false;
    outbox_hold(o, parts, n, total);
    return true;
}

void mk_outbox_flush(struct mk_outbox *o)
{
    while (o->conv != NULL && o->at < o->held.n) {
        struct mk_reader r = {o->held.p + o->at, o->held.n - o->at, false};
        uint32_t n = mk_read_u32le(&r);
        struct mk_bytes m = mk_read_bytes(&r, n);

        if (mk_conv_send(o->conv, m) != 0)
            return;
        o->at += 4 + (size_t)n;
    }
    mk_buf_clear(&o->held);
    o->at = 0;
}
