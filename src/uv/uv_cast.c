/* uv_cast.c - multicast over IPv4, for neighbours on the local network.
 *
 * One socket, bound to the group itself, so that the kernel hands it what was sent to the group and
 * nothing else; a member on each interface; sending sets the interface each time. What the kernel
 * does not take is lost, as datagrams are: whoever speaks here says it again. A turn takes a
 * bounded number of datagrams, so that a flood on the local network cannot keep the loop. */
#include "uv/uv_env.h"

#include "base/assert.h"
#include "env/address.h"
#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define CAST_INTERFACES_MAX 16u
#define CAST_READS_A_TURN 64u

struct mk_uv_cast {
    struct mk_cast *c; /* NULL once closed */
    uv_poll_t poll;
    int fd;
    struct sockaddr_in group;
    unsigned interfaces[CAST_INTERFACES_MAX];
    unsigned n;
};

static int cast_group(struct sockaddr_in *ret, const char *group, struct mk_fault *reterr)
{
    char host[MK_HOST_MAX];
    uint16_t port;

    *ret = (struct sockaddr_in){.sin_family = AF_INET};
    if (mk_address_split(group, host, &port) != 0 ||
        inet_pton(AF_INET, host, &ret->sin_addr) != 1 || !IN_MULTICAST(ntohl(ret->sin_addr.s_addr)))
        return mk_fault(reterr, MK_EINVALID, "%s is no multicast group and port", group);
    ret->sin_port = htons(port);
    return 0;
}

static void cast_add(struct mk_uv_cast *u, const char *name)
{
    unsigned index = if_nametoindex(name);

    for (unsigned i = 0; i < u->n; i++) {
        if (u->interfaces[i] == index)
            return;
    }
    if (index != 0 && u->n < CAST_INTERFACES_MAX)
        u->interfaces[u->n++] = index;
}

static int cast_interfaces(struct mk_uv_cast *u, const char *interface, struct mk_fault *reterr)
{
    const unsigned wanted = IFF_UP | IFF_MULTICAST;
    struct ifaddrs *all;

    if (strcmp(interface, "*") != 0) {
        cast_add(u, interface);
        return u->n > 0 ? 0 : mk_fault(reterr, MK_ENOTFOUND, "no interface %s", interface);
    }
    if (getifaddrs(&all) != 0)
        return mk_fault(reterr, MK_EIO, "cannot list the interfaces: %s", strerror(errno));
    for (const struct ifaddrs *i = all; i != NULL; i = i->ifa_next) {
        if (i->ifa_addr != NULL && i->ifa_addr->sa_family == AF_INET &&
            (i->ifa_flags & (wanted | IFF_LOOPBACK)) == wanted)
            cast_add(u, i->ifa_name);
    }
    freeifaddrs(all);
    return u->n > 0 ? 0 : mk_fault(reterr, MK_ENOTFOUND, "no interface can multicast");
}

static int cast_join(struct mk_uv_cast *u)
{
    for (unsigned i = 0; i < u->n; i++) {
        struct ip_mreqn m = {.imr_multiaddr = u->group.sin_addr,
                             .imr_ifindex = (int)u->interfaces[i]};

        if (setsockopt(u->fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &m, sizeof m) != 0)
            return errno;
    }
    return 0;
}

static int cast_socket(struct mk_uv_cast *u, const char *group, struct mk_fault *reterr)
{
    int on = 1, off = 0, ttl = 255, err = 0;

    u->fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (u->fd < 0)
        return mk_fault(reterr, MK_EIO, "cannot make a socket: %s", strerror(errno));
    setsockopt(u->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    setsockopt(u->fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    setsockopt(u->fd, IPPROTO_IP, IP_MULTICAST_ALL, &off, sizeof off);
    setsockopt(u->fd, IPPROTO_IP, IP_MULTICAST_LOOP, &on, sizeof on);
    setsockopt(u->fd, IPPROTO_IP, IP_MULTICAST_TTL, &ttl, sizeof ttl);
    if (bind(u->fd, (const struct sockaddr *)&u->group, sizeof u->group) != 0)
        err = errno;
    if (err == 0)
        err = cast_join(u);
    if (err == 0)
        return 0;
    close(u->fd);
    return mk_fault(reterr, err == EADDRINUSE ? MK_EEXISTS : MK_EIO, "cannot join %s: %s", group,
                    strerror(err));
}

static void cast_poll_cb(uv_poll_t *p, int status, int events)
{
    struct mk_uv_cast *u = mk_container_of(p, struct mk_uv_cast, poll);
    uint8_t datagram[MK_CAST_MAX + 1];

    (void)status;
    (void)events;
    for (unsigned i = 0; i < CAST_READS_A_TURN && u->c != NULL; i++) {
        struct sockaddr_in from;
        socklen_t len = sizeof from;
        char host[INET_ADDRSTRLEN];
        ssize_t n = recvfrom(u->fd, datagram, sizeof datagram, 0, (struct sockaddr *)&from, &len);

        if (n < 0)
            return;
        if (n > (ssize_t)MK_CAST_MAX || len != sizeof from || from.sin_family != AF_INET)
            continue;
        inet_ntop(AF_INET, &from.sin_addr, host, sizeof host);
        u->c->got(u->c, MK_BYTES(datagram, (size_t)n), host);
    }
}

int mk_uv_cast_open(struct mk_env *e, struct mk_cast *c, const char *group, const char *interface,
                    struct mk_fault *reterr)
{
    struct mk_uv_cast *u = mk_alloc(sizeof *u);
    int rv = cast_group(&u->group, group, reterr);

    if (rv == 0)
        rv = cast_interfaces(u, interface, reterr);
    if (rv == 0)
        rv = cast_socket(u, group, reterr);
    if (rv != 0) {
        mk_free(u);
        return rv;
    }
    u->c = c;
    MK_ASSERT(uv_poll_init(&mk_uv_env_of(e)->loop, &u->poll, u->fd) == 0);
    uv_poll_start(&u->poll, UV_READABLE, cast_poll_cb);
    c->impl = u;
    return 0;
}

void mk_uv_cast_send(struct mk_cast *c, struct mk_bytes datagram)
{
    struct mk_uv_cast *u = c->impl;

    for (unsigned i = 0; i < u->n; i++) {
        struct ip_mreqn m = {.imr_ifindex = (int)u->interfaces[i]};

        if (setsockopt(u->fd, IPPROTO_IP, IP_MULTICAST_IF, &m, sizeof m) != 0)
            continue; /* it is down */
        (void)!sendto(u->fd, datagram.p, datagram.n, 0, (const struct sockaddr *)&u->group,
                      sizeof u->group);
    }
}

static void cast_closed_cb(uv_handle_t *h)
{
    mk_free(mk_container_of(h, struct mk_uv_cast, poll));
}

void mk_uv_cast_close(struct mk_cast *c)
{
    struct mk_uv_cast *u = c->impl;

    u->c = NULL;
    uv_close((uv_handle_t *)&u->poll, cast_closed_cb);
    close(u->fd);
}
