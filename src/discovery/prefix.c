/* prefix.c - see prefix.h.
 *
 * The widths are those in which networks hand out addresses: whoever holds one /16 of IPv4 or one
 * /32 of IPv6 may have as many addresses in it as he likes, but a second one costs him. Only the
 * text is looked at, nothing is resolved; a hash collision puts two networks into one group,
 * which makes them share, no more. */
#include "discovery/prefix.h"

#include <mosaik/id.h>

#include <string.h>

/* The first n parts of s, each ended by c; 0 when there are not so many. */
static size_t parts(struct mk_str s, char c, unsigned n)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == c && --n == 0)
            return i;
    }
    return 0;
}

static bool only(struct mk_str s, const char *chars)
{
    for (size_t i = 0; i < s.n; i++) {
        if (strchr(chars, s.p[i]) == NULL)
            return false;
    }
    return s.n > 0;
}

/* The last two labels of a name. */
static struct mk_str domain(struct mk_str name)
{
    unsigned dots = 0;

    for (size_t i = name.n; i > 0; i--) {
        if (name.p[i - 1] == '.' && ++dots == 2)
            return (struct mk_str){name.p + i, name.n - i};
    }
    return name;
}

uint32_t mk_address_group(struct mk_str address)
{
    struct mk_str host = address;
    struct mk_id hash;
    uint32_t group;
    size_t n;

    while (host.n > 0 && host.p[host.n - 1] != ':')
        host.n--;
    host.n -= host.n > 0;
    if (host.n == 0)
        host = address;
    if (host.n > 0 && host.p[0] == '[') {
        host.p++;
        host.n--;
        n = parts(host, ':', 2);
        host.n = n > 0 ? n : host.n;
    } else if (only(host, "0123456789.")) {
        n = parts(host, '.', 2);
        host.n = n > 0 ? n : host.n;
    } else {
        host = domain(host);
    }
    hash = mk_hash(MK_BYTES(host.p, host.n));
    memcpy(&group, hash.b, sizeof group);
    return group != 0 ? group : 1;
}
