/* input.h - lines of text from outside: standard input or another descriptor, a
 * file that grows, the output of a command. What a feed's driver reads.
 *
 * Everything belongs to the loop's thread; callbacks come from the loop, never from
 * inside a call. */
#ifndef MOSAIK_INPUT_H
#define MOSAIK_INPUT_H

#include <mosaik/bytes.h>
#include <mosaik/error.h>

struct mk_env;

enum mk_input_kind {
    MK_INPUT_FD,      /* fd: read until its end; stays open when the input is closed */
    MK_INPUT_FILE,    /* path: read, then followed as it grows; begun anew when it is
                       * truncated or replaced. It never ends by itself. */
    MK_INPUT_COMMAND, /* command: run by /bin/sh -c; its standard output is read, its
                       * standard input is empty; killed when the input is closed */
};

struct mk_input_spec {
    enum mk_input_kind kind;
    int fd;
    const char *path; /* as the user wrote it, not below the env's directory */
    const char *command;
    size_t line_max; /* bytes; 0 means MK_INPUT_LINE_MAX */
};

#define MK_INPUT_LINE_MAX 65536u

/** Memory of the caller, in place until mk_input_close(). */
struct mk_input {
    /** A line without its end, lent for the call. status is 0, or MK_ELIMIT when the
     * line was longer than line_max: then line is its beginning, the rest is dropped. */
    void (*line)(struct mk_input *in, struct mk_str line, int status);
    /** No line follows: 0 when all was read (and the command, if any, ended with 0),
     * else MK_EIO. The owner still calls mk_input_close(). */
    void (*end)(struct mk_input *in, int status);
    struct mk_env *env; /* private from here on */
    void *impl;
};

/** Opens the input and begins to read.
 *
 *  in    borrowed until closed; line and end are set by the caller.
 *  spec  copied.
 *
 * 0; MK_ENOTFOUND or MK_EIO with the reason in reterr (may be NULL): no callback. */
int mk_input_open(struct mk_env *e, struct mk_input *in, const struct mk_input_spec *spec,
                  struct mk_fault *reterr);
/** While paused no line is delivered and, past one buffer, nothing is read: the writer
 * at the other end waits. May be called from inside line(). */
void mk_input_pause(struct mk_input *in, bool paused);
/** No callback follows. Safe on a zeroed or closed input. */
void mk_input_close(struct mk_input *in);

#endif /* MOSAIK_INPUT_H */
