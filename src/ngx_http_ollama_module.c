
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * Directives, configuration, and where the module's handlers and filters are
 * installed: start to read here.  A request passes, in this order:
 *
 *   preaccess   request/origin: origins of pages, preflights
 *   access      nginx: authentication, limits
 *   precontent  route: finds the endpoint, reads the body (request/body), gets
 *               a session's history (session/history)
 *   content     api/ for local endpoints, conversation/, else proxy_pass and
 *               the balancer
 *   filters     error, origin, tap, refresh, turn, save
 *   log         variable
 *
 * What the module knows of a request is in its ctx (core/ctx).
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "core/ngx_http_ollama_conf.h"
#include "api/ngx_http_ollama_unload.h"
#include "balancer/ngx_http_ollama_alias.h"
#include "balancer/ngx_http_ollama_queue.h"
#include "balancer/ngx_http_ollama_upstream.h"
#include "conversation/ngx_http_ollama_conversation_turn.h"
#include "core/ngx_http_ollama_error.h"
#include "fleet/ngx_http_ollama_fleet.h"
#include "fleet/ngx_http_ollama_poll.h"
#include "fleet/ngx_http_ollama_slot.h"
#include "ngx_http_ollama_api_conf.h"
#include "ngx_http_ollama_pass.h"
#include "ngx_http_ollama_route.h"
#include "ngx_http_ollama_upload.h"
#include "ngx_http_ollama_variable.h"
#include "redis/ngx_http_ollama_redis.h"
#include "redis/ngx_http_ollama_redis_conf.h"
#include "reply/ngx_http_ollama_refresh.h"
#include "reply/ngx_http_ollama_rest.h"
#include "reply/ngx_http_ollama_tap.h"
#include "request/ngx_http_ollama_forbid.h"
#include "request/ngx_http_ollama_origin.h"
#include "session/ngx_http_ollama_save.h"
#include "store/ngx_http_ollama_outbox.h"
#include "task/ngx_http_ollama_task.h"
#include "task/ngx_http_ollama_task_shm.h"


/* the default of ollama_zone */
#define NGX_HTTP_OLLAMA_ZONE_SIZE  (16 * 1024 * 1024)


static ngx_int_t ngx_http_ollama_preconfiguration(ngx_conf_t *cf);
static ngx_int_t ngx_http_ollama_postconfiguration(ngx_conf_t *cf);
static ngx_int_t ngx_http_ollama_add_handler(ngx_conf_t *cf,
    ngx_http_phases phase, ngx_http_handler_pt handler);
static ngx_int_t ngx_http_ollama_init_zones(ngx_conf_t *cf);
static ngx_shm_zone_t *ngx_http_ollama_add_zone(ngx_conf_t *cf,
    ngx_str_t *name, size_t size, ngx_shm_zone_init_pt init, void *data);
static ngx_int_t ngx_http_ollama_init_process(ngx_cycle_t *cycle);
static ngx_int_t ngx_http_ollama_init_fleet(ngx_cycle_t *cycle,
    ngx_http_ollama_main_conf_t *omcf);
static void ngx_http_ollama_exit_process(ngx_cycle_t *cycle);
static void *ngx_http_ollama_create_main_conf(ngx_conf_t *cf);
static char *ngx_http_ollama_init_main_conf(ngx_conf_t *cf, void *conf);
static void *ngx_http_ollama_create_srv_conf(ngx_conf_t *cf);
static void *ngx_http_ollama_create_loc_conf(ngx_conf_t *cf);
static char *ngx_http_ollama_merge_loc_conf(ngx_conf_t *cf, void *parent,
    void *child);

static char *ngx_http_ollama_forbid(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static ngx_uint_t ngx_http_ollama_forbid_is(ngx_http_ollama_forbid_t *forbid,
    ngx_str_t *name);
static char *ngx_http_ollama_origins(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);


static ngx_command_t  ngx_http_ollama_commands[] = {

    { ngx_string("ollama_api"),
      NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE12,
      ngx_http_ollama_api_conf,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("ollama_balance"),
      NGX_HTTP_UPS_CONF|NGX_CONF_NOARGS|NGX_CONF_TAKE12,
      ngx_http_ollama_upstream_balance,
      0,
      0,
      NULL },

    { ngx_string("ollama_poll"),
      NGX_HTTP_UPS_CONF|NGX_CONF_ANY,
      ngx_http_ollama_upstream_poll,
      0,
      0,
      NULL },

    { ngx_string("ollama_poll_header"),
      NGX_HTTP_UPS_CONF|NGX_CONF_TAKE2,
      ngx_http_ollama_upstream_poll_header,
      0,
      0,
      NULL },

    { ngx_string("ollama_zone"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_ollama_upstream_zone,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("ollama_redis"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_1MORE,
      ngx_http_ollama_redis_conf,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("ollama_session_ttl"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_sec_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_ollama_loc_conf_t, session_ttl),
      NULL },

    { ngx_string("ollama_session_owner"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_set_complex_value_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_ollama_loc_conf_t, session_owner),
      NULL },

    { ngx_string("ollama_fair"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_set_complex_value_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_ollama_loc_conf_t, fair),
      NULL },

    { ngx_string("ollama_management"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_ollama_loc_conf_t, management),
      NULL },

    { ngx_string("ollama_pass"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_1MORE,
      ngx_http_ollama_pass,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("ollama_forbid"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_1MORE,
      ngx_http_ollama_forbid,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("ollama_origins"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_1MORE,
      ngx_http_ollama_origins,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("ollama_alias"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_2MORE,
      ngx_http_ollama_alias_conf,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_ollama_module_ctx = {
    ngx_http_ollama_preconfiguration,      /* preconfiguration */
    ngx_http_ollama_postconfiguration,     /* postconfiguration */

    ngx_http_ollama_create_main_conf,      /* create main configuration */
    ngx_http_ollama_init_main_conf,        /* init main configuration */

    ngx_http_ollama_create_srv_conf,       /* create server configuration */
    NULL,                                  /* merge server configuration */

    ngx_http_ollama_create_loc_conf,       /* create location configuration */
    ngx_http_ollama_merge_loc_conf         /* merge location configuration */
};


ngx_module_t  ngx_http_ollama_module = {
    NGX_MODULE_V1,
    &ngx_http_ollama_module_ctx,           /* module context */
    ngx_http_ollama_commands,              /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    ngx_http_ollama_upload_init_module,    /* init module */
    ngx_http_ollama_init_process,          /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    ngx_http_ollama_exit_process,          /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


/* members of a body that a request can't do without */

static ngx_str_t  ngx_http_ollama_needed[] = {
    ngx_string("model"),
    ngx_string("messages"),
    ngx_string("stream"),
    ngx_null_string
};


/* members that are for the gateway, which takes them out anyway */

static ngx_str_t  ngx_http_ollama_own[] = {
    ngx_string("task_id"),
    ngx_string("session_id"),
    ngx_string("server_url"),
    ngx_string("background"),
    ngx_null_string
};


static ngx_int_t
ngx_http_ollama_preconfiguration(ngx_conf_t *cf)
{
    return ngx_http_ollama_variable_init(cf);
}


static ngx_int_t
ngx_http_ollama_postconfiguration(ngx_conf_t *cf)
{
    if (ngx_http_ollama_add_handler(cf, NGX_HTTP_PREACCESS_PHASE,
                                    ngx_http_ollama_origin_handler)
        != NGX_OK
        || ngx_http_ollama_add_handler(cf, NGX_HTTP_PRECONTENT_PHASE,
                                       ngx_http_ollama_route_handler)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (ngx_http_ollama_upstream_check(cf) != NGX_OK
        || ngx_http_ollama_init_zones(cf) != NGX_OK)
    {
        return NGX_ERROR;
    }

    /* the last one is the first to see a reply; for origins see cors_module */

    if (ngx_http_ollama_origin_init(cf) != NGX_OK
        || ngx_http_ollama_save_filter_init(cf) != NGX_OK
        || ngx_http_ollama_turn_filter_init(cf) != NGX_OK
        || ngx_http_ollama_unload_filter_init(cf) != NGX_OK
        || ngx_http_ollama_refresh_filter_init(cf) != NGX_OK
        || ngx_http_ollama_rest_filter_init(cf) != NGX_OK
        || ngx_http_ollama_tap_filter_init(cf) != NGX_OK
        || ngx_http_ollama_error_filter_init(cf) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_ollama_add_handler(ngx_conf_t *cf, ngx_http_phases phase,
    ngx_http_handler_pt handler)
{
    ngx_http_handler_pt        *h;
    ngx_http_core_main_conf_t  *cmcf;

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    h = ngx_array_push(&cmcf->phases[phase].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = handler;

    return NGX_OK;
}


/* Shared memory, if there are upstreams: for the fleet, and for tasks. */

static ngx_int_t
ngx_http_ollama_init_zones(ngx_conf_t *cf)
{
    ngx_str_t                     name;
    ngx_http_ollama_main_conf_t  *omcf;

    omcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_ollama_module);

    if (omcf->upstreams.nelts == 0) {
        return NGX_OK;
    }

    if (omcf->zone_size == 0) {
        omcf->zone_size = NGX_HTTP_OLLAMA_ZONE_SIZE;
    }

    /* each has a lock of its own */

    ngx_str_set(&name, "ngx_http_ollama");

    omcf->zone = ngx_http_ollama_add_zone(cf, &name, omcf->zone_size / 2,
                                      ngx_http_ollama_fleet_init_zone,
                                      ngx_http_ollama_fleet_create(cf->pool));
    if (omcf->zone == NULL) {
        return NGX_ERROR;
    }

    ngx_str_set(&name, "ngx_http_ollama_tasks");

    omcf->tasks = ngx_http_ollama_add_zone(cf, &name, omcf->zone_size / 2,
                                   ngx_http_ollama_task_shm_init_zone,
                                   ngx_http_ollama_task_shm_create(cf->pool));

    return omcf->tasks ? NGX_OK : NGX_ERROR;
}


static ngx_shm_zone_t *
ngx_http_ollama_add_zone(ngx_conf_t *cf, ngx_str_t *name, size_t size,
    ngx_shm_zone_init_pt init, void *data)
{
    ngx_shm_zone_t  *zone;

    if (data == NULL) {
        return NULL;
    }

    zone = ngx_shared_memory_add(cf, name, ngx_align(size, ngx_pagesize),
                                 &ngx_http_ollama_module);
    if (zone == NULL) {
        return NULL;
    }

    zone->init = init;
    zone->data = data;

    return zone;
}


/* Of the processes those that serve requests know the fleet and Redis. */

static ngx_int_t
ngx_http_ollama_init_process(ngx_cycle_t *cycle)
{
    ngx_http_ollama_main_conf_t  *omcf;

    omcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_ollama_module);

    if (omcf == NULL
        || (ngx_process != NGX_PROCESS_WORKER
            && ngx_process != NGX_PROCESS_SINGLE))
    {
        return NGX_OK;
    }

    if (omcf->zone && ngx_http_ollama_init_fleet(cycle, omcf) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_http_ollama_redis_init_worker(cycle);
}


static ngx_int_t
ngx_http_ollama_init_fleet(ngx_cycle_t *cycle,
    ngx_http_ollama_main_conf_t *omcf)
{
    ngx_uint_t                     i;
    ngx_http_ollama_upstream_t   **up;

    ngx_http_ollama_fleet_init_worker(omcf->zone);

    if (ngx_http_ollama_queue_init_worker(cycle) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_http_ollama_slot_init_worker();

    if (ngx_http_ollama_task_init_worker(omcf->tasks) != NGX_OK) {
        return NGX_ERROR;
    }

    up = omcf->upstreams.elts;

    for (i = 0; i < omcf->upstreams.nelts; i++) {
        ngx_http_ollama_fleet_register(up[i]);
    }

    return ngx_http_ollama_poll_init_worker(cycle);
}


static void
ngx_http_ollama_exit_process(ngx_cycle_t *cycle)
{
    ngx_http_ollama_outbox_exit_worker();
    ngx_http_ollama_redis_exit_worker();
    ngx_http_ollama_poll_exit_worker(cycle);
    ngx_http_ollama_task_exit_worker();
    ngx_http_ollama_slot_exit_worker();
    ngx_http_ollama_fleet_exit_worker();
}


static void *
ngx_http_ollama_create_main_conf(ngx_conf_t *cf)
{
    ngx_http_ollama_main_conf_t  *conf;

    conf = ngx_pcalloc(cf->pool, sizeof(ngx_http_ollama_main_conf_t));
    if (conf == NULL) {
        return NULL;
    }

    /*
     * set by ngx_pcalloc():
     *
     *     conf->proxy = NULL;
     *     conf->zone = NULL;
     *     conf->zone_size = 0;
     */

    conf->redis = NGX_CONF_UNSET_PTR;

    if (ngx_array_init(&conf->upstreams, cf->pool, 4,
                       sizeof(ngx_http_ollama_upstream_t *))
        != NGX_OK)
    {
        return NULL;
    }

    return conf;
}


static char *
ngx_http_ollama_init_main_conf(ngx_conf_t *cf, void *conf)
{
    ngx_http_ollama_main_conf_t *omcf = conf;

    ngx_conf_init_ptr_value(omcf->redis, NULL);

    return ngx_http_ollama_api_conf_init(cf, omcf);
}


static void *
ngx_http_ollama_create_srv_conf(ngx_conf_t *cf)
{
    /*
     * its names are set by ngx_http_ollama_origin_init(), an upstream's part
     * by ngx_http_ollama_upstream_get()
     */

    return ngx_pcalloc(cf->pool, sizeof(ngx_http_ollama_srv_conf_t));
}


static void *
ngx_http_ollama_create_loc_conf(ngx_conf_t *cf)
{
    ngx_http_ollama_loc_conf_t  *conf;

    conf = ngx_pcalloc(cf->pool, sizeof(ngx_http_ollama_loc_conf_t));
    if (conf == NULL) {
        return NULL;
    }

    /*
     * set by ngx_pcalloc():
     *
     *     conf->enable = 0;
     *     conf->up = NULL;
     *     conf->fixed = 0;
     *     conf->upstream = { 0, NULL };
     *     conf->prefix = { 0, NULL };
     *     conf->conf_file = NULL;
     *     conf->line = 0;
     *     conf->session_owner = NULL;
     *     conf->fair = NULL;
     *     conf->cors_header = { 0, NULL };
     *     conf->cors_file = NULL;
     *     conf->cors_line = 0;
     *     conf->adds_headers = 0;
     */

    conf->api = NGX_CONF_UNSET;
    conf->management = NGX_CONF_UNSET;
    conf->forbid = NGX_CONF_UNSET_PTR;
    conf->origins = NGX_CONF_UNSET_PTR;
    conf->pass = NGX_CONF_UNSET_PTR;
    conf->aliases = NGX_CONF_UNSET_PTR;
    conf->session_ttl = NGX_CONF_UNSET;

    return conf;
}


static char *
ngx_http_ollama_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_http_ollama_loc_conf_t *prev = parent;
    ngx_http_ollama_loc_conf_t *conf = child;

    ngx_conf_merge_value(conf->management, prev->management, 0);
    ngx_conf_merge_ptr_value(conf->forbid, prev->forbid, NULL);
    ngx_conf_merge_ptr_value(conf->origins, prev->origins, NULL);
    ngx_conf_merge_ptr_value(conf->pass, prev->pass, NULL);
    ngx_conf_merge_ptr_value(conf->aliases, prev->aliases, NULL);
    ngx_conf_merge_sec_value(conf->session_ttl, prev->session_ttl,
                             30 * 24 * 60 * 60);

    if (conf->session_owner == NULL) {
        conf->session_owner = prev->session_owner;
    }

    if (conf->fair == NULL) {
        conf->fair = prev->fair;
    }

    if (!conf->adds_headers) {
        conf->adds_headers = prev->adds_headers;
        conf->cors_header = prev->cors_header;
        conf->cors_file = prev->cors_file;
        conf->cors_line = prev->cors_line;
    }

    return ngx_http_ollama_api_conf_merge(cf, prev, conf);
}


/* ollama_forbid field ... */

static char *
ngx_http_ollama_forbid(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_ollama_loc_conf_t *olcf = conf;

    ngx_int_t                  rc;
    ngx_str_t                 *value;
    ngx_uint_t                 i;
    ngx_http_ollama_forbid_t  *forbid;

    if (olcf->forbid == NGX_CONF_UNSET_PTR) {
        olcf->forbid = ngx_array_create(cf->pool, 4,
                                        sizeof(ngx_http_ollama_forbid_t));
        if (olcf->forbid == NULL) {
            return NGX_CONF_ERROR;
        }
    }

    value = cf->args->elts;

    for (i = 1; i < cf->args->nelts; i++) {

        if (olcf->forbid->nelts == NGX_HTTP_OLLAMA_FORBID_MAX) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "more than %d fields",
                               NGX_HTTP_OLLAMA_FORBID_MAX);
            return NGX_CONF_ERROR;
        }

        forbid = ngx_array_push(olcf->forbid);
        if (forbid == NULL) {
            return NGX_CONF_ERROR;
        }

        rc = ngx_http_ollama_forbid_path(forbid, cf->pool, &value[i]);

        if (rc == NGX_ERROR) {
            return NGX_CONF_ERROR;
        }

        if (rc == NGX_DECLINED) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid parameter \"%V\", expected a field "
                               "of the body as \"keep_alive\" or "
                               "\"options.num_ctx\"", &value[i]);
            return NGX_CONF_ERROR;
        }

        if (ngx_http_ollama_forbid_is(forbid, ngx_http_ollama_needed)) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "field \"%V\" can't be forbidden: no request "
                               "would work without it", &value[i]);
            return NGX_CONF_ERROR;
        }

        if (ngx_http_ollama_forbid_is(forbid, ngx_http_ollama_own)) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "field \"%V\" can't be forbidden: it is the "
                               "gateway's own, and no server gets it, expected "
                               "one as \"keep_alive\"", &value[i]);
            return NGX_CONF_ERROR;
        }
    }

    return NGX_CONF_OK;
}


/* Whether the field, or what it is in, is one of these. */

static ngx_uint_t
ngx_http_ollama_forbid_is(ngx_http_ollama_forbid_t *forbid, ngx_str_t *name)
{
    for ( /* void */ ; name->len; name++) {

        if (forbid->segment[0].len == name->len
            && ngx_strncmp(forbid->segment[0].data, name->data, name->len)
               == 0)
        {
            return 1;
        }
    }

    return 0;
}


/* ollama_origins origin ... | * */

static char *
ngx_http_ollama_origins(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_ollama_loc_conf_t *olcf = conf;

    ngx_str_t   *value, *origin;
    ngx_uint_t   i;

    if (olcf->origins == NGX_CONF_UNSET_PTR) {
        olcf->origins = ngx_array_create(cf->pool, 4, sizeof(ngx_str_t));
        if (olcf->origins == NULL) {
            return NGX_CONF_ERROR;
        }
    }

    value = cf->args->elts;

    for (i = 1; i < cf->args->nelts; i++) {

        if (!ngx_http_ollama_origin_valid(&value[i])) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid parameter \"%V\", expected an origin "
                               "as \"https://chat.example.com\" or "
                               "\"https://*.example.com\", without a path, "
                               "or \"*\"", &value[i]);
            return NGX_CONF_ERROR;
        }

        origin = ngx_array_push(olcf->origins);
        if (origin == NULL) {
            return NGX_CONF_ERROR;
        }

        *origin = value[i];
    }

    return NGX_CONF_OK;
}
