/* up.h - what the files of `coalition up` share.
 *
 *   cmd_up.c      the options; running: from the first start to Ctrl-C
 *   up_parts.c    what is to run: Atlas and the organisms of --with
 *   up_lay_out.c  a new directory: keys, node files, Deployments, local.toml
 *   up_tickets.c  tickets for the members and the operator, where the file ships an issuer
 *   up_dir.c      whose directory it is; one that is there already is taken over
 *   up_members.c  the processes, and what is said of them */
#ifndef PROGRAMS_UP_H
#define PROGRAMS_UP_H

#include "agent.h"
#include "supervise.h"

#include <limits.h>

#define MEMBERS_DEFAULT 3u
#define WITH_MAX 64u
#define PUBLISH_MS 20000u

struct up_input {
    const char *file, *dir;
    const char *with[WITH_MAX], *sources[WITH_MAX];
    unsigned n_with, n_sources;
    const char *emulator; /* a TDX emulator's directory; NULL: none */
    bool json;
};

/** A component to run: Atlas (organism NULL), or an organism. */
struct part {
    char name[80];
    const char *file_name; /* organism: its file below DIR */
    struct coa_organism_file *organism;
    struct coa_organism_ids ids;
    unsigned n;
    char addresses[MK_ROSTER_MAX][96];
    struct mk_str list[MK_ROSTER_MAX];
    struct mk_peer peers[MK_ROSTER_MAX];
    const char *source;
    char record[128]; /* path of its Deployment below DIR */
};

struct up {
    struct up_input in;
    char dir[PATH_MAX];
    int dir_fd; /* locked while we run */
    struct coa_coalition_file file;
    struct coa_coalition_ids ids;
    struct part parts[WITH_MAX + 1];
    unsigned n_parts;
    struct mk_key operator_;
    char operator_hex[MK_ID_HEX];
    struct children children;
    bool fresh;
    uint16_t port;           /* that was given last; 0: none */
    char emulator[PATH_MAX]; /* absolute; "" without */
    uint64_t started_ms, first_card_ms;
    struct mk_arena arena;
};

/** Prints one event: the object with --json (taken), else the line. */
void up_say(struct up *u, json_t *event, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
json_t *up_event(const char *name);
/** DIR/name; lent from the arena. */
const char *up_below(struct up *u, const char *name);
/** "atlas-1": the i-th member's name, also its directory's. */
void up_member_name(char out[128], const struct part *p, unsigned i);
/** The part that runs this organism, or NULL. */
const struct part *up_part_of(const struct up *u, const struct mk_id *stable_id);

/* Each a status, after a complaint. */

/** Fills u->parts from the file and --with. */
int up_collect_parts(struct up *u);
/** Makes DIR, holds its lock, and lays it out or takes it over. */
int up_open_directory(struct up *u);
int up_make_dir(const char *path);
/** A new directory, whole; coalition.id comes last. */
int up_lay_out(struct up *u);
/** Does the file ship an issuer, whose roster the Atlas members are? */
bool up_issues(const struct up *u);
/** A ticket to write to Atlas for each of its members and for the operator, anew at each start. */
int up_issue_tickets(struct up *u);
/** Starts every member. */
int up_start_members(struct up *u);
/** Has each member's folder what it starts with? */
int up_check_members(struct up *u);
/** When the whole fails: a line for each member that ended, with its reason. */
void up_complain_ends(struct up *u);
/** Starts again what ended, and says so. */
void up_tend(struct up *u);

#endif
