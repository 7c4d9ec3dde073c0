/* history.c - histories that somebody else recorded: read under every model, or refused
 * with one line that names a place; what is read is judged within its limits. */
#include "targets.h"

#include <mosaik/linear.h>
#include <stdio.h>
#include <string.h>

#define BYTES_MAX (1u << 20) /* of memory for a judgement */

struct patience {
    unsigned asked;
};

static bool out_of_patience(void *arg)
{
    return ++((struct patience *)arg)->asked > 8;
}

static bool judge(enum mk_linear_model model, const uint8_t *p, size_t n)
{
    struct mk_linear *h = mk_linear_new(model);
    struct patience patience = {0};
    struct mk_linear_limits limits = {out_of_patience, &patience, BYTES_MAX};
    struct mk_linear_result r;
    struct mk_fault f = {{0}};
    int rv = mk_linear_parse(h, (struct mk_str){(const char *)p, n}, &f);

    if (rv == 0) {
        mk_linear_check(h, &r, &limits);
        FUZZ_CHECK((r.verdict == MK_LINEAR_OK) == (r.why[0] == 0));
    } else {
        FUZZ_CHECK(rv == MK_EMALFORMED || rv == MK_ELIMIT);
        FUZZ_CHECK(strncmp(f.text, "line ", 5) == 0 || strncmp(f.text, "no record", 9) == 0);
    }
    mk_linear_free(h);
    return rv == 0;
}

bool fuzz_history(const uint8_t *p, size_t n)
{
    bool any = false;

    for (unsigned m = MK_LINEAR_CAS_REGISTER; m <= MK_LINEAR_COUNTER; m++)
        any = judge((enum mk_linear_model)m, p, n) || any;
    return any;
}

/* Records of a register; both formats. */
void fuzz_make_history(struct fuzz_random *r, struct mk_buf *out)
{
    static const char *const fs[] = {":read", ":write", ":cas"};
    static const char *const types[] = {":ok", ":info", ":fail"};
    bool log = fuzz_below(r, 2) == 0;

    for (uint64_t i = 0, n = 1 + fuzz_below(r, 20); i < n; i++) {
        const char *f = fs[fuzz_below(r, 3)], *type = types[fuzz_below(r, 3)];
        const char *form = log ? "INFO  jepsen.util - %u\t%s\t%s\t%s\n"
                               : "{:process %u, :type %s, :f %s, :value %s}\n";
        const char *value = strcmp(f, ":cas") == 0 ? "[1 2]" : fuzz_below(r, 3) > 0 ? "1" : "nil";
        char line[128];

        snprintf(line, sizeof line, form, (unsigned)i % 4, ":invoke", f, value);
        mk_buf_put_str(out, line);
        snprintf(line, sizeof line, form, (unsigned)i % 4, type, f, value);
        mk_buf_put_str(out, line);
    }
}
