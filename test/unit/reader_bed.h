/* reader_bed.h - a committee of three in the simulated world, made of the real serving
 * code with certificates that the test signs itself, members that lie as they are told,
 * and readers that follow it. Nodes 0, 1, 2 are members; readers are nodes from 10 on. */
#ifndef READER_BED_H
#define READER_BED_H

#include "unit.h"

#include "group/client.h"
#include "group/serve.h"
#include "world.h"

#include <stdio.h>

#define BED_MEMBERS 3u
#define BED_MAP 0u
#define BED_STREAM 1u

/* How a member lies. */
enum bed_lie {
    BED_HONEST,
    BED_SNAPSHOT_ALTERED,  /* one value is another */
    BED_SNAPSHOT_SHORT,    /* one key is missing, and not announced */
    BED_SNAPSHOT_TWICE,    /* one key comes twice */
    BED_CHANGE_ALTERED,    /* the last change has another value */
    BED_CHANGE_LEFT_OUT,   /* the last but one is missing, with its number */
    BED_CHANGE_SKIPPED,    /* it begins one later */
    BED_CHANGE_INVENTED,   /* one more, and a certificate of one signature */
    BED_FEW_SIGNATURES,    /* all right but the certificate */
    BED_FOREIGN_SIGNATURE, /* one of three is by somebody else */
    BED_OTHER_SURFACE,     /* the certificate is of the stream */
    BED_UNCERTIFIED,       /* a commit more, and no certificate after it */
    BED_OLD_CERTIFICATE,   /* what was true earlier, as newest */
    BED_OLD_EPOCH,         /* signed by the roster of an epoch that is over */
    BED_SILENT,            /* takes the conversation and says nothing */
    BED_NO_WELCOME,        /* begins with records */
    BED_GARBAGE,
    BED_LOOKUP_FORGED, /* another value under an honest proof */
    BED_LOOKUP_ABSENT, /* "absent" for what is there */
};

struct bed;

struct bed_member {
    struct bed *bed;
    unsigned i;
    struct mk_env *env;
    struct mk_net *net;
    struct mk_service surface, exec;
    struct mk_serve_host host;
    struct mk_serve *serve;
    struct mk_surfaces surfaces;
    enum bed_lie lie;
    struct mk_conv *conv; /* of a liar */
    struct mk_task task;
    struct mk_surface_hello hello;
    unsigned interest;
    /* exec */
    struct mk_conv *client;
    unsigned executed;
    unsigned conversations;
    enum {
        EXEC_PROVES,
        EXEC_FORGES,
        EXEC_MUTE,
        EXEC_REFUSES,
        EXEC_BUSY_ONCE,
        EXEC_LEAVES_ONCE, /* answers once that it shuts down */
        EXEC_POINTS,      /* executes, but leaves the answer to points_to, whom it names */
        EXEC_MISLEADS,    /* answers, and names points_to */
    } exec_manner;
    struct mk_bytes points_to;
};

struct bed {
    struct world *w;
    struct mk_key keys[BED_MEMBERS + 1]; /* members in roster order, then a stranger */
    struct mk_peer peers[BED_MEMBERS];
    struct mk_roster roster, first;
    struct mk_roster_change change; /* from first to roster, when epoch is 2 */
    struct mk_head ended[2];
    struct mk_peer_signature changers[BED_MEMBERS];
    struct mk_id deployment, stable_id;
    struct bed_member members[BED_MEMBERS];
    struct mk_surfaces truth;
    struct mk_trie at_certificate; /* the map at the newest certificate */
    uint64_t machine_ms;
    bool gated; /* readers are judged, and refused */
    struct mk_certificate newest[2], before[2];
    struct mk_peer_signature signatures[2][2][BED_MEMBERS];
    /* what commands did: dedup by (session, number) */
    struct {
        uint64_t session, number;
        struct mk_commit_ref ref;
    } done[64];
    unsigned n_done;
};

struct bed *bed_new(uint64_t seed);
void bed_free(struct bed *b);
/** One insert, on the truth and on every member alike. */
void bed_put(struct bed *b, const char *key, const char *value);
void bed_append(struct bed *b, const char *item);
/** Signs the heads of both surfaces (who: bits of members) and gives the certificates to the
 * honest. */
void bed_certify(struct bed *b, unsigned who);
/** A head of a surface as it stands, signed by who. sigs: room for four. */
void bed_sign(struct bed *b, struct mk_certificate *ret, const struct mk_head *head, unsigned who,
              struct mk_peer_signature *sigs);
void bed_head(struct bed *b, unsigned surface, struct mk_head *ret);

/** A second epoch begins (of the same peers): certificates are of it from now on. */
void bed_new_epoch(struct bed *b);

/* --- readers ------------------------------------------------------------------------- */

struct bed_reader {
    struct bed *bed;
    struct mk_env *env;
    struct mk_key key;
    struct mk_net *net;
    struct mk_dial dials[BED_MEMBERS];
    struct mk_reader_memory *memory;
    struct mk_client_report report;
    struct mk_component component;
    struct mk_follow *follow;
    struct mk_client *client;
    /* what the follower was told */
    unsigned snapshots, certified, commits, markers, gaps;
    uint64_t index, gap_from, gap_to; /* index: of the last commit or snapshot */
    bool out_of_order;
    struct mk_buf items; /* of a stream, joined by spaces */
    int failed;
    struct mk_fault why;
    bool close_in_commit;
    unsigned said_n;
    unsigned said_of[BED_MEMBERS];
    char said[16][300];
};

struct bed_reader *bed_reader(struct bed *b, unsigned node);
void bed_reader_free(struct bed_reader *r);
void bed_dial(struct bed_reader *r, unsigned member);
void bed_follow_map(struct bed_reader *r);
void bed_follow_stream(struct bed_reader *r, enum mk_from_tag from, uint64_t after);
/** Runs until the follower stands on the newest certificate of its surface. */
bool bed_until_synced(struct bed_reader *r, uint64_t ms);
bool bed_until_said(struct bed_reader *r, unsigned n, uint64_t ms);
bool bed_said(const struct bed_reader *r, const char *text);
void bed_assert_map(struct bed_reader *r);

#endif
