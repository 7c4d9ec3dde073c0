/* cmd_organism.c - `coalition organism`: the ids of an organism file. */
#include "program.h"

#include <stdio.h>

static const struct argp_option options[] = {OPTION_JSON("Print one JSON object"), {0}};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    return parse_words(key, arg, state, state->input, 1, 1, "FILE is");
}

static void print_text(const struct coa_organism_file *f, const struct coa_organism_ids *ids)
{
    char hex[MK_ID_HEX];

    printf("name            %s\n", f->config.name.p);
    printf("stable_id       %s\n", mk_id_hex(&ids->stable_id, hex));
    printf("organism_id     %s\n", mk_id_hex(&ids->organism_id, hex));
    printf("content_hash    %s\n", mk_id_hex(&ids->content_hash, hex));
    printf("committee       %s\n", mk_id_hex(&ids->committee, hex));
    printf("private network %s\n", mk_id_hex(&ids->private_network, hex));
    for (size_t i = 0; i < f->surfaces.n; i++) {
        struct mk_id id = coa_surface_id_of(&f->surfaces.v[i], &ids->stable_id);

        printf("surface         %s  %s %.*s\n", mk_id_hex(&id, hex), f->surfaces.v[i].kind.p,
               (int)f->surfaces.v[i].name.n, f->surfaces.v[i].name.p);
    }
}

int cmd_organism(int argc, char **argv)
{
    static const struct argp argp = {options, parse, "FILE", "Print the ids of an organism file.",
                                     NULL,    NULL,  NULL};
    struct words in = {0};
    struct coa_organism_file f;
    struct coa_organism_ids ids;
    int status;

    parse_options(&argp, argc, argv, &in);
    status = load_organism(&f, in.v[0]);
    if (status != 0)
        return status;
    coa_organism_derive(&f.config, &ids, NULL);
    if (in.json)
        print_json(json_pack("{s:o, s:o, s:o, s:o, s:o}", "stable_id", json_id(&ids.stable_id),
                             "organism_id", json_id(&ids.organism_id), "content_hash",
                             json_id(&ids.content_hash), "committee", json_id(&ids.committee),
                             "surfaces", json_surfaces(f.surfaces, &ids.stable_id)));
    else
        print_text(&f, &ids);
    coa_organism_file_done(&f);
    return STATUS_DONE;
}
