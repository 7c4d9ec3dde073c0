/* files.c - the files that people write: coalition, organism, node.
 *
 * Whatever the bytes: accepted, or refused with one line that begins with the
 * file's name. An accepted coalition file serialises, and its serialised form is
 * read back as the same config. */
#include "targets.h"

#include <coalition/file.h>
#include <string.h>

#define NAME "some.toml"

static void check_refusal(const struct mk_fault *f)
{
    FUZZ_CHECK(strncmp(f->text, NAME ":", sizeof NAME) == 0);
    FUZZ_CHECK(strchr(f->text, '\n') == NULL);
}

static void check_serialised(const struct coa_coalition_config *config)
{
    struct mk_buf bytes = {0}, again = {0}, text = {0};
    struct coa_coalition_file f;
    struct mk_fault fault = {{0}};

    coa_coalition_encode(config, &bytes);
    mk_hex((char *)mk_buf_grow(&text, 2 * bytes.n + 1), bytes.p, bytes.n);
    text.n = 2 * bytes.n;
    FUZZ_CHECK(coa_coalition_file_parse(&f, NAME, mk_buf_bytes(&text), NULL, &fault) == 0);
    FUZZ_CHECK(f.serialised);
    coa_coalition_encode(&f.config, &again);
    FUZZ_CHECK(mk_bytes_eq(mk_buf_bytes(&bytes), mk_buf_bytes(&again)));
    coa_coalition_file_done(&f);
    mk_buf_done(&bytes);
    mk_buf_done(&again);
    mk_buf_done(&text);
}

bool fuzz_coalition_file(const uint8_t *p, size_t n)
{
    struct coa_coalition_file f;
    struct mk_fault fault = {{0}};
    int rv = coa_coalition_file_parse(&f, NAME, MK_BYTES(p, n), NULL, &fault);

    if (rv == 0)
        check_serialised(&f.config);
    else
        check_refusal(&fault);
    coa_coalition_file_done(&f);
    return rv == 0;
}

bool fuzz_organism_file(const uint8_t *p, size_t n)
{
    struct coa_organism_file f;
    struct mk_fault fault = {{0}};
    int rv = coa_organism_file_parse(&f, NAME, MK_BYTES(p, n), &fault);

    if (rv == 0) {
        struct mk_id id = coa_organism_id(&f.config);

        FUZZ_CHECK(!mk_id_is_zero(&id));
    } else {
        check_refusal(&fault);
    }
    coa_organism_file_done(&f);
    return rv == 0;
}

bool fuzz_node_file(const uint8_t *p, size_t n)
{
    struct coa_node_file f;
    struct mk_fault fault = {{0}};
    int rv = coa_node_file_parse(&f, NAME, MK_BYTES(p, n), &fault);

    if (rv != 0)
        check_refusal(&fault);
    coa_node_file_done(&f);
    return rv == 0;
}

/* --- files that must be accepted --------------------------------------------------------- */

static void put_id(struct fuzz_random *r, struct mk_buf *out)
{
    for (unsigned i = 0; i < 64; i++)
        mk_buf_put_u8(out, (uint8_t) "0123456789abcdef"[fuzz_below(r, 16)]);
}

static void put_contacts(struct fuzz_random *r, struct mk_buf *out, const char *key, unsigned n)
{
    mk_buf_printf(out, "%s = [", key);
    for (unsigned i = 0; i < n; i++) {
        mk_buf_put_str(out, i ? ", \"" : "\"");
        put_id(r, out);
        mk_buf_printf(out, "@127.0.0.1:%u\"", 7700 + i);
    }
    mk_buf_put_str(out, "]\n");
}

static void put_organism(struct fuzz_random *r, struct mk_buf *out)
{
    mk_buf_put_str(out, "[[organism]]\nrole = \"oracle\"\nstable_id = \"");
    put_id(r, out);
    mk_buf_put_str(out, "\"\n");
    if (fuzz_below(r, 2)) {
        mk_buf_put_str(out, "content_hash = \"");
        put_id(r, out);
        mk_buf_put_str(out, "\"\n");
    }
}

static void put_acl(struct fuzz_random *r, struct mk_buf *out)
{
    switch (fuzz_below(r, 4)) {
    case 0:
        mk_buf_put_str(out, "acl = [{ require = \"readers\" }]\n");
        break;
    case 1:
        mk_buf_put_str(out, "acl = [{ require = \"issuer\", root = \"");
        put_id(r, out);
        mk_buf_put_str(out, "\" }]\n");
        break;
    case 2:
        mk_buf_put_str(out, "acl = [{ require = \"peers\", peers = [\"");
        put_id(r, out);
        mk_buf_put_str(out, "\"] }, { require = \"attestation\", level = 0 }]\n");
        break;
    default:
        mk_buf_put_str(out, "acl = []\n");
        break;
    }
}

void fuzz_make_coalition_file(struct fuzz_random *r, struct mk_buf *out)
{
    mk_buf_put_str(out,
                   "# a coalition, \xc3\xa9t\xc3\xa9\nschema_version = 1\ninstance_name = \"a.b\"\n"
                   "retirement_policy = \"lenient\"\n");
    put_contacts(r, out, "peers", (unsigned)fuzz_below(r, 3));
    for (uint64_t i = fuzz_below(r, 3); i > 0; i--) {
        mk_buf_put_str(out, "[[lattice]]\nname = \"ethereum.mainnet\"\nstable_id = \"");
        put_id(r, out);
        mk_buf_put_str(out, "\"\n");
    }
    for (uint64_t i = fuzz_below(r, 3); i > 0; i--)
        put_organism(r, out);
    mk_buf_put_str(out, "[atlas]\ninstance = \"default\"\n");
    put_acl(r, out);
    put_contacts(r, out, "committee", 3);
    if (fuzz_below(r, 2))
        mk_buf_put_str(out, "[almanac]\ninstance = \"default\"\ncadence_ms = 250\nacl = []\n");
    if (fuzz_below(r, 2))
        mk_buf_put_str(out, "[publish]\nnotes = \"\xc3\xa9 \xe3\x80\x80 \\u00e9\"\n"
                            "contact = '''\n \xd0\xb6'''\n");
    if (fuzz_below(r, 2))
        mk_buf_put_str(out, "[ticket_issuer]\nname = \"a.tickets\"\nacl = []\n");
}

#define ORACLE_SOURCE "b1c75a6ba0b4eb03f6ff6ca9c9bd0c7fb2b1b5e3f0a4b21be0c29a51a7e2bb01"
#define ORACLE_OPERATOR "13aad82f1b006d9fa6cce864a1ebd63f2b82a001a8e36c6f0763f0b107ae5824"

void fuzz_make_organism_file(struct fuzz_random *r, struct mk_buf *out)
{
    mk_buf_put_str(out, "schema_version = 1\nkind = \"organism\"\nname = \"a.price-feed\"\n");
    put_acl(r, out);
    put_contacts(r, out, "committee", 1);
    if (fuzz_below(r, 2))
        mk_buf_put_str(out, "[content]\ntype = \"price-feed\"\n"
                            "pairs = [{ base = \"EUR\", quote = \"USD\", scale = 8 }]\n");
    else if (fuzz_below(r, 2))
        mk_buf_put_str(out, "[content]\ntype = \"oracle\"\nquorum = 1\n"
                            "pairs = [{ base = \"EUR\", quote = \"USD\", scale = 8 }]\n"
                            "sources = [{ stable_id = \"" ORACLE_SOURCE "\", operator = "
                            "\"" ORACLE_OPERATOR "\" }]\n"
                            "[[span.organism]]\nrole = \"feed\"\n"
                            "stable_id = \"" ORACLE_SOURCE "\"\n");
    else
        mk_buf_put_str(out, "[content]\nhex = \"00ff\"\n");
}

void fuzz_make_node_file(struct fuzz_random *r, struct mk_buf *out)
{
    mk_buf_put_str(out, "key = \"node.key\"\nlisten = \"127.0.0.1:7701\"\ndir = \"state\"\n");
    put_contacts(r, out, "peers", (unsigned)fuzz_below(r, 3));
    mk_buf_put_str(out, "components = [{ file = \"a.toml\", component = \"atlas\" }]\n");
}
