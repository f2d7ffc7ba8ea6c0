
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_SERVER_URL_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_SERVER_URL_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/* the URL has no scheme: neither 0, as for http, nor 1, as for https */
#define NGX_HTTP_OLLAMA_SERVER_URL_EITHER  2


/*
 * Writes a URL of a server in the form of a server line, "host:port" or
 * "unix:/path", to "dst", which has room for url->len + sizeof(":443"); sets
 * "server" to that, and *tls to 0 for http, 1 for https, or
 * NGX_HTTP_OLLAMA_SERVER_URL_EITHER.  NGX_DECLINED: no line can be meant.
 */
ngx_int_t ngx_http_ollama_server_url(u_char *dst, ngx_str_t *url,
    ngx_str_t *server, ngx_uint_t *tls);


#endif /* _NGX_HTTP_OLLAMA_SERVER_URL_H_INCLUDED_ */
