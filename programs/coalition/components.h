/* components.h - the components of a node file, as the library wants them. */
#ifndef PROGRAMS_COMPONENTS_H
#define PROGRAMS_COMPONENTS_H

#include <coalition/file.h>
#include <mosaik/node.h>

/** What is done with each component of a node file. */
struct component_use {
    /** o is lent, its machine (and driver) are taken. */
    int (*use)(void *arg, struct mk_component_options *o, struct mk_fault *fault);
    void *arg;
};

/** Calls u for each component of a node file, without drivers; ends at its first error.
 * Paths are seen from config's folder. */
int each_component(const char *config, const struct coa_node_file *file, struct component_use u,
                   struct mk_fault *fault);

#endif
