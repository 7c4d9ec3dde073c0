/* stream.c - the public face of producers and consumers: src/streams on a network handle. */
#include "node/network.h"
#include <mosaik/stream.h>

int mk_producer_open(struct mk_network *n, struct mk_producer **ret,
                     const struct mk_producer_options *o)
{
    struct mk_producer_options own = *o;

    if (own.issuers == NULL)
        own.issuers = mk_issuer_book_issuers(n->issuers);
    return mk_streams_produce(&n->streams, ret, &own);
}

int mk_consumer_open(struct mk_network *n, struct mk_consumer **ret,
                     const struct mk_consumer_options *o, const struct mk_consumer_cbs *cbs,
                     void *owner)
{
    struct mk_consumer_options own = *o;

    if (own.issuers == NULL)
        own.issuers = mk_issuer_book_issuers(n->issuers);
    return mk_streams_consume(&n->streams, ret, &own, cbs, owner);
}

int mk_gather_open(struct mk_network *n, struct mk_gather **ret, const struct mk_gather_options *o,
                   const struct mk_consumer_cbs *cbs, void *owner)
{
    struct mk_gather_options own = *o;

    if (own.consumer.issuers == NULL)
        own.consumer.issuers = mk_issuer_book_issuers(n->issuers);
    return mk_streams_gather(&n->streams, ret, &own, cbs, owner);
}
