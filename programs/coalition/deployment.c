/* deployment.c - see deployment.h. */
#include "deployment.h"

void deployment_sign(struct mk_deployment *d, const struct mk_key *key, struct mk_buf *out)
{
    struct mk_buf message = {0};

    d->operator= key->peer;
    mk_buf_put_str(&message, "mosaik.deployment.v1");
    mk_encode(&message, &mk_deployment_type, d);
    message.n -= sizeof d->signature;
    mk_sign(key, mk_buf_bytes(&message), &d->signature);
    mk_buf_done(&message);
    mk_encode(out, &mk_deployment_type, d);
}
