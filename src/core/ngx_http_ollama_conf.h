
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_CONF_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_CONF_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>


typedef struct ngx_http_ollama_upstream_s    ngx_http_ollama_upstream_t;
typedef struct ngx_http_ollama_redis_conf_s  ngx_http_ollama_redis_conf_t;


typedef struct {
    ngx_http_handler_pt       proxy;       /* content handler of proxy_pass */

    ngx_array_t               upstreams;   /* ngx_http_ollama_upstream_t * */
    ngx_shm_zone_t           *zone;        /* of the fleet; NULL: there is no
                                              such upstream, and no task */
    ngx_shm_zone_t           *tasks;
    size_t                    zone_size;

    ngx_http_ollama_redis_conf_t  *redis;  /* NULL: no ollama_redis */
} ngx_http_ollama_main_conf_t;


typedef struct {
    ngx_array_t                 *names;    /* ngx_http_server_name_t */
    ngx_http_ollama_upstream_t  *up;       /* of an upstream block, or NULL */
} ngx_http_ollama_srv_conf_t;


typedef struct {
    ngx_flag_t                api;         /* ollama_api, here or further out,
                                              is not "off" */
    ngx_flag_t                enable;      /* this is an API location, and "up"
                                              is set */
    ngx_http_ollama_upstream_t  *up;       /* ollama_api's */
    ngx_flag_t                fixed;       /* proxy_pass always leads there */

    ngx_str_t                 upstream;    /* ollama_api's parameter */
    ngx_str_t                 prefix;
    u_char                   *conf_file;
    ngx_uint_t                line;

    ngx_flag_t                management;
    ngx_array_t              *forbid;      /* ngx_http_ollama_forbid_t */
    ngx_array_t              *origins;     /* ngx_str_t */
    ngx_array_t              *pass;        /* ngx_http_ollama_endpoint_t */
    ngx_array_t              *aliases;     /* ngx_http_ollama_alias_t */

    ngx_http_complex_value_t *fair;            /* NULL: as session_owner */
    time_t                    session_ttl;     /* 0: for ever */
    ngx_http_complex_value_t *session_owner;   /* NULL: sessions have none */

    /* the first add_header of a CORS header, for a warning */

    ngx_str_t                 cors_header;
    u_char                   *cors_file;
    ngx_uint_t                cors_line;       /* 0: there is none */
    ngx_uint_t                adds_headers;    /* it inherits no add_header */
} ngx_http_ollama_loc_conf_t;


extern ngx_module_t  ngx_http_ollama_module;


#endif /* _NGX_HTTP_OLLAMA_CONF_H_INCLUDED_ */
