
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_SCHED_SURVEY_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_SCHED_SURVEY_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "balancer/ngx_http_ollama_sched_types.h"


/*
 * Looks at all servers, unless that was done a moment ago: sets what the
 * scheduler, its models and the servers have of it.
 */
void ngx_http_ollama_sched_survey(ngx_http_ollama_sched_t *s,
    const ngx_http_ollama_sched_ops_t *ops, void *data, ngx_msec_t now);


#endif /* _NGX_HTTP_OLLAMA_SCHED_SURVEY_H_INCLUDED_ */
