/* unit.h - what every unit test needs before cmocka.h, and hex helpers. */
#ifndef UNIT_H
#define UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <mosaik/bytes.h>
#include <mosaik/error.h>
#include <mosaik/id.h>

/** Bytes of a hex text, given: mk_buf_done(). Fails the test on bad hex. */
static inline struct mk_buf unit_unhex(const char *digits)
{
    struct mk_buf b = {0};
    size_t n = strlen(digits) / 2;

    assert_int_equal(mk_unhex(mk_buf_grow(&b, n), n, digits, strlen(digits)), 0);
    return b;
}

static inline void unit_assert_hex(const void *p, size_t n, const char *digits)
{
    char *got = mk_alloc(2 * n + 1);

    mk_hex(got, p, n);
    assert_string_equal(got, digits);
    mk_free(got);
}

static inline void unit_assert_id(struct mk_id id, const char *digits)
{
    unit_assert_hex(id.b, sizeof id.b, digits);
}

static inline struct mk_id unit_id(const char *digits)
{
    struct mk_id id;

    assert_int_equal(mk_id_unhex(&id, mk_str_of(digits)), 0);
    return id;
}

#endif
