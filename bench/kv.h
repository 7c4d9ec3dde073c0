/* kv.h - the component that the benchmarks replicate: a Map of byte strings, one command. */
#ifndef BENCH_KV_H
#define BENCH_KV_H

#include <mosaik/machine.h>
#include <mosaik/network.h>
#include <mosaik/node.h>

#define KV_MEMBERS_MAX 15u
#define KV_GROUPS_MAX 10240u

#define KV_PUT_TABLE(F, S) \
    F(S, mk_blob, key)     \
    F(S, mk_blob, value)
MK_STRUCT_DECLARE(kv_put, KV_PUT_TABLE)

extern const struct mk_surface_spec kv_surfaces[1];
struct mk_machine *kv_machine_new(void);

/** A committee whose keys follow from member numbers, so that benchmark processes need no
 * files in common. Ports are base, base + 1, ... on loopback or, with KV_NET (as 10.99.0) in the
 * environment, each at an address of its own: 10.99.0.1, 10.99.0.2, ... */
struct kv_committee {
    struct mk_key keys[KV_MEMBERS_MAX];
    struct mk_peer peers[KV_MEMBERS_MAX];
    char hosts[KV_MEMBERS_MAX][24];
    char addresses[KV_MEMBERS_MAX][96];
    struct mk_str address_list[KV_MEMBERS_MAX];
    unsigned n;
};
/** Members are numbered in roster order. */
void kv_committee_init(struct kv_committee *c, unsigned n, unsigned base_port);

/** One of the groups that the committee replicates, each a component of its own. */
struct kv_group {
    char label[24];
    struct mk_id stable_id, deployment, content;
    struct mk_roster roster; /* peers borrowed of the committee */
};
void kv_group_init(struct kv_group *g, const struct kv_committee *c, unsigned number);
/** Both are borrowed by the reference. */
struct mk_reference kv_reference(const struct kv_committee *c, const struct kv_group *g);

#endif
