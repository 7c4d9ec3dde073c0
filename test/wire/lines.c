/* lines.c - see lines.h. */
#include "lines.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

bool lines_read(struct lines *l, void (*obey)(void *arg, char *line), void *arg)
{
    ssize_t n = read(0, l->text + l->n, sizeof l->text - l->n);
    char *end;

    if (n <= 0)
        return n < 0 && errno == EINTR;
    l->n += (size_t)n;
    while ((end = memchr(l->text, '\n', l->n)) != NULL) {
        size_t used = (size_t)(end - l->text) + 1;

        *end = 0;
        obey(arg, l->text);
        l->n -= used;
        memmove(l->text, l->text + used, l->n);
    }
    return l->n < sizeof l->text;
}

int lines_number(const char *text, uint64_t *ret)
{
    uint64_t v = 0;

    if (*text == 0)
        return -1;
    for (; *text >= '0' && *text <= '9' && v < LINES_NUMBER_MAX / 10; text++)
        v = v * 10 + (uint64_t)(*text - '0');
    if (*text != 0)
        return -1;
    *ret = v;
    return 0;
}
