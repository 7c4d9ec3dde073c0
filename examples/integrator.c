/* integrator.c - an agent that binds a coalition through one file: it checks the fingerprint
 * it was compiled with, reads the directory, and follows a price feed. Nothing that it
 * prints is believed because a server said so: all of it is covered by certificates.
 *
 *     integrator local.toml */
#include <coalition/bind.h>
#include <mosaik/network.h>

#include "atlas/atlas.h"
#include "price-feed/price_feed.h"
#include <superchain.h> /* coalition freeze --c examples/superchain.toml */

#include <stdio.h>
#include <stdlib.h>

static struct mk_fault fault;

static void must(int rv, const char *what)
{
    if (rv == 0)
        return;
    fprintf(stderr, "%s: %s\n", what, fault.text[0] != '\0' ? fault.text : mk_strerror(rv));
    exit(1);
}

static int load(struct coa_loader *l, const char *path, struct mk_buf *ret, struct mk_fault *reterr)
{
    FILE *f = fopen(path, "rb");
    size_t n;

    (void)l;
    if (f == NULL)
        return mk_fault(reterr, MK_ENOTFOUND, "%s: cannot be read", path);
    n = fread(mk_buf_grow(ret, COA_FILE_MAX), 1, COA_FILE_MAX, f);
    ret->n -= COA_FILE_MAX - n;
    fclose(f);
    return 0;
}

int main(int argc, char **argv)
{
    const char *path = argc > 1 ? argv[1] : "local.toml";
    struct coa_loader loader = {load};
    struct coa_coalition_file file;
    struct coa_coalition_ids ids;
    struct mk_arena arena = {0};
    struct mk_buf bytes = {0};
    struct mk_env *loop;
    struct mk_network *net;
    struct mk_reference reference;
    struct mk_bond *atlas, *oracle;
    struct mk_map *cards;
    struct mk_feed *feed;
    struct mk_surface_spec eur_usd = price_feed_surface("EUR/USD");
    struct mk_id compiled = coa_coalition_id(&ETHEREUM_SUPERCHAIN), cursor = {{0}};
    struct atlas_card card;
    struct price_tick tick;
    char text[64];

    /* 1. The file brings addresses; which coalition it is, was compiled in. */
    must(load(&loader, path, &bytes, &fault), "file");
    must(coa_coalition_file_parse(&file, path, mk_buf_bytes(&bytes), &loader, &fault), "file");
    coa_coalition_derive(&file.config, &ids, NULL);
    must(mk_id_eq(&compiled, &ids.coalition_id) ? 0 : MK_EIDENTITY,
         "this file is of another coalition");

    /* 2. One network handle, with a fresh key. */
    must(mk_loop_open(&loop, NULL, &fault), "loop");
    must(mk_network_open(loop, &net,
                         &(struct mk_network_options){.hints = &file.peers.v[0].address,
                                                      .n_hints = file.peers.n > 0},
                         &fault),
         "network");

    /* 3. The directory. */
    must(coa_module_reference(&file, &ids, COA_ATLAS, &reference, &arena), "atlas");
    must(mk_bond_open(net, &atlas, &reference, &fault), "atlas");
    must(mk_bond_wait(atlas, 10000, &fault), "atlas");
    must(atlas_read(atlas, &cards, NULL, NULL), "cards");
    must(mk_map_wait(cards, 0, 10000, &fault), "cards");
    while (atlas_next(cards, &cursor, &card, &arena))
        printf("member %.*s, version %llu\n", (int)card.role.n, card.role.p,
               (unsigned long long)card.version);

    /* 4. The organism in the role "oracle", and three of its ticks. */
    coa_organism_binding(&file, 0, &reference, &arena);
    must(mk_bond_open(net, &oracle, &reference, &fault), "oracle");
    must(mk_bond_wait(oracle, 10000, &fault), "oracle");
    must(mk_feed_open(oracle, &feed, &eur_usd, &(struct mk_feed_options){.from = MK_FEED_NEWEST},
                      NULL, NULL),
         "feed");
    for (int i = 0; i < 3; i++) {
        must(price_feed_next_wait(feed, &tick, 10000, &arena, &fault), "tick");
        price_decimal_format(&tick.price, text);
        printf("EUR/USD %s, seq %llu\n", text, (unsigned long long)tick.seq);
    }
    mk_feed_close(feed);
    mk_map_close(cards);
    mk_network_close(net);
    mk_loop_free(loop);
    coa_coalition_file_done(&file);
    mk_buf_done(&bytes);
    mk_arena_done(&arena);
    return 0;
}
