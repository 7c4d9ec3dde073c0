/* replay.c - feeds the targets without a fuzzer: in every test run, with any compiler.
 *
 *   fuzz_replay CORPUS            each target: its corpus, made inputs, mutations of both (TAP)
 *   fuzz_replay --list            the names of the targets
 *   fuzz_replay --decoders        those that a fuzzer is run on, where `datum` stands for all types
 *   fuzz_replay --run NAME FILE   one input
 *   fuzz_replay --seed NAME DIR   writes made inputs there, for a fuzzer to start from
 *
 * FUZZ_ROUNDS made inputs a target (150), each mutated eight times. The numbers
 * come from the target's name, so a failure comes again. When a check or a
 * sanitizer ends the process, the input is printed in hex. */
#include "targets.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define ROUNDS 150u
#define MUTATIONS 8u
#define FILE_MAX (1u << 20)
#define SEEDS 64u

static const struct fuzz_target *current;
static struct mk_bytes input;

/* Sanitizers offer this; a build without one does not have it. */
extern void __sanitizer_set_death_callback(void (*cb)(void)) __attribute__((weak));

static void show_input(void)
{
    fprintf(stderr, "target %s, input of %zu bytes: ", current ? current->name : "none", input.n);
    for (size_t i = 0; i < input.n && i < 4096; i++)
        fprintf(stderr, "%02x", input.p[i]);
    fprintf(stderr, "\n");
}

/* An assertion of ours or of a library. */
static void aborted(int signal_number)
{
    show_input();
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

void fuzz_broken(const char *what, const char *file, int line)
{
    fprintf(stderr, "%s:%d: broken: %s\n", file, line, what);
    abort();
}

/* In memory of its exact size, so that a sanitizer sees one byte too many. */
static bool feed(const struct mk_buf *in)
{
    uint8_t *copy = malloc(in->n ? in->n : 1);
    bool accepted;

    if (copy == NULL)
        exit(1);
    if (in->n)
        memcpy(copy, in->p, in->n);
    input = MK_BYTES(copy, in->n);
    accepted = fuzz_feed(current, copy, in->n);
    input = MK_BYTES(NULL, 0);
    free(copy);
    return accepted;
}

static void mutate(struct fuzz_random *r, struct mk_buf *b)
{
    size_t at = b->n ? fuzz_below(r, b->n) : 0;

    switch (fuzz_below(r, 6)) {
    case 0: /* one bit */
        if (b->n)
            b->p[at] ^= (uint8_t)(1u << fuzz_below(r, 8));
        break;
    case 1: /* one byte, often a telling one */
        if (b->n)
            b->p[at] = (uint8_t)fuzz_odd_number(r);
        break;
    case 2: /* cut */
        b->n = at;
        break;
    case 3: /* one byte more */
        mk_buf_put_u8(b, (uint8_t)fuzz_odd_number(r));
        break;
    case 4: /* a byte inserted */
        mk_buf_put_u8(b, 0);
        memmove(b->p + at + 1, b->p + at, b->n - at - 1);
        b->p[at] = (uint8_t)fuzz_odd_number(r);
        break;
    default: /* a long varint */
        if (b->n > at + 10)
            memset(b->p + at, 0xff, fuzz_below(r, 11));
        break;
    }
}

static void feed_mutated(struct fuzz_random *r, struct mk_buf *b)
{
    struct mk_buf m = {0};

    for (unsigned i = 0; i < MUTATIONS; i++) {
        mk_buf_clear(&m);
        mk_buf_put(&m, b->p, b->n);
        for (uint64_t k = 0; k <= fuzz_below(r, 3); k++)
            mutate(r, &m);
        feed(&m);
    }
    mk_buf_done(&m);
}

static bool load(const char *path, struct mk_buf *out)
{
    FILE *f = fopen(path, "rb");
    size_t n;

    mk_buf_clear(out);
    if (f == NULL)
        return false;
    mk_buf_grow(out, FILE_MAX);
    n = fread(out->p, 1, FILE_MAX, f);
    out->n = n;
    fclose(f);
    return true;
}

static unsigned replay_corpus(const char *corpus, struct fuzz_random *r)
{
    char path[4096];
    struct mk_buf b = {0};
    struct dirent *entry;
    unsigned n = 0;
    DIR *d;

    snprintf(path, sizeof path, "%s/%s", corpus, current->name);
    d = opendir(path);
    while (d && (entry = readdir(d)) != NULL) {
        snprintf(path, sizeof path, "%s/%s/%s", corpus, current->name, entry->d_name);
        if (entry->d_name[0] == '.' || !load(path, &b))
            continue;
        feed(&b);
        feed_mutated(r, &b);
        n++;
    }
    if (d)
        closedir(d);
    mk_buf_done(&b);
    return n;
}

static struct fuzz_random random_of(const struct fuzz_target *t)
{
    struct fuzz_random r = {1469598103934665603ull};

    for (const char *c = t->name; *c; c++)
        r.state = (r.state ^ (uint8_t)*c) * 1099511628211ull;
    return r;
}

/* Every made input must be accepted. */
static bool replay(const char *corpus, unsigned rounds)
{
    struct fuzz_random r = random_of(current);
    struct mk_buf b = {0};
    unsigned files = replay_corpus(corpus, &r), refused = 0, made = 0;

    for (unsigned i = 0; i < rounds; i++) {
        if (fuzz_make(current, &r, &b)) {
            made++;
            refused += !feed(&b);
        } else {
            uint64_t n = fuzz_below(&r, 64);

            for (uint64_t k = 0; k < n; k++)
                mk_buf_put_u8(&b, (uint8_t)fuzz_u64(&r));
            feed(&b);
        }
        feed_mutated(&r, &b);
    }
    mk_buf_done(&b);
    printf("# %s: %u files, %u made, %u of them refused\n", current->name, files, made, refused);
    return refused == 0;
}

static unsigned rounds_wanted(void)
{
    const char *text = getenv("FUZZ_ROUNDS");
    unsigned n = 0;

    for (; text && *text >= '0' && *text <= '9' && n < 100000000; text++)
        n = n * 10 + (unsigned)(*text - '0');
    return n ? n : ROUNDS;
}

static int replay_all(const char *corpus)
{
    unsigned rounds = rounds_wanted();
    int status = 0;

    printf("1..%zu\n", fuzz_n_targets);
    for (size_t i = 0; i < fuzz_n_targets; i++) {
        bool ok;

        current = &fuzz_targets[i];
        ok = replay(corpus, rounds);
        printf("%s %zu - %s\n", ok ? "ok" : "not ok", i + 1, current->name);
        fflush(stdout);
        status |= !ok;
    }
    return status;
}

static int run_file(const char *path)
{
    struct mk_buf b = {0};

    if (!load(path, &b)) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        return 2;
    }
    puts(feed(&b) ? "accepted" : "refused");
    mk_buf_done(&b);
    return 0;
}

static int write_seeds(const char *dir)
{
    struct fuzz_random r = random_of(current);
    struct mk_buf b = {0};
    char path[4096];

    for (unsigned i = 0; i < SEEDS && fuzz_make(current, &r, &b); i++) {
        FILE *f;

        snprintf(path, sizeof path, "%s/made-%u", dir, i);
        f = fopen(path, "wb");
        if (f == NULL || fwrite(b.p, 1, b.n, f) != b.n || fclose(f) != 0) {
            fprintf(stderr, "%s: %s\n", path, strerror(errno));
            return 1;
        }
    }
    mk_buf_done(&b);
    return 0;
}

int main(int argc, char **argv)
{
    if (__sanitizer_set_death_callback)
        __sanitizer_set_death_callback(show_input);
    signal(SIGABRT, aborted);
    if (argc == 2 && (strcmp(argv[1], "--list") == 0 || strcmp(argv[1], "--decoders") == 0)) {
        for (size_t i = 0; i < fuzz_n_targets; i++)
            if (strcmp(argv[1], "--list") == 0 || fuzz_targets[i].type == NULL)
                puts(fuzz_targets[i].name);
        return 0;
    }
    if (argc == 2 && argv[1][0] != '-')
        return replay_all(argv[1]);
    current = argc == 4 ? fuzz_find(argv[2]) : NULL;
    if (current && strcmp(argv[1], "--run") == 0)
        return run_file(argv[3]);
    if (current && strcmp(argv[1], "--seed") == 0)
        return write_seeds(argv[3]);
    fprintf(
        stderr,
        "usage: fuzz_replay CORPUS | --list | --decoders | --run NAME FILE | --seed NAME DIR\n");
    return 2;
}
