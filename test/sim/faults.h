/* faults.h - what a seed's swarm is made of, and what happens to it.
 *
 * A seed draws its options first: size, weather, clients, and which kinds of faults may
 * happen at all. A run with few kinds goes deep into what they do together; over many
 * seeds each set of kinds comes. */
#ifndef SIM_FAULTS_H
#define SIM_FAULTS_H

#include "cluster.h"

enum fault_kind {
    FAULT_RESTART, /* those that are down or failed, some of them */
    FAULT_HEAL,    /* the network */
    FAULT_CRASH,
    FAULT_KILL,
    FAULT_ALL_DOWN, /* power is lost everywhere */
    FAULT_STRIKE,   /* at the moment of an election */
    FAULT_ISOLATE,
    FAULT_PARTITION,
    FAULT_ONE_WAY,
    FAULT_PAUSE,
    FAULT_BREAK, /* a connection */
    FAULT_CLOCK,
    FAULT_DISK,  /* a write, sync or name fails */
    FAULT_SPACE, /* a disk is full */
    FAULT_LOST_DISK,
    FAULT_ROSTER,   /* another one is proposed, with spares in it */
    FAULT_TRANSFER, /* the leader is sent away */
    FAULT_FLOOD,    /* more commands than there is room for */
    FAULT_SNATCH,   /* a leader is left alone with a client just when it has heard from all */
    FAULT_KINDS,
};

#define LONG_LIFE_EVERY 8u /* seeds: some hours pass in them */

struct plan {
    struct cluster_options o;
    unsigned faults, pause_ms, keys;
    uint64_t mean_ms; /* between faults */
    unsigned storms;  /* times of faults, each healed; a long life has many */
    uint64_t calm_ms; /* at most, after each storm but the last */
    uint32_t kinds;   /* bits */
    bool early;       /* faults from the first moment, before the founding */
    bool reader;
    struct world_link link;
    int drift_ppm;    /* of clocks, at most */
    uint32_t sync_us; /* on average, at most */
};

struct plan plan_draw(uint64_t seed);
/** Few faults at a time and long calms between: groups fall quiet, history is forgotten,
 * certificates and links grow old, clocks drift apart. */
void plan_long_life(struct plan *p);
void plan_weather(struct cluster *c, const struct plan *p);
/** Something happens, of the plan's kinds. */
void fault(struct cluster *c, const struct plan *p);
/** A majority is up and whole and has its network; of the others nothing is sure. */
void heal_core(struct cluster *c);
void heal_all(struct cluster *c);
/** Members that have stopped since start again. */
void heal_failed(struct cluster *c);

#endif
