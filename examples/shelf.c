/* shelf.c - a committee of one's own that holds a Map, and its clients: how many of each thing
 * are on the shelf. One member, or as many as shelf.toml names; docs/embedding.md takes it
 * apart.
 *
 *     coalition key new shelf-1.key                     its id goes into shelf.toml, for PEER-1
 *     shelf serve shelf-1.toml --found                  a member; --found at its first start
 *     shelf get shelf.toml apples                       one key, proven present or absent
 *     shelf set shelf.toml apples - 5                   compare and set: absent before, 5 now
 *     shelf add shelf.toml apples 3                     reads, compares and sets until it holds
 *     shelf wait shelf.toml apples 8                    ends when there are at least 8
 *
 * Every client is an agent with a fresh key. What it reads is covered by a certificate, signed by
 * a majority of the committee that shelf.toml names. Status: 0; 1 refused or absent; 2 wrong use
 * or file; 3 not in time, and of a write: not known. */
#include <coalition/file.h>
#include <mosaik/collection.h>
#include <mosaik/loop.h>
#include <mosaik/node.h>
#include <mosaik/when.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WAIT_MS 10000u
#define FOLLOW_MS 60000u
#define TRIES 100 /* of a compare-and-set that others get before */

/* The surface, the same on both sides: its id follows from kind, name and types. */
static const struct mk_surface_spec stock = {
    .kind = MK_SURFACE_MAP, .name = "stock", .key = &mk_text_type, .value = &mk_u64_type};

static struct mk_fault fault;

static int status_of(int rv)
{
    if (rv == MK_ETIMEDOUT || rv == MK_EUNREACHABLE || rv == MK_ENOMAJORITY)
        return 3;
    return rv == MK_EREFUSED || rv == MK_ENOTFOUND ? 1 : 2;
}

static void must(int rv, const char *what)
{
    if (rv == 0)
        return;
    fprintf(stderr, "shelf: %s: %s\n", what, fault.text[0] != '\0' ? fault.text : mk_strerror(rv));
    exit(status_of(rv));
}

/* --- files ---------------------------------------------------------------------------------- */

static int read_all(const char *path, struct mk_buf *ret)
{
    FILE *f = fopen(path, "rb");
    size_t n;

    if (f == NULL)
        return mk_fault(&fault, MK_EINVALID, "%s", strerror(errno));
    n = fread(mk_buf_grow(ret, COA_FILE_MAX), 1, COA_FILE_MAX, f);
    ret->n -= COA_FILE_MAX - n;
    fclose(f);
    return 0;
}

/** path as seen from the folder of `from`. */
static const char *beside(struct mk_arena *a, const char *from, struct mk_str path)
{
    const char *slash = strrchr(from, '/');
    size_t n = slash != NULL && path.n > 0 && path.p[0] != '/' ? (size_t)(slash - from) + 1 : 0;
    char *joined = mk_arena_take(a, n + path.n + 1);

    memcpy(joined, from, n);
    memcpy(joined + n, path.p, path.n);
    return joined;
}

/* What shelf.toml says: who may be asked, and by which ids. */
struct shelf {
    struct coa_organism_file file;
    struct coa_organism_ids ids;
    struct mk_roster roster;
    struct mk_str *addresses;
    struct mk_arena arena;
};

static void shelf_load(struct shelf *s, const char *path)
{
    struct mk_buf b = {0};

    must(read_all(path, &b), path);
    must(coa_organism_file_parse(&s->file, path, mk_buf_bytes(&b), &fault), "file");
    mk_buf_done(&b);
    coa_organism_derive(&s->file.config, &s->ids, NULL);
    if (!coa_organism_first_roster(&s->file, &s->ids.organism_id, &s->roster, &s->arena))
        must(MK_EINVALID, "the file states no committee");
    s->addresses = mk_arena_take(&s->arena, s->file.notes.committee.n * sizeof *s->addresses);
    for (size_t i = 0; i < s->file.notes.committee.n; i++)
        s->addresses[i] = s->file.notes.committee.v[i].address;
}

static void shelf_done(struct shelf *s)
{
    coa_organism_file_done(&s->file);
    mk_arena_done(&s->arena);
}

/* --- a member ----------------------------------------------------------------------------------
 */

struct member {
    struct mk_env *loop;
    bool failed;
};

static void signal_cb(void *arg, int signo)
{
    (void)signo;
    mk_loop_stop(((struct member *)arg)->loop);
}

/* Its disk failed, or its component did: nothing is lost, but this process is of no use. */
static void failed_cb(void *arg, const char *why)
{
    struct member *m = arg;

    fprintf(stderr, "shelf: %s\n", why);
    m->failed = true;
    mk_loop_stop(m->loop);
}

static void log_cb(void *arg, const struct mk_log_line *line)
{
    (void)arg;
    fprintf(stderr, "%s\n", line->text);
}

static void add_shelf(struct mk_node *node, const struct shelf *s, const char *how)
{
    struct mk_component_options o = {.label = s->file.config.name,
                                     .stable_id = s->ids.stable_id,
                                     .content_hash = s->ids.content_hash,
                                     .deployment = s->ids.organism_id,
                                     .roster = &s->roster,
                                     .addresses = s->addresses,
                                     .n_addresses = s->file.notes.committee.n,
                                     .acl = &s->file.config.acl,
                                     .found = strcmp(how, "--found") == 0,
                                     .join = strcmp(how, "--join") == 0};

    /* Compare-and-set, history, proofs: a machine of nothing but collections has them all.
     * Rules of one's own are a machine of one's own: <mosaik/machine.h>, organisms/atlas. */
    o.machine = mk_collections_machine_new("shelf", 1, &stock, 1);
    must(mk_node_add(node, &o, &fault), "component");
}

static int serve(const char *path, const char *how)
{
    struct member self = {0};
    struct coa_node_file file;
    struct mk_arena arena = {0};
    struct mk_buf b = {0};
    struct mk_key key;
    struct mk_node *node;
    struct shelf s = {0};

    must(read_all(path, &b), path);
    must(coa_node_file_parse(&file, path, mk_buf_bytes(&b), &fault), "file");
    if (file.n_components != 1)
        must(MK_EINVALID, "a node file with the shelf alone is wanted");
    mk_buf_clear(&b);
    must(read_all(beside(&arena, path, file.key), &b), "key");
    must(mk_key_parse(&key, mk_buf_bytes(&b), &fault), "key");
    mk_wipe(b.p, b.cap);
    mk_buf_done(&b);
    shelf_load(&s, beside(&arena, path, file.components[0].file));

    must(mk_loop_open(&self.loop, beside(&arena, path, file.dir), &fault), "directory");
    mk_loop_on_signal(self.loop, signal_cb, &self);
    must(mk_node_open(self.loop, &node,
                      &(struct mk_node_options){.key = &key,
                                                .listen = mk_arena_str(&arena, file.listen).p,
                                                .log = log_cb,
                                                .failed = failed_cb,
                                                .failed_arg = &self},
                      &fault),
         "node");
    add_shelf(node, &s, how);
    mk_loop_run(self.loop);

    if (!self.failed)
        mk_node_yield(node, 2000); /* of several: another one leads before this one is gone */
    mk_node_close(node);
    mk_loop_free(self.loop);
    mk_key_done(&key);
    coa_node_file_done(&file);
    shelf_done(&s);
    mk_arena_done(&arena);
    return self.failed ? 1 : 0;
}

/* --- a client ------------------------------------------------------------------------------------
 */

struct client {
    struct mk_env *loop;
    struct mk_network *net;
    struct mk_bond *bond;
    struct shelf shelf;
    struct mk_arena arena;
};

static void client_open(struct client *c, const char *path)
{
    struct mk_reference r = {.has_version0 = true};

    shelf_load(&c->shelf, path);
    r.acl = &c->shelf.file.config.acl;
    r.label = c->shelf.file.config.name;
    r.stable_id = c->shelf.ids.stable_id;
    r.deployment = c->shelf.ids.organism_id;
    r.deployed_content = c->shelf.ids.content_hash;
    r.roster = c->shelf.roster;
    r.addresses = c->shelf.addresses;
    r.n_addresses = c->shelf.file.notes.committee.n;
    must(mk_loop_open(&c->loop, NULL, &fault), "loop");
    must(mk_network_open(c->loop, &c->net, &(struct mk_network_options){0}, &fault), "network");
    must(mk_bond_open(c->net, &c->bond, &r, &fault), "bond");
    must(mk_bond_wait(c->bond, WAIT_MS, &fault), "bond");
}

static void client_close(struct client *c)
{
    mk_network_close(c->net); /* the bond too */
    mk_loop_free(c->loop);
    shelf_done(&c->shelf);
    mk_arena_done(&c->arena);
}

/** pc(what), lent from the client's arena. */
static struct mk_bytes encoded(struct client *c, const struct mk_type *type, const void *what)
{
    struct mk_buf b = {0};
    struct mk_bytes ret;

    mk_encode(&b, type, what);
    ret = MK_BYTES(mk_arena_copy(&c->arena, b.p, b.n), b.n);
    mk_buf_done(&b);
    return ret;
}

/** How many there are; false: proven absent. */
static bool look(struct client *c, const char *thing, uint64_t *ret)
{
    struct mk_str name = mk_str_of(thing);
    struct mk_bytes value;
    int rv = mk_collection_lookup_wait(c->bond, &stock, encoded(c, &mk_text_type, &name), 0,
                                       WAIT_MS, &value, &c->arena, &fault);

    if (rv == MK_ENOTFOUND)
        return false;
    must(rv, thing);
    must(mk_decode(ret, &mk_u64_type, value, &c->arena, &fault), thing);
    return true;
}

/** Compare and set; NULL stands for absent. 0, or MK_EREFUSED: it was another one. */
static int exchange(struct client *c, const char *thing, const uint64_t *old, const uint64_t *new,
                    struct mk_written *ret)
{
    struct mk_str name = mk_str_of(thing);
    struct mk_op op = {.tag = mk_op_Exchange};

    op.u.exchange.key = encoded(c, &mk_text_type, &name);
    if (old != NULL)
        op.u.exchange.expected = (struct mk_opt_op_value){true, encoded(c, &mk_u64_type, old)};
    if (new != NULL)
        op.u.exchange.replacement = (struct mk_opt_op_value){true, encoded(c, &mk_u64_type, new)};
    return mk_collection_write_wait(c->bond, &stock, &op, MK_STEP_CERTIFIED, WAIT_MS, ret, &fault);
}

/** n NULL: it was removed. */
static void print_written(const char *thing, const uint64_t *n, const struct mk_written *w)
{
    char text[24] = "removed";

    if (n != NULL)
        snprintf(text, sizeof text, "%" PRIu64, *n);
    printf("%s %s, version %" PRIu64 "%s\n", thing, text, w->version,
           w->changed ? "" : ", as it was");
}

static void add(struct client *c, const char *thing, uint64_t more)
{
    struct mk_written w;

    for (int i = 0; i < TRIES; i++) {
        uint64_t old = 0, new;
        bool there = look(c, thing, &old);
        int rv;

        new = old + more;
        rv = exchange(c, thing, there ? &old : NULL, &new, &w);
        if (rv == 0) {
            print_written(thing, &new, &w);
            return;
        }
        if (rv != MK_EREFUSED) /* another one was first: look again */
            must(rv, thing);
    }
    must(MK_EREFUSED, "others were faster each time");
}

/* --- a condition -------------------------------------------------------------------------------
 */

struct wanted {
    struct mk_bytes key;
    uint64_t least;
};

/** Called from inside the loop whenever the verified copy changed: it looks, and calls nothing. */
static bool is_enough(const struct mk_view *v, void *arg)
{
    const struct wanted *w = arg;
    struct mk_bytes value;
    uint64_t n;

    return mk_view_get(v, w->key, &value) == 0 &&
           mk_decode(&n, &mk_u64_type, value, NULL, NULL) == 0 && n >= w->least;
}

static void wait_for(struct client *c, const char *thing, uint64_t least)
{
    struct mk_str name = mk_str_of(thing);
    struct wanted w = {encoded(c, &mk_text_type, &name), least};
    struct mk_collection *copy;
    struct mk_when *enough;

    must(mk_collection_open(c->bond, &copy, &stock, NULL, NULL), "stock");
    enough = mk_when_state(copy, is_enough, &w);
    must(mk_when_wait(enough, FOLLOW_MS, &fault), thing);
    printf("%s, at least %" PRIu64 ", version %" PRIu64 "\n", thing, least,
           mk_collection_version(copy));
    mk_when_free(enough);
    mk_collection_close(copy);
}

/* --- words of the command line -------------------------------------------------------------------
 */

static uint64_t number(const char *word)
{
    char *end;
    uint64_t n;

    errno = 0;
    n = strtoull(word, &end, 10); /* tidy: ok, an example */
    if (*word < '0' || *word > '9' || *end != '\0' || errno != 0)
        must(mk_fault(&fault, MK_EINVALID, "a number is wanted"), word);
    return n;
}

static void set(struct client *c, const char *thing, const char *old, const char *new)
{
    uint64_t from = 0, to = 0;
    bool was = strcmp(old, "-") != 0, is = strcmp(new, "-") != 0;
    struct mk_written w;

    if (was)
        from = number(old);
    if (is)
        to = number(new);
    must(exchange(c, thing, was ? &from : NULL, is ? &to : NULL, &w), thing);
    print_written(thing, is ? &to : NULL, &w);
}

static int get(struct client *c, const char *thing)
{
    uint64_t n;
    bool there = look(c, thing, &n);

    if (there)
        printf("%s %" PRIu64 "\n", thing, n);
    else
        printf("%s: proven absent\n", thing);
    return there ? 0 : 1;
}

static int ask(char **argv)
{
    struct client c = {0};
    const char *verb = argv[1];
    int status = 0;

    client_open(&c, argv[2]);
    if (*verb == 'g')
        status = get(&c, argv[3]);
    else if (*verb == 's')
        set(&c, argv[3], argv[4], argv[5]);
    else if (*verb == 'a')
        add(&c, argv[3], number(argv[4]));
    else
        wait_for(&c, argv[3], number(argv[4]));
    client_close(&c);
    return status;
}

/** Words after the verb: of each verb so many. */
static bool is_call(int argc, char **argv, const char *verb, int words)
{
    return argc == 2 + words && strcmp(argv[1], verb) == 0;
}

int main(int argc, char **argv)
{
    if (is_call(argc, argv, "serve", 1))
        return serve(argv[2], "");
    if (is_call(argc, argv, "serve", 2) &&
        (strcmp(argv[3], "--found") == 0 || strcmp(argv[3], "--join") == 0))
        return serve(argv[2], argv[3]);
    if (is_call(argc, argv, "get", 2) || is_call(argc, argv, "set", 4) ||
        is_call(argc, argv, "add", 3) || is_call(argc, argv, "wait", 3))
        return ask(argv);
    fprintf(stderr, "usage: shelf serve NODE.toml [--found | --join]\n"
                    "       shelf get FILE THING | set FILE THING OLD NEW | add FILE THING N |\n"
                    "             wait FILE THING N             (OLD, NEW: \"-\" for absent)\n");
    return 2;
}
