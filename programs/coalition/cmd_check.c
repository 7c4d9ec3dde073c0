/* cmd_check.c - `coalition check WHAT ...`: the table of checks, and what they share. */
#include "check.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static const struct command checks[] = {
    {"tdx", "a TDX or SGX quote", check_tdx},
    {"eventlog", "an event log against a quote's registers", check_eventlog},
    {"jwt", "a JSON Web Token under a key", check_jwt},
    {"history", "is a history of operations linearizable", check_history},
};
#define N_CHECKS (sizeof checks / sizeof checks[0])

static void print_help(FILE *out)
{
    fprintf(out, "Usage: coalition check WHAT [ARGUMENT...]\n"
                 "Judge foreign data: no network, no coalition.\n\nWHAT is one of:\n");
    for (size_t i = 0; i < N_CHECKS; i++)
        fprintf(out, "  %-12s %s\n", checks[i].name, checks[i].summary);
    fprintf(out,
            "\n`coalition check WHAT --help` tells more. Exit status: 0 all is well, 1 an item "
            "is refused,\n2 wrong usage or a bad file.\n");
}

int cmd_check(int argc, char **argv)
{
    char name[64];

    if (argc < 2)
        return complain(STATUS_USAGE,
                        "coalition check: a check is missing; `coalition check --help` lists them");
    if (strcmp(argv[1], "--help") == 0) {
        print_help(stdout);
        return STATUS_DONE;
    }
    for (size_t i = 0; i < N_CHECKS; i++) {
        if (strcmp(argv[1], checks[i].name) != 0)
            continue;
        snprintf(name, sizeof name, "coalition check %s", checks[i].name);
        argv[1] = name;
        return checks[i].run(argc - 1, argv + 1);
    }
    return complain(STATUS_USAGE,
                    "coalition check: no check \"%s\"; `coalition check --help` lists them",
                    argv[1]);
}

/* --- what checks share --------------------------------------------------------------------- */

static bool all_hex(struct mk_bytes b)
{
    for (size_t i = 0; i < b.n; i++) {
        if (!isxdigit(b.p[i]))
            return false;
    }
    return b.n > 0 && b.n % 2 == 0;
}

int read_raw_or_hex(const char *path, struct mk_buf *ret)
{
    struct mk_buf raw = {0};
    struct mk_fault fault = {{0}};
    struct mk_bytes text;

    if (read_file(path, &raw, &fault) != 0) {
        mk_buf_done(&raw);
        return complain(STATUS_USAGE, "%s", fault.text);
    }
    text = mk_buf_bytes(&raw);
    while (text.n > 0 && isspace(text.p[0]))
        text = MK_BYTES(text.p + 1, text.n - 1);
    while (text.n > 0 && isspace(text.p[text.n - 1]))
        text.n--;
    if (text.n > 2 && text.p[0] == '0' && text.p[1] == 'x')
        text = MK_BYTES(text.p + 2, text.n - 2);
    if (all_hex(text))
        mk_unhex(mk_buf_grow(ret, text.n / 2), text.n / 2, (const char *)text.p, text.n);
    else
        mk_buf_put(ret, raw.p, raw.n);
    mk_buf_done(&raw);
    return STATUS_DONE;
}

static void print_value(const char *key, const json_t *v)
{
    size_t i;
    const json_t *item;

    if (json_is_string(v)) {
        printf("%-16s %s\n", key, json_string_value(v));
    } else if (json_is_integer(v)) {
        printf("%-16s %lld\n", key, (long long)json_integer_value(v));
    } else if (json_is_array(v) && json_array_size(v) > 0) {
        printf("%-16s", key);
        json_array_foreach(v, i, item) printf(" %s", json_string_value(item));
        puts("");
    }
}

void print_item(json_t *taken, bool json)
{
    const char *key;
    json_t *v;

    if (json) {
        print_json(taken);
        return;
    }
    json_object_foreach(taken, key, v)
    {
        print_value(key, v);
    }
    json_decref(taken);
}

uint64_t unix_now(void)
{
    return (uint64_t)time(NULL);
}
