/* check.h - rules that the file reader and the checks of configs share. */
#ifndef COALITION_CHECK_H
#define COALITION_CHECK_H

#include <coalition/config.h>

/** May clauses 11 to 13 stand here? */
enum coa_own {
    COA_OWN_FORBIDDEN, /* an organism */
    COA_OWN_ALLOWED,   /* a module */
    COA_OWN_ISSUER,    /* the ticket issuer: all but its own tickets */
};
/** The rule that a clause breaks here, or NULL. */
const char *coa_own_clause_rule(const struct mk_acl_clause *c, enum coa_own own);
int coa_acl_check(const struct mk_acl_composition *acl, enum coa_own own, struct mk_fault *reterr);

#endif
