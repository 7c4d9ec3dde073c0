/* See written.h.
 *
 *   the fact "machine":  u8 1   id signature   u64 version   the name's bytes
 *
 * Version and name are only for the words of a refusal; the signature has both in it, and the
 * surfaces' kinds, names and types. The fact is in each checkpoint of the log, and goes with the
 * group's part (mk_store_remove), so a member that begins anew may begin with any machine: the
 * others judge it at its hello. */
#include "group/written.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define FACT_MACHINE "machine"
#define FORM 1u
#define NAME_SHOWN 40u

const char *mk_machine_text(char out[MK_MACHINE_TEXT], struct mk_str name, uint64_t version,
                            const struct mk_id *signature)
{
    char shown[NAME_SHOWN + 1], hex[MK_ID_HEX];
    size_t n = name.n < NAME_SHOWN ? name.n : NAME_SHOWN;

    for (size_t i = 0; i < n; i++)
        shown[i] = name.p[i] > ' ' && name.p[i] <= '~' ? name.p[i] : '?';
    shown[n] = 0;
    snprintf(out, MK_MACHINE_TEXT, "%s version %" PRIu64 " (%.16s)", shown, version,
             mk_id_hex(signature, hex));
    return out;
}

void mk_written_put(struct mk_store_group *disk, const struct mk_machine_ops *ops)
{
    struct mk_id signature = mk_machine_signature(ops);
    struct mk_buf b = {0};

    mk_buf_put_u8(&b, FORM);
    mk_buf_put(&b, signature.b, sizeof signature.b);
    mk_buf_put_u64le(&b, ops->version);
    mk_buf_put_str(&b, ops->name);
    mk_store_put(disk, NULL, FACT_MACHINE, mk_buf_bytes(&b));
    mk_buf_done(&b);
}

int mk_written_check(const struct mk_store_group *disk, const struct mk_machine_ops *ops,
                     struct mk_fault *reterr)
{
    char theirs[MK_MACHINE_TEXT], ours[MK_MACHINE_TEXT];
    struct mk_id own = mk_machine_signature(ops), signature;
    struct mk_reader r;
    struct mk_bytes v;
    uint64_t version;

    if (mk_store_get(disk, &v, FACT_MACHINE) != 0)
        return MK_ENOTFOUND;
    if (v.n < 1 + sizeof signature.b + 8 || v.p[0] != FORM)
        return mk_fault(reterr, MK_ENOTSUP,
                        "the log names its machine in a form that this build does not know: "
                        "start the build that wrote it");
    memcpy(signature.b, v.p + 1, sizeof signature.b);
    if (mk_id_eq(&signature, &own))
        return 0;
    r = (struct mk_reader){v.p + 1 + sizeof signature.b, v.n - 1 - sizeof signature.b, false};
    version = mk_read_u64le(&r);
    return mk_fault(
        reterr, MK_ENOTSUP, "the log was written by machine %s, this build runs %s",
        mk_machine_text(theirs, (struct mk_str){(const char *)r.p, r.n}, version, &signature),
        mk_machine_text(ours, mk_str_of(ops->name), ops->version, &own));
}
