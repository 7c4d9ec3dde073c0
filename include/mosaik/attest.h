/* attest.h - TDX and SGX quotes: their bytes, their verification, what they measure
 * (spec/identity.md, "Measurements"; spec/cli.md, "check tdx"; Intel's "TDX DCAP Quoting
 * Library API", appendix 3, for quotes; "PCS API v4" for collateral).
 *
 *   trusted root --signs--> PCK CA --signs--> PCK (one a platform) --signs--> QE report
 *        |                                                                     | hash
 *        |--signs--> TCB signing --signs--> TCB info, QE identity              v
 *        `--signs--> CRLs                      attestation key --signs--> header || body
 *
 * Everything is offline and pure: the time, the collateral and the root are inputs. One
 * thread uses a root and its collateral.
 *
 * Strict about whatever is signed, tolerant of what follows a quote: real machines hand out
 * fixed buffers, with zeros behind the quote. */
#ifndef MOSAIK_ATTEST_H
#define MOSAIK_ATTEST_H

#include <mosaik/error.h>
#include <mosaik/records.h>

#define MK_QUOTE_MAX 32768u            /* bytes, trailing ones too; what configfs-tsm can give */
#define MK_COLLATERAL_DOC_MAX 2097152u /* bytes of one document of collateral */
#define MK_COLLATERAL_MAX 256u         /* TCB infos, identities, lists and certificates, each */
#define MK_ADVISORIES_MAX 64u
#define MK_ADVISORY_MAX 32u /* with its terminator */
#define MK_EVENTLOG_MAX 4194304u

/* --- a quote's bytes -------------------------------------------------------------------- */

/** All numbers of a quote are little-endian and all its fields are bytes, so these structs
 * are the wire: offsetof() is the offset. They serve the parser, the builder and the
 * emulator alike. */
struct mk_quote_header {
    uint8_t version[2];      /* 3, 4, 5 */
    uint8_t att_key_type[2]; /* 2: ECDSA P-256 */
    uint8_t tee_type[4];     /* enum mk_tee; zero in version 3 */
    uint8_t qe_svn[2];       /* version 3; reserved later */
    uint8_t pce_svn[2];
    uint8_t qe_vendor_id[16];
    uint8_t user_data[20];
};
_Static_assert(sizeof(struct mk_quote_header) == 48, "a quote's header has 48 bytes");

/** Version 5 says what its body is, between header and body. */
struct mk_quote_body_head {
    uint8_t type[2]; /* enum mk_quote_body */
    uint8_t size[4];
};
_Static_assert(sizeof(struct mk_quote_body_head) == 6, "type and size have 6 bytes");

struct mk_td_report {
    uint8_t tee_tcb_svn[16];
    uint8_t mr_seam[48];
    uint8_t mr_signer_seam[48];
    uint8_t seam_attributes[8];
    uint8_t td_attributes[8]; /* the first byte is not 0: under debug, or not to be trusted */
    uint8_t xfam[8];
    uint8_t mr_td[48];
    uint8_t mr_config_id[48];
    uint8_t mr_owner[48];
    uint8_t mr_owner_config[48];
    uint8_t rtmr[4][48];
    uint8_t report_data[64];
    uint8_t tee_tcb_svn_2[16]; /* TDX 1.5 only, as is the next; zero in 1.0 */
    uint8_t mr_service_td[48];
};
#define MK_TD_REPORT_10 584u
#define MK_TD_REPORT_15 648u
_Static_assert(offsetof(struct mk_td_report, tee_tcb_svn_2) == MK_TD_REPORT_10, "TDX 1.0");
_Static_assert(sizeof(struct mk_td_report) == MK_TD_REPORT_15, "TDX 1.5");

struct mk_sgx_report {
    uint8_t cpu_svn[16];
    uint8_t misc_select[4];
    uint8_t reserved1[12];
    uint8_t isv_ext_prod_id[16];
    uint8_t attributes[16]; /* bit 1: under debug */
    uint8_t mr_enclave[32];
    uint8_t reserved2[32];
    uint8_t mr_signer[32];
    uint8_t reserved3[32];
    uint8_t config_id[64];
    uint8_t isv_prod_id[2];
    uint8_t isv_svn[2];
    uint8_t config_svn[2];
    uint8_t reserved4[42];
    uint8_t isv_family_id[16];
    uint8_t report_data[64];
};
#define MK_SGX_REPORT 384u
_Static_assert(sizeof(struct mk_sgx_report) == MK_SGX_REPORT, "an enclave's report");

enum mk_tee { MK_TEE_SGX = 0x00, MK_TEE_TDX = 0x81 };
const char *mk_tee_name(enum mk_tee tee); /* "sgx", "tdx" */

/** The numbers are version 5's body types. */
enum mk_quote_body { MK_BODY_SGX = 1, MK_BODY_TDX10 = 2, MK_BODY_TDX15 = 3 };

/** Certification data: what vouches for the QE report's signer. */
enum {
    MK_CERT_PCK_CHAIN = 5, /* PEM certificates, the PCK's first: the only kind verified */
    MK_CERT_QE_REPORT = 6, /* the outer one of versions 4 and 5 */
};

/** A parsed quote. Slices are lent from the bytes that were parsed.
 *
 *   header | [type, size] | body | u32 n | signature | attestation key | [6, u32 size]
 *   | QE report | its signature | u16 n, QE auth data | u16 cert_type, u32 n, cert_data
 *
 * where [type, size] stands in version 5, [6, u32 size] in versions 4 and 5. */
struct mk_quote {
    uint16_t version;
    enum mk_tee tee;
    enum mk_quote_body body;
    struct mk_quote_header header;
    struct mk_td_report td;       /* of a TDX quote */
    struct mk_sgx_report enclave; /* of an SGX quote */
    uint8_t signature[64];        /* r || s over header .. body */
    uint8_t attestation_key[64];  /* x || y */
    struct mk_sgx_report qe_report;
    uint8_t qe_signature[64]; /* r || s of the PCK's key over qe_report */
    struct mk_bytes qe_auth;
    uint16_t cert_type;
    struct mk_bytes cert_data;
    struct mk_bytes signed_part; /* header .. body */
    size_t len;                  /* of the quote itself; what follows is ignored */
};

/** Parses; bytes are borrowed as long as ret is used. No signature is looked at.
 * 0; MK_ELIMIT over MK_QUOTE_MAX; MK_EMALFORMED; MK_ENOTSUP (version, key type, tee, outer
 * certification data that we do not know). */
int mk_quote_parse(struct mk_quote *ret, struct mk_bytes bytes, struct mk_fault *reterr);

/** Header and body as they are signed, appended: version, tee and body type are taken from
 * the fields, the rest of the header from q->header. For builders: sign this, fill in
 * q->signature, then mk_quote_format(). Slices of q need not be set. */
void mk_quote_format_signed(const struct mk_quote *q, struct mk_buf *out);
/** The whole quote, appended; mk_quote_parse() gives q back. signed_part and len are not
 * read. qe_auth has at most 65,535 bytes. */
void mk_quote_format(const struct mk_quote *q, struct mk_buf *out);
/** What the first 32 bytes of the QE report's report_data must be (the rest is zero):
 * SHA-256(attestation key || QE auth data). */
void mk_quote_qe_binding(const struct mk_quote *q, uint8_t ret[32]);

/** The 64 bytes that the quoted program chose. */
const uint8_t *mk_quote_report_data(const struct mk_quote *q);

/* --- what verification relies on --------------------------------------------------------- */

/** A root certificate that is trusted, and the intermediate certificates that were found
 * good under it. */
struct mk_quote_root;

/** From PEM or DER: one self-signed certificate with a P-256 key. given; MK_EMALFORMED,
 * MK_ESIGNATURE. */
int mk_quote_root_new(struct mk_quote_root **ret, struct mk_bytes certificate,
                      struct mk_fault *reterr);
/** Intel SGX Root CA, compiled in. given. */
struct mk_quote_root *mk_quote_root_intel(void);
void mk_quote_root_free(struct mk_quote_root *r); /* NULL is fine */
/** Is it Intel's? An emulator's is not. */
bool mk_quote_root_is_intel(const struct mk_quote_root *r);

/** Collateral of any number of platforms: TCB infos, QE identities, revocation lists and
 * the certificates that sign them. Whatever is in it was found to be signed under its root;
 * dates are looked at when it is used. */
struct mk_collateral;

struct mk_collateral *mk_collateral_new(struct mk_quote_root *root); /* borrowed; given */
void mk_collateral_free(struct mk_collateral *c);                    /* NULL is fine */

/** Adds documents (copied), each told by its content, in any order:
 *
 *   a JSON object, or block scalars of YAML, with tcb_info, tcb_info_signature,
 *     tcb_info_issuer_chain, qe_identity, qe_identity_signature,
 *     qe_identity_issuer_chain, root_ca_crl, pck_crl, pck_crl_issuer_chain
 *   {"tcbInfo": ..., "signature": hex}, {"enclaveIdentity": ..., "signature": hex}
 *   PEM certificates and revocation lists; a revocation list in DER or in hex of it
 *
 * A newer one takes the place of an older one of the same platform and kind. What is good is
 * added also when something else is not; of several faults the first is returned, and
 * MK_ESTALE (older than what we have) only when there is no other.
 * 0; MK_EMALFORMED, MK_ESIGNATURE, MK_ELIMIT, MK_EREFUSED (a certificate of another issuer),
 * MK_ESTALE. */
int mk_collateral_add(struct mk_collateral *c, const struct mk_bytes *docs, size_t n,
                      struct mk_fault *reterr);
/** When the first of what c holds expires, in unix seconds; UINT64_MAX: it holds nothing. */
uint64_t mk_collateral_expires_s(const struct mk_collateral *c);
/** Grows with each change of what c holds: verdicts from before may be judged again. */
uint64_t mk_collateral_generation(const struct mk_collateral *c);

/** The newest issue date and evaluation number that was ever seen of each document, as bytes to be
 * kept durably (bytes 1 to 32 name the root); and back, into new collateral: what is older is then
 * refused as if the newer one were loaded. MK_EMALFORMED: of another root, or damaged. */
void mk_collateral_seen(const struct mk_collateral *c, struct mk_buf *out);
/** Into new collateral, what _seen() gave. As above. */
int mk_collateral_recall(struct mk_collateral *c, struct mk_bytes seen, struct mk_fault *reterr);

/* --- the verdict --------------------------------------------------------------------------- */

#define MK_TCB_STATUS_MAP(X)                \
    X(UpToDate)                             \
    X(SWHardeningNeeded)                    \
    X(ConfigurationNeeded)                  \
    X(ConfigurationAndSWHardeningNeeded)    \
    X(OutOfDate)                            \
    X(OutOfDateConfigurationNeeded)         \
    X(TDRelaunchAdvised)                    \
    X(TDRelaunchAdvisedConfigurationNeeded) \
    X(Revoked)
enum mk_tcb_status {
#define MK_TCB_STATUS_X(name) MK_TCB_##name,
    MK_TCB_STATUS_MAP(MK_TCB_STATUS_X)
#undef MK_TCB_STATUS_X
};
const char *mk_tcb_status_name(enum mk_tcb_status s);                 /* "UpToDate" */
int mk_tcb_status_parse(enum mk_tcb_status *ret, struct mk_str name); /* MK_ENOTFOUND */

enum mk_quote_chain { MK_QUOTE_CHAIN_OK, MK_QUOTE_CHAIN_REFUSED, MK_QUOTE_CHAIN_ABSENT };

/** What a verifier tolerates. All zero: nothing but the bits of MK_TCB_DEFAULT. */
struct mk_quote_policy {
    uint32_t statuses; /* bit 1 << enum mk_tcb_status; 0 stands for MK_TCB_DEFAULT */
    bool debug;        /* also programs under debug, whose memory the host can read */
};
/** Revoked is never accepted. */
#define MK_TCB_DEFAULT                                                                           \
    (1u << MK_TCB_UpToDate | 1u << MK_TCB_SWHardeningNeeded | 1u << MK_TCB_ConfigurationNeeded | \
     1u << MK_TCB_ConfigurationAndSWHardeningNeeded)

struct mk_quote_verdict {
    bool ok;
    enum mk_quote_chain chain; /* PCK chain to the root; absent: the quote carries none */
    bool has_status;           /* the platform was compared with collateral */
    enum mk_tcb_status status;
    char tcb_date[24]; /* of the platform's level, as Intel writes it */
    uint32_t evaluation_number;
    unsigned n_advisories; /* sorted, distinct */
    char advisories[MK_ADVISORIES_MAX][MK_ADVISORY_MAX];
    uint8_t fmspc[6];          /* of a chain that is ok */
    uint64_t from_s;           /* unix seconds: what it relied on counts from then on; 0: not known.
                                * Not ok and in the future: judge again then */
    uint64_t expires_s;        /* unix seconds: what it relied on has ended by then; judge again */
    char reason[MK_FAULT_MAX]; /* "" when ok; else the first rule that failed, with its date */
};

/** Verifies at now_s (unix seconds): the attestation key's signature, the QE report's
 * binding and signature, the PCK chain to the root, and with collateral the revocation
 * lists, TCB info and QE identity.
 *
 *  collateral  under the same root; NULL: ret->has_status stays false, and whoever demands
 *              a status must refuse. Under Intel's root the QE must then be one whose signer
 *              is compiled in: nothing else says that it quotes honestly.
 *  policy      NULL: the default. */
void mk_quote_verify(struct mk_quote_root *root, const struct mk_collateral *collateral,
                     const struct mk_quote *q, const struct mk_quote_policy *policy, uint64_t now_s,
                     struct mk_quote_verdict *ret);

/* --- measurements ---------------------------------------------------------------------------- */

/** All that a TDX quote measures, every option set. */
void mk_measurements_of(const struct mk_td_report *r, struct mk_measurements *ret);
/** NULL when each pinned register has its value, else the name of the first that has not
 * ("rtmr1"); static. mr_td is always pinned. */
const char *mk_measurements_differ(const struct mk_measurements *pins,
                                   const struct mk_td_report *r);
/** The index of a member of the set that matches, or -1. */
int mk_measurements_in(const struct mk_measurements *set, size_t n, const struct mk_td_report *r);

/** One entry of a published file. */
struct mk_published {
    char name[128]; /* measurement_id, or "" */
    bool any;       /* pins nothing: whoever uses it must want that */
    struct mk_measurements pins;
};
#define MK_PUBLISHED_MAX 256u

/** Reads a published measurement file: a JSON list of { measurement_id, attestation_type,
 * measurements: { "0": { expected: hex }, .. } }, register 0 being MR_TD and 1 to 4 RTMR0 to
 * RTMR3. Entries of other attestation types than dcap-tdx are skipped. ret is an array of
 * *ret_n items in the arena. MK_EMALFORMED, MK_ELIMIT. */
int mk_published_parse(struct mk_published **ret, size_t *ret_n, struct mk_arena *arena,
                       struct mk_bytes json, struct mk_fault *reterr);

/** What an event log amounts to. */
struct mk_eventlog_result {
    uint8_t rtmr[4][48];
    uint32_t n_events;   /* in the log */
    uint32_t n_extended; /* that moved a register */
};

/** Replays a CCEL or TCG2 event log (SHA-384 digests) to the registers. Zeros or 0xff
 * after the last event are padding. MK_EMALFORMED with the event's number and offset, MK_ELIMIT,
 * MK_ENOTSUP (no SHA-384 in it). */
int mk_eventlog_replay(struct mk_eventlog_result *ret, struct mk_bytes log,
                       struct mk_fault *reterr);

#endif /* MOSAIK_ATTEST_H */
