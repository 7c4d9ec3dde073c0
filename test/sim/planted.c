/* A frame of the log whose records are terms and votes and nothing else. */
#include "planted.h"
#include "store/store_int.h"

static bool is_vote(void *arg, const char *path, const void *p, size_t n)
{
    struct mk_reader r = {.p = p, .n = n};

    (void)arg;
    (void)path;
    if (n <= MK_FRAME_HEADER)
        return false;
    mk_read_bytes(&r, MK_FRAME_HEADER);
    while (!r.failed && r.n > 0) {
        if (mk_read_u8(&r) != MK_RECORD_TERM)
            return false;
        mk_read_varint(&r); /* group, term, vote */
        mk_read_varint(&r);
        mk_read_varint(&r);
    }
    return !r.failed;
}

void planted_skip_vote_sync(struct world *w, unsigned i)
{
    world_skip_sync(w, i, is_vote, NULL);
}
