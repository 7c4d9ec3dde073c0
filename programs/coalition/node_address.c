/* node_address.c - see node_address.h. */
#include "node_address.h"

#include <mosaik/node.h>

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define CONFIG "node.toml"
#define PREFIX_MIN 8u

/** path, where it is relative beside file. Lent by the arena. */
static const char *beside(struct mk_arena *arena, const char *file, const char *path)
{
    const char *slash = strrchr(file, '/');
    size_t n = path[0] == '/' || slash == NULL ? 0 : (size_t)(slash + 1 - file);
    char *p = mk_arena_take(arena, n + strlen(path) + 1);

    memcpy(p, file, n);
    memcpy(p + n, path, strlen(path) + 1);
    return p;
}

/* --- a node file ----------------------------------------------------------------------------- */

/** word, or word/node.toml, when there is such a file; else NULL. */
static const char *config_at(struct mk_arena *arena, const char *word)
{
    size_t n = strlen(word) + sizeof "/" CONFIG;
    char *path = mk_arena_take(arena, n);

    snprintf(path, n, "%s/" CONFIG, word);
    if (access(path, F_OK) == 0)
        return path;
    return access(word, F_OK) == 0 ? mk_arena_str(arena, mk_str_of(word)).p : NULL;
}

static int of_file(struct mk_arena *arena, const char *config, struct mk_str *ret,
                   struct mk_fault *fault)
{
    struct coa_node_file f = {0};
    struct mk_buf b = {0};
    struct mk_key key;
    char hex[MK_ID_HEX], *text;
    struct mk_str at;
    int rv = read_file(config, &b, fault);

    if (rv == 0)
        rv = coa_node_file_parse(&f, config, mk_buf_bytes(&b), fault);
    mk_buf_done(&b);
    if (rv != 0)
        return rv;
    rv = load_key(&key, beside(arena, config, f.key.p), fault);
    if (rv == 0) {
        at = f.advertise.p != NULL ? f.advertise : f.listen;
        text = mk_arena_take(arena, 64 + 1 + at.n + 1);
        snprintf(text, 64 + 1 + at.n + 1, "%s@%.*s", mk_peer_hex(&key.peer, hex), (int)at.n, at.p);
        *ret = mk_str_of(text);
        mk_key_done(&key);
    }
    coa_node_file_done(&f);
    return rv;
}

/* --- a peer's beginning ---------------------------------------------------------------------- */

static bool is_hex(const char *s)
{
    return s[strspn(s, "0123456789abcdef")] == '\0';
}

/** How many members begin so; *ret: the last of them. */
static unsigned begins(struct agent *a, const char *word, struct mk_str *ret)
{
    struct mk_status_answer *v;
    size_t n = agent_members(a, &v), len = strlen(word);
    unsigned found = 0;

    for (size_t i = 0; i < n; i++) {
        if (len > 64 || v[i].address.n < len || memcmp(v[i].address.p, word, len) != 0)
            continue;
        *ret = v[i].address;
        found++;
    }
    return found;
}

int node_address(struct agent *a, const char *file, const char *word, struct mk_arena *arena,
                 struct mk_str *ret)
{
    struct coa_contact contact;
    struct mk_fault fault = {{0}};
    const char *config;
    unsigned n = 0;
    int rv;

    if (strchr(word, '@') != NULL) {
        if (coa_contact_parse(&contact, mk_str_of(word), &fault) != 0)
            return complain(STATUS_USAGE, "--node: %s: %s", word, fault.text);
        *ret = mk_arena_str(arena, mk_str_of(word));
        return 0;
    }
    config = config_at(arena, word);
    if (config == NULL && a != NULL)
        config = config_at(arena, beside(arena, file, word));
    if (config != NULL) {
        rv = of_file(arena, config, ret, &fault);
        return rv != 0 ? complain_of(rv, &fault) : 0;
    }
    if (a != NULL && strlen(word) >= PREFIX_MIN && is_hex(word))
        n = begins(a, word, ret);
    if (n == 1)
        return 0;
    if (n > 1)
        return complain(STATUS_USAGE, "--node: %s: %u members begin so", word, n);
    return complain(STATUS_USAGE,
                    "--node: %s: no such node; wanted is <64 hex digits>@host:port, a node file or "
                    "a folder with a " CONFIG "%s",
                    word,
                    a != NULL ? ", a member's folder beside the coalition file, or the first 8 "
                                "digits or more of a member's peer id"
                              : " (with a coalition file also a member's folder beside it, or the "
                                "beginning of its peer id)");
}
