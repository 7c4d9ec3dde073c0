/* address.h - "host:port", and "[v6]:port". */
#ifndef ENV_ADDRESS_H
#define ENV_ADDRESS_H

#include <mosaik/bytes.h>

#define MK_HOST_MAX 256u    /* with the terminator */
#define MK_ADDRESS_MAX 264u /* host, colon, port, terminator */

/** Takes an address apart; brackets are not part of ret_host. Port 0 is allowed.
 * MK_EINVALID: no colon, an empty or too long host, a port that is no number below
 * 65536, or a second colon outside brackets. */
int mk_address_split(const char *address, char ret_host[MK_HOST_MAX], uint16_t *ret_port);

#endif
