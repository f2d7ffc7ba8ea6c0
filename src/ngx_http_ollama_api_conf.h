
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_API_CONF_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_API_CONF_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "core/ngx_http_ollama_conf.h"


/* The setter of the directive: "ollama_api upstream [prefix=/path] | off". */
char *ngx_http_ollama_api_conf(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/*
 * Sets omcf->proxy, the content handler of proxy_pass, which
 * ngx_http_ollama_api_conf_merge() needs.  Called when the blocks inside
 * "http" have been read, before they are merged.
 */
char *ngx_http_ollama_api_conf_init(ngx_conf_t *cf,
    ngx_http_ollama_main_conf_t *omcf);

/*
 * Merges the directive's fields of "conf" with those of the level around it,
 * and sets conf->enable where it holds.  Refuses, with an EMERG line, what
 * can't work with the proxy_pass of that location.
 */
char *ngx_http_ollama_api_conf_merge(ngx_conf_t *cf,
    ngx_http_ollama_loc_conf_t *prev, ngx_http_ollama_loc_conf_t *conf);


#endif /* _NGX_HTTP_OLLAMA_API_CONF_H_INCLUDED_ */
