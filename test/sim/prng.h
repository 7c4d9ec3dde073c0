/* prng.h - integers from a seed (splitmix64); one generator for each concern, so that
 * a draw more in one does not change the others. */
#ifndef SIM_PRNG_H
#define SIM_PRNG_H

#include <stdbool.h>
#include <stdint.h>

struct prng {
    uint64_t s;
};

static inline uint64_t prng_next(struct prng *p)
{
    uint64_t z = (p->s += 0x9e3779b97f4a7c15ull);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

/** A generator of its own for each (seed, concern). */
static inline struct prng prng_of(uint64_t seed, uint64_t concern)
{
    struct prng p = {seed ^ (concern * 0xd1342543de82ef95ull)};

    p.s = prng_next(&p);
    return p;
}

/** 0 .. n-1; 0 when n is 0. */
static inline uint64_t prng_below(struct prng *p, uint64_t n)
{
    return n == 0 ? 0 : prng_next(p) % n;
}

/** True once in n. */
static inline bool prng_one_in(struct prng *p, uint64_t n)
{
    return prng_below(p, n) == 0;
}

/** At least min, about mean on average, now and then several times that. */
static inline uint64_t prng_delay(struct prng *p, uint64_t min, uint64_t mean)
{
    uint64_t extra = mean > min ? mean - min : 0, kind = prng_below(p, 8);

    return min + prng_below(p, extra * (kind < 4 ? 1 : kind < 7 ? 2 : 5) + 1);
}

#endif
