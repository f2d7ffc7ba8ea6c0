
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * A module of its own because of its place: in front of the one of add_header,
 * so that its header filter runs after that, and can replace a CORS header
 * which an administrator adds.  A browser refuses a reply that has two.
 *
 * It also notes where add_header names one, for a warning: the directive is
 * found here first, and is run as what it is.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "core/ngx_http_ollama_conf.h"
#include "request/ngx_http_ollama_origin.h"


extern ngx_module_t  ngx_http_headers_filter_module;


static ngx_int_t ngx_http_ollama_cors_preconfiguration(ngx_conf_t *cf);
static char *ngx_http_ollama_cors_add_header(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);
static ngx_command_t *ngx_http_ollama_cors_command(void);


static ngx_command_t  ngx_http_ollama_cors_commands[] = {

    { ngx_string("add_header"),
      NGX_HTTP_LOC_CONF|NGX_CONF_ANY,    /* see preconfiguration() */
      ngx_http_ollama_cors_add_header,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_ollama_cors_module_ctx = {
    ngx_http_ollama_cors_preconfiguration, /* preconfiguration */
    ngx_http_ollama_origin_filter_init,    /* postconfiguration */

    NULL,                                  /* create main configuration */
    NULL,                                  /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    NULL,                                  /* create location configuration */
    NULL                                   /* merge location configuration */
};


ngx_module_t  ngx_http_ollama_cors_module = {
    NGX_MODULE_V1,
    &ngx_http_ollama_cors_module_ctx,      /* module context */
    ngx_http_ollama_cors_commands,         /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    NULL,                                  /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    NULL,                                  /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


/* Where the directive may stand, and with what, is nginx's affair. */

static ngx_int_t
ngx_http_ollama_cors_preconfiguration(ngx_conf_t *cf)
{
    ngx_http_ollama_cors_commands[0].type =
                                        ngx_http_ollama_cors_command()->type;

    return NGX_OK;
}


static char *
ngx_http_ollama_cors_add_header(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_str_t                   *value;
    ngx_command_t               *own;
    ngx_http_ollama_loc_conf_t  *olcf;

    static ngx_str_t  cors = ngx_string("Access-Control-");

    olcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_ollama_module);

    value = cf->args->elts;

    olcf->adds_headers = 1;

    if (olcf->cors_line == 0
        && value[1].len > cors.len
        && ngx_strncasecmp(value[1].data, cors.data, cors.len) == 0)
    {
        olcf->cors_header = value[1];
        olcf->cors_file = cf->conf_file->file.name.data;
        olcf->cors_line = cf->conf_file->line;
    }

    own = ngx_http_ollama_cors_command();

    return own->set(cf, own,
                    ngx_http_conf_get_module_loc_conf(cf,
                                            ngx_http_headers_filter_module));
}


static ngx_command_t *
ngx_http_ollama_cors_command(void)
{
    ngx_command_t  *cmd;

    for (cmd = ngx_http_headers_filter_module.commands; cmd->name.len; cmd++) {
        if (ngx_strcmp(cmd->name.data, "add_header") == 0) {
            break;
        }
    }

    return cmd;
}
