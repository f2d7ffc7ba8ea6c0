
/*
 * Copyright (C) the nginx-ollama authors
 */


#include <string.h>

#include "scenario.h"


/*
 * Speeds are plausible, not measured: a card's generation is about 0.6 of its
 * memory's bandwidth, prompts are as their arithmetic.
 */

#define RTX4090  { "4090",  25000, 600, 3.0, 24 }
#define RTX3090  { "3090",  14000, 550, 2.5, 24 }
#define A6000    { "A6000", 16000, 450, 2.0, 48 }
#define RTX4060  { "4060",   7000, 160, 2.0,  8 }
#define MAC      { "Mac",    2500, 240, 4.0, 21 }
#define CPU      { "CPU",     400,  60, 1.5, 64 }

/* small models: a reply takes half a second, a load three times that or more */
#define FAST(n)  { "fast", 20000.0 / (n), 6000.0 / (n), 20.0 / (n), 12 }

#define HOME     RTX4090, MAC, CPU
#define LAB      RTX4090, RTX3090, A6000, RTX4060
#define OFFICE   RTX4090, RTX3090, RTX3090, A6000, RTX4060, MAC

/* a model's name, its size, and the cache of a token: about its width */

#define B3(n)    { n,  2.5,  57344 }
#define B7(n)    { n,  5.0,  65536 }
#define B8(n)    { n,  5.5, 131072 }
#define B12(n)   { n,  8.5, 131072 }
#define B14(n)   { n, 10.0, 163840 }
#define B24(n)   { n, 15.0, 163840 }
#define B32(n)   { n, 20.0, 262144 }

#define SMALL6   B8(0), B3(1), B14(2), B7(3), B12(4), B32(5)
#define ZOO12    B8(0), B14(1), B32(2), B12(3), B24(4), B8(5), B14(6), \
                 B24(7), B12(8), B32(9), B12(10), B24(11)

#define GIB      1073741824.0

#define HOURS2   7200.0
#define HOUR     3600.0

#define LEAVE    0.01


const scenario_t  scenarios[] = {

    { "home", "4090, Mac, CPU; 3 models",
      TRAFFIC_POISSON, 0.8, 0.0876, HOURS2, 0, LEAVE,
      { 3, 3, 1, 3, 8 * GIB, { HOME }, { B8(0), B14(1), B12(2) } } },

    { "lab", "4090, 3090, A6000, 4060; 6 models that fit",
      TRAFFIC_POISSON, 0.8, 0.1926, HOURS2, 0, LEAVE,
      { 4, 6, 1, 3, 8 * GIB, { LAB }, { SMALL6 } } },

    { "zoo", "4 x 24 GB; 12 models, 1.5 x what fits",
      TRAFFIC_POISSON, 0.7, 0.1242, HOURS2, 0, LEAVE,
      { 4, 12, 1, 3, 8 * GIB, { RTX4090, RTX4090, RTX4090, RTX4090 },
        { ZOO12 } } },

    { "office", "6 servers of 5 kinds; 8 models",
      TRAFFIC_POISSON, 1.0, 0.2842, HOURS2, 0, LEAVE,
      { 6, 8, 1, 3, 8 * GIB, { OFFICE }, { SMALL6, B24(6), B3(7) } } },

    { "farm", "16 servers; 12 models",
      TRAFFIC_POISSON, 0.9, 0.4700, HOURS2, 0, LEAVE,
      { 16, 12, 1, 3, 8 * GIB,
        { OFFICE, OFFICE, LAB }, { ZOO12 } } },

    { "lab4", "lab with OLLAMA_NUM_PARALLEL=4",
      TRAFFIC_POISSON, 0.8, 0.4008, HOURS2, 0, LEAVE,
      { 4, 6, 4, 3, 8 * GIB, { LAB }, { SMALL6 } } },

    { "burst", "lab, three times as many for 2 minutes of 10",
      TRAFFIC_BURST, 0.8, 0.1880, HOURS2, 0, LEAVE,
      { 4, 6, 1, 3, 8 * GIB, { LAB }, { SMALL6 } } },

    { "context", "lab, a fifth with another num_ctx",
      TRAFFIC_POISSON, 0.8, 0.1500, HOURS2, 0.2, LEAVE,
      { 4, 12, 1, 3, 8 * GIB, { LAB }, { SMALL6, SMALL6 } } },

    { "fast", "4 servers for half a second's replies; 4 models, 2 fit",
      TRAFFIC_POISSON, 1.0, 1.28, HOUR, 0, LEAVE,
      { 4, 4, 1, 2, 8 * GIB, { FAST(1), FAST(1), FAST(2), FAST(4) },
        { B7(0), B7(1), B7(2), B7(3) } } },

    { "trace4090", "trace; 4 x 4090, 8 GiB of stored prompts",
      TRAFFIC_TRACE, 0, 0.2003, HOUR, 0, 0,
      { 4, 1, 1, 3, 8 * GIB, { RTX4090, RTX4090, RTX4090, RTX4090 },
        { B8(0) } } },

    { "trace8", "trace; 8 x Mac, 8 GiB",
      TRAFFIC_TRACE, 0, 0.0741, HOUR, 0, 0,
      { 8, 1, 1, 3, 8 * GIB, { MAC, MAC, MAC, MAC, MAC, MAC, MAC, MAC },
        { B8(0) } } },

    { "trace64", "trace; 8 x Mac, 64 GiB",
      TRAFFIC_TRACE, 0, 0.0842, HOUR, 0, 0,
      { 8, 1, 1, 3, 64 * GIB, { MAC, MAC, MAC, MAC, MAC, MAC, MAC, MAC },
        { B8(0) } } },

    { "trace0", "trace; 8 x Mac, slots only",
      TRAFFIC_TRACE, 0, 0.0689, HOUR, 0, 0,
      { 8, 1, 1, 3, 0, { MAC, MAC, MAC, MAC, MAC, MAC, MAC, MAC },
        { B8(0) } } },

    { "light", "lab, a user with few requests",
      TRAFFIC_LIGHT, 0.8, 0.1926, HOURS2, 0, 0,
      { 4, 6, 1, 3, 8 * GIB, { LAB }, { SMALL6 } } },

    { "flood", "the same beside one who sends 200 in 10 s",
      TRAFFIC_FLOOD, 0.8, 0.1926, HOURS2, 0, 0,
      { 4, 6, 1, 3, 8 * GIB, { LAB }, { SMALL6 } } },

    { "rare", "one server; a rare model beside a saturating one",
      TRAFFIC_RARE, 0, 0.027, HOURS2, 0, 0,
      { 1, 2, 1, 3, 8 * GIB, { RTX4090 }, { B24(0), B14(1) } } },

    { NULL, NULL, 0, 0, 0, 0, 0, 0, { 0 } }
};


const scenario_t *
scenario_find(const char *name)
{
    const scenario_t  *s;

    for (s = scenarios; s->name; s++) {
        if (strcmp(s->name, name) == 0) {
            return s;
        }
    }

    return NULL;
}


int
scenario_has_owners(const scenario_t *s)
{
    switch (s->traffic) {

    case TRAFFIC_LIGHT:
    case TRAFFIC_FLOOD:
    case TRAFFIC_RARE:
        return 1;

    default:
        return 0;
    }
}
