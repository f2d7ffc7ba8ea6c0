
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_NAME_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_NAME_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/* what a model's key may have more than the name it is made of */
#define NGX_HTTP_OLLAMA_NAME_MORE    (sizeof(":latest") - 1)

/* a server's URL has no scheme: not 0, as for http, nor 1, as for https */
#define NGX_HTTP_OLLAMA_NAME_EITHER  2


size_t ngx_http_ollama_name_model(u_char *dst, ngx_str_t *name);
ngx_int_t ngx_http_ollama_name_namespace(ngx_str_t *name,
    ngx_str_t *owner);

/* in dst there must be room for url->len + sizeof(":443") */

ngx_int_t ngx_http_ollama_name_server(u_char *dst, ngx_str_t *url,
    ngx_str_t *server, ngx_uint_t *tls);


#endif /* _NGX_HTTP_OLLAMA_NAME_H_INCLUDED_ */
