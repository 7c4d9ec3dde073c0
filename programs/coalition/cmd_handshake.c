/* cmd_handshake.c - `coalition handshake`: what an operator publishes, as a page and as JSON. */
#include "handshake.h"
#include "program.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define PATH_BYTES 4096u

struct input {
    struct words words; /* FILE */
    const char *dir;
    bool strict;
};

enum { OPT_DIR = 'o', OPT_STRICT = 's' };

static const struct argp_option options[] = {
    {"output", OPT_DIR, "DIR", 0, "Where to write both files (default: here)", 0},
    {"strict", OPT_STRICT, NULL, 0, "End with 1 when anything is not stated", 0},
    OPTION_JSON("Print one JSON object"),
    {0}};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct input *in = state->input;

    switch (key) {
    case OPT_DIR:
        in->dir = arg;
        return 0;
    case OPT_STRICT:
        in->strict = true;
        return 0;
    default:
        return parse_words(key, arg, state, &in->words, 1, 1, "FILE is");
    }
}

static int of_coalition(struct handshake *ret, const char *path)
{
    struct coa_coalition_file f;
    int status = load_coalition(&f, path);

    if (status != 0)
        return status;
    handshake_coalition(ret, &f);
    coa_coalition_file_done(&f);
    return 0;
}

static int of_organism(struct handshake *ret, const char *path)
{
    struct coa_organism_file f;
    int status = load_organism(&f, path);

    if (status != 0)
        return status;
    handshake_organism(ret, &f);
    coa_organism_file_done(&f);
    return 0;
}

static int of_lattice(struct handshake *ret, const char *path)
{
    struct coa_lattice_file f;
    int status = load_lattice(&f, path);

    if (status != 0)
        return status;
    handshake_lattice(ret, &f);
    coa_lattice_file_done(&f);
    return 0;
}

static int read_handshake(struct handshake *ret, const char *path)
{
    enum coa_file_kind kind;
    int status = load_kind(&kind, path);

    if (status != 0)
        return status;
    switch (kind) {
    case COA_FILE_COALITION:
        return of_coalition(ret, path);
    case COA_FILE_ORGANISM:
        return of_organism(ret, path);
    case COA_FILE_LATTICE:
        return of_lattice(ret, path);
    }
    return STATUS_USAGE;
}

/* A file name out of a name: what is no letter, digit, dot, dash or underscore becomes a dash;
 * it does not begin with a dot. */
static void file_name(char out[MK_NAME_MAX + 1], const char *name)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";

    snprintf(out, MK_NAME_MAX + 1, "%s", name);
    for (char *c = out; *c != '\0'; c++) {
        if (strchr(plain, *c) == NULL || (c == out && *c == '.'))
            *c = '-';
    }
}

static int put_file(const char *dir, const char *name, const struct mk_buf *content, json_t *files)
{
    struct mk_fault fault = {{0}};
    char path[PATH_BYTES];
    int rv;

    if (snprintf(path, sizeof path, "%s/%s", dir, name) >= (int)sizeof path)
        return complain(STATUS_USAGE, "%s: the path is too long", dir);
    rv = write_file(path, mk_buf_bytes(content), 0644, &fault);
    if (rv != 0)
        return complain_of(rv, &fault);
    json_array_append_new(files, json_string(path));
    return 0;
}

static int dump_json(const char *bytes, size_t n, void *out)
{
    mk_buf_put(out, bytes, n);
    return 0;
}

static void put_json(struct mk_buf *out, const struct handshake *h)
{
    json_t *all = json_copy(h->facts);

    json_object_set(all, "missing", h->missing);
    json_dump_callback(all, dump_json, out, JSON_INDENT(2));
    mk_buf_put_u8(out, '\n');
    json_decref(all);
}

static int write_both(const struct input *in, const struct handshake *h, json_t *files)
{
    const char *dir = in->dir != NULL ? in->dir : ".";
    char base[MK_NAME_MAX + 1], page_name[MK_NAME_MAX + 8], json_name[MK_NAME_MAX + 8];
    struct mk_buf page = {0}, text = {0};
    int status;

    if (mkdir(dir, 0755) != 0 && errno != EEXIST)
        return complain(errno == ENOENT || errno == ENOTDIR ? STATUS_USAGE : STATUS_CHECK, "%s: %s",
                        dir, strerror(errno));
    file_name(base, json_string_value(json_object_get(h->facts, "name")));
    snprintf(page_name, sizeof page_name, "%s.html", base);
    snprintf(json_name, sizeof json_name, "%s.json", base);
    handshake_page(&page, h, json_name);
    put_json(&text, h);
    status = put_file(dir, page_name, &page, files);
    if (status == 0)
        status = put_file(dir, json_name, &text, files);
    mk_buf_done(&page);
    mk_buf_done(&text);
    return status;
}

static void print_text(const json_t *files, const json_t *missing)
{
    size_t i;
    json_t *v;

    json_array_foreach(files, i, v)
    {
        puts(json_string_value(v));
    }
    json_array_foreach(missing, i, v)
    {
        printf("not stated: %s\n", json_string_value(v));
    }
}

int cmd_handshake(int argc, char **argv)
{
    static const struct argp argp = {
        options,
        parse,
        "FILE",
        "Write the handshake of a coalition, an organism or a lattice: one page and one JSON file, "
        "named after it.\vWhat integrators need and the file does not say is written as \"not "
        "stated\".",
        NULL,
        NULL,
        NULL};
    struct input in = {0};
    struct handshake h;
    json_t *files;
    size_t n;
    int status;

    parse_options(&argp, argc, argv, &in);
    status = read_handshake(&h, in.words.v[0]);
    if (status != 0)
        return status;
    files = json_array();
    status = write_both(&in, &h, files);
    n = json_array_size(h.missing);
    if (status == 0 && in.words.json)
        print_json(json_pack("{s:O, s:O}", "files", files, "missing", h.missing));
    else if (status == 0)
        print_text(files, h.missing);
    if (status == 0 && in.strict && n > 0)
        status = complain(STATUS_CHECK, "%s: %zu facts of the handshake are not stated, first %s",
                          in.words.v[0], n, json_string_value(json_array_get(h.missing, 0)));
    json_decref(files);
    handshake_done(&h);
    return status;
}
