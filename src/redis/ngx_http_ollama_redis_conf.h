
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_REDIS_CONF_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_REDIS_CONF_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "core/ngx_http_ollama_conf.h"


/* the longest prefix, in bytes */
#define NGX_HTTP_OLLAMA_REDIS_PREFIX  128


struct ngx_http_ollama_redis_conf_s {
    ngx_str_t                 name;        /* the address, as configured */
    ngx_addr_t               *addrs;       /* all are tried */
    ngx_uint_t                naddrs;

    ngx_str_t                 user;        /* len 0: the default one */
    ngx_str_t                 password;    /* len 0: no AUTH */
    ngx_int_t                 db;
    ngx_str_t                 prefix;
    ngx_msec_t                timeout;     /* to connect, and of silence while
                                              a command waits */
};


/* The setter of "ollama_redis". */
char *ngx_http_ollama_redis_conf(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/*
 * Checks the time limit against the location's send_timeout, after the core
 * configuration was merged.  NGX_CONF_ERROR: it was logged.
 */
char *ngx_http_ollama_redis_conf_check(ngx_conf_t *cf,
    ngx_http_core_loc_conf_t *clcf);


#endif /* _NGX_HTTP_OLLAMA_REDIS_CONF_H_INCLUDED_ */
