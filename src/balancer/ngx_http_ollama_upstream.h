
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_UPSTREAM_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_UPSTREAM_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "fleet/ngx_http_ollama_fleet.h"


char *ngx_http_ollama_upstream_balance(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_ollama_upstream_poll(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_ollama_upstream_zone(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
ngx_http_ollama_upstream_t *ngx_http_ollama_upstream_get(ngx_conf_t *cf,
    ngx_http_upstream_srv_conf_t *uscf);
ngx_int_t ngx_http_ollama_upstream_init(ngx_conf_t *cf);


#endif /* _NGX_HTTP_OLLAMA_UPSTREAM_H_INCLUDED_ */
