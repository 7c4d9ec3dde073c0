/* error.c - texts of the codes, and the one line of a fault.
 *
 * A fault's text may hold pieces of a stranger's file or message, and ends up
 * on a terminal or in a log: control characters are replaced here, once, so
 * that nobody has to remember it. */
#include <mosaik/error.h>

#include <stdio.h>

const char *mk_strerror(int err)
{
    switch (err) {
    case 0:
        return "done";
#define MK_ERR_X(name, code, text) \
    case code:                     \
        return text;
        MK_ERR_MAP(MK_ERR_X)
#undef MK_ERR_X
    default:
        return "unknown error";
    }
}

int mk_fault(struct mk_fault *f, int err, const char *fmt, ...)
{
    va_list ap;

    if (f == NULL)
        return err;
    va_start(ap, fmt);
    vsnprintf(f->text, sizeof f->text, fmt, ap);
    va_end(ap);
    for (char *p = f->text; *p != '\0'; p++) {
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = '?';
    }
    return err;
}
