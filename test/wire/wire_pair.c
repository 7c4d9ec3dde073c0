/* wire_pair.c - what one direction does to packets.
 *
 * In this order: a cut or a loss ends a packet; the rate says when it has left; delay and jitter
 * when it arrives, never before one that left earlier, unless it is drawn to be reordered, which
 * lets it wait once more outside of that order. A second copy is a packet of its own. */
#include "wire_pair.h"

#include "lines.h"

#include <stdlib.h>
#include <string.h>

/* splitmix64 */
static uint64_t draw(uint64_t *prng)
{
    uint64_t z = *prng += 0x9e3779b97f4a7c15u;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static bool chance(uint64_t *prng, uint64_t of_a_million)
{
    return of_a_million > 0 && draw(prng) % WIRE_MILLION < of_a_million;
}

int wire_rule_set(struct wire_rule *r, const char *text)
{
    const struct {
        const char *key;
        uint64_t *value;
        uint64_t max;
    } keys[] = {
        {"delay", &r->delay_us, 60u * WIRE_MILLION},
        {"jitter", &r->jitter_us, 60u * WIRE_MILLION},
        {"loss", &r->loss, WIRE_MILLION},
        {"dup", &r->dup, WIRE_MILLION},
        {"reorder", &r->reorder, WIRE_MILLION},
        {"rate", &r->rate, LINES_NUMBER_MAX},
        {"queue", &r->queue, 1u << 30},
    };
    const char *sign = strchr(text, '=');
    size_t n = sign != NULL ? (size_t)(sign - text) : 0;
    uint64_t v;

    if (sign == NULL || lines_number(sign + 1, &v) != 0)
        return -1;
    if (n == 3 && memcmp(text, "cut", 3) == 0) {
        r->cut = v == 1;
        return v <= 1 ? 0 : -1;
    }
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        if (strlen(keys[i].key) != n || memcmp(keys[i].key, text, n) != 0)
            continue;
        if (v > keys[i].max)
            return -1;
        *keys[i].value = v;
        return 0;
    }
    return -1;
}

static uint64_t due(struct wire_pair *x, uint64_t *prng, size_t n, uint64_t now)
{
    const struct wire_rule *r = &x->rule;
    uint64_t left = now, wait = r->delay_us * 1000;

    if (r->rate > 0) {
        if (x->busy_ns > left)
            left = x->busy_ns;
        left += (uint64_t)n * 1000000000u / r->rate;
        x->busy_ns = left;
    }
    if (r->jitter_us > 0)
        wait += draw(prng) % (r->jitter_us * 1000);
    if (chance(prng, r->reorder)) {
        x->count.reordered++;
        return left + 2 * wait + 1000000;
    }
    if (left + wait > x->last_ns)
        x->last_ns = left + wait;
    return x->last_ns;
}

unsigned wire_pair_take(struct wire_pair *x, uint64_t *prng, const uint8_t *bytes, size_t n,
                        uint64_t now_ns, struct wire_packet *ret[2])
{
    const struct wire_rule *r = &x->rule;
    unsigned copies = 1, made = 0;

    x->count.taken++;
    if (r->cut) {
        x->count.cut++;
        return 0;
    }
    if (chance(prng, r->loss)) {
        x->count.lost++;
        return 0;
    }
    if (chance(prng, r->dup)) {
        x->count.doubled++;
        copies = 2;
    }
    for (; made < copies; made++) {
        struct wire_packet *p;

        if (x->queued + n > r->queue) {
            x->count.full++;
            break;
        }
        p = malloc(sizeof *p + n);
        if (p == NULL)
            abort();
        *p = (struct wire_packet){.due_ns = due(x, prng, n, now_ns), .n = n};
        memcpy(p->bytes, bytes, n);
        x->queued += n;
        ret[made] = p;
    }
    return made;
}

static bool before(const struct wire_packet *a, const struct wire_packet *b)
{
    return a->due_ns != b->due_ns ? a->due_ns < b->due_ns : a->number < b->number;
}

void wire_queue_add(struct wire_queue *q, struct wire_packet *p)
{
    size_t i = q->n++;

    if (q->n > q->cap) {
        q->cap = q->cap != 0 ? 2 * q->cap : 256;
        q->heap = realloc(q->heap, q->cap * sizeof(*q->heap));
        if (q->heap == NULL)
            abort();
    }
    p->number = q->numbers++;
    for (; i > 0 && before(p, q->heap[(i - 1) / 2]); i = (i - 1) / 2)
        q->heap[i] = q->heap[(i - 1) / 2];
    q->heap[i] = p;
}

uint64_t wire_queue_next(const struct wire_queue *q)
{
    return q->n > 0 ? q->heap[0]->due_ns : UINT64_MAX;
}

struct wire_packet *wire_queue_due(struct wire_queue *q, uint64_t now_ns)
{
    struct wire_packet *first, *last;
    size_t i = 0;

    if (wire_queue_next(q) > now_ns || q->n == 0)
        return NULL;
    first = q->heap[0];
    last = q->heap[--q->n];
    for (size_t child; (child = 2 * i + 1) < q->n; i = child) {
        if (child + 1 < q->n && before(q->heap[child + 1], q->heap[child]))
            child++;
        if (!before(q->heap[child], last))
            break;
        q->heap[i] = q->heap[child];
    }
    q->heap[i] = last;
    return first;
}

void wire_queue_done(struct wire_queue *q)
{
    for (size_t i = 0; i < q->n; i++)
        free(q->heap[i]);
    free(q->heap);
}
