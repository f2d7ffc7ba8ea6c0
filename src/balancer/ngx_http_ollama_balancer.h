
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_BALANCER_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_BALANCER_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>


/*
 * The init_upstream handler of ollama_balance: sets up nginx's round robin for
 * the upstream block, and the peer handlers here.
 */
ngx_int_t ngx_http_ollama_balancer_init_upstream(ngx_conf_t *cf,
    ngx_http_upstream_srv_conf_t *us);


#endif /* _NGX_HTTP_OLLAMA_BALANCER_H_INCLUDED_ */
