/* make.c - our own quotes: one at a time, on a thread.
 *
 * Failure modes: the interface is not there, its quoting service does not answer, or somebody
 * else used our report directory: the asker is told why, and asks again later. */
#include "witness/witness_int.h"

#include <stdio.h>
#include <string.h>

const char *mk_quote_source_name(enum mk_quote_source s)
{
    static const char *const names[] = {"none", "configfs-tsm", "emulator"};

    return names[s];
}

/* On another thread: touches its own fields, and what nobody changes meanwhile. */
static void make_run(struct mk_work *work)
{
    struct making *m = mk_container_of(work, struct making, work);
    struct mk_witness *w = m->w;

    m->status = w->source == MK_SOURCE_EMULATOR
                    ? mk_emulator_quote(w->emulator, m->data, &m->quote, &m->fault)
                    : mk_tsm_quote(w->env, w->tsm_dir, m->entry, m->data, MK_QUOTE_MAX, &m->quote,
                                   &m->fault);
}

static void make_next(struct mk_witness *w);

static void make_done(struct mk_work *work)
{
    struct making *m = mk_container_of(work, struct making, work);
    struct mk_witness *w = m->w;
    struct attested *a = m->of;

    m->of = NULL;
    w->n_made += m->status == 0;
    if (m->status != 0)
        snprintf(w->fault, sizeof w->fault, "quoting: %.240s", m->fault.text);
    if (a != NULL)
        exchange_made(a, m->status, mk_buf_bytes(&m->quote), m->fault.text);
    mk_buf_done(&m->quote);
    m->busy = false;
    make_next(w);
}

static void make_next(struct mk_witness *w)
{
    struct making *m = &w->making;
    struct mk_list *n;
    char hex[MK_ID_HEX];

    if (m->busy || (n = mk_list_pop(&w->to_make)) == NULL)
        return;
    w->n_to_make--;
    m->of = mk_container_of(n, struct attested, making);
    m->w = w;
    m->busy = true;
    m->work = (struct mk_work){.run = make_run, .done = make_done};
    m->fault.text[0] = '\0';
    memcpy(m->data, m->of->our_data, sizeof m->data);
    snprintf(m->entry, sizeof m->entry, "mosaik-%.16s", mk_peer_hex(mk_net_self(w->net), hex));
    mk_work_start(w->env, &m->work);
}

void make_queue(struct attested *a)
{
    mk_list_add_tail(&a->w->to_make, &a->making);
    a->w->n_to_make++;
    make_next(a->w);
}

void make_forget(struct attested *a)
{
    if (!mk_list_empty(&a->making)) {
        mk_list_del(&a->making);
        a->w->n_to_make--;
    }
    if (a->w->making.of == a)
        a->w->making.of = NULL;
}

void make_close(struct mk_witness *w)
{
    mk_work_cancel(&w->making.work);
    mk_buf_done(&w->making.quote);
    mk_free(w->tsm_dir);
}
