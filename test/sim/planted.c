/* A frame of the log whose records are terms and votes and nothing else. */
#include "planted.h"
#include "store/frame.h"
#include "store/record.h"

static bool is_vote(void *arg, const char *path, const void *p, size_t n)
{
    struct mk_bytes b;
    struct mk_record r;

    (void)arg;
    (void)path;
    if (!mk_frame_peek(&b, MK_BYTES(p, n)) || b.n == 0)
        return false;
    while (mk_record_take(&r, &b))
        if (r.kind != MK_REC_TERM)
            return false;
    return b.n == 0;
}

void planted_skip_vote_sync(struct world *w, unsigned i)
{
    world_skip_sync(w, i, is_vote, NULL);
}
