
/* The models and their names */

#ifndef _FAKE_MODEL_H_INCLUDED_
#define _FAKE_MODEL_H_INCLUDED_

#include "conf.h"


#define FAKE_MODIFIED  "2026-01-02T03:04:05.678901234Z"
#define FAKE_DIGEST                                                           \
    "5df20edd1d9e4b53a1dc9e4e2b5a3f7b8c6d0f1e2a3b4c5d6e7f8091a2b3c4d5"


struct fake_model_s {
    fake_model_t  *next;
    char          *name;
    char          *key;             /* normalized, for comparing */
    json_t        *spec;            /* as given to server.models */
    double         load_until;      /* 0: nobody loads it */
    unsigned       loaders;         /* requests waiting for the load */
    unsigned       loaded:1;
    fake_conf_t    conf;
};


char *fake_name_key(const char *name, size_t len);
fake_model_t *fake_model_find(const char *name, size_t len);
fake_model_t *fake_model_add(const char *name, json_t *spec);
void fake_model_remove(fake_model_t *model);


#endif /* _FAKE_MODEL_H_INCLUDED_ */
