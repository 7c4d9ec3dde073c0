/* A program of the build before this one, made of the same objects: it announces protocol 1 alone,
 * and refuses what came later (base/protocol.h). */
#include "base/protocol.h"

const struct mk_protocols mk_protocols = {MK_PROTOCOL_OLDEST, MK_PROTOCOL_NEWEST - 1};
