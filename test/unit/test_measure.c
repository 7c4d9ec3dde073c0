/* Pins, published files, event logs; dates and DER, which everything rests on. */
#include "vectors.h"

#include "attest/dates.h"
#include "attest/der.h"
#include "attest/p256.h"
#include <mosaik/attest.h>
#include <stdio.h>

static void test_pins(void **state)
{
    static const char *const names[] = {"mr_td", "mr_config_id", "mr_owner", "mr_owner_config",
                                        "rtmr0", "rtmr1",        "rtmr2",    "rtmr3"};
    struct mk_td_report r, other;
    struct mk_measurements all, set[2];
    uint8_t *fields[] = {other.mr_td,   other.mr_config_id, other.mr_owner, other.mr_owner_config,
                         other.rtmr[0], other.rtmr[1],      other.rtmr[2],  other.rtmr[3]};

    (void)state;
    for (size_t i = 0; i < sizeof r; i++)
        ((uint8_t *)&r)[i] = (uint8_t)(i * 13);
    mk_measurements_of(&r, &all);
    assert_null(mk_measurements_differ(&all, &r));
    for (unsigned i = 0; i < 8; i++) {
        other = r;
        fields[i][47] ^= 1;
        assert_string_equal(mk_measurements_differ(&all, &other), names[i]);
    }
    memset(&set, 0, sizeof set);
    memcpy(set[1].mr_td.b, r.mr_td, 48);
    other = r;
    other.rtmr[3][0] ^= 1; /* not pinned */
    assert_null(mk_measurements_differ(&set[1], &other));
    assert_int_equal(mk_measurements_in(set, 2, &r), 1);
    assert_int_equal(mk_measurements_in(set, 1, &r), -1);
    assert_int_equal(mk_measurements_in(NULL, 0, &r), -1);
}

/* --- published files -------------------------------------------------------------------------- */

#define HEX96                                          \
    "47a1cc074b914df8596bad0ed13d50d561ad1effc7f7cc53" \
    "0ab86da7ea49ffc03e57e7da829f8cba9c629c3970505323"

static void test_published(void **state)
{
    static const struct {
        const char *json;
        int rv;
        size_t n;
    } rows[] = {
        {"[]", 0, 0},
        {"[{\"attestation_type\":\"azure-tdx\",\"measurements\":{\"4\":{\"expected\":\"00\"}}}]", 0,
         0},
        {"[{\"attestation_type\":\"dcap-tdx\"}]", 0, 1},
        {"[{\"attestation_type\":\"dcap-tdx\",\"measurements\":{\"0\":{\"expected\":\"" HEX96
         "\"}}}]",
         0, 1},
        {"[{\"attestation_type\":\"dcap-tdx\",\"measurements\":{\"1\":{\"expected\":\"" HEX96
         "\"}}}]",
         MK_EMALFORMED, 0},
        {"[{\"attestation_type\":\"dcap-tdx\",\"measurements\":{\"5\":{\"expected\":\"" HEX96
         "\"}}}]",
         MK_EMALFORMED, 0},
        {"[{\"attestation_type\":\"dcap-tdx\",\"measurements\":{\"0\":{\"expected\":\"47a1\"}}}]",
         MK_EMALFORMED, 0},
        {"[{\"attestation_type\":\"dcap-tdx\",\"measurements\":{\"0\":{}}}]", MK_EMALFORMED, 0},
        {"[{\"attestation_type\":\"dcap-tdx\",\"measurements\":[]}]", MK_EMALFORMED, 0},
        {"[{}]", MK_EMALFORMED, 0},
        {"{}", MK_EMALFORMED, 0},
        {"", MK_EMALFORMED, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct mk_arena arena = {0};
        struct mk_fault fault = {{0}};
        struct mk_published *p;
        size_t n = 99;

        assert_int_equal(mk_published_parse(&p, &n, &arena,
                                            MK_BYTES(rows[i].json, strlen(rows[i].json)), &fault),
                         rows[i].rv);
        if (rows[i].rv == 0)
            assert_int_equal(n, rows[i].n);
        mk_arena_done(&arena);
    }
}

static void test_real_published(void **state)
{
    struct mk_arena arena = {0};
    struct mk_buf text = {0};
    struct mk_published *p;
    size_t n;

    (void)state;
    vectors_need("open/tdx/measurements");
    vectors_read("open/tdx/measurements/measurements.json", &text);
    assert_int_equal(mk_published_parse(&p, &n, &arena, mk_buf_bytes(&text), NULL), 0);
    assert_int_equal(n, 1);
    assert_string_equal(p[0].name, "dcap-tdx-example");
    assert_false(p[0].any);
    unit_assert_hex(p[0].pins.mr_td.b, 48, HEX96);
    assert_true(p[0].pins.rtmr3.some);
    assert_false(p[0].pins.mr_owner.some);
    mk_buf_clear(&text);
    vectors_read("open/tdx/measurements/measurements_2.json", &text);
    assert_int_equal(mk_published_parse(&p, &n, &arena, mk_buf_bytes(&text), NULL), 0);
    assert_int_equal(n, 1);
    assert_true(p[0].any);
    mk_buf_done(&text);
    mk_arena_done(&arena);
}

/* --- event logs ----------------------------------------------------------------------------------
 */

static void put_u16(struct mk_buf *b, unsigned v)
{
    mk_buf_put_u8(b, (uint8_t)v);
    mk_buf_put_u8(b, (uint8_t)(v >> 8));
}

/* The first event: SHA-256 and SHA-384 are to be expected. */
static void log_head(struct mk_buf *b)
{
    mk_buf_clear(b);
    mk_buf_put_u32le(b, 1);
    mk_buf_put_u32le(b, 3);
    memset(mk_buf_grow(b, 20), 0, 20);
    mk_buf_put_u32le(b, 37);
    mk_buf_put(b, "Spec ID Event03", 16);
    mk_buf_put(b, "\0\0\0\0\0\2\0\2", 8);
    mk_buf_put_u32le(b, 2);
    put_u16(b, 0x0b);
    put_u16(b, 32);
    put_u16(b, 0x0c);
    put_u16(b, 48);
    mk_buf_put_u8(b, 0);
}

static void log_event(struct mk_buf *b, uint32_t index, uint32_t type, uint8_t fill)
{
    mk_buf_put_u32le(b, index);
    mk_buf_put_u32le(b, type);
    mk_buf_put_u32le(b, 2);
    put_u16(b, 0x0b);
    memset(mk_buf_grow(b, 32), 0x99, 32);
    put_u16(b, 0x0c);
    memset(mk_buf_grow(b, 48), fill, 48);
    mk_buf_put_u32le(b, 5);
    mk_buf_put(b, "event", 5);
}

static void extend(uint8_t rtmr[48], uint8_t fill)
{
    uint8_t both[96];

    memcpy(both, rtmr, 48);
    memset(both + 48, fill, 48);
    sha384(MK_BYTES(both, 96), rtmr);
}

static void test_replay(void **state)
{
    struct mk_eventlog_result r, again;
    uint8_t want[4][48] = {{0}};
    struct mk_fault fault;
    struct mk_buf log = {0};
    size_t n;

    (void)state;
    log_head(&log);
    assert_int_equal(mk_eventlog_replay(&r, mk_buf_bytes(&log), &fault), 0);
    assert_memory_equal(r.rtmr, want, sizeof want);
    for (unsigned i = 0; i < 9; i++) {
        log_event(&log, 1 + i % 4, 4, (uint8_t)i);
        extend(want[i % 4], (uint8_t)i);
    }
    log_event(&log, 1, 3, 7); /* EV_NO_ACTION */
    assert_int_equal(mk_eventlog_replay(&r, mk_buf_bytes(&log), &fault), 0);
    assert_memory_equal(r.rtmr, want, sizeof want);
    assert_int_equal(r.n_events, 11);
    assert_int_equal(r.n_extended, 9);
    n = log.n;
    for (unsigned fill = 0; fill < 256; fill += 255) { /* padding */
        log.n = n;
        memset(mk_buf_grow(&log, 5000), (int)fill, 5000);
        assert_int_equal(mk_eventlog_replay(&again, mk_buf_bytes(&log), &fault), 0);
        assert_memory_equal(&again, &r, sizeof r);
        log.p[log.n - 1] ^= 1; /* padding alone */
        assert_int_equal(mk_eventlog_replay(&again, mk_buf_bytes(&log), &fault), MK_EMALFORMED);
    }
    mk_buf_done(&log);
}

static void test_bad_logs(void **state)
{
    struct mk_eventlog_result r;
    struct mk_fault fault;
    struct mk_buf log = {0};
    size_t head;

    (void)state;
    log_head(&log);
    head = log.n;
    log_event(&log, 2, 4, 1);
    for (size_t k = 0; k < log.n; k++) { /* every prefix but that of whole events */
        uint8_t *cut = mk_memdup(log.p, k > 0 ? k : 1);

        assert_int_equal(mk_eventlog_replay(&r, MK_BYTES(cut, k), &fault) == 0, k == head);
        mk_free(cut);
    }
    log_event(&log, 0, 4, 1);
    assert_int_equal(mk_eventlog_replay(&r, mk_buf_bytes(&log), &fault), MK_EMALFORMED);
    log_head(&log);
    log_event(&log, 5, 4, 1);
    assert_int_equal(mk_eventlog_replay(&r, mk_buf_bytes(&log), &fault), MK_EMALFORMED);
    log_head(&log);
    log.p[4] = 4; /* not EV_NO_ACTION */
    assert_int_equal(mk_eventlog_replay(&r, mk_buf_bytes(&log), &fault), MK_EMALFORMED);
    log_head(&log);
    log.p[32] = 's';
    assert_int_equal(mk_eventlog_replay(&r, mk_buf_bytes(&log), &fault), MK_EMALFORMED);
    log_head(&log);
    log.p[log.n - 3] = 32; /* SHA-384 of 32 bytes */
    assert_int_equal(mk_eventlog_replay(&r, mk_buf_bytes(&log), &fault), MK_EMALFORMED);
    log_head(&log);
    log.p[log.n - 5] = 0x0d; /* SHA-512 instead */
    assert_int_equal(mk_eventlog_replay(&r, mk_buf_bytes(&log), &fault), MK_ENOTSUP);
    mk_buf_done(&log);
}

/* The log of a machine of Google's gives the registers of its quote. */
static void test_real_log(void **state)
{
    struct mk_eventlog_result r;
    struct mk_fault fault = {{0}};
    struct mk_buf log = {0}, quote = {0};
    struct mk_quote q;

    (void)state;
    vectors_need("open/tdx/eventlogs");
    vectors_read("open/tdx/eventlogs/google-cos113/ccel_data.trimmed.dat", &log);
    vectors_read("open/tdx/quotes/google-cos113.v4.dat", &quote);
    assert_int_equal(mk_quote_parse(&q, mk_buf_bytes(&quote), NULL), 0);
    assert_int_equal(mk_eventlog_replay(&r, mk_buf_bytes(&log), &fault), 0);
    assert_memory_equal(r.rtmr, q.td.rtmr, sizeof r.rtmr);
    assert_true(r.n_extended > 10);
    mk_buf_done(&log);
    mk_buf_done(&quote);
}

/* --- dates and DER
 * ---------------------------------------------------------------------------------- */

static void test_dates(void **state)
{
    static const struct {
        const char *text;
        uint64_t s;
    } good[] = {{"1970-01-01T00:00:00Z", 0},          {"2000-02-29T23:59:59Z", 951868799},
                {"2025-07-19T10:16:03Z", 1752920163}, {"2049-12-31T23:59:59Z", 2524607999},
                {"2100-03-01T00:00:00Z", 4107542400}, {"9999-12-31T23:59:59Z", 253402300799}};
    static const char *const bad[] = {"",
                                      "2025-07-19T10:16:03",
                                      "2025-07-19T10:16:03z",
                                      "2025-07-19 10:16:03Z",
                                      "2025-02-29T00:00:00Z",
                                      "2100-02-29T00:00:00Z",
                                      "2025-00-01T00:00:00Z",
                                      "2025-13-01T00:00:00Z",
                                      "2025-01-00T00:00:00Z",
                                      "2025-01-32T00:00:00Z",
                                      "2025-01-01T24:00:00Z",
                                      "2025-01-01T00:60:00Z",
                                      "2025-01-01T00:00:60Z",
                                      "1969-12-31T23:59:59Z",
                                      "2025-01-0aT00:00:00Z"};
    char text[DATE_MAX];
    uint64_t s;

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_int_equal(date_parse(&s, mk_str_of(good[i].text)), 0);
        assert_true(s == good[i].s);
        assert_string_equal(date_text(s, text), good[i].text);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(date_parse(&s, mk_str_of(bad[i])), MK_EMALFORMED);
    for (uint64_t day = 0; day < 60000; day++) { /* there and back, each day until 2134 */
        assert_int_equal(date_parse(&s, mk_str_of(date_text(day * 86400 + 1, text))), 0);
        assert_true(s == day * 86400 + 1);
    }
    assert_string_equal(date_text(UINT64_MAX, text), "9999-12-31T23:59:59Z");
}

static void test_der(void **state)
{
    static const struct {
        uint8_t b[8];
        size_t n;
        bool ok;
        uint32_t value;
    } rows[] = {
        {{2, 1, 0}, 3, true, 0},
        {{2, 1, 0x7f}, 3, true, 127},
        {{2, 2, 0, 0x80}, 4, true, 128},
        {{2, 5, 0, 0xff, 0xff, 0xff, 0xff}, 7, true, 0xffffffff},
        {{2, 1, 0x80}, 3, false, 0},    /* negative */
        {{2, 2, 0, 0x7f}, 4, false, 0}, /* not minimal */
        {{2, 0}, 2, false, 0},
        {{2, 0x81, 1, 5}, 4, false, 0},    /* length not minimal */
        {{2, 0x80, 5, 0, 0}, 5, false, 0}, /* indefinite */
        {{2, 2, 1}, 3, false, 0},          /* cut off */
        {{2}, 1, false, 0},
        {{4, 1, 5}, 3, false, 0}, /* another type */
        {{2, 0x84, 0, 0, 0, 1, 5}, 7, false, 0},
        {{2, 5, 1, 0, 0, 0, 0}, 7, false, 0}, /* 33 bits */
    };
    struct der d;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint32_t v;

        d = der_of(MK_BYTES(rows[i].b, rows[i].n));
        v = der_take_u32(&d);
        assert_int_equal(der_done(&d), rows[i].ok);
        assert_int_equal(v, rows[i].value);
    }
    d = der_of(MK_BYTES("\x17\x0d"
                        "500101000000Z",
                        15));
    assert_true(der_take_time(&d) == 0);
    assert_true(d.bad); /* 1950 */
    d = der_of(MK_BYTES("\x17\x0d"
                        "491231235959Z",
                        15));
    assert_true(der_take_time(&d) == 2524607999);
    d = der_of(MK_BYTES("\x18\x0f"
                        "20491231235959Z",
                        17));
    assert_true(der_take_time(&d) == 2524607999);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pins),           cmocka_unit_test(test_published),
        cmocka_unit_test(test_real_published), cmocka_unit_test(test_replay),
        cmocka_unit_test(test_bad_logs),       cmocka_unit_test(test_real_log),
        cmocka_unit_test(test_dates),          cmocka_unit_test(test_der),
    };
    return cmocka_run_group_tests_name("measure", tests, NULL, NULL);
}
