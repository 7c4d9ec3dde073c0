/* protocol.c - what this build speaks, in a place of its own: test/versions links builds of other
 * ages that differ in nothing else. */
#include "base/protocol.h"

const struct mk_protocols mk_protocols = {MK_PROTOCOL_OLDEST, MK_PROTOCOL_NEWEST};
