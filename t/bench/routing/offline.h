
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _OFFLINE_H_INCLUDED_
#define _OFFLINE_H_INCLUDED_


/*
 * How few loads a fleet needs for a sequence of models, one after the other,
 * where no request takes any time.
 */


#include "sim.h"


typedef enum {
    OFFLINE_BELADY = 0,         /* that needed last, of all to come, goes */
    OFFLINE_LRU                 /* that not used for longest goes */
} offline_e;


int offline_loads(const fleet_t *fleet, const int *models, int n,
    offline_e kind);


#endif /* _OFFLINE_H_INCLUDED_ */
