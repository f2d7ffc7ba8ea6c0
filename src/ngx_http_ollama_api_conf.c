
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * The directive ollama_api: its parameters, where it holds, and what it can't
 * be combined with.  Runs while the configuration is read.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_ollama_api_conf.h"
#include "balancer/ngx_http_ollama_upstream.h"
#include "fleet/ngx_http_ollama_fleet.h"
#include "redis/ngx_http_ollama_redis_conf.h"


extern ngx_module_t  ngx_http_proxy_module;


static void ngx_http_ollama_api_conf_block(ngx_conf_t *cf,
    ngx_http_ollama_loc_conf_t *prev, ngx_http_ollama_loc_conf_t *conf);
static ngx_uint_t ngx_http_ollama_api_conf_leads_there(ngx_conf_t *cf,
    ngx_http_ollama_loc_conf_t *olcf);
static char *ngx_http_ollama_api_conf_upstream(ngx_conf_t *cf,
    ngx_http_ollama_loc_conf_t *olcf);
static char *ngx_http_ollama_api_conf_check(ngx_conf_t *cf,
    ngx_http_ollama_loc_conf_t *olcf);
static void ngx_http_ollama_api_conf_warn_cors(ngx_conf_t *cf,
    ngx_http_ollama_loc_conf_t *olcf);


char *
ngx_http_ollama_api_conf(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_ollama_loc_conf_t *olcf = conf;

    ngx_str_t  *value;

    if (olcf->api != NGX_CONF_UNSET) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (cf->args->nelts == 2 && ngx_strcmp(value[1].data, "off") == 0) {
        olcf->api = 0;
        return NGX_CONF_OK;
    }

    olcf->api = 1;
    olcf->upstream = value[1];
    olcf->conf_file = cf->conf_file->file.name.data;
    olcf->line = cf->conf_file->line;

    if (cf->args->nelts == 2) {
        return NGX_CONF_OK;
    }

    if (ngx_strncmp(value[2].data, "prefix=/", 8) != 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid parameter \"%V\", expected "
                           "\"prefix=/path\"", &value[2]);
        return NGX_CONF_ERROR;
    }

    olcf->prefix.data = value[2].data + 7;
    olcf->prefix.len = value[2].len - 7;

    while (olcf->prefix.len
           && olcf->prefix.data[olcf->prefix.len - 1] == '/')
    {
        olcf->prefix.len--;
    }

    return NGX_CONF_OK;
}


/*
 * The content handler of proxy_pass tells a location with proxy_pass from one
 * with another content handler, also where the address has variables.  It is
 * private to its module, so the directive is run once, on a location's
 * configuration that is then discarded.
 */

char *
ngx_http_ollama_api_conf_init(ngx_conf_t *cf,
    ngx_http_ollama_main_conf_t *omcf)
{
    char                       *rv;
    ngx_str_t                  *value;
    ngx_array_t                *args;
    ngx_command_t              *cmd;
    ngx_http_module_t          *core, *proxy;
    ngx_http_conf_ctx_t        *ctx, scratch;
    ngx_http_core_loc_conf_t   *clcf;

    for (cmd = ngx_http_proxy_module.commands; cmd->name.len; cmd++) {
        if (ngx_strcmp(cmd->name.data, "proxy_pass") == 0) {
            break;
        }
    }

    ctx = cf->ctx;
    args = cf->args;
    core = ngx_http_core_module.ctx;
    proxy = ngx_http_proxy_module.ctx;

    scratch = *ctx;
    scratch.loc_conf = ngx_pcalloc(cf->pool,
                                   sizeof(void *) * ngx_http_max_module);

    cf->args = ngx_array_create(cf->pool, 2, sizeof(ngx_str_t));

    if (scratch.loc_conf == NULL || cf->args == NULL) {
        cf->args = args;
        return NGX_CONF_ERROR;
    }

    value = ngx_array_push_n(cf->args, 2);
    value[0] = cmd->name;
    ngx_str_set(&value[1], "http://$host");

    cf->ctx = &scratch;

    clcf = core->create_loc_conf(cf);
    scratch.loc_conf[ngx_http_core_module.ctx_index] = clcf;
    scratch.loc_conf[ngx_http_proxy_module.ctx_index]
        = proxy->create_loc_conf(cf);

    rv = NGX_CONF_ERROR;

    if (clcf && scratch.loc_conf[ngx_http_proxy_module.ctx_index]) {
        rv = cmd->set(cf, cmd,
                      scratch.loc_conf[ngx_http_proxy_module.ctx_index]);
        omcf->proxy = clcf->handler;
    }

    cf->ctx = ctx;
    cf->args = args;

    return rv;
}


/*
 * conf->api is the value of the directive, which is inherited; conf->enable is
 * set where it holds: in locations with proxy_pass, and in their "if" and
 * "limit_except" blocks.  It never holds for a server itself: a request that
 * matches none of its locations is nginx's.
 */

char *
ngx_http_ollama_api_conf_merge(ngx_conf_t *cf,
    ngx_http_ollama_loc_conf_t *prev, ngx_http_ollama_loc_conf_t *conf)
{
    ngx_uint_t                    own, server;
    ngx_http_core_loc_conf_t     *clcf;
    ngx_http_ollama_main_conf_t  *omcf;

    own = (conf->api == 1);

    /*
     * "http" can't have the directive, and its configuration is merged with
     * no other: what is merged with that is a server's
     */

    server = (prev->api == NGX_CONF_UNSET);

    if (conf->api == NGX_CONF_UNSET) {
        conf->upstream = prev->upstream;
        conf->prefix = prev->prefix;
        conf->conf_file = prev->conf_file;
        conf->line = prev->line;
    }

    ngx_conf_merge_value(conf->api, prev->api, 0);

    if (!conf->api) {
        return NGX_CONF_OK;
    }

    if (server) {
        /* a wrong name would hold nowhere, and leave all locations open */
        return ngx_http_ollama_api_conf_upstream(cf, conf);
    }

    omcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_ollama_module);
    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (clcf->noname) {
        ngx_http_ollama_api_conf_block(cf, prev, conf);
        return NGX_CONF_OK;
    }

    if (clcf->handler != omcf->proxy) {

        if (!own) {
            return NGX_CONF_OK;
        }

        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"ollama_api\" in %s:%ui needs \"proxy_pass "
                      "http://%V\" in location \"%V\"",
                      conf->conf_file, conf->line, &conf->upstream,
                      &clcf->name);
        return NGX_CONF_ERROR;
    }

    if (!own && !ngx_http_ollama_api_conf_leads_there(cf, conf)) {
        return NGX_CONF_OK;
    }

    conf->enable = 1;

    if (ngx_http_ollama_redis_conf_check(cf, clcf) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    return ngx_http_ollama_api_conf_check(cf, conf);
}


/*
 * For a block of "if" or "limit_except".  It may have a proxy_pass of its own;
 * one without has inherited that of its location by now.
 */

static void
ngx_http_ollama_api_conf_block(ngx_conf_t *cf,
    ngx_http_ollama_loc_conf_t *prev, ngx_http_ollama_loc_conf_t *conf)
{
    ngx_http_upstream_conf_t  *proxy;

    proxy = ngx_http_conf_get_module_loc_conf(cf, ngx_http_proxy_module);

    conf->enable = prev->enable;
    conf->up = prev->up;
    conf->fixed = (prev->fixed && proxy->upstream == prev->up->uscf);

    if (conf->enable && conf->cors_line != prev->cors_line) {
        /* not inherited: the location's own was warned of */
        ngx_http_ollama_api_conf_warn_cors(cf, conf);
    }
}


/*
 * The directive of a server holds in a location whose proxy_pass goes to the
 * same upstream, or has variables and may go there.
 */

static ngx_uint_t
ngx_http_ollama_api_conf_leads_there(ngx_conf_t *cf,
    ngx_http_ollama_loc_conf_t *olcf)
{
    ngx_http_upstream_conf_t  *proxy;

    proxy = ngx_http_conf_get_module_loc_conf(cf, ngx_http_proxy_module);

    return proxy->upstream == NULL
           || (proxy->upstream->host.len == olcf->upstream.len
               && ngx_strncasecmp(proxy->upstream->host.data,
                                  olcf->upstream.data, olcf->upstream.len)
                  == 0);
}


/* Finds the upstream block that ollama_api names. */

static char *
ngx_http_ollama_api_conf_upstream(ngx_conf_t *cf,
    ngx_http_ollama_loc_conf_t *olcf)
{
    ngx_uint_t                       i;
    ngx_http_upstream_srv_conf_t   **uscfp;
    ngx_http_upstream_main_conf_t   *umcf;

    umcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_upstream_module);
    uscfp = umcf->upstreams.elts;

    for (i = 0; i < umcf->upstreams.nelts; i++) {

        if (uscfp[i]->srv_conf
            && uscfp[i]->host.len == olcf->upstream.len
            && ngx_strncasecmp(uscfp[i]->host.data, olcf->upstream.data,
                               olcf->upstream.len) == 0)
        {
            olcf->up = ngx_http_ollama_upstream_get(cf, uscfp[i]);
            return olcf->up ? NGX_CONF_OK : NGX_CONF_ERROR;
        }
    }

    ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                  "\"ollama_api\" in %s:%ui names \"%V\", but there is "
                  "no \"upstream %V { ... }\" block",
                  olcf->conf_file, olcf->line, &olcf->upstream,
                  &olcf->upstream);

    return NGX_CONF_ERROR;
}


/* Refuses what can't work together with the location's proxy_pass. */

static char *
ngx_http_ollama_api_conf_check(ngx_conf_t *cf,
    ngx_http_ollama_loc_conf_t *olcf)
{
    ngx_http_upstream_conf_t  *conf;

    if (ngx_http_ollama_api_conf_upstream(cf, olcf) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    /* the first member of proxy's configuration, which is merged by now */

    conf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_proxy_module);

    /* NULL: proxy_pass has variables, a map may choose the upstream */

    olcf->fixed = (conf->upstream != NULL);

    if (conf->upstream && conf->upstream != olcf->up->uscf) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"ollama_api\" in %s:%ui names upstream \"%V\", but "
                      "\"proxy_pass\" of that location goes to \"%V\"",
                      olcf->conf_file, olcf->line, &olcf->upstream,
                      &conf->upstream->host);
        return NGX_CONF_ERROR;
    }

    if (!conf->pass_request_body) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"ollama_api\" in %s:%ui can't work with "
                      "\"proxy_pass_request_body off\"",
                      olcf->conf_file, olcf->line);
        return NGX_CONF_ERROR;
    }

    if (conf->buffering) {
        ngx_log_error(NGX_LOG_WARN, cf->log, 0,
                      "\"ollama_api\" in %s:%ui: \"proxy_buffering\" is on "
                      "and will hold streams back, include ollama_params "
                      "or turn it off", olcf->conf_file, olcf->line);
    }

    ngx_http_ollama_api_conf_warn_cors(cf, olcf);

    return NGX_CONF_OK;
}


/* Warns of an add_header that would answer pages of other sites. */

static void
ngx_http_ollama_api_conf_warn_cors(ngx_conf_t *cf,
    ngx_http_ollama_loc_conf_t *olcf)
{
    if (olcf->cors_line) {
        ngx_log_error(NGX_LOG_WARN, cf->log, 0,
                      "\"ollama_api\" in %s:%ui: \"add_header %V\" in %s:%ui "
                      "does not apply to pages of other sites, for which "
                      "\"ollama_origins\" decides; remove it",
                      olcf->conf_file, olcf->line, &olcf->cors_header,
                      olcf->cors_file, olcf->cors_line);
    }
}
