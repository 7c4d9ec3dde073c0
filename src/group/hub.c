/* The protocols of groups are served once a net; accept finds the group by the
 * deployment in the first message. A first message that is malformed, or names a
 * deployment that is not here, is refused by name, so that a misconfigured peer sees
 * what differs. */
#include "group/beat.h"
#include "group/group_int.h"
#include "group/hub_int.h"
#include "group/serve.h"

#include <stdio.h>
#include <string.h>

/* Ours alone are in the table: who asks for others cannot fill it. */
static uint64_t id_hash(const struct mk_id *id)
{
    uint64_t h;

    memcpy(&h, id->b, sizeof h);
    return h;
}

struct mk_group *mk_hub_find(struct mk_hub *h, const struct mk_id *deployment)
{
    struct mk_table_node *n = mk_table_first(&h->by_deployment, id_hash(deployment));

    for (; n != NULL; n = mk_table_next(n)) {
        struct mk_group *g = mk_container_of(n, struct mk_group, of_table);

        if (mk_id_eq(&g->deployment, deployment))
            return g;
    }
    return NULL;
}

static struct mk_hub_reader *hub_find_reader(struct mk_hub *h, const struct mk_id *deployment)
{
    mk_list_each(at, &h->readers)
    {
        struct mk_hub_reader *r = mk_container_of(at, struct mk_hub_reader, node);

        if (mk_id_eq(&r->deployment, deployment))
            return r;
    }
    return NULL;
}

static struct mk_group *hub_find_door(struct mk_hub *h, const struct mk_id *deployment)
{
    mk_list_each(at, &h->doors)
    {
        struct mk_group *g = mk_container_of(at, struct mk_hub_door, node)->g;

        if (mk_id_eq(&g->deployment, deployment))
            return g;
    }
    return NULL;
}

/** Who serves clients and readers here. */
static struct mk_group *hub_find_served(struct mk_hub *h, const struct mk_id *deployment)
{
    struct mk_group *g = mk_hub_find(h, deployment);

    return g != NULL ? g : hub_find_door(h, deployment);
}

static unsigned not_here(const struct mk_group *g, char detail[MK_REASON_MAX])
{
    char hex[MK_ID_HEX];

    snprintf(detail, MK_REASON_MAX,
             "the members of deployment %.16s speak on a private network of theirs",
             mk_id_hex(&g->deployment, hex));
    return MK_CLOSE_OTHER_NETWORK;
}

/** What is run here of that component; NULL: nothing. */
static const struct mk_id *runs_of(const struct mk_hub *h, const struct mk_id *stable_id)
{
    mk_list_each(at, &h->groups)
    {
        const struct mk_group *g = mk_container_of(at, struct mk_group, of_hub);

        if (mk_id_eq(&g->stable_id, stable_id))
            return &g->deployment;
    }
    mk_list_each(at, &h->doors)
    {
        const struct mk_group *g = mk_container_of(at, struct mk_hub_door, node)->g;

        if (mk_id_eq(&g->stable_id, stable_id))
            return &g->deployment;
    }
    return NULL;
}

/** stable_id NULL: not known; else what is run of it is named. */
static unsigned no_such(const struct mk_hub *h, const struct mk_id *asked,
                        const struct mk_id *stable_id, char detail[MK_REASON_MAX])
{
    const struct mk_id *actual = stable_id != NULL ? runs_of(h, stable_id) : NULL;
    char hex[MK_ID_HEX], other[MK_ID_HEX];

    mk_id_hex(asked, hex);
    if (actual != NULL)
        snprintf(detail, MK_REASON_MAX, "deployment %.16s is not run here, but %.16s is", hex,
                 mk_id_hex(actual, other));
    else
        snprintf(detail, MK_REASON_MAX, "deployment %.16s is not run here%s", hex,
                 stable_id != NULL ? ", nor another one of this component" : "");
    return MK_CLOSE_OTHER_DEPLOYMENT;
}

/* One that is of the roster no more, or not yet, serves nobody. */
static bool is_outside(const struct mk_group *g, char detail[MK_REASON_MAX])
{
    if (g->state != MK_GROUP_OUTSIDE)
        return false;
    snprintf(detail, MK_REASON_MAX, "this member is not of the roster of epoch %llu",
             (unsigned long long)mk_reseat_epoch(g));
    return true;
}

static unsigned malformed(const struct mk_fault *f, char detail[MK_REASON_MAX])
{
    snprintf(detail, MK_REASON_MAX, "first message: %.200s", f->text);
    return MK_CLOSE_MALFORMED;
}

static unsigned accept_group(struct mk_service *s, struct mk_conv *c, struct mk_bytes first,
                             char detail[MK_REASON_MAX])
{
    struct mk_hub *h = mk_container_of(s, struct mk_hub, group);
    struct mk_arena arena = {0};
    struct mk_member_message m;
    struct mk_fault f = {{0}};
    struct mk_group *g;
    unsigned close;

    if (mk_decode(&m, &mk_member_message_type, first, &arena, &f) != 0)
        close = malformed(&f, detail);
    else if (m.tag != mk_member_message_Hello)
        close = MK_CLOSE_MALFORMED;
    else if ((g = hub_find_door(h, &m.u.hello.deployment)) != NULL)
        close = not_here(g, detail);
    else if ((g = mk_hub_find(h, &m.u.hello.deployment)) == NULL)
        close = no_such(h, &m.u.hello.deployment, NULL, detail);
    else
        close = mk_peers_accept(g, c, &m.u.hello, detail);
    mk_arena_done(&arena);
    return close;
}

static unsigned accept_roster(struct mk_service *s, struct mk_conv *c, struct mk_bytes first,
                              char detail[MK_REASON_MAX])
{
    struct mk_hub *h = mk_container_of(s, struct mk_hub, roster);
    struct mk_arena arena = {0};
    struct mk_roster_message m;
    struct mk_fault f = {{0}};
    struct mk_group *g;
    unsigned close;

    if (mk_decode(&m, &mk_roster_message_type, first, &arena, &f) != 0)
        close = malformed(&f, detail);
    else if (m.tag != mk_roster_message_Known)
        close = MK_CLOSE_MALFORMED;
    else if ((g = hub_find_door(h, &m.u.known.deployment)) != NULL)
        close = not_here(g, detail);
    else if ((g = mk_hub_find(h, &m.u.known.deployment)) == NULL)
        close = no_such(h, &m.u.known.deployment, NULL, detail);
    else
        close = mk_lineage_accept(g, c, &m.u.known, detail);
    mk_arena_done(&arena);
    return close;
}

static unsigned accept_exec(struct mk_service *s, struct mk_conv *c, struct mk_bytes first,
                            char detail[MK_REASON_MAX])
{
    struct mk_hub *h = mk_container_of(s, struct mk_hub, exec);
    struct mk_arena arena = {0};
    struct mk_exec_hello hello;
    struct mk_fault f = {{0}};
    struct mk_group *g;
    unsigned close;

    if (mk_decode(&hello, &mk_exec_hello_type, first, &arena, &f) != 0)
        close = malformed(&f, detail);
    else if ((g = hub_find_served(h, &hello.deployment)) == NULL)
        close = no_such(h, &hello.deployment, &hello.stable_id, detail);
    else if (is_outside(g, detail))
        close = MK_CLOSE_NOT_READY;
    else
        close = mk_exec_accept(g, c, &hello, detail);
    mk_arena_done(&arena);
    return close;
}

static unsigned accept_surface(struct mk_service *s, struct mk_conv *c, struct mk_bytes first,
                               char detail[MK_REASON_MAX])
{
    struct mk_hub *h = mk_container_of(s, struct mk_hub, surface);
    struct mk_arena arena = {0};
    struct mk_surface_hello hello;
    struct mk_fault f = {{0}};
    struct mk_hub_reader *r;
    struct mk_group *g;
    unsigned close;

    if (mk_decode(&hello, &mk_surface_hello_type, first, &arena, &f) != 0)
        close = malformed(&f, detail);
    else if ((r = hub_find_reader(h, &hello.deployment)) != NULL)
        close = mk_serve_accept(r->serve, c, &hello, detail);
    else if ((g = hub_find_served(h, &hello.deployment)) == NULL)
        close = no_such(h, &hello.deployment, &hello.stable_id, detail);
    else if (is_outside(g, detail))
        close = MK_CLOSE_NOT_READY;
    else
        close = mk_serve_accept(g->serve, c, &hello, detail);
    mk_arena_done(&arena);
    return close;
}

static struct mk_hub *hub_new(struct mk_env *env, struct mk_net *net)
{
    struct mk_hub *h = mk_alloc(sizeof *h);

    h->env = env;
    h->net = net;
    mk_list_init(&h->groups);
    mk_list_init(&h->readers);
    mk_list_init(&h->doors);
    mk_list_init(&h->candidacies);
    h->group = (struct mk_service){.proto = "group", .accept = accept_group};
    h->roster = (struct mk_service){.proto = "roster", .accept = accept_roster};
    h->exec = (struct mk_service){.proto = "exec", .accept = accept_exec};
    h->surface = (struct mk_service){.proto = "surface", .accept = accept_surface};
    MK_ASSERT(mk_net_serve(net, &h->group) == 0);
    MK_ASSERT(mk_net_serve(net, &h->roster) == 0);
    MK_ASSERT(mk_net_serve(net, &h->exec) == 0);
    MK_ASSERT(mk_net_serve(net, &h->surface) == 0);
    mk_beats_open(h);
    return h;
}

static struct mk_hub *hub_of(struct mk_env *env, struct mk_net *net)
{
    struct mk_service *served = mk_net_served(net, "group");

    return served == NULL ? hub_new(env, net) : mk_container_of(served, struct mk_hub, group);
}

static int open_door(struct mk_group *g)
{
    struct mk_hub *h = hub_of(g->env, g->outer);

    if (hub_find_served(h, &g->deployment) != NULL || hub_find_reader(h, &g->deployment) != NULL)
        return MK_EEXISTS;
    g->door = (struct mk_hub_door){.hub = h, .g = g};
    mk_list_add_tail(&h->doors, &g->door.node);
    return 0;
}

int mk_hub_join(struct mk_group *g)
{
    struct mk_hub *h = hub_of(g->env, g->net);

    if (hub_find_served(h, &g->deployment) != NULL || hub_find_reader(h, &g->deployment) != NULL)
        return MK_EEXISTS;
    g->hub = h;
    mk_list_add_tail(&h->groups, &g->of_hub);
    mk_table_add(&h->by_deployment, &g->of_table, id_hash(&g->deployment));
    return g->outer == g->net ? 0 : open_door(g);
}

int mk_hub_add_reader(struct mk_env *e, struct mk_net *net, struct mk_hub_reader *r)
{
    struct mk_hub *h = hub_of(e, net);

    if (hub_find_served(h, &r->deployment) != NULL || hub_find_reader(h, &r->deployment) != NULL)
        return MK_EEXISTS;
    r->hub = h;
    mk_list_add_tail(&h->readers, &r->node);
    return 0;
}

static void hub_end(struct mk_hub *h)
{
    if (!mk_list_empty(&h->groups) || !mk_list_empty(&h->readers) || !mk_list_empty(&h->doors))
        return;
    mk_net_unserve(&h->group);
    mk_net_unserve(&h->roster);
    mk_net_unserve(&h->exec);
    mk_net_unserve(&h->surface);
    mk_beats_close(h);
    mk_table_done(&h->by_deployment);
    mk_free(h);
}

void mk_hub_leave(struct mk_group *g)
{
    struct mk_hub *h = g->hub;

    if (h == NULL)
        return;
    g->hub = NULL;
    mk_list_del(&g->of_hub);
    mk_table_del(&h->by_deployment, &g->of_table);
    hub_end(h);
    if (g->door.hub != NULL) {
        mk_list_del(&g->door.node);
        hub_end(g->door.hub);
        g->door.hub = NULL;
    }
}

void mk_hub_remove_reader(struct mk_hub_reader *r)
{
    struct mk_hub *h = r->hub;

    if (h == NULL)
        return;
    r->hub = NULL;
    mk_list_del(&r->node);
    hub_end(h);
}
