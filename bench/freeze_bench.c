/* freeze_bench.c - what freezing a coalition costs beyond its hashes.
 *
 *     freeze_bench MEMBERS ROUNDS
 *
 * Half of the members are lattices, half organisms. The preimages are collected once, through
 * the same hook as `freeze --explain`; then deriving every id and hashing just those
 * preimages are timed in turn. */
#include <coalition/config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct preimages {
    struct coa_explain explain;
    struct mk_buf bytes;
    size_t *ends;
    size_t n, cap;
};

static void collect(struct coa_explain *x, const char *what, struct mk_bytes preimage,
                    const struct mk_id *id)
{
    struct preimages *p = mk_container_of(x, struct preimages, explain);

    (void)what;
    (void)id;
    if (p->n == p->cap) {
        p->cap = p->cap != 0 ? 2 * p->cap : 1024;
        p->ends = mk_realloc(p->ends, p->cap * sizeof *p->ends);
    }
    mk_buf_put(&p->bytes, preimage.p, preimage.n);
    p->ends[p->n++] = p->bytes.n;
}

static double now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t); /* tidy: ok, a benchmark's clock */
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static uint8_t sink;

static double hash_all(const struct preimages *p)
{
    double start = now_us();
    size_t at = 0;

    for (size_t i = 0; i < p->n; i++) {
        struct mk_id id = mk_hash(MK_BYTES(p->bytes.p + at, p->ends[i] - at));

        sink ^= id.b[0];
        at = p->ends[i];
    }
    return now_us() - start;
}

static double derive_all(const struct coa_coalition_config *c)
{
    double start = now_us();
    struct coa_coalition_ids ids;

    coa_coalition_derive(c, &ids, NULL);
    sink ^= ids.coalition_id.b[0];
    return now_us() - start;
}

static void make_members(struct coa_lattice_ref *l, struct coa_organism_ref *o, size_t half)
{
    char name[32];

    for (size_t i = 0; i < 2 * half; i++) {
        snprintf(name, sizeof name, "member.%zu", i);
        if (i < half)
            l[i] =
                (struct coa_lattice_ref){.name = mk_str_of(mk_strdup(name)),
                                         .stable_id = coa_stable_id(mk_str_of(name), &MK_UNIVERSE)};
        else
            o[i - half] = (struct coa_organism_ref){
                .role = MK_STR("oracle"),
                .stable_id = coa_stable_id(mk_str_of(name), &MK_UNIVERSE)};
    }
}

int main(int argc, char **argv)
{
    size_t half = argc > 1 ? strtoul(argv[1], NULL, 10) / 2 : 5000;
    unsigned rounds = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 5;
    struct coa_lattice_ref *lattices = mk_alloc(half * sizeof *lattices);
    struct coa_organism_ref *organisms = mk_alloc(half * sizeof *organisms);
    struct mk_arena arena = {0};
    struct mk_buf content = {0};
    struct coa_coalition_config c = {.schema_version = COA_SCHEMA_VERSION,
                                     .seed = COA_ROOT_SEED,
                                     .instance_name = MK_STR("bench"),
                                     .lattices = {lattices, half},
                                     .organisms = {organisms, half}};
    struct coa_atlas_content atlas_content = {0};
    struct coa_atlas_config atlas = {.body = {.instance = MK_STR("default")}};
    struct preimages p = {.explain = {.derived = collect}};
    double ours[64], hashes[64];
    struct coa_coalition_ids ids;

    if (half == 0 || rounds == 0 || rounds > 64)
        return 2;
    make_members(lattices, organisms, half);
    atlas_content.members = coa_atlas_catalogue(&c.lattices, &c.organisms, &arena);
    mk_encode(&content, &coa_atlas_content_type, &atlas_content);
    atlas.body.content = mk_buf_bytes(&content);
    c.atlas = &atlas;
    coa_coalition_derive(&c, &ids, &p.explain);
    for (unsigned i = 0; i < rounds; i++) {
        hashes[i] = hash_all(&p);
        ours[i] = derive_all(&c);
    }
    qsort(ours, rounds, sizeof *ours, compare);
    qsort(hashes, rounds, sizeof *hashes, compare);
    printf("members=%zu preimages=%zu bytes=%zu ours_us=%.1f hashes_us=%.1f sink=%u\n", 2 * half,
           p.n, p.bytes.n, ours[rounds / 2], hashes[rounds / 2], sink);
    return 0;
}
