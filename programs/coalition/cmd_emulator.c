/* cmd_emulator.c - `coalition emulator DIR`: a TDX emulator for development, made or renewed. */
#include "attest.h"

#include <stdio.h>
#include <string.h>

enum { OPTION_RTMR0 = 2048, OPTION_RTMR1, OPTION_RTMR2, OPTION_RTMR3 };

struct input {
    struct words words;
    uint32_t seconds;
    struct mk_measurements measured;
    bool has_mr_td, has_rtmr;
};

static const struct argp_option options[] = {
    {"mr-td", 'm', "HEX", 0, "What its quotes measure (a fixed value, or what DIR says)", 0},
    {"rtmr0", OPTION_RTMR0, "HEX", 0, "The same for the registers", 0},
    {"rtmr1", OPTION_RTMR1, "HEX", 0, NULL, 0},
    {"rtmr2", OPTION_RTMR2, "HEX", 0, NULL, 0},
    {"rtmr3", OPTION_RTMR3, "HEX", 0, NULL, 0},
    {"valid", 'v', "S", 0, "Seconds that the collateral counts (30 days)", 0},
    OPTION_JSON("Print one JSON object"),
    {0}};

static void take_register(struct argp_state *state, const char *arg, uint8_t ret[48])
{
    if (mk_unhex(ret, 48, arg, strlen(arg)) != 0)
        wrong_usage(state, "a register is 96 hex digits");
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct input *in = state->input;
    struct mk_opt_b48 *rtmrs[] = {&in->measured.rtmr0, &in->measured.rtmr1, &in->measured.rtmr2,
                                  &in->measured.rtmr3};
    uint64_t v;

    switch (key) {
    case 'm':
        take_register(state, arg, in->measured.mr_td.b);
        in->has_mr_td = true;
        return 0;
    case OPTION_RTMR0:
    case OPTION_RTMR1:
    case OPTION_RTMR2:
    case OPTION_RTMR3:
        rtmrs[key - OPTION_RTMR0]->some = in->has_rtmr = true;
        take_register(state, arg, rtmrs[key - OPTION_RTMR0]->v.b);
        return 0;
    case 'v':
        if (parse_u64(&v, arg, 366 * 86400u) != 0 || v == 0)
            wrong_usage(state, "--valid: seconds are wanted, at most a year of them");
        in->seconds = (uint32_t)v;
        return 0;
    case ARGP_KEY_END:
        if (in->has_rtmr && !in->has_mr_td)
            wrong_usage(state, "--rtmr0 to --rtmr3 need --mr-td");
        return parse_words(key, arg, state, &in->words, 1, 1, "a directory is");
    default:
        return parse_words(key, arg, state, &in->words, 1, 1, "a directory is");
    }
}

int cmd_emulator(int argc, char **argv)
{
    static const struct argp argp = {
        options,
        parse,
        "DIR",
        "Make a TDX emulator in DIR, or renew its collateral. It is for development: its quotes "
        "pass "
        "under its own root alone, and whoever has DIR/emulator.key can quote anything. Use "
        "DIR/attest.toml with --attest, its lines as [attest] of a node file, or `coalition up "
        "--tdx-emulator DIR`.",
        NULL,
        NULL,
        NULL};
    struct input in = {.seconds = EMULATOR_DAYS * 86400u};
    struct mk_fault fault = {{0}};
    struct mk_measurements m;
    char hex[97];
    int rv;

    parse_options(&argp, argc, argv, &in);
    rv =
        emulator_lay_out(in.words.v[0], in.has_mr_td ? &in.measured : NULL, in.seconds, &m, &fault);
    if (rv != 0)
        return complain_of(rv, &fault);
    mk_hex(hex, m.mr_td.b, sizeof m.mr_td.b);
    if (in.words.json)
        print_json(json_pack("{s:s, s:s}", "dir", in.words.v[0], "mr_td", hex));
    else
        printf("%s: %s\nmr_td %s\n", in.words.v[0], MK_EMULATOR_NAME, hex);
    return STATUS_DONE;
}
