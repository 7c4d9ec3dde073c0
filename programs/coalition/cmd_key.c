/* cmd_key.c - `coalition key new`, `coalition key show`: peer keys in files.
 *
 * The name is claimed before the key is drawn, so that no key is ever written over: a lost
 * operator key cannot be had again. The secret is wiped as soon as the file is durable. */
#include "program.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

struct input {
    const char *verb, *file;
    bool json;
};

enum { OPT_JSON = 'j' };

static const struct argp_option options[] = {
    {"json", OPT_JSON, NULL, 0, "Print one JSON object", 0}, {0}};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct input *in = state->input;

    switch (key) {
    case OPT_JSON:
        in->json = true;
        return 0;
    case ARGP_KEY_ARG:
        if (in->verb == NULL)
            in->verb = arg;
        else if (in->file == NULL)
            in->file = arg;
        else
            wrong_usage(state, "one FILE is expected");
        return 0;
    case ARGP_KEY_END:
        if (in->verb == NULL || (strcmp(in->verb, "new") != 0 && strcmp(in->verb, "show") != 0))
            wrong_usage(state, "`new FILE` or `show FILE` is expected");
        if (in->file == NULL)
            wrong_usage(state, "FILE is missing");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static int write_key(const char *path, const struct mk_key *k, struct mk_fault *reterr)
{
    struct mk_buf text = {0};
    int fd, rv;

    fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 && errno == EEXIST)
        return mk_fault(reterr, MK_EEXISTS,
                        "%s: it is there already; a key is never written over, name a new file",
                        path);
    if (fd < 0)
        return mk_fault(reterr, MK_EIO, "%s: %s", path, strerror(errno));
    close(fd);
    mk_key_format(k, &text);
    rv = write_file(path, mk_buf_bytes(&text), 0600, reterr);
    if (rv != 0)
        unlink(path);
    mk_wipe(text.p, text.cap);
    mk_buf_done(&text);
    return rv;
}

static int make_key(struct mk_key *ret, const char *path, struct mk_fault *reterr)
{
    uint8_t seed[32];
    int rv;

    if (getrandom(seed, sizeof seed, 0) != (ssize_t)sizeof seed)
        return mk_fault(reterr, MK_EIO, "no randomness: %s", strerror(errno));
    mk_key_from_seed(ret, seed);
    mk_wipe(seed, sizeof seed);
    rv = write_key(path, ret, reterr);
    if (rv != 0)
        mk_key_done(ret);
    return rv;
}

int cmd_key(int argc, char **argv)
{
    static const struct argp argp = {
        options,
        parse,
        "new FILE\nshow FILE",
        "Make a peer key (a file of mode 0600, never over another one), or show its peer id.",
        NULL,
        NULL,
        NULL};
    struct input in = {0};
    struct mk_fault fault = {{0}};
    struct mk_key key;
    char hex[MK_ID_HEX];
    int rv;

    parse_options(&argp, argc, argv, &in);
    rv = strcmp(in.verb, "new") == 0 ? make_key(&key, in.file, &fault)
                                     : load_key(&key, in.file, &fault);
    if (rv != 0)
        return complain_of(rv, &fault);
    if (in.json)
        print_json(json_pack("{s:o}", "peer", json_id(&key.peer)));
    else
        puts(mk_peer_hex(&key.peer, hex));
    mk_key_done(&key);
    return STATUS_DONE;
}
