/* image.h - a state as bytes, in pieces, and back: what a snapshot file holds.
 *
 *   state --freeze--> image --read, a slice at a time--> bytes --fill--> filling --take--> state
 *
 * Freezing costs what is not on the surfaces (sessions, rosters, the machine's own) and a
 * reference to each surface; the state goes on at once. */
#ifndef GROUP_IMAGE_H
#define GROUP_IMAGE_H

#include "group/state.h"

struct mk_image;
struct mk_image *mk_state_freeze(struct mk_state *s);
/** Appends the next bytes to out until it holds `full` at least. false: that was the last. May be
 * called on another thread: it touches nothing that the state changes. */
bool mk_image_read(struct mk_image *i, struct mk_buf *out, size_t full);
void mk_image_free(struct mk_image *i); /* before the state is; NULL is fine */

/** Another state beside the present one, as its bytes come. */
struct mk_filling;
struct mk_filling *mk_state_fill(const struct mk_state *s);
/** Pieces of any size. MK_EMALFORMED with the reason. */
int mk_filling_put(struct mk_filling *f, struct mk_bytes piece, struct mk_fault *reterr);
/** All pieces were put: s becomes that state; on error it must not be used any more. Takes f. */
int mk_filling_take(struct mk_filling *f, struct mk_state *s, struct mk_fault *reterr);
void mk_filling_free(struct mk_filling *f); /* given up; NULL is fine */

#endif
