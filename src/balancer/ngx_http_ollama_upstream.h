
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_UPSTREAM_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_UPSTREAM_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "fleet/ngx_http_ollama_fleet.h"


/*
 * Handlers of ollama_balance, ollama_poll and ollama_poll_header, in an
 * upstream block, and of ollama_zone, in http.
 */
char *ngx_http_ollama_upstream_balance(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_ollama_upstream_poll(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_ollama_upstream_poll_header(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_ollama_upstream_zone(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/*
 * What the configuration has for an upstream block; made the first time, with
 * the defaults of ollama_poll.  NULL: no memory.
 */
ngx_http_ollama_upstream_t *ngx_http_ollama_upstream_get(ngx_conf_t *cf,
    ngx_http_upstream_srv_conf_t *uscf);

/*
 * In postconfiguration: refuses a balancing method that was set after
 * ollama_balance, and headers for probes where there are none.
 */
ngx_int_t ngx_http_ollama_upstream_check(ngx_conf_t *cf);


#endif /* _NGX_HTTP_OLLAMA_UPSTREAM_H_INCLUDED_ */
