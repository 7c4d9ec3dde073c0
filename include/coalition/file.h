/* file.h - the coalition file, the organism file, the lattice file, the node file
 * (spec/cli.md), read strictly: an unknown key, a wrong type, a bad id is an error.
 *
 * Parsing takes bytes and touches no disk; a file that names another asks the loader.
 * Every error is one line, `file:line:column: what; which rule, what would be right`. */
#ifndef COALITION_FILE_H
#define COALITION_FILE_H

#include <coalition/config.h>

#define COA_FILE_MAX (4u << 20)        /* bytes of a TOML file */
#define COA_SERIALISED_MAX (16u << 20) /* bytes of the hex of a serialised config */

/** Reads a file that another one names. path: joined to the folder of the naming file.
 * 0 and its bytes (no more than COA_FILE_MAX + 1 need be read), or an error with reterr. */
struct coa_loader {
    int (*load)(struct coa_loader *l, const char *path, struct mk_buf *ret,
                struct mk_fault *reterr);
};

/** "<peer hex>@host:port", taken apart and whole. */
struct coa_contact {
    struct mk_peer peer;
    struct mk_str address; /* as written; terminated */
};
struct coa_contacts {
    const struct coa_contact *v;
    size_t n;
};

/** What a file says beside a component and nothing folds. Texts are terminated; one that is not
 * stated has p NULL. */
struct coa_notes {
    struct mk_opt_peer operator;
    struct coa_contacts committee; /* sorted by peer: the first roster; n 0: not stated */
    struct mk_str handshake, description, state_machine, operator_name, failure_policy, retention;
    struct mk_opt_id ticket_root;
    struct mk_opt_measurements measurements;
    struct mk_str config;                     /* path as written */
    const struct coa_organism_file *organism; /* what config names, when there was a loader */
};

struct coa_publish {
    struct mk_str change_channel, contact, notes;
};

/** A root that an `issuer` clause names, with the roster that the file gives for it. */
struct coa_foreign_issuer {
    struct mk_id root;
    struct mk_opt_peer operator;
    struct coa_contacts committee;
};
struct coa_foreign_issuers {
    const struct coa_foreign_issuer *v;
    size_t n;
};

/** Warnings: whole lines like an error's. */
struct coa_warnings {
    const struct mk_str *v;
    size_t n;
};

/* --- coalition ----------------------------------------------------------------- */

struct coa_coalition_file {
    struct coa_coalition_config config;
    bool serialised; /* it was the hex of `freeze --hex`: nothing of what follows is known */
    struct mk_opt_peer operator;
    struct coa_contacts peers;
    const struct coa_notes *lattices;  /* as config.lattices; NULL when serialised */
    const struct coa_notes *organisms; /* as config.organisms; NULL when serialised */
    struct coa_notes modules[COA_MODULE_KINDS];
    struct coa_notes issuer;
    struct coa_foreign_issuers foreign;
    struct coa_publish publish;
    struct coa_warnings warnings;
    struct mk_arena arena; /* holds all of it */
};

/** bytes: TOML, or the hex of a serialised config. name is for messages and for the folder of
 * files it refers to. loader may be NULL: then `config` files are not looked at. Nothing is
 * borrowed. End with _done (also after a failure: harmless). */
int coa_coalition_file_parse(struct coa_coalition_file *ret, const char *name,
                             struct mk_bytes bytes, struct coa_loader *loader,
                             struct mk_fault *reterr);
/** Frees what parsing gave; zeroed, or done, is fine. So with the other kinds of file. */
void coa_coalition_file_done(struct coa_coalition_file *f);

/** The first roster of a module or, with COA_ANCHOR_ISSUER, of the issuer. False when the file
 * states no committee. Lent from arena. */
bool coa_first_roster(const struct coa_coalition_file *f, const struct coa_coalition_ids *ids,
                      unsigned component, struct mk_roster *ret, struct mk_arena *arena);
/** The file's anchors_digest. */
struct mk_id coa_file_anchors_digest(const struct coa_coalition_file *f,
                                     const struct coa_coalition_ids *ids, struct coa_explain *x);

/* --- organism -------------------------------------------------------------------- */

struct coa_organism_file {
    struct coa_organism_config config;
    struct mk_id network;
    struct mk_str content_type;   /* "price-feed", or p NULL */
    struct coa_notes notes;       /* operator, committee, ... */
    struct coa_surfaces surfaces; /* those that follow from the content, then [[surface]] */
    struct coa_publish publish;
    struct coa_foreign_issuers foreign;
    struct coa_warnings warnings;
    struct mk_arena arena;
};
/** As coa_coalition_file_parse(): TOML bytes, name for messages, nothing borrowed. */
int coa_organism_file_parse(struct coa_organism_file *ret, const char *name, struct mk_bytes bytes,
                            struct mk_fault *reterr);
/** As coa_coalition_file_done(). */
void coa_organism_file_done(struct coa_organism_file *f);
/** The first roster of the organism's committee; as coa_first_roster. */
bool coa_organism_first_roster(const struct coa_organism_file *f, const struct mk_id *organism_id,
                               struct mk_roster *ret, struct mk_arena *arena);

/* --- lattice --------------------------------------------------------------------- */

#define COA_LATTICE_ORGANISMS 6u
/** "zipnet", "unseal", "offer", "atelier", "relay", "tally". */
extern const char *const COA_LATTICE_ORGANISM_NAMES[COA_LATTICE_ORGANISMS];

struct coa_lattice_file {
    struct coa_lattice_config config;
    const struct coa_organism_file *organisms[COA_LATTICE_ORGANISMS];
    struct mk_str paths[COA_LATTICE_ORGANISMS]; /* as written */
    struct coa_notes notes;
    struct coa_publish publish;
    struct coa_warnings warnings;
    struct mk_arena arena;
};
/** loader must not be NULL: the six organism files are read. */
int coa_lattice_file_parse(struct coa_lattice_file *ret, const char *name, struct mk_bytes bytes,
                           struct coa_loader *loader, struct mk_fault *reterr);
/** As coa_coalition_file_done(). */
void coa_lattice_file_done(struct coa_lattice_file *f);

/* --- node --------------------------------------------------------------------------- */

struct coa_node_component {
    struct mk_str file;       /* a coalition or organism file */
    struct mk_str component;  /* a module's kind or "ticket_issuer"; p NULL for an organism file */
    struct mk_str deployment; /* a signed Deployment; p NULL: version 0, from the file */
    struct mk_str retention;  /* how much of the past is kept (mosaik/retention.h); p NULL: as
                               * published,  as declared */
    bool replica;             /* follow it and serve readers; this node is not of its committee */
    bool read_leases;         /* reads under a leader's lease */
    struct mk_str source;     /* where a feed reads: "-", "file:PATH", "exec:COMMAND"; p NULL: - */
    bool private_; /* members speak on a network of their own, derive(deployment, "private") */
};

/** Quotes: what a node (or an integrator) shows and believes (docs/attestation.md). Paths as
 * they stand in the file. */
struct coa_attest {
    struct mk_str source;           /* "configfs-tsm", "emulator"; p NULL: shows none */
    struct mk_str tsm;              /* where configfs-tsm is; p NULL: where Linux has it */
    struct mk_str emulator;         /* of source "emulator": its directory */
    struct mk_str root;             /* a certificate; p NULL: Intel's */
    struct mk_str collateral;       /* a directory; p NULL: none */
    struct mk_str fetch;            /* a command that renews it; p NULL: none */
    uint32_t reload_s;              /* the directory is read again after so long; 0: default */
    uint32_t statuses;              /* 1 << enum mk_tcb_status; 0: the default */
    const struct mk_str *published; /* files of reproducible builds' measurements */
    size_t n_published;
};

#define COA_TAGS_MAX 32u

struct coa_node_file {
    struct mk_str key, listen, dir;
    struct mk_str http;           /* p NULL: no admin interface */
    struct mk_str advertise;      /* "host:port" that others dial; p NULL: what listen says */
    const struct mk_str *tickets; /* paths of tickets to show */
    size_t n_tickets;
    struct mk_str lan;         /* an interface or "*": multicast DNS; p NULL: none */
    const struct mk_str *tags; /* words that its entry shows */
    size_t n_tags;
    struct coa_contacts peers;
    const struct coa_node_component *components;
    size_t n_components;
    struct mk_str anchor_path, anchor_rpc_url, anchor_key; /* p NULL: not stated */
    const struct coa_attest *attest;                       /* NULL: no [attest] */
    struct coa_warnings warnings;
    struct mk_arena arena;
};
/** As coa_coalition_file_parse(). Paths are left as they stand: seen from the folder of the file.
 */
int coa_node_file_parse(struct coa_node_file *ret, const char *name, struct mk_bytes bytes,
                        struct mk_fault *reterr);
/** As coa_coalition_file_done(). */
void coa_node_file_done(struct coa_node_file *f);
/** A file of the keys of [attest] alone, for who is no node. */
int coa_attest_file_parse(struct coa_attest *ret, const char *name, struct mk_bytes bytes,
                          struct mk_arena *arena, struct mk_fault *reterr);

/* --- which is it? --------------------------------------------------------------------- */

enum coa_file_kind { COA_FILE_COALITION, COA_FILE_ORGANISM, COA_FILE_LATTICE };
/** By the key `kind` (none: a coalition). Errors as when parsing. */
int coa_file_kind(enum coa_file_kind *ret, const char *name, struct mk_bytes bytes,
                  struct mk_fault *reterr);

/** A contact from text. MK_EMALFORMED with the rule. address is borrowed, not copied. */
int coa_contact_parse(struct coa_contact *ret, struct mk_str text, struct mk_fault *reterr);

#endif /* COALITION_FILE_H */
