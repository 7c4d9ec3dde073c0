/* cmd_diff.c - `coalition diff`: which rotation is this, and what does it take? */
#include "diff.h"

#include <stdio.h>

static const struct argp_option options[] = {OPTION_JSON("Print one JSON object"), {0}};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    return parse_words(key, arg, state, state->input, 2, 2, "OLD and NEW are");
}

/* A conservative coalition republishes for any member's content change. */
static const char *republish(const struct diff *d)
{
    if (d->folded)
        return "required";
    if (d->content)
        return d->new->f.config.retirement_policy == COA_LENIENT ? "optional" : "required";
    return d->anchors ? "optional" : "no";
}

static void print_list(const char *title, const json_t *list)
{
    size_t i;
    json_t *text;

    if (json_array_size(list) > 0)
        printf("%s\n", title);
    json_array_foreach(list, i, text) printf("  %zu. %s\n", i + 1, json_string_value(text));
}

static void print_text(const struct diff *d)
{
    size_t i;
    json_t *o;

    printf("fingerprint: %s\nrepublish: %s\n", d->folded ? "changes" : "stands", republish(d));
    json_array_foreach(d->rotations, i, o)
        printf("  %s: %s\n", json_string_value(json_object_get(o, "kind")),
               json_string_value(json_object_get(o, "component")));
    json_array_foreach(d->moves, i, o)
    {
        const char *old = json_string_value(json_object_get(o, "old"));
        const char *new = json_string_value(json_object_get(o, "new"));

        printf("%s\n  - %s\n  + %s\n", json_string_value(json_object_get(o, "id")),
               old != NULL ? old : "none", new != NULL ? new : "none");
    }
    print_list("note", d->advise);
    print_list("steps", d->steps);
}

int cmd_diff(int argc, char **argv)
{
    static const struct argp argp = {
        options,
        parse,
        "OLD NEW",
        "Say which rotation lies between two coalition files: whether the fingerprint changes, "
        "every id that moves, and what to do in which order.",
        NULL,
        NULL,
        NULL};
    struct words in = {0};
    struct side sides[2] = {0};
    struct diff d = {.old = &sides[0], .new = &sides[1]};
    int status = 0;

    parse_options(&argp, argc, argv, &in);
    for (unsigned i = 0; i < 2 && status == 0; i++) {
        status = load_coalition(&sides[i].f, in.v[i]);
        if (status == 0)
            coa_coalition_derive(&sides[i].f.config, &sides[i].ids, NULL);
    }
    if (status == 0) {
        d.rotations = json_array();
        d.moves = json_array();
        d.advise = json_array();
        d.steps = json_array();
        diff_find(&d);
        diff_advise(&d);
        if (in.json)
            print_json(json_pack("{s:b, s:s, s:O, s:O, s:O, s:O}", "fingerprint_changes", d.folded,
                                 "republish", republish(&d), "rotations", d.rotations, "moves",
                                 d.moves, "advise", d.advise, "steps", d.steps));
        else
            print_text(&d);
        json_decref(d.rotations);
        json_decref(d.moves);
        json_decref(d.advise);
        json_decref(d.steps);
    }
    coa_coalition_file_done(&sides[0].f);
    coa_coalition_file_done(&sides[1].f);
    return status;
}
