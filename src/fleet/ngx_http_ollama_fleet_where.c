
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * Where a model is, among the servers of an upstream: for names of models that
 * depend on that, and for requests that concern more than one server.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "fleet/ngx_http_ollama_fleet.h"
#include "fleet/ngx_http_ollama_fleet_shm.h"
#include "fleet/ngx_http_ollama_model_state.h"


ngx_uint_t
ngx_http_ollama_fleet_where(ngx_http_ollama_upstream_t *up, ngx_str_t *pin,
    ngx_http_ollama_wanted_t *wanted)
{
    ngx_uint_t                       down, where;
    ngx_http_ollama_server_t        *server;
    ngx_http_ollama_server_state_t   state;

    where = 0;
    server = NULL;

    ngx_http_ollama_fleet_lock();

    while ((server = ngx_http_ollama_fleet_next_locked(up, server))) {

        if (pin->len && !ngx_http_ollama_fleet_is_named_locked(server, pin)) {
            continue;
        }

        where |= NGX_HTTP_OLLAMA_WHERE_SERVER;

        if (!ngx_http_ollama_model_state_may_have_locked(server, wanted)) {
            continue;
        }

        ngx_http_ollama_model_state_fill_locked(server, wanted, &state);

        down = (server->status == NGX_HTTP_OLLAMA_DOWN || server->disabled);

        where |= down ? NGX_HTTP_OLLAMA_WHERE_MAYBE_DOWN
                      : NGX_HTTP_OLLAMA_WHERE_MAYBE_UP;

        if (state.known) {
            where |= down ? NGX_HTTP_OLLAMA_WHERE_DOWN
                          : NGX_HTTP_OLLAMA_WHERE_UP;
        }
    }

    ngx_http_ollama_fleet_unlock();

    return where;
}


ngx_uint_t
ngx_http_ollama_fleet_loaded(ngx_http_ollama_upstream_t *up,
    ngx_http_ollama_wanted_t *wanted, ngx_uint_t *ids)
{
    ngx_uint_t                       n;
    ngx_http_ollama_server_t        *server;
    ngx_http_ollama_server_state_t   state;

    n = 0;
    server = NULL;

    ngx_http_ollama_fleet_lock();

    while (n < NGX_HTTP_OLLAMA_FLEET_SERVERS
           && (server = ngx_http_ollama_fleet_next_locked(up, server)))
    {
        if (server->status == NGX_HTTP_OLLAMA_DOWN || server->disabled) {
            continue;
        }

        ngx_http_ollama_model_state_fill_locked(server, wanted, &state);

        if (state.warm) {
            ids[n++] = server->id;
        }
    }

    ngx_http_ollama_fleet_unlock();

    return n;
}


ngx_uint_t
ngx_http_ollama_fleet_id_locked(ngx_http_ollama_server_t *server)
{
    return server->id;
}
