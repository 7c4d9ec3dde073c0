/* attest.c - see attest.h.
 *
 * The collateral's directory is read whole each time: it is small, and a file that was replaced
 * needs no other sign. A file that is no collateral is an error that the status shows; what was
 * good before stays. */
#include "attest.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define FILES_MAX 256u

/** path as seen from the folder of file; lent from the arena. */
static const char *beside(struct mk_arena *arena, const char *file, struct mk_str path)
{
    const char *slash = strrchr(file, '/');
    struct mk_buf b = {0};
    const char *joined;

    if (path.n > 0 && path.p[0] != '/' && slash != NULL)
        mk_buf_put(&b, file, (size_t)(slash - file) + 1);
    mk_buf_put(&b, path.p, path.n);
    joined = mk_arena_str(arena, (struct mk_str){(const char *)b.p, b.n}).p;
    mk_buf_done(&b);
    return joined;
}

static int load(struct mk_arena *arena, const char *path, struct mk_bytes *ret,
                struct mk_fault *reterr)
{
    struct mk_buf b = {0};
    int rv = read_named(path, &b, reterr);

    if (rv == 0)
        *ret = MK_BYTES(mk_arena_copy(arena, b.p, b.n), b.n);
    mk_buf_done(&b);
    return rv;
}

/* --- collateral ------------------------------------------------------------------------- */

/* A pipe would keep us waiting for ever, and a folder keep what is sorted behind it from us. */
static int is_document(const struct dirent *e)
{
    return e->d_name[0] != '.' &&
           (e->d_type == DT_REG || e->d_type == DT_LNK || e->d_type == DT_UNKNOWN);
}

static int put_file(struct mk_collateral_put *p, const char *dir, const char *name,
                    struct mk_fault *reterr)
{
    struct mk_buf path = {0}, doc = {0};
    int rv;

    mk_buf_printf(&path, "%s/%s%c", dir, name, 0);
    rv = read_file((const char *)path.p, &doc, reterr);
    if (rv == 0)
        p->put(p, mk_buf_bytes(&doc));
    mk_buf_done(&path);
    mk_buf_done(&doc);
    return rv;
}

static int put_directory(const char *dir, struct mk_collateral_put *p, struct mk_fault *reterr)
{
    struct dirent **v = NULL;
    int n = scandir(dir, &v, is_document, alphasort), rv = 0;

    if (n < 0)
        return mk_fault(reterr, MK_ENOTFOUND, "%s: the directory cannot be read", dir);
    if (n > (int)FILES_MAX)
        rv = mk_fault(reterr, MK_ELIMIT, "%s: more than %u files", dir, FILES_MAX);
    for (int i = 0; i < n; i++) {
        if (rv == 0)
            rv = put_file(p, dir, v[i]->d_name, reterr);
        free(v[i]); /* tidy: ok, the C library made them */
    }
    free(v); /* tidy: ok, the C library made it */
    return rv;
}

/* --- published measurements --------------------------------------------------------------- */

static int load_published(const struct coa_attest *from, const char *file,
                          struct mk_measurements **ret, size_t *ret_n, struct mk_arena *arena,
                          struct mk_fault *reterr)
{
    int rv = 0;

    *ret = mk_arena_take(arena, (from->n_published * MK_PUBLISHED_MAX + 1) * sizeof **ret);
    *ret_n = 0;
    for (size_t i = 0; rv == 0 && i < from->n_published; i++) {
        const char *path = beside(arena, file, from->published[i]);
        struct mk_published *v = NULL;
        struct mk_fault f = {{0}};
        struct mk_bytes json;
        size_t n = 0;

        rv = load(arena, path, &json, reterr);
        if (rv == 0 && mk_published_parse(&v, &n, arena, json, &f) != 0)
            rv = mk_fault(reterr, MK_EINVALID, "%s: %s", path, f.text);
        for (size_t k = 0; rv == 0 && k < n; k++) {
            if (!v[k].any) /* what pins nothing shows no build */
                (*ret)[(*ret_n)++] = v[k].pins;
        }
    }
    return rv;
}

/* --- read again while it is used ---------------------------------------------------------- */

/* [attest] as the file has it now; nothing but policy and published counts of it. */
static int put_policy(const struct attest *a, const struct coa_attest *from,
                      struct mk_collateral_put *p, struct mk_arena *arena, struct mk_fault *reterr)
{
    struct mk_quote_policy policy = {.statuses = from->statuses};
    struct mk_measurements *published;
    size_t n;
    int rv = load_published(from, a->file, &published, &n, arena, reterr);

    if (rv == 0)
        p->policy(p, &policy, published, n);
    return rv;
}

static int read_policy(const struct attest *a, struct mk_collateral_put *p, struct mk_fault *reterr)
{
    struct coa_node_file node = {0};
    struct mk_arena arena = {0};
    struct coa_attest from = {0};
    struct mk_buf b = {0};
    int rv = read_file(a->file, &b, reterr);

    if (rv == 0 && a->of_node)
        rv = coa_node_file_parse(&node, a->file, mk_buf_bytes(&b), reterr);
    else if (rv == 0)
        rv = coa_attest_file_parse(&from, a->file, mk_buf_bytes(&b), &arena, reterr);
    if (rv == 0 && a->of_node && node.attest == NULL)
        rv = mk_fault(reterr, MK_EINVALID, "%s: [attest] is gone; that counts from the next start",
                      a->file);
    if (rv == 0)
        rv = put_policy(a, a->of_node ? node.attest : &from, p, &arena, reterr);
    if (a->of_node)
        coa_node_file_done(&node);
    mk_buf_done(&b);
    mk_arena_done(&arena);
    return rv;
}

static int reload(void *arg, struct mk_collateral_put *p, struct mk_fault *reterr)
{
    const struct attest *a = arg;
    int rv = read_policy(a, p, reterr);

    if (a->collateral.p != NULL && rv == 0)
        rv = put_directory(a->collateral.p, p, reterr);
    else if (a->collateral.p != NULL)
        put_directory(a->collateral.p, p, NULL); /* the first fault is told */
    return rv;
}

/* --- the emulator's directory ----------------------------------------------------------------- */

static int make_directory(const char *path, struct mk_fault *reterr)
{
    if (mkdir(path, 0700) == 0 || errno == EEXIST)
        return 0;
    return mk_fault(reterr, MK_EIO, "%s: %s", path, strerror(errno));
}

static bool file_exists(const char *path)
{
    return access(path, F_OK) == 0;
}

static const char *in_dir(struct mk_arena *arena, const char *dir, const char *name)
{
    struct mk_buf b = {0};
    const char *path;

    mk_buf_printf(&b, "%s/%s", dir, name);
    path = mk_arena_str(arena, (struct mk_str){(const char *)b.p, b.n}).p;
    mk_buf_done(&b);
    return path;
}

/* The one TD that measured.json speaks of. */
static int load_measured(const char *path, struct mk_measurements *ret, struct mk_fault *reterr)
{
    struct mk_published *v = NULL;
    struct mk_arena arena = {0};
    struct mk_fault f = {{0}};
    struct mk_buf b = {0};
    size_t n = 0;
    int rv = read_named(path, &b, reterr);

    if (rv == 0 && mk_published_parse(&v, &n, &arena, mk_buf_bytes(&b), &f) != 0)
        rv = mk_fault(reterr, MK_EINVALID, "%s: %s", path, f.text);
    if (rv == 0 && (n != 1 || v[0].any))
        rv = mk_fault(reterr, MK_EINVALID, "%s: the measurements of one TD are wanted", path);
    if (rv == 0)
        *ret = v[0].pins;
    mk_buf_done(&b);
    mk_arena_done(&arena);
    return rv;
}

/* The seed is a secret like a peer's key, and kept like one. */
static int load_emulator(struct mk_emulator **ret, const char *dir,
                         struct mk_measurements *measured, struct mk_fault *reterr)
{
    struct mk_arena arena = {0};
    struct mk_key key = {0};
    int rv = load_key(&key, in_dir(&arena, dir, "emulator.key"), reterr);

    if (rv == 0)
        rv = load_measured(in_dir(&arena, dir, "measured.json"), measured, reterr);
    if (rv == 0)
        rv = mk_emulator_new(ret, key.secret, measured, reterr);
    mk_key_done(&key);
    mk_arena_done(&arena);
    return rv;
}

static void put_register(struct mk_buf *out, unsigned i, const uint8_t value[48])
{
    char hex[97];

    mk_hex(hex, value, 48);
    mk_buf_printf(out, "%s\n      \"%u\": { \"expected\": \"%s\" }", i > 0 ? "," : "", i, hex);
}

static void put_measured(struct mk_buf *out, const struct mk_measurements *m)
{
    const struct mk_opt_b48 *rtmrs[] = {&m->rtmr0, &m->rtmr1, &m->rtmr2, &m->rtmr3};

    mk_buf_put_str(out, "[\n  {\n    \"measurement_id\": \"tdx-emulator\",\n    "
                        "\"attestation_type\": \"dcap-tdx\",\n    \"measurements\": {");
    put_register(out, 0, m->mr_td.b);
    for (unsigned i = 0; i < 4; i++) {
        if (rtmrs[i]->some)
            put_register(out, i + 1, rtmrs[i]->v.b);
    }
    mk_buf_put_str(out, "\n    }\n  }\n]\n");
}

/* What an emulator measures when nobody says: no real image has it. */
static void default_measured(struct mk_measurements *ret)
{
    struct mk_id h = mk_hash(MK_BYTES(MK_EMULATOR_NAME, sizeof MK_EMULATOR_NAME - 1));

    *ret = (struct mk_measurements){0};
    memset(ret->mr_td.b, 0xee, 16);
    memcpy(ret->mr_td.b + 16, h.b, 32);
}

static int put(const char *dir, const char *name, const struct mk_buf *b, struct mk_fault *reterr)
{
    struct mk_arena arena = {0};
    int rv = write_file(in_dir(&arena, dir, name), mk_buf_bytes(b), 0644, reterr);

    mk_arena_done(&arena);
    return rv;
}

static int put_all(const char *dir, struct mk_emulator *e, const struct mk_measurements *m,
                   uint64_t collateral_s, struct mk_fault *reterr)
{
    uint64_t now = (uint64_t)time(NULL);
    struct mk_buf root = {0}, collateral = {0}, measured = {0}, toml = {0};
    int rv = mk_emulator_collateral(e, now - 60, now + collateral_s, &collateral, reterr);

    mk_emulator_root(e, &root);
    put_measured(&measured, m);
    mk_buf_put_str(&toml,
                   "# The TDX emulator: it proves nothing.\nsource = \"emulator\"\nemulator = "
                   "\".\"\nroot = \"root.pem\"\ncollateral = \"collateral\"\n");
    if (rv == 0)
        rv = put(dir, "root.pem", &root, reterr);
    if (rv == 0)
        rv = put(dir, "collateral/emulator.json", &collateral, reterr);
    if (rv == 0)
        rv = put(dir, "measured.json", &measured, reterr);
    if (rv == 0)
        rv = put(dir, "attest.toml", &toml, reterr);
    mk_buf_done(&root);
    mk_buf_done(&collateral);
    mk_buf_done(&measured);
    mk_buf_done(&toml);
    return rv;
}

bool emulator_is_there(const char *dir)
{
    struct mk_arena arena = {0};
    bool there = file_exists(in_dir(&arena, dir, "attest.toml"));

    mk_arena_done(&arena);
    return there;
}

int emulator_lay_out(const char *dir, const struct mk_measurements *measured, uint64_t collateral_s,
                     struct mk_measurements *ret_measured, struct mk_fault *reterr)
{
    struct mk_arena arena = {0};
    const char *key_path = in_dir(&arena, dir, "emulator.key");
    struct mk_emulator *e = NULL;
    struct mk_key key = {0};
    int rv = make_directory(dir, reterr);

    if (rv == 0)
        rv = make_directory(in_dir(&arena, dir, "collateral"), reterr);
    if (rv == 0 && !file_exists(key_path))
        rv = make_key(&key, key_path, reterr);
    else if (rv == 0)
        rv = load_key(&key, key_path, reterr);
    if (measured != NULL)
        *ret_measured = *measured;
    else if (rv == 0 && !file_exists(in_dir(&arena, dir, "measured.json")))
        default_measured(ret_measured);
    else if (rv == 0)
        rv = load_measured(in_dir(&arena, dir, "measured.json"), ret_measured, reterr);
    if (rv == 0)
        rv = mk_emulator_new(&e, key.secret, ret_measured, reterr);
    if (rv == 0)
        rv = put_all(dir, e, ret_measured, collateral_s, reterr);
    mk_emulator_free(e);
    mk_key_done(&key);
    mk_arena_done(&arena);
    return rv;
}

/* --- all of it
 * ------------------------------------------------------------------------------------ */

static int open_source(struct attest *a, const struct coa_attest *from, const char *file,
                       struct mk_fault *reterr)
{
    struct mk_measurements measured;

    if (from->source.p == NULL)
        return 0;
    if (mk_str_is(from->source, "configfs-tsm")) {
        a->options.source = MK_SOURCE_TSM;
        a->options.tsm_dir = from->tsm.p != NULL ? beside(&a->arena, file, from->tsm) : NULL;
        return 0;
    }
    a->options.source = MK_SOURCE_EMULATOR;
    return load_emulator(&a->options.emulator, beside(&a->arena, file, from->emulator), &measured,
                         reterr);
}

int attest_open(struct attest *a, const struct coa_attest *from, const char *file, bool of_node,
                struct mk_fault *reterr)
{
    struct mk_measurements *published = NULL;
    int rv = 0;

    *a = (struct attest){.options = {.verifies = true,
                                     .policy = {.statuses = from->statuses},
                                     .load = reload,
                                     .load_arg = a,
                                     .reload_ms = from->reload_s * 1000},
                         .of_node = of_node};
    a->file = mk_arena_str(&a->arena, mk_str_of(file)).p;
    if (from->root.p != NULL)
        rv = load(&a->arena, beside(&a->arena, file, from->root), &a->options.root, reterr);
    if (from->collateral.p != NULL)
        a->collateral = mk_str_of(beside(&a->arena, file, from->collateral));
    if (from->fetch.p != NULL)
        a->options.fetch = mk_arena_str(&a->arena, from->fetch).p;
    if (rv == 0)
        rv = load_published(from, file, &published, &a->options.n_published, &a->arena, reterr);
    a->options.published = published;
    if (rv == 0)
        rv = open_source(a, from, file, reterr);
    if (rv != 0)
        attest_done(a);
    return rv;
}

int attest_load(struct attest *a, const char *path, struct mk_fault *reterr)
{
    struct mk_arena arena = {0};
    struct coa_attest from;
    struct mk_buf b = {0};
    int rv = read_named(path, &b, reterr);

    *a = (struct attest){0};
    if (rv == 0)
        rv = coa_attest_file_parse(&from, path, mk_buf_bytes(&b), &arena, reterr);
    if (rv == 0)
        rv = attest_open(a, &from, path, /* of_node= */ false, reterr);
    mk_buf_done(&b);
    mk_arena_done(&arena);
    return rv;
}

void attest_done(struct attest *a)
{
    mk_emulator_free(a->options.emulator);
    mk_arena_done(&a->arena);
    *a = (struct attest){0};
}
