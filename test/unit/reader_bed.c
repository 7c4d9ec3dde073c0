/* reader_bed.c - see reader_bed.h. */
#include "reader_bed.h"

#include <stdlib.h>

static const struct mk_surface_spec specs[] = {
    {.kind = MK_SURFACE_MAP,
     .name = "cards",
     .key = &mk_text_type,
     .value = &mk_blob_type,
     .retain_commits = 40},
    {.kind = MK_SURFACE_STREAM, .name = "events", .value = &mk_blob_type, .retain_commits = 40},
};

static struct mk_bytes text(const char *s)
{
    return MK_BYTES(s, strlen(s));
}

/* --- a member as its group would be ------------------------------------------------------ */

static struct bed_member *member_of(struct mk_serve_host *h)
{
    return mk_container_of(h, struct bed_member, host);
}

static struct mk_surfaces *host_surfaces(struct mk_serve_host *h)
{
    return &member_of(h)->surfaces;
}

static void host_judge(struct mk_serve_host *h, struct mk_verdict *ret,
                       const struct mk_bearer *bearer)
{
    *ret = (struct mk_verdict){.admitted = !member_of(h)->bed->gated, .expires_ms = UINT64_MAX};
    (void)bearer;
    if (!ret->admitted)
        snprintf(ret->reason, sizeof ret->reason, "clause 0 GateReaders: no ticket");
}

static uint64_t host_epoch(struct mk_serve_host *h)
{
    return member_of(h)->bed->roster.epoch;
}

static const struct mk_roster_change *host_change(struct mk_serve_host *h, uint64_t epoch)
{
    struct bed *b = member_of(h)->bed;

    return epoch == b->change.roster.epoch ? &b->change : NULL;
}

static void host_interest(struct mk_serve_host *h, unsigned surface, int more)
{
    (void)surface;
    member_of(h)->interest += (unsigned)more;
}

static const struct mk_certificate *host_certificate(struct mk_serve_host *h, unsigned surface)
{
    const struct mk_certificate *c = &member_of(h)->bed->newest[surface];

    return c->signatures.n > 0 ? c : NULL;
}

/* --- a liar ---------------------------------------------------------------------------------- */

static void liar_send(struct bed_member *m, const struct mk_surface_message *message)
{
    struct mk_buf b = {0};

    mk_encode(&b, &mk_surface_message_type, message);
    if (m->conv != NULL)
        assert_int_equal(mk_conv_send(m->conv, mk_buf_bytes(&b)), 0);
    mk_buf_done(&b);
}

static void liar_certificate(struct bed_member *m, const struct mk_certificate *c)
{
    liar_send(m, &(struct mk_surface_message){.tag = mk_surface_message_Certificate,
                                              .u.certificate = *c});
}

static void liar_snapshot(struct bed_member *m)
{
    struct bed *b = m->bed;
    const struct mk_head *head = &b->newest[BED_MAP].head;
    struct mk_surface_message message = {.tag = mk_surface_message_SnapItems};
    struct mk_id cursor = MK_ZERO_ID;
    size_t n = 0, count = b->at_certificate.count;
    struct mk_snap_item *items = mk_alloc((count + 1) * sizeof *items);

    while (mk_trie_next(&b->at_certificate, &cursor, &items[n].key, &items[n].value))
        n++;
    assert_true(n > 2);
    if (m->lie == BED_SNAPSHOT_ALTERED)
        items[1].value = text("forged");
    if (m->lie == BED_SNAPSHOT_SHORT)
        n = count = count - 1;
    if (m->lie == BED_SNAPSHOT_TWICE) {
        items[n] = items[0];
        count = ++n;
    }
    liar_send(m, &(struct mk_surface_message){.tag = mk_surface_message_SnapBegin,
                                              .u.snap_begin = {head->index, head->commit, count}});
    for (size_t at = 0; at < n; at += 1000) {
        message.u.snap_items = (struct mk_snap_items){items + at, n - at < 1000 ? n - at : 1000};
        liar_send(m, &message);
    }
    liar_send(m, &(struct mk_surface_message){.tag = mk_surface_message_SnapEnd});
    mk_free(items);
}

/* The commits after `after`, up to the newest certificate, bent. */
static void liar_records(struct bed_member *m, unsigned surface, uint64_t after)
{
    const struct mk_surface *s = &m->bed->truth.v[surface];
    uint64_t last = m->bed->newest[surface].head.index;
    struct mk_record records[64];
    struct mk_surface_message message = {.tag = mk_surface_message_Records};
    struct mk_map_op op = {.tag = mk_map_op_Insert, .u.insert = {text("evil"), text("change")}};
    struct mk_buf forged = {0};
    struct mk_commit c;
    size_t n = 0;

    mk_encode(&forged, &mk_map_op_type, &op);
    for (uint64_t i = after + 1; i <= last; i++) {
        assert_int_equal(mk_surface_commit_at(s, i, &c), 0);
        if (m->lie == BED_CHANGE_LEFT_OUT && i == last - 1)
            continue;
        records[n++] = (struct mk_record){.payload = c.payload};
    }
    if (m->lie == BED_CHANGE_ALTERED)
        records[n - 1].payload = mk_buf_bytes(&forged);
    if (m->lie == BED_CHANGE_INVENTED || m->lie == BED_UNCERTIFIED)
        records[n++] = (struct mk_record){.payload = mk_buf_bytes(&forged)};
    message.u.records = (struct mk_records){after + 1, {records, n}};
    if (m->lie == BED_CHANGE_SKIPPED)
        message.u.records.first++;
    if (n > 0)
        liar_send(m, &message);
    mk_buf_done(&forged);
}

static void liar_seal(struct bed_member *m, unsigned surface)
{
    struct bed *b = m->bed;
    struct mk_peer_signature sigs[BED_MEMBERS + 1];
    struct mk_head head = b->newest[surface].head;
    struct mk_certificate c = b->newest[surface];

    switch ((int)m->lie) {
    case BED_CHANGE_INVENTED:
        head.index++;
        head.commit.b[0] ^= 1;
        bed_sign(b, &c, &head, 1u << m->i, sigs);
        break;
    case BED_FEW_SIGNATURES:
        head.time_ms += 10;
        bed_sign(b, &c, &head, 1u << m->i, sigs);
        break;
    case BED_FOREIGN_SIGNATURE:
        head.time_ms += 10;
        bed_sign(b, &c, &head, 1u << m->i | 1u << BED_MEMBERS, sigs);
        break;
    case BED_OTHER_SURFACE:
        c = b->newest[BED_STREAM];
        break;
    case BED_OLD_CERTIFICATE:
        c = b->before[surface];
        break;
    case BED_OLD_EPOCH:
        head.epoch = 1;
        bed_sign(b, &c, &head, 7, sigs);
        break;
    case BED_UNCERTIFIED:
        return;
    default:
        break;
    }
    liar_certificate(m, &c);
}

static void liar_task_cb(struct mk_task *t)
{
    struct bed_member *m = mk_container_of(t, struct bed_member, task);
    struct mk_surface_message w = {.tag = mk_surface_message_Welcome};
    const struct mk_head *head = &m->bed->newest[BED_MAP].head;
    bool after = m->hello.from.tag == mk_from_After;

    if (m->conv == NULL || m->lie == BED_SILENT)
        return;
    if (m->lie == BED_GARBAGE) {
        assert_int_equal(mk_conv_send(m->conv, text("\xff\xff\xff garbage")), 0);
        return;
    }
    if (m->lie == BED_NO_WELCOME) {
        liar_records(m, BED_MAP, 0);
        return;
    }
    w.u.welcome = (struct mk_welcome){.index = head->index,
                                      .oldest = 1,
                                      .epoch = 1,
                                      .follows = after,
                                      .next = head->index + 1,
                                      .before = head->commit};
    if (after) {
        w.u.welcome.next = m->hello.from.u.after.index + 1;
        w.u.welcome.before = m->hello.from.u.after.commit;
    }
    liar_send(m, &w);
    if (after)
        liar_records(m, BED_MAP, m->hello.from.u.after.index);
    else
        liar_snapshot(m);
    liar_seal(m, BED_MAP);
}

static void liar_found(struct bed_member *m, const struct mk_lookup *ask)
{
    struct bed *b = m->bed;
    struct mk_surface_message f = {.tag = mk_surface_message_Found};
    struct mk_arena arena = {0};

    f.u.found.id = ask->id;
    f.u.found.value.some = mk_trie_get(&b->at_certificate, ask->key, &f.u.found.value.v) == 0;
    mk_trie_prove(&b->at_certificate, &f.u.found.proof, ask->key, &arena);
    f.u.found.certificate = b->newest[BED_MAP];
    if (m->lie == BED_LOOKUP_FORGED)
        f.u.found.value = (struct mk_opt_blob){true, text("forged")};
    if (m->lie == BED_LOOKUP_ABSENT)
        f.u.found.value.some = false;
    liar_send(m, &f);
    mk_arena_done(&arena);
}

static void liar_message_cb(struct mk_conv *c, struct mk_bytes bytes)
{
    struct bed_member *m = c->owner;
    struct mk_arena arena = {0};
    struct mk_lookup ask;

    assert_int_equal(mk_decode(&ask, &mk_lookup_type, bytes, &arena, NULL), 0);
    mk_conv_consumed(c, bytes.n);
    liar_found(m, &ask);
    mk_arena_done(&arena);
}

static void liar_closed_cb(struct mk_conv *c, unsigned close, const char *detail)
{
    struct bed_member *m = c->owner;

    (void)close;
    (void)detail;
    if (m->conv == c)
        m->conv = NULL;
}

static const struct mk_conv_cbs liar_cbs = {.message = liar_message_cb, .closed = liar_closed_cb};

static unsigned accept_surface(struct mk_service *s, struct mk_conv *c, struct mk_bytes first,
                               char detail[MK_REASON_MAX])
{
    struct bed_member *m = mk_container_of(s, struct bed_member, surface);
    struct mk_arena arena = {0};
    struct mk_surface_hello hello;
    unsigned close = 0;

    assert_int_equal(mk_decode(&hello, &mk_surface_hello_type, first, &arena, NULL), 0);
    if (m->lie == BED_HONEST) {
        close = mk_serve_accept(m->serve, c, &hello, detail);
    } else {
        c->cbs = &liar_cbs;
        c->owner = m;
        m->conv = c;
        m->hello = hello;
        m->hello.tickets.n = 0;
        if (hello.from.tag != mk_from_Lookups)
            mk_later(m->env, &m->task);
    }
    mk_arena_done(&arena);
    return close;
}

/* --- exec: commands are inserts, done at once on the truth -------------------------------------
 */

static struct mk_commit_ref exec_once(struct bed *b, const struct mk_exec_command *x)
{
    struct mk_surface *s = &b->truth.v[BED_MAP];
    char value[64];

    for (unsigned i = 0; i < b->n_done; i++)
        if (b->done[i].session == x->session && b->done[i].number == x->number)
            return b->done[i].ref;
    snprintf(value, sizeof value, "%.*s", (int)x->command.n, (const char *)x->command.p);
    bed_put(b, value, value);
    b->done[b->n_done].session = x->session;
    b->done[b->n_done].number = x->number;
    b->done[b->n_done].ref = (struct mk_commit_ref){s->id, s->index, s->commit};
    return b->done[b->n_done++].ref;
}

static void exec_send(struct mk_conv *c, const struct mk_exec_answer *a)
{
    struct mk_buf b = {0};

    mk_encode(&b, &mk_exec_answer_type, a);
    assert_int_equal(mk_conv_send(c, mk_buf_bytes(&b)), 0);
    mk_buf_done(&b);
}

static void exec_prove(struct bed_member *m, struct mk_conv *c, const struct mk_exec_answer *step1)
{
    struct bed *b = m->bed;
    struct mk_exec_answer a = *step1;
    struct mk_commit_proof proof = {.commit = a.outcome.commits.v[0]};
    struct mk_chain_link links[40];
    size_t n = 0;
    struct mk_commit commit;

    bed_put(b, "one", m->executed % 2 ? "more" : "again"); /* so that there is a link between */
    bed_certify(b, 7);
    proof.certificate = b->newest[BED_MAP];
    for (uint64_t i = proof.commit.index + 1; i <= proof.certificate.head.index; i++) {
        assert_int_equal(mk_surface_commit_at(&b->truth.v[BED_MAP], i, &commit), 0);
        links[n++] = (struct mk_chain_link){commit.digest, mk_hash(commit.payload)};
    }
    if (m->exec_manner == EXEC_FORGES)
        links[0].payload.b[0] ^= 1;
    proof.between = (struct mk_chain_links){links, n};
    a.step = 2;
    a.proofs = (struct mk_commit_proofs){&proof, 1};
    exec_send(c, &a);
}

static void exec_point(struct bed_member *m, struct mk_conv *c)
{
    exec_send(
        c, &(struct mk_exec_answer){.step = MK_EXEC_STEP_LEADER, .outcome.answer = m->points_to});
}

static void exec_message_cb(struct mk_conv *c, struct mk_bytes bytes)
{
    struct bed_member *m = c->owner;
    struct mk_arena arena = {0};
    struct mk_exec_request r;
    struct mk_exec_answer a = {.step = 1};
    struct mk_commit_ref ref;

    assert_int_equal(mk_decode(&r, &mk_exec_request_type, bytes, &arena, NULL), 0);
    mk_conv_consumed(c, bytes.n);
    if (r.tag == mk_exec_request_Query) {
        a.id = r.u.query.id;
        a.outcome.answer = r.u.query.query; /* an echo */
        exec_send(c, &a);
    } else if (m->exec_manner == EXEC_REFUSES) {
        a.id = r.u.execute.id;
        a.outcome.status = -MK_EREFUSED;
        a.outcome.rule = MK_STR("not on a Sunday");
        exec_send(c, &a);
    } else if ((m->exec_manner == EXEC_BUSY_ONCE || m->exec_manner == EXEC_LEAVES_ONCE) &&
               m->executed == 0) {
        m->executed++;
        a.id = r.u.execute.id;
        a.outcome.status = m->exec_manner == EXEC_BUSY_ONCE ? -MK_EFULL : -MK_ECANCELED;
        exec_send(c, &a);
    } else {
        ref = exec_once(m->bed, &r.u.execute);
        m->executed++;
        a.id = r.u.execute.id;
        a.outcome.commits = (struct mk_commit_refs){&ref, 1};
        if (m->exec_manner >= EXEC_POINTS)
            exec_point(m, c);
        if (m->exec_manner != EXEC_MUTE && m->exec_manner != EXEC_POINTS) {
            exec_send(c, &a);
            if (r.u.execute.certified)
                exec_prove(m, c, &a);
        }
    }
    mk_arena_done(&arena);
}

static void exec_closed_cb(struct mk_conv *c, unsigned close, const char *detail)
{
    struct bed_member *m = c->owner;

    (void)close;
    (void)detail;
    m->client = NULL;
}

static const struct mk_conv_cbs exec_cbs = {.message = exec_message_cb, .closed = exec_closed_cb};

static unsigned accept_exec(struct mk_service *s, struct mk_conv *c, struct mk_bytes first,
                            char detail[MK_REASON_MAX])
{
    struct bed_member *m = mk_container_of(s, struct bed_member, exec);

    (void)first;
    if (m->bed->gated) {
        snprintf(detail, MK_REASON_MAX, "clause 0 PeerList: not listed");
        return MK_CLOSE_REFUSED;
    }
    c->cbs = &exec_cbs;
    c->owner = m;
    m->client = c;
    m->conversations++;
    return 0;
}

/* --- the committee
 * -------------------------------------------------------------------------------- */

static void *member_boot(struct mk_env *e, unsigned i, void *arg)
{
    struct bed *b = arg;
    struct bed_member *m = &b->members[i];
    char address[32];

    m->bed = b;
    m->i = i;
    m->env = e;
    m->task.cb = liar_task_cb;
    mk_env_vouch(e, &b->keys[i].peer);
    assert_int_equal(mk_net_open(e, &m->net,
                                 &(struct mk_net_options){
                                     .key = &b->keys[i], .network = MK_UNIVERSE, .vouched = true}),
                     0);
    snprintf(address, sizeof address, "n%u:7000", i);
    assert_int_equal(mk_net_listen(m->net, address, NULL), 0);
    mk_surfaces_init(&m->surfaces, specs, 2, &b->stable_id, &b->deployment);
    m->host = (struct mk_serve_host){host_surfaces, host_judge,    host_epoch,
                                     host_change,   host_interest, host_certificate};
    assert_int_equal(mk_serve_open(e, &m->serve, &m->host), 0);
    m->surface = (struct mk_service){.proto = "surface", .accept = accept_surface};
    m->exec = (struct mk_service){.proto = "exec", .accept = accept_exec};
    assert_int_equal(mk_net_serve(m->net, &m->surface), 0);
    assert_int_equal(mk_net_serve(m->net, &m->exec), 0);
    return m;
}

static void member_destroy(void *state)
{
    struct bed_member *m = state;

    mk_serve_close(m->serve);
    mk_later_cancel(&m->task);
    mk_net_close(m->net);
    mk_surfaces_done(&m->surfaces);
}

static const struct world_program member_program = {.boot = member_boot, .destroy = member_destroy};

static int by_peer(const void *a, const void *b)
{
    return mk_peer_cmp(&((const struct mk_key *)a)->peer, &((const struct mk_key *)b)->peer);
}

struct bed *bed_new(uint64_t seed)
{
    struct bed *b = mk_alloc(sizeof *b);

    for (unsigned i = 0; i <= BED_MEMBERS; i++) {
        uint8_t s[32] = {(uint8_t)i, 7};

        mk_key_from_seed(&b->keys[i], s);
    }
    qsort(b->keys, BED_MEMBERS, sizeof b->keys[0], by_peer);
    for (unsigned i = 0; i < BED_MEMBERS; i++)
        b->peers[i] = b->keys[i].peer;
    b->deployment = mk_hash(text("deployment"));
    b->stable_id = mk_hash(text("component"));
    b->roster = (struct mk_roster){
        .deployment = b->deployment, .epoch = 1, .peers = {b->peers, BED_MEMBERS}};
    b->first = b->roster;
    mk_surfaces_init(&b->truth, specs, 2, &b->stable_id, &b->deployment);
    b->w = world_new(seed);
    for (unsigned i = 0; i < BED_MEMBERS; i++)
        world_boot(b->w, i, &member_program, b);
    return b;
}

void bed_free(struct bed *b)
{
    world_free(b->w);
    mk_surfaces_done(&b->truth);
    mk_trie_done(&b->at_certificate);
    mk_free(b);
}

void bed_put(struct bed *b, const char *key, const char *value)
{
    struct mk_map_op op = {.tag = mk_map_op_Insert, .u.insert = {text(key), text(value)}};
    bool changed;

    assert_int_equal(mk_surface_map_op(&b->truth.v[BED_MAP], &op, &changed), 0);
    for (unsigned i = 0; i < BED_MEMBERS; i++)
        if (world_is_up(b->w, i))
            assert_int_equal(mk_surface_map_op(&b->members[i].surfaces.v[BED_MAP], &op, &changed),
                             0);
}

void bed_append(struct bed *b, const char *item)
{
    struct mk_surface *s = &b->truth.v[BED_STREAM];

    mk_surface_commit(s, &s->schema, text(item));
    for (unsigned i = 0; i < BED_MEMBERS; i++)
        if (world_is_up(b->w, i))
            mk_surface_commit(&b->members[i].surfaces.v[BED_STREAM], &s->schema, text(item));
}

void bed_sign(struct bed *b, struct mk_certificate *ret, const struct mk_head *head, unsigned who,
              struct mk_peer_signature *sigs)
{
    size_t n = 0;

    for (unsigned i = 0; i <= BED_MEMBERS; i++) {
        if ((who >> i & 1) == 0)
            continue;
        sigs[n].peer = b->keys[i].peer;
        mk_head_sign(&b->keys[i], head, &sigs[n].signature);
        n++;
    }
    if (n > 1 && mk_peer_cmp(&sigs[n - 2].peer, &sigs[n - 1].peer) > 0) { /* the stranger */
        struct mk_peer_signature swap = sigs[n - 2];

        sigs[n - 2] = sigs[n - 1];
        sigs[n - 1] = swap;
    }
    *ret = (struct mk_certificate){.head = *head, .signatures = {sigs, n}};
}

void bed_head(struct bed *b, unsigned surface, struct mk_head *ret)
{
    mk_surface_head(&b->truth.v[surface], ret, &b->deployment, b->roster.epoch, b->machine_ms);
}

void bed_new_epoch(struct bed *b)
{
    struct mk_buf m = {0};
    bool swap;

    bed_head(b, BED_MAP, &b->ended[0]);
    bed_head(b, BED_STREAM, &b->ended[1]);
    swap = mk_id_cmp(&b->ended[0].surface, &b->ended[1].surface) > 0;
    if (swap) {
        struct mk_head h = b->ended[0];

        b->ended[0] = b->ended[1];
        b->ended[1] = h;
    }
    b->roster.epoch = 2;
    b->roster.previous = mk_roster_id(&b->first);
    b->change = (struct mk_roster_change){.roster = b->roster, .heads = {b->ended, 2}};
    mk_roster_change_message(&m, &b->change);
    for (unsigned i = 0; i < BED_MEMBERS; i++) {
        b->changers[i].peer = b->peers[i];
        mk_sign(&b->keys[i], mk_buf_bytes(&m), &b->changers[i].signature);
    }
    b->change.old = b->change.new = (struct mk_peer_signatures){b->changers, BED_MEMBERS};
    mk_buf_done(&m);
}

void bed_certify(struct bed *b, unsigned who)
{
    struct mk_head head;

    b->machine_ms = 1700000000000 + world_time(b->w);
    for (unsigned s = 0; s < 2; s++) {
        memcpy(b->signatures[s][1], b->signatures[s][0], sizeof b->signatures[s][0]);
        b->before[s] = b->newest[s];
        b->before[s].signatures.v = b->signatures[s][1];
        bed_head(b, s, &head);
        bed_sign(b, &b->newest[s], &head, who, b->signatures[s][0]);
        for (unsigned i = 0; i < BED_MEMBERS; i++) {
            if (!world_is_up(b->w, i))
                continue;
            mk_serve_marked(b->members[i].serve, s);
            mk_serve_certified(b->members[i].serve, s, &b->newest[s]);
        }
    }
    mk_trie_done(&b->at_certificate);
    mk_trie_fork(&b->at_certificate, &b->truth.v[BED_MAP].map);
}

/* --- readers
 * ------------------------------------------------------------------------------------------ */

static void reader_said(struct mk_client_report *report, const struct mk_peer *peer, unsigned close,
                        const char *said)
{
    struct bed_reader *r = mk_container_of(report, struct bed_reader, report);

    for (unsigned i = 0; i < BED_MEMBERS; i++)
        r->said_of[i] += mk_peer_eq(peer, &r->bed->peers[i]);
    snprintf(r->said[r->said_n % 16], sizeof r->said[0], "%s: %s", mk_close_name(close), said);
    r->said_n++;
}

struct bed_reader *bed_reader(struct bed *b, unsigned node)
{
    struct bed_reader *r = mk_alloc(sizeof *r);
    uint8_t seed[32] = {(uint8_t)node, 9};

    r->bed = b;
    r->env = world_node(b->w, node);
    mk_key_from_seed(&r->key, seed);
    mk_env_vouch(r->env, &r->key.peer);
    assert_int_equal(mk_net_open(r->env, &r->net,
                                 &(struct mk_net_options){
                                     .key = &r->key, .network = MK_UNIVERSE, .vouched = true}),
                     0);
    r->memory = mk_reader_memory_new(&b->first);
    r->report.said = reader_said;
    r->component = (struct mk_component){
        .deployment = b->deployment, .stable_id = b->stable_id, .roster = b->first};
    assert_int_equal(
        mk_client_open(r->env, r->net, &r->client, &r->component, r->memory, &r->report), 0);
    return r;
}

void bed_reader_free(struct bed_reader *r)
{
    mk_follow_close(r->follow);
    mk_client_close(r->client);
    mk_net_close(r->net);
    mk_reader_memory_free(r->memory);
    mk_buf_done(&r->items);
    mk_free(r);
}

void bed_dial(struct bed_reader *r, unsigned member)
{
    char address[32];

    snprintf(address, sizeof address, "n%u:7000", member);
    mk_net_dial(r->net, &r->dials[member], &r->bed->peers[member], address);
}

static void reader_commit(struct mk_follow *f, uint64_t index, struct mk_bytes payload, bool marker)
{
    struct bed_reader *r = mk_follow_owner(f);

    if (r->index != 0 && index != r->index + 1 && r->gap_to + 1 != index)
        r->out_of_order = true;
    r->index = index;
    r->commits++;
    r->markers += marker;
    mk_buf_put(&r->items, payload.p, payload.n);
    mk_buf_put_str(&r->items, " ");
    if (r->close_in_commit) {
        r->follow = NULL;
        mk_follow_close(f);
    }
}

static void reader_snapshot(struct mk_follow *f, uint64_t index)
{
    struct bed_reader *r = mk_follow_owner(f);

    r->snapshots++;
    r->index = index;
}

static void reader_certified(struct mk_follow *f, const struct mk_certificate *c)
{
    struct bed_reader *r = mk_follow_owner(f);

    (void)c;
    r->certified++;
}

static void reader_gap(struct mk_follow *f, uint64_t from, uint64_t to)
{
    struct bed_reader *r = mk_follow_owner(f);

    r->gaps++;
    r->gap_from = from;
    r->gap_to = to;
}

static void reader_failed(struct mk_follow *f, int status, const struct mk_fault *fault)
{
    struct bed_reader *r = mk_follow_owner(f);

    r->failed = status;
    r->why = *fault;
}

static const struct mk_follow_cbs reader_cbs = {.commit = reader_commit,
                                                .snapshot = reader_snapshot,
                                                .certified = reader_certified,
                                                .gap = reader_gap,
                                                .failed = reader_failed};

static void reader_follow(struct bed_reader *r, unsigned surface, enum mk_from_tag from,
                          uint64_t after)
{
    const struct mk_surface *s = &r->bed->truth.v[surface];
    struct mk_follow_options o = {.surface = s->id,
                                  .kind = s->spec->kind,
                                  .schema = s->schema,
                                  .from = from,
                                  .after.index = after};

    assert_int_equal(mk_follow_open(r->env, r->net, &r->follow, &r->component, r->memory, &o,
                                    &reader_cbs, r, &r->report),
                     0);
}

void bed_follow_map(struct bed_reader *r)
{
    reader_follow(r, BED_MAP, mk_from_Snapshot, 0);
}

void bed_follow_stream(struct bed_reader *r, enum mk_from_tag from, uint64_t after)
{
    reader_follow(r, BED_STREAM, from, after);
}

static bool is_synced(void *arg)
{
    struct bed_reader *r = arg;
    const struct mk_certificate *c = r->follow == NULL ? NULL : mk_follow_certificate(r->follow);
    const struct mk_head *newest;

    if (c == NULL)
        return false;
    newest = &r->bed->newest[BED_MAP].head;
    if (!mk_id_eq(&newest->surface, &c->head.surface))
        newest = &r->bed->newest[BED_STREAM].head;
    return c->head.index == newest->index && c->head.time_ms == newest->time_ms;
}

bool bed_until_synced(struct bed_reader *r, uint64_t ms)
{
    return world_run_until(r->bed->w, is_synced, r, ms);
}

struct said_wait {
    struct bed_reader *r;
    unsigned n;
};

static bool is_said(void *arg)
{
    struct said_wait *w = arg;

    return w->r->said_n >= w->n;
}

bool bed_until_said(struct bed_reader *r, unsigned n, uint64_t ms)
{
    struct said_wait w = {r, n};

    return world_run_until(r->bed->w, is_said, &w, ms);
}

bool bed_said(const struct bed_reader *r, const char *part)
{
    for (unsigned i = 0; i < r->said_n && i < 16; i++)
        if (strstr(r->said[i], part) != NULL)
            return true;
    return false;
}

void bed_assert_map(struct bed_reader *r)
{
    struct mk_trie fork;
    struct mk_id a, b;

    mk_trie_fork(&fork, mk_follow_map(r->follow));
    a = mk_trie_root(&fork);
    b = mk_trie_root(&r->bed->at_certificate);
    assert_memory_equal(a.b, b.b, 32);
    mk_trie_done(&fork);
}
