/* emit.h - a coalition file and an organism file written back as TOML, with other anchors. */
#ifndef PROGRAMS_EMIT_H
#define PROGRAMS_EMIT_H

#include <coalition/config.h>

/** What is not folded, for one component. */
struct emit_component {
    const char *operator_;          /* peer hex; NULL: none */
    const struct mk_str *committee; /* "<peer hex>@host:port" */
    size_t n_committee;
    const char
        *config; /* organisms: path of the organism file, relative to the coalition file; NULL */
};

struct emit_coalition {
    const struct coa_coalition_config *config;
    const char *operator_;
    const struct mk_str *peers; /* cold-start hints */
    size_t n_peers;
    const struct emit_component *organisms; /* as config->organisms; NULL: none */
    struct emit_component atlas, issuer;
};

void emit_coalition(struct mk_buf *out, const struct emit_coalition *e);

/** The organism file of a price feed (the only content type that `up` runs), else its content in
 * hex. */
void emit_organism(struct mk_buf *out, const struct coa_organism_config *o,
                   const char *content_type, const struct emit_component *anchors);

#endif
