/* print_c.c - initialisers out of values, by the tables of their types.
 *
 * Sequences become compound literals, which have static storage at file scope; so one
 * expression holds a whole config. The only things that a descriptor does not know are
 * the C names of item types, which stand in a list here. */
#include "print_c.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static void put_value(struct mk_buf *out, const struct mk_type *t, const uint8_t *p, int depth);

static void put_line(struct mk_buf *out, int depth)
{
    mk_buf_put_u8(out, '\n');
    for (int i = 0; i < depth; i++)
        mk_buf_put_str(out, "    ");
}

/* Octal escapes have at most three digits, so what follows is never swallowed. */
static void put_quoted(struct mk_buf *out, const void *bytes, size_t n)
{
    const unsigned char *p = bytes;

    mk_buf_put_u8(out, '"');
    for (size_t i = 0; i < n; i++) {
        if (p[i] == '"' || p[i] == '\\' || p[i] == '?')
            mk_buf_printf(out, "\\%c", p[i]);
        else if (p[i] < 0x20 || p[i] >= 0x7f)
            mk_buf_printf(out, "\\%03o", p[i]);
        else
            mk_buf_put_u8(out, p[i]);
    }
    mk_buf_put_u8(out, '"');
}

static void put_raw(struct mk_buf *out, const uint8_t *p, size_t n, int depth)
{
    mk_buf_put_str(out, "{{");
    for (size_t i = 0; i < n; i++) {
        if (i > 0)
            mk_buf_put_u8(out, ',');
        if (i % 16 == 0)
            put_line(out, depth + 1);
        else
            mk_buf_put_u8(out, ' ');
        mk_buf_printf(out, "0x%02x", p[i]);
    }
    mk_buf_put_str(out, "}}");
}

static const char *item_name(const struct mk_type *t)
{
    static const struct {
        const struct mk_type *type;
        const char *name;
    } names[] = {
        {&mk_id_type, "struct mk_id"},
        {&mk_peer_type, "struct mk_peer"},
        {&mk_measurements_type, "struct mk_measurements"},
        {&mk_acl_clause_type, "struct mk_acl_clause"},
        {&coa_lattice_ref_type, "struct coa_lattice_ref"},
        {&coa_organism_ref_type, "struct coa_organism_ref"},
    };

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (names[i].type == t)
            return names[i].name;
    }
    abort(); /* a type of a config was added and not named here */
}

static void put_seq(struct mk_buf *out, const struct mk_type *t, const uint8_t *value, int depth)
{
    const struct mk_ids *seq = (const struct mk_ids *)(const void *)value; /* shape of any seq */

    if (seq->n == 0) {
        mk_buf_put_str(out, "{NULL, 0}");
        return;
    }
    mk_buf_printf(out, "{(const %s[]){", item_name(t->inner));
    for (size_t i = 0; i < seq->n; i++) {
        put_line(out, depth + 1);
        put_value(out, t->inner, (const uint8_t *)seq->v + i * t->inner->size, depth + 1);
        mk_buf_put_u8(out, ',');
    }
    put_line(out, depth);
    mk_buf_printf(out, "}, %zu}", seq->n);
}

/* RecogniseIssuer -> recognise_issuer */
static void put_member(struct mk_buf *out, const char *variant)
{
    for (const char *p = variant; *p != '\0'; p++) {
        if (isupper((unsigned char)*p) && p != variant)
            mk_buf_put_u8(out, '_');
        mk_buf_put_u8(out, (uint8_t)tolower((unsigned char)*p));
    }
}

static void put_enum(struct mk_buf *out, const struct mk_type *t, const uint8_t *p, int depth)
{
    uint32_t tag = *(const uint32_t *)(const void *)p;

    for (size_t i = 0; i < t->n_fields; i++) {
        const struct mk_field *v = &t->fields[i];

        if (v->tag != tag)
            continue;
        mk_buf_printf(out, "{.tag = %u /* %s */", tag, v->name);
        if (v->type != &mk_unit_type) {
            mk_buf_put_str(out, ", .u = {.");
            put_member(out, v->name);
            mk_buf_put_str(out, " = ");
            put_value(out, v->type, p + v->offset, depth);
            mk_buf_put_u8(out, '}');
        }
        mk_buf_put_u8(out, '}');
    }
}

static void put_struct(struct mk_buf *out, const struct mk_type *t, const uint8_t *p, int depth)
{
    mk_buf_put_u8(out, '{');
    for (size_t i = 0; i < t->n_fields; i++) {
        put_line(out, depth + 1);
        mk_buf_printf(out, ".%s = ", t->fields[i].name);
        put_value(out, t->fields[i].type, p + t->fields[i].offset, depth + 1);
        mk_buf_put_u8(out, ',');
    }
    put_line(out, depth);
    mk_buf_put_u8(out, '}');
}

static void put_value(struct mk_buf *out, const struct mk_type *t, const uint8_t *p, int depth)
{
    const struct mk_bytes *slice = (const struct mk_bytes *)(const void *)p;

    switch ((int)t->kind) {
    case MK_KIND_U8:
        mk_buf_printf(out, "%u", *p);
        break;
    case MK_KIND_U16:
        mk_buf_printf(out, "%u", *(const uint16_t *)(const void *)p);
        break;
    case MK_KIND_STR:
        mk_buf_put_str(out, "MK_STR_INIT(");
        put_quoted(out, slice->p, slice->n);
        mk_buf_put_u8(out, ')');
        break;
    case MK_KIND_BYTES:
        mk_buf_put_str(out, "{(const uint8_t *)");
        put_quoted(out, slice->p, slice->n);
        mk_buf_printf(out, ", %zu}", slice->n);
        break;
    case MK_KIND_ID:
    case MK_KIND_PEER:
    case MK_KIND_ARRAY:
        put_raw(out, p, t->size, depth);
        break;
    case MK_KIND_OPTION:
        mk_buf_put_str(out, *(const bool *)p ? "{true, " : "{0}");
        if (*(const bool *)p) {
            put_value(out, t->inner, p + t->offset, depth);
            mk_buf_put_u8(out, '}');
        }
        break;
    case MK_KIND_SEQ:
        put_seq(out, t, p, depth);
        break;
    case MK_KIND_STRUCT:
        put_struct(out, t, p, depth);
        break;
    case MK_KIND_ENUM:
        put_enum(out, t, p, depth);
        break;
    default:
        abort(); /* no config holds other kinds */
    }
}

static void put_module(struct mk_buf *out, enum coa_module_kind kind,
                       const struct coa_module_config *m)
{
    const char *name = coa_module_name(kind);

    mk_buf_printf(out, "    .%s = &(const struct coa_%s_config){.body = {\n", name, name);
    mk_buf_put_str(out, "        .instance = ");
    put_value(out, &mk_name_type, (const uint8_t *)&m->instance, 2);
    mk_buf_put_str(out, ",\n        .content = ");
    put_value(out, &coa_content_type, (const uint8_t *)&m->content, 2);
    mk_buf_put_str(out, ",\n        .acl = ");
    put_value(out, &mk_acl_composition_type, (const uint8_t *)&m->acl, 2);
    mk_buf_put_str(out, ",\n    }},\n");
}

/* A C identifier in capitals; out is empty. */
static void put_identifier(struct mk_buf *out, struct mk_str name)
{
    if (name.p[0] < 'A' || name.p[0] > 'z')
        mk_buf_put_str(out, "C_");
    for (size_t i = 0; i < name.n; i++) {
        unsigned char c = (unsigned char)name.p[i];

        if (c < 0x80 && isalnum(c))
            mk_buf_put_u8(out, (uint8_t)toupper(c));
        else if (out->n == 0 || out->p[out->n - 1] != '_')
            mk_buf_put_u8(out, '_'); /* one for a run */
    }
}

void print_c(struct mk_buf *out, const struct coa_coalition_config *c)
{
    struct mk_id id = coa_coalition_id(c);
    struct mk_buf name = {0};
    char hex[MK_ID_HEX];

    put_identifier(&name, c->instance_name);
    mk_buf_put_u8(&name, 0);
    mk_buf_printf(out,
                  "/* Printed by `coalition freeze --c`. Fingerprint (coalition_id):\n * %s */\n"
                  "#ifndef COALITION_%s_H\n#define COALITION_%s_H\n\n"
                  "#include <coalition/config.h>\n\n"
                  "static const struct coa_coalition_config %s = {\n",
                  mk_id_hex(&id, hex), (char *)name.p, (char *)name.p, (char *)name.p);
    mk_buf_put_str(out, "    .schema_version = COA_SCHEMA_VERSION,\n"
                        "    .seed = COA_ROOT_SEED_INIT,\n    .instance_name = ");
    put_value(out, &mk_name_type, (const uint8_t *)&c->instance_name, 1);
    mk_buf_put_str(out, ",\n    .lattices = ");
    put_value(out, &coa_lattice_refs_type, (const uint8_t *)&c->lattices, 1);
    mk_buf_put_str(out, ",\n    .organisms = ");
    put_value(out, &coa_organism_refs_type, (const uint8_t *)&c->organisms, 1);
    mk_buf_put_str(out, ",\n");
    for (unsigned i = 0; i < COA_MODULE_KINDS; i++) {
        const struct coa_module_config *m = coa_module_body(c, (enum coa_module_kind)i);

        if (m != NULL)
            put_module(out, (enum coa_module_kind)i, m);
    }
    if (c->ticket_issuer != NULL) {
        mk_buf_put_str(out, "    .ticket_issuer = &(const struct coa_ticket_issuer_config)");
        put_value(out, &coa_ticket_issuer_config_type, (const uint8_t *)c->ticket_issuer, 1);
        mk_buf_put_str(out, ",\n");
    }
    mk_buf_printf(out, "    .retirement_policy = %s,\n};\n\n#endif\n",
                  c->retirement_policy == COA_LENIENT ? "COA_LENIENT" : "COA_CONSERVATIVE");
    mk_buf_done(&name);
}
