/* wire_pair.h - one direction of the wire: what its rule does to a packet, and the queue of
 * packets that wait for their time. Pure: the time and the generator are given. */
#ifndef TEST_WIRE_PAIR_H
#define TEST_WIRE_PAIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WIRE_NET "10.99.0"
#define WIRE_MILLION 1000000u

struct wire_rule {
    uint64_t delay_us, jitter_us;
    uint64_t loss, dup, reorder; /* of a million */
    uint64_t rate;               /* bytes a second; 0: no limit */
    uint64_t queue;              /* bytes that may wait */
    bool cut;
};
#define WIRE_RULE_NONE ((struct wire_rule){.queue = 4u << 20})

struct wire_count {
    uint64_t taken, passed, lost, cut, doubled, reordered, full;
};

struct wire_pair {
    struct wire_rule rule;
    struct wire_count count;
    uint64_t busy_ns; /* until then the rate is used up */
    uint64_t last_ns; /* when the latest of those in order is due */
    size_t queued;
};

struct wire_packet {
    uint64_t due_ns, number;
    unsigned from, to;
    size_t n;
    uint8_t bytes[];
};

/* Those that wait, by their time; of one time as they came. */
struct wire_queue {
    struct wire_packet **heap;
    size_t n, cap;
    uint64_t numbers;
};

/** `KEY=NUMBER`; -1: no such key, no number, or beyond its range. */
int wire_rule_set(struct wire_rule *r, const char *text);
/** What becomes of a packet that comes now: 0, 1 or 2 packets with their times, given (free);
 * from and to are the caller's to fill. Each counts in `queued` until it is delivered. */
unsigned wire_pair_take(struct wire_pair *x, uint64_t *prng, const uint8_t *bytes, size_t n,
                        uint64_t now_ns, struct wire_packet *ret[2]);

/** Takes the packet. */
void wire_queue_add(struct wire_queue *q, struct wire_packet *p);
/** The first one, if its time has come; given. Else NULL. */
struct wire_packet *wire_queue_due(struct wire_queue *q, uint64_t now_ns);
/** When the first is due; UINT64_MAX: there is none. */
uint64_t wire_queue_next(const struct wire_queue *q);
void wire_queue_done(struct wire_queue *q);

#endif
