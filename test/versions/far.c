/* A program of a build to come that has nothing in common with this one any more. */
#include "base/protocol.h"

const struct mk_protocols mk_protocols = {MK_PROTOCOL_NEWEST + 2, MK_PROTOCOL_NEWEST + 3};
