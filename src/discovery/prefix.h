/* prefix.h - which addresses are likely one party's: peers are many and cheap, networks are not. */
#ifndef DISCOVERY_PREFIX_H
#define DISCOVERY_PREFIX_H

#include <mosaik/bytes.h>

/** The group of "host:port": of IPv4 the first 16 bits, of IPv6 the first 32, of a name its last
 * two labels; what is none of these, the whole. Never 0, which stands for ourselves. */
uint32_t mk_address_group(struct mk_str address);

#endif
