/* http.c - what a node answers to operators' monitoring: /metrics, /livez, /readyz, /status.
 *
 * Alive means that the loop turns: whoever is answered has the proof. Ready means that the node can
 * do its work now; if not, the answer is 503 and says what it waits for, a line a component. A node
 * that is not ready should get no traffic; one that is not alive should be started again. */
#include "node/node.h"

static void answer_ready(struct mk_node *n, struct mk_http_answer *a)
{
    if (mk_node_ready(n, &a->body))
        mk_buf_put_str(&a->body, "ready\n");
    else
        a->status = 503;
}

static void get(struct mk_http *h, struct mk_str path, struct mk_http_answer *a)
{
    struct mk_node *n = mk_container_of(h, struct mk_node, http);

    n->http_requests++;
    if (mk_str_is(path, "/livez")) {
        mk_buf_put_str(&a->body, "alive\n");
    } else if (mk_str_is(path, "/readyz")) {
        answer_ready(n, a);
    } else if (mk_str_is(path, "/metrics")) {
        a->type = "text/plain; version=0.0.4; charset=utf-8";
        mk_node_metrics(n, &a->body);
    } else if (mk_str_is(path, "/status")) {
        a->type = "application/json";
        mk_node_status(n, &a->body);
    } else {
        a->status = 404;
        mk_buf_put_str(&a->body, "there are /metrics, /livez, /readyz, /status\n");
    }
}

int mk_node_http_open(struct mk_node *n, const char *address, struct mk_fault *reterr)
{
    n->http.get = get;
    return mk_http_open(n->env, &n->http, address, reterr);
}

uint16_t mk_node_http_port(const struct mk_node *n)
{
    return mk_http_port(&n->http);
}

bool mk_node_ready(struct mk_node *n, struct mk_buf *why)
{
    struct mk_buf unread = {0}, *out = why != NULL ? why : &unread;
    int dead = mk_store_status(n->store);
    bool ready = dead == 0;

    if (dead != 0)
        mk_buf_printf(out, "store: %s\n", mk_strerror(dead));
    mk_list_each(p, &n->hosts)
    {
        const struct mk_host *h = mk_container_of(p, struct mk_host, node);
        struct mk_group_status st;
        bool runs;

        mk_group_status(h->group, &st);
        runs = (st.state == MK_GROUP_LEADING || st.state == MK_GROUP_FOLLOWING) && st.has_leader;
        if (!runs || st.why[0] != '\0')
            mk_buf_printf(out, "%.*s: %s%s%s\n", (int)h->label.n, h->label.p,
                          mk_group_state_name(st.state), st.why[0] != '\0' ? ": " : "", st.why);
        ready &= runs && st.why[0] == '\0';
    }
    mk_buf_done(&unread);
    return ready;
}
