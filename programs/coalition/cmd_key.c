/* cmd_key.c - `coalition key new`, `coalition key show`: peer keys in files (keyfile.c). */
#include "program.h"

#include <stdio.h>
#include <string.h>

static const struct argp_option options[] = {OPTION_JSON("Print one JSON object"), {0}};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct words *w = state->input;

    if (key == ARGP_KEY_END && w->n > 0 && strcmp(w->v[0], "new") != 0 &&
        strcmp(w->v[0], "show") != 0)
        wrong_usage(state, "`new FILE` or `show FILE` is wanted");
    return parse_words(key, arg, state, w, 2, 2, "`new FILE` or `show FILE` is");
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
    struct words in = {0};
    struct mk_fault fault = {{0}};
    struct mk_key key;
    char hex[MK_ID_HEX];
    int rv;

    parse_options(&argp, argc, argv, &in);
    rv = strcmp(in.v[0], "new") == 0 ? make_key(&key, in.v[1], &fault)
                                     : load_key(&key, in.v[1], &fault);
    if (rv != 0)
        return complain_of(rv, &fault);
    if (in.json)
        print_json(json_pack("{s:o}", "peer", json_id(&key.peer)));
    else
        puts(mk_peer_hex(&key.peer, hex));
    mk_key_done(&key);
    return STATUS_DONE;
}
