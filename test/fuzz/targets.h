/* targets.h - the fuzz targets: what takes bytes from outside.
 *
 * Every datum type (MK_STRUCT_DEFINE, MK_ENUM_DEFINE in include, src and
 * organisms) is a target without anybody's doing: list_types.py finds it, and
 * datum.c knows from its table how to check it and how to make values of it.
 * Whatever else reads a stranger's bytes is a line of targets.inc and written in a
 * file of its own, listed in meson.build:
 *
 *     bool fuzz_frame(const uint8_t *p, size_t n)
 *
 * returns whether the bytes were accepted, and must break nothing on any input;
 * what must hold for an accepted one is stated with FUZZ_CHECK. Where it is easy
 * to make inputs that must be accepted, a second function makes them; elsewhere it
 * leaves out empty, and random bytes are fed:
 *
 *     void fuzz_make_frame(struct fuzz_random *r, struct mk_buf *out)
 *
 * Two programs feed the targets: fuzz_replay (any compiler, in
 * `make test`: the corpus, made inputs, mutations of both) and fuzz (clang's
 * libFuzzer, in `make nightly`, where the target `datum` stands for all types: its
 * inputs' first byte names one). Interesting inputs live in corpus/<target>/,
 * named by their hash; tools/run-tests fuzz adds none by itself. */
#ifndef FUZZ_TARGETS_H
#define FUZZ_TARGETS_H

#include <mosaik/datum.h>

/** The same numbers for the same seed, everywhere. */
struct fuzz_random {
    uint64_t state;
};
uint64_t fuzz_u64(struct fuzz_random *r);
/** 0 .. below - 1; below is at least 1. */
uint64_t fuzz_below(struct fuzz_random *r, uint64_t below);
/** Small numbers, powers of two and their neighbours more often than others. */
uint64_t fuzz_odd_number(struct fuzz_random *r);

struct fuzz_target {
    const char *name;
    bool (*run)(const uint8_t *p, size_t n);                 /* NULL for a datum */
    void (*make)(struct fuzz_random *r, struct mk_buf *out); /* NULL for a datum */
    const struct mk_type *type;                              /* of a datum */
};
extern const struct fuzz_target fuzz_targets[];
extern const size_t fuzz_n_targets;
/** NULL when there is none of that name. */
const struct fuzz_target *fuzz_find(const char *name);
/** Feeds one input; true when it was accepted. */
bool fuzz_feed(const struct fuzz_target *t, const uint8_t *p, size_t n);
/** Makes an input that must be accepted; false when the target makes none. */
bool fuzz_make(const struct fuzz_target *t, struct fuzz_random *r, struct mk_buf *out);

/** For targets that make nothing. */
void fuzz_make_none(struct fuzz_random *r, struct mk_buf *out);

bool fuzz_datum(const struct mk_type *t, const uint8_t *p, size_t n);
void fuzz_make_datum(const struct mk_type *t, struct fuzz_random *r, struct mk_buf *out);

/** Ends the process with what, where and (fuzz_replay) the input in hex. */
void fuzz_broken(const char *what, const char *file, int line) __attribute__((noreturn));
#define FUZZ_CHECK(cond) ((cond) ? (void)0 : fuzz_broken(#cond, __FILE__, __LINE__))

/* targets.inc: X(name, run, make), make being fuzz_make_none where there is none. */
#define FUZZ_DECLARE(name, run, make)     \
    bool run(const uint8_t *p, size_t n); \
    void make(struct fuzz_random *r, struct mk_buf *out);
#define X FUZZ_DECLARE
#include "targets.inc"
#undef X
#undef FUZZ_DECLARE

#endif /* FUZZ_TARGETS_H */
