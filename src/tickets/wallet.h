/* wallet.h - the tickets that an agent shows, as all see them who show them: members to each other,
 * clients to members, the two ends of a stream. Whoever holds a pointer to it shows the present
 * ones; who was shown earlier ones is told (src/node/renew.c). */
#ifndef TICKETS_WALLET_H
#define TICKETS_WALLET_H

#include <mosaik/bytes.h>

struct mk_wallet {
    const struct mk_bytes *v; /* each pc(Ticket); lent until the loop is entered again */
    size_t n;
    uint64_t version; /* counts renewals */
};

#endif
