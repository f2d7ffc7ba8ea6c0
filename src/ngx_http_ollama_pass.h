
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_PASS_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_PASS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>


/* Handles the directive ollama_pass: adds its paths to the location's. */
char *ngx_http_ollama_pass(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);


#endif /* _NGX_HTTP_OLLAMA_PASS_H_INCLUDED_ */
