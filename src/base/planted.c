/* The one variable; see planted.h. */
#include "base/planted.h"

#ifdef MK_PLANTED_BUGS

enum mk_planted mk_planted_now;

bool mk_plant(enum mk_planted bug)
{
    mk_planted_now = bug;
    return true;
}

#else

bool mk_plant(enum mk_planted bug)
{
    return bug == MK_PLANTED_NONE;
}

#endif
