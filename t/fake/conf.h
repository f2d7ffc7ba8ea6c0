
/* Settings of models and of the server */

#ifndef _FAKE_CONF_H_INCLUDED_
#define _FAKE_CONF_H_INCLUDED_

#include "model.h"


void fake_conf_reset(void);
void fake_conf_exit(void);
int fake_conf_set(json_t *root, fake_buf_t *err);
void fake_conf_effective(fake_conf_t *conf, fake_model_t *model);


#endif /* _FAKE_CONF_H_INCLUDED_ */
