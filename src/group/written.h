/* written.h - which machine a stored log was written by.
 *
 * Entries mean what the machine that they were made for makes of them. Members tell each other
 * which machine they run (the hello), so one with another is refused; but when all of them are
 * stopped and come back with another, nobody is left to refuse. So it is a fact of the group's part
 * of the store, durable no later than its founding, and compared before anything is read. */
#ifndef GROUP_WRITTEN_H
#define GROUP_WRITTEN_H

#include "store/store.h"
#include <mosaik/machine.h>

#define MK_MACHINE_TEXT 96u

/** "toy version 1 (5c0a...)": a machine as refusals name it; what a stranger calls it is made
 * printable and cut. Returns out. */
const char *mk_machine_text(char out[MK_MACHINE_TEXT], struct mk_str name, uint64_t version,
                            const struct mk_id *signature);

/** Puts the machine down as the one whose entries these are. */
void mk_written_put(struct mk_store_group *disk, const struct mk_machine_ops *ops);
/** 0: the machine's log; MK_ENOTFOUND: none is noted (an earlier build wrote it); MK_ENOTSUP, with
 * both machines in reterr: another one's. */
int mk_written_check(const struct mk_store_group *disk, const struct mk_machine_ops *ops,
                     struct mk_fault *reterr);

#endif
