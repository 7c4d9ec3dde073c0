/* checks.h - what a cluster remembers about its members, to see what must never happen. */
#ifndef SIM_CHECKS_H
#define SIM_CHECKS_H

#include "cluster.h"

void checks_open(struct cluster *c);
void checks_close(struct cluster *c);
/** Memory that lives as long as the cluster. */
void *checks_memory(struct cluster *c, size_t n);
/** After each entry that a member applies; arg: its process. */
void checks_applied(void *arg, uint64_t index);
uint64_t checks_session(struct cluster *c); /* never given before */
void checks_acknowledged(struct cluster *c, const char *key, const char *value);

void clients_boot(struct cluster *c);

#endif
