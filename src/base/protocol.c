#include "base/protocol.h"

const struct mk_protocols mk_protocols = {MK_PROTOCOL_OLDEST, MK_PROTOCOL_NEWEST};
