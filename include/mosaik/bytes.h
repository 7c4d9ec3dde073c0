/* bytes.h - borrowed slices, a growing buffer, an arena, hex.
 *
 * Memory that cannot be had ends the process with one line (see
 * ARCHITECTURE.md, "Memory"): everything that a stranger can make us hold has a
 * named limit, checked before anything is allocated. */
#ifndef MOSAIK_BYTES_H
#define MOSAIK_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Borrowed bytes. p may be NULL when n is 0. */
struct mk_bytes {
    const uint8_t *p;
    size_t n;
};

/** Borrowed UTF-8 text, not terminated. */
struct mk_str {
    const char *p;
    size_t n;
};

#define MK_BYTES(ptr, len) ((struct mk_bytes){(const uint8_t *)(ptr), (len)})
#define MK_STR(literal) ((struct mk_str){(literal), sizeof(literal) - 1})
/** For static initialisers (compiled-in configs). */
#define MK_STR_INIT(literal)           \
    {                                  \
        (literal), sizeof(literal) - 1 \
    }

struct mk_str mk_str_of(const char *terminated); /* borrowed */
/** Byte by byte; of n 0, p is not looked at. */
bool mk_str_eq(struct mk_str a, struct mk_str b);
bool mk_str_is(struct mk_str a, const char *terminated);
bool mk_bytes_eq(struct mk_bytes a, struct mk_bytes b);
/** Bytewise order, the shorter first when one is a prefix: <0, 0, >0. */
int mk_bytes_cmp(struct mk_bytes a, struct mk_bytes b);

/** A growing buffer. All zero is a valid empty one. */
struct mk_buf {
    uint8_t *p;
    size_t n;   /* used */
    size_t cap; /* allocated */
};

void mk_buf_done(struct mk_buf *b);               /* frees; b is empty again */
void mk_buf_clear(struct mk_buf *b);              /* n = 0, keeps memory */
uint8_t *mk_buf_grow(struct mk_buf *b, size_t n); /* n more bytes, lent until the next call */
void mk_buf_reserve(struct mk_buf *b, size_t n);  /* room for n more */
void mk_buf_put(struct mk_buf *b, const void *p, size_t n);
/** Integers, little endian. */
void mk_buf_put_u8(struct mk_buf *b, uint8_t v);
void mk_buf_put_u32le(struct mk_buf *b, uint32_t v);
void mk_buf_put_u64le(struct mk_buf *b, uint64_t v);
void mk_buf_put_str(struct mk_buf *b, const char *terminated); /* without the 0 */
void mk_buf_printf(struct mk_buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/** Forgets the first n bytes; what is behind moves down. */
void mk_buf_drop_front(struct mk_buf *b, size_t n);
struct mk_bytes mk_buf_bytes(const struct mk_buf *b); /* lent */

/** A bump allocator: everything taken from it goes at once. All zero is valid
 * and empty. Memory is zeroed and aligned for any type. */
struct mk_arena {
    struct mk_arena_chunk *chunks;
    size_t used; /* bytes handed out */
};

/** n bytes, or a copy of them; lent until mk_arena_done(). */
void *mk_arena_take(struct mk_arena *a, size_t n);
void *mk_arena_copy(struct mk_arena *a, const void *p, size_t n);
struct mk_str mk_arena_str(struct mk_arena *a, struct mk_str s); /* terminated copy */
void mk_arena_done(struct mk_arena *a);

/** malloc family that never return NULL (they end the process). */
void *mk_alloc(size_t n); /* zeroed */
void *mk_realloc(void *p, size_t n);
/** Copies, given: mk_free(). */
void *mk_memdup(const void *p, size_t n);
char *mk_strdup(const char *s);
void mk_free(void *p); /* NULL is fine */

/** out gets 2n lower-case digits and a terminator. */
void mk_hex(char *out, const void *p, size_t n);
/** Exactly 2n hex digits of either case. MK_EMALFORMED otherwise. */
int mk_unhex(void *out, size_t n, const char *digits, size_t n_digits);

/** Well-formed, without surrogates and overlong forms. */
bool mk_utf8_valid(const void *p, size_t n);

#define mk_container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

#endif /* MOSAIK_BYTES_H */
