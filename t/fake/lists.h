
/* Version, tags, ps, and OpenAI's lists */

#ifndef _FAKE_LISTS_H_INCLUDED_
#define _FAKE_LISTS_H_INCLUDED_

#include "conn.h"
#include "model.h"


void fake_root(fake_conn_t *c);
void fake_version(fake_conn_t *c);
void fake_lists(fake_conn_t *c);
json_t *fake_list_get(fake_model_t *m, const char *key, json_t *value);
json_t *fake_list_digest(fake_model_t *m);
json_t *fake_list_details(fake_model_t *m);
void fake_v1_models(fake_conn_t *c);
void fake_v1_model(fake_conn_t *c);
void fake_status(fake_conn_t *c);
void fake_me(fake_conn_t *c);


#endif /* _FAKE_LISTS_H_INCLUDED_ */
