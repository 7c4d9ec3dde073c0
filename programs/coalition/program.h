/* program.h - what the commands of `coalition` share: the table, the exit statuses, how
 * they complain, how they read files.
 *
 * A command is one file cmd_<name>.c with one entry in main.c's table. It parses its
 * options with argp (so it has --help), prints facts on standard output (one JSON object
 * with --json), and errors on standard error as one line: what, where, which rule,
 * what would be right. */
#ifndef PROGRAMS_PROGRAM_H
#define PROGRAMS_PROGRAM_H

#include "options.h"

#include <coalition/file.h>
#include <mosaik/bytes.h>
#include <mosaik/error.h>
#include <mosaik/key.h>

#include <jansson.h>
#include <stdbool.h>

/** spec/cli.md: "Exit status". */
enum status {
    STATUS_DONE = 0,
    STATUS_CHECK = 1,   /* a check failed, or the thing is not there */
    STATUS_USAGE = 2,   /* wrong usage or a bad file */
    STATUS_TIMEOUT = 3, /* not reachable in time */
};

struct command {
    const char *name;
    const char *summary;               /* one line for `coalition --help` */
    int (*run)(int argc, char **argv); /* argv[0] is "coalition <name>"; a status */
};

/* One a file, in the order of main.c's table. */
int cmd_id(int argc, char **argv);
int cmd_derive(int argc, char **argv);
int cmd_stable_id(int argc, char **argv);
int cmd_freeze(int argc, char **argv);
int cmd_organism(int argc, char **argv);
int cmd_verify(int argc, char **argv);
int cmd_diff(int argc, char **argv);
int cmd_key(int argc, char **argv);
int cmd_deploy(int argc, char **argv);
int cmd_tickets(int argc, char **argv);
int cmd_up(int argc, char **argv);
int cmd_handshake(int argc, char **argv);
int cmd_node(int argc, char **argv);
int cmd_status(int argc, char **argv);
int cmd_committee(int argc, char **argv);
int cmd_bind(int argc, char **argv);
int cmd_atlas(int argc, char **argv);
int cmd_stream(int argc, char **argv);
int cmd_map(int argc, char **argv);
int cmd_collection(int argc, char **argv);
int cmd_replay(int argc, char **argv);
int cmd_check(int argc, char **argv);
int cmd_emulator(int argc, char **argv);

/** Prints one line on standard error and returns status. */
int complain(enum status status, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/** An id in hex, or the id of the text; one that was likely meant as an id is warned of. */
struct mk_id id_of_word(const char *what, const char *word, bool *ret_hashed);
/** The exit status that stands for an error of the library. */
enum status status_of(int err);
/** complain() with a fault's text, or the error's own. */
int complain_of(int err, const struct mk_fault *f);

/** The whole file, "-" for standard input; at most COA_SERIALISED_MAX bytes. MK_ENOTFOUND,
 * MK_ELIMIT, MK_EIO with the reason in reterr. */
int read_file(const char *path, struct mk_buf *ret, struct mk_fault *reterr);
/** The same for a file that the user named: whatever is wrong with it is MK_EINVALID (status 2). */
int read_named(const char *path, struct mk_buf *ret, struct mk_fault *reterr);
/** Writes a file anew: mode (0600 for keys), whole or not at all. */
int write_file(const char *path, struct mk_bytes content, unsigned mode, struct mk_fault *reterr);
/** A loader that reads from the disk. */
struct coa_loader *disk_loader(void);
/** Reads and parses; prints warnings on standard error. A status; 0 fills ret. */
int load_coalition(struct coa_coalition_file *ret, const char *path);
int load_organism(struct coa_organism_file *ret, const char *path);
int load_lattice(struct coa_lattice_file *ret, const char *path);
/** What kind of file it is. A status; a file on standard input could not be read twice, so "-"
 * is refused. */
int load_kind(enum coa_file_kind *ret, const char *path);
/** A peer key from a file made by `coalition key new`; MK_EINVALID when it is not there, no key, or
 * others may read it. */
int load_key(struct mk_key *ret, const char *path, struct mk_fault *reterr);
/** A new key in a new file of mode 0600. MK_EEXISTS: a file is there already; MK_EIO. */
int make_key(struct mk_key *ret, const char *path, struct mk_fault *reterr);

/** Prints an object on one line and releases it. */
void print_json(json_t *taken);
/** What was printed goes out now; whoever prints without end calls it after each fact, main() at
 * the end. Where it cannot go out the command ends here: as of SIGPIPE when the reader went, else
 * with a complaint and STATUS_CHECK. */
void flush_output(void);
json_t *json_hex(const void *p, size_t n);
json_t *json_text(struct mk_str s); /* null when s.p is NULL */
/** {name: id} under a stable id. */
json_t *json_surfaces(struct coa_surfaces s, const struct mk_id *stable_id);
#define json_id(id) json_hex((id)->b, sizeof(id)->b)

#endif
