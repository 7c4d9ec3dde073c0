/* vectors.c - see vectors.h. */
#include "vectors.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

static const char *vectors_path(char ret[1024], const char *path)
{
    const char *root = getenv("MK_VECTORS");

    snprintf(ret, 1024, "%s/%s", root != NULL ? root : "", path);
    return ret;
}

void vectors_need(const char *path)
{
    char full[1024];
    struct stat st;

    if (stat(vectors_path(full, path), &st) == 0)
        return;
    print_message("skipped: no %s\n", full);
    skip();
}

void vectors_read(const char *path, struct mk_buf *ret)
{
    char full[1024];
    FILE *f = fopen(vectors_path(full, path), "rb");
    size_t n;

    if (f == NULL)
        fail_msg("%s cannot be read", full);
    do {
        n = fread(mk_buf_grow(ret, 4096), 1, 4096, f);
        ret->n -= 4096 - n;
    } while (n > 0);
    fclose(f);
}

static int name_cmp(const void *a, const void *b)
{
    return strcmp(a, b);
}

unsigned vectors_list(const char *folder, char (*ret)[64], unsigned max)
{
    char full[1024];
    struct dirent *e;
    unsigned n = 0;
    DIR *d;

    vectors_need(folder);
    d = opendir(vectors_path(full, folder));
    assert_non_null(d);
    while ((e = readdir(d)) != NULL && n < max) {
        if (e->d_name[0] != '.')
            snprintf(ret[n++], 64, "%.63s", e->d_name);
    }
    closedir(d);
    qsort(ret, n, sizeof ret[0], name_cmp);
    return n;
}

json_t *vectors_json(const char *path)
{
    char full[1024];
    json_t *o;

    vectors_need(path);
    o = json_load_file(vectors_path(full, path), 0, NULL);
    if (o == NULL)
        fail_msg("%s is no JSON", full);
    return o;
}
