/* print_c.h - a coalition config as a C header. */
#ifndef PROGRAMS_PRINT_C_H
#define PROGRAMS_PRINT_C_H

#include <coalition/config.h>

/** Appends a header that defines one `static const struct coa_coalition_config`, named after the
 * instance in capitals, and says its fingerprint. */
void print_c(struct mk_buf *out, const struct coa_coalition_config *c);

#endif
