/* Addresses as people write them. Names are resolved by the world, not here. */
#include "env/address.h"

#include <mosaik/error.h>
#include <string.h>

static int port_parse(const char *s, uint16_t *ret)
{
    uint32_t v = 0;
    size_t n = strlen(s);

    if (n == 0 || n > 5)
        return MK_EINVALID;
    for (size_t i = 0; i < n; i++) {
        if (s[i] < '0' || s[i] > '9')
            return MK_EINVALID;
        v = 10 * v + (uint32_t)(s[i] - '0');
    }
    if (v > UINT16_MAX)
        return MK_EINVALID;
    *ret = (uint16_t)v;
    return 0;
}

int mk_address_split(const char *address, char ret_host[MK_HOST_MAX], uint16_t *ret_port)
{
    const char *host = address, *colon;
    size_t n;
    uint16_t port;

    if (address[0] == '[') {
        const char *close = strchr(address, ']');

        if (close == NULL || close[1] != ':')
            return MK_EINVALID;
        host = address + 1;
        n = (size_t)(close - host);
        colon = close + 1;
    } else {
        colon = strchr(address, ':');
        if (colon == NULL || strchr(colon + 1, ':') != NULL)
            return MK_EINVALID;
        n = (size_t)(colon - host);
    }
    if (n == 0 || n >= MK_HOST_MAX || port_parse(colon + 1, &port) != 0)
        return MK_EINVALID;
    memcpy(ret_host, host, n);
    ret_host[n] = 0;
    *ret_port = port;
    return 0;
}
