
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_ALIAS_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_ALIAS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "fleet/ngx_http_ollama_model_state.h"


/* a name, and the form in which it is compared */

typedef struct {
    ngx_str_t                  name;
    ngx_http_ollama_wanted_t   wanted;
} ngx_http_ollama_alias_name_t;


/* of the directive ollama_alias; lies in the configuration */

typedef struct {
    ngx_http_ollama_alias_name_t   alias;
    ngx_http_ollama_alias_name_t  *models;   /* the first that is there */
    ngx_uint_t                     nmodels;
} ngx_http_ollama_alias_t;


/* The handler of ollama_alias. */
char *ngx_http_ollama_alias_conf(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/*
 * Finds an alias by its key in an array of ngx_http_ollama_alias_t, or NULL.
 * NULL: there is none.
 */
ngx_http_ollama_alias_t *ngx_http_ollama_alias_find(ngx_array_t *aliases,
    ngx_str_t *key);


#endif /* _NGX_HTTP_OLLAMA_ALIAS_H_INCLUDED_ */
