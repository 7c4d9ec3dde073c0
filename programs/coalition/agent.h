/* agent.h - what every command that reaches out begins with: a coalition file, a network
 * handle with its hints, and bonds by name. */
#ifndef PROGRAMS_AGENT_H
#define PROGRAMS_AGENT_H

#include "attest.h"
#include "program.h"

#include <coalition/bind.h>
#include <mosaik/machine.h>
#include <mosaik/ticket.h>

struct agent {
    struct coa_coalition_file file;
    struct coa_coalition_ids ids;
    struct mk_env *loop;
    struct mk_network *net;
    struct mk_key key;
    bool has_key;
    const struct mk_str *through; /* borrowed from the reach: replicas */
    size_t n_through;
    struct attest attest; /* empty without --attest */
    bool attests;
    struct mk_arena arena;
};

/** The coalition of a file, as whom and with what r says (NULL: a fresh key, no ticket). A status,
 * after a complaint. */
int agent_open(struct agent *a, const char *path, const struct reach *r);
void agent_close(struct agent *a);

/** The tickets that r names: n_tickets of them, given from the arena. MK_EINVALID. */
int load_tickets(const struct reach *r, const struct mk_bytes **ret, struct mk_arena *arena,
                 struct mk_fault *reterr);

/** A component by name: a module's kind, an organism's role or its own name, or a stable id in hex.
 */
struct component {
    struct mk_reference reference;
    bool is_module;
    enum coa_module_kind kind;
    const struct coa_organism_file *organism; /* when its file is at hand */
    const struct mk_surface_spec *surfaces;   /* those whose types this build knows */
    unsigned n_surfaces;
    const struct coa_surface *unknown; /* those that its file declares with types of its own */
    unsigned n_unknown;
};
/** All of them: shipped modules, then organisms. */
size_t agent_components(struct agent *a, struct component **ret);
/** Every committee member that the file names, each once: whom mk_node_ask_all() may ask. */
struct mk_status_answer;
size_t agent_members(struct agent *a, struct mk_status_answer **ret);
/** A status, after a complaint that names what there is. */
int agent_find(struct agent *a, const char *name, struct component *ret);
/** Finds, binds, waits. */
int agent_bond(struct agent *a, const char *name, uint32_t timeout_ms,
               struct component *ret_component, struct mk_bond **ret);
/** A surface of a component by name. */
int agent_surface(const struct component *c, const char *name, enum mk_surface_kind kind,
                  const struct mk_surface_spec **ret);
/** The moment that many ms from now, and what is left until it: at least 1 ms. For commands that
 * wait several times and promise one --timeout. */
uint64_t deadline_in(uint32_t ms);
uint32_t left_until(uint64_t deadline);

#endif
