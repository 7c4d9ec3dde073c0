/* main.c - the program `coalition`: one binary, one file a command. */
#include "program.h"

#include <stdio.h>
#include <string.h>

#define VERSION "0.1.0"

static const struct command commands[] = {
    {"id", "the id of each text", cmd_id},
    {"derive", "derive an id along a path", cmd_derive},
    {"stable-id", "the stable id of a name", cmd_stable_id},
    {"freeze", "every id of a coalition file", cmd_freeze},
    {"organism", "the ids of an organism file", cmd_organism},
    {"verify", "compare a file with what was published", cmd_verify},
    {"diff", "which rotation lies between two files", cmd_diff},
    {"key", "make a peer key, or show its peer id", cmd_key},
    {"deploy", "sign where a component runs", cmd_deploy},
    {"tickets", "issue a ticket, or show what one says", cmd_tickets},
    {"up", "run every committee of a coalition on this machine", cmd_up},
    {"node", "run one node in the foreground", cmd_node},
    {"status", "what nodes say of themselves", cmd_status},
    {"committee", "who is of a committee; another leader, another roster", cmd_committee},
    {"bind", "bind as an integrator, and say what was admitted", cmd_bind},
    {"atlas", "list, get, publish member cards", cmd_atlas},
    {"stream", "follow a stream; publish one", cmd_stream},
    {"map", "read a map with proofs; follow it", cmd_map},
    {"collection", "read, follow, write a collection of any shape", cmd_collection},
    {"handshake", "a page and a JSON file for integrators", cmd_handshake},
    {"replay", "recompute a component from its log", cmd_replay},
    {"check", "judge foreign data: quotes, event logs, histories", cmd_check},
    {"emulator", "a TDX emulator, for development", cmd_emulator},
};

static void print_help(void)
{
    printf("Usage: coalition COMMAND [ARGUMENT...]\n"
           "Coordination of agents without a central authority.\n\nCommands:\n");
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
        printf("  %-12s %s\n", commands[i].name, commands[i].summary);
    printf("\n`coalition COMMAND --help` tells more. Exit status: 0 done, 1 a check failed or the\n"
           "thing is not there, 2 wrong usage or a bad file, 3 not reachable in time.\n");
}

static int run(const struct command *c, int argc, char **argv)
{
    char name[64];
    int status;

    snprintf(name, sizeof name, "coalition %s", c->name);
    argv[0] = name;
    status = c->run(argc, argv);
    flush_output();
    return status;
}

int main(int argc, char **argv)
{
    if (argc < 2)
        return complain(STATUS_USAGE,
                        "coalition: a command is missing; `coalition --help` lists them");
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0) {
        print_help();
        flush_output();
        return STATUS_DONE;
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("coalition %s\n", VERSION);
        flush_output();
        return STATUS_DONE;
    }
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        if (strcmp(argv[1], commands[i].name) == 0)
            return run(&commands[i], argc - 1, argv + 1);
    }
    return complain(STATUS_USAGE, "coalition: no command \"%s\"; `coalition --help` lists them",
                    argv[1]);
}
