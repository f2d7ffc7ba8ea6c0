
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * The readers' part of the fleet: readers get copies in their own memory, made
 * with the lock held and read without it.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "fleet/ngx_http_ollama_fleet.h"
#include "fleet/ngx_http_ollama_fleet_shm.h"


static int ngx_libc_cdecl ngx_http_ollama_fleet_cmp_views(const void *one,
    const void *two);


ngx_int_t
ngx_http_ollama_fleet_list(ngx_http_ollama_upstream_t *up, ngx_pool_t *pool,
    ngx_array_t *views)
{
    u_char                    *p, *last;
    size_t                     size, need;
    ngx_uint_t                 n;
    ngx_http_ollama_view_t    *view;
    ngx_http_ollama_server_t  *server;

    /* memory is allocated without the lock, and again if it wasn't enough */

    size = 0;

    for ( ;; ) {

        p = NULL;

        if (size) {
            p = ngx_palloc(pool, size);
            if (p == NULL) {
                return NGX_ERROR;
            }
        }

        last = p + size;
        need = 0;
        n = 0;
        server = NULL;

        ngx_http_ollama_fleet_lock();

        while ((server = ngx_http_ollama_fleet_next_locked(up, server))) {
            n++;
            need += sizeof(ngx_http_ollama_view_t) + NGX_ALIGNMENT
                    + ngx_http_ollama_fleet_view_size(server);
        }

        if (need <= size) {
            break;
        }

        ngx_http_ollama_fleet_unlock();

        size = need;
    }

    if (n == 0 || p == NULL) {
        ngx_http_ollama_fleet_unlock();
        return NGX_OK;
    }

    view = (ngx_http_ollama_view_t *) ngx_align_ptr(p, NGX_ALIGNMENT);
    p = (u_char *) (view + n);

    views->elts = view;
    views->nelts = n;
    views->nalloc = n;
    views->size = sizeof(ngx_http_ollama_view_t);
    views->pool = pool;

    server = NULL;

    while ((server = ngx_http_ollama_fleet_next_locked(up, server))) {
        p = ngx_http_ollama_fleet_view_locked(server, view++, p);
    }

    ngx_http_ollama_fleet_unlock();

    if (p > last) {
        return NGX_ERROR;
    }

    ngx_qsort(views->elts, n, sizeof(ngx_http_ollama_view_t),
              ngx_http_ollama_fleet_cmp_views);

    return NGX_OK;
}


static int ngx_libc_cdecl
ngx_http_ollama_fleet_cmp_views(const void *one, const void *two)
{
    const ngx_http_ollama_view_t  *first = one, *second = two;

    return (first->order > second->order) - (first->order < second->order);
}


size_t
ngx_http_ollama_fleet_view_size(ngx_http_ollama_server_t *server)
{
    return sizeof(ngx_sockaddr_t) + NGX_ALIGNMENT
           + server->name.len + server->address.len
           + NGX_HTTP_OLLAMA_FLEET_ERROR + NGX_HTTP_OLLAMA_REPORT_VERSION;
}


u_char *
ngx_http_ollama_fleet_view_locked(ngx_http_ollama_server_t *server,
    ngx_http_ollama_view_t *view, u_char *p)
{
    p = ngx_align_ptr(p, NGX_ALIGNMENT);

    view->sockaddr = (struct sockaddr *) p;
    view->socklen = server->socklen;
    p = ngx_cpymem(p, &server->sockaddr, sizeof(ngx_sockaddr_t));

    p = ngx_http_ollama_fleet_copy(&view->name, p, server->name.data,
                                   server->name.len);
    p = ngx_http_ollama_fleet_copy(&view->address, p, server->address.data,
                                   server->address.len);
    p = ngx_http_ollama_fleet_copy(&view->error, p, server->error,
                                   server->error_len);
    p = ngx_http_ollama_fleet_copy(&view->version, p, server->version,
                                   server->version_len);

    view->id = server->id;
    view->order = server->order;
    view->status = server->status;
    view->several = server->several;
    view->checked = server->checked;
    view->latency = server->latency;
    view->in_flight = server->in_flight;
    view->max_conns = server->max_conns;
    view->models = server->snapshot ? server->snapshot->version : 0;
    view->probe_fails = server->probe_fails;
    view->asked = (server->asked > server->begun);
    view->settling = server->settling;

    if (server->disabled) {
        view->status = NGX_HTTP_OLLAMA_DOWN;
        ngx_str_set(&view->error, "marked as down in the configuration");
    }

    return p;
}


ngx_http_ollama_snapshot_t *
ngx_http_ollama_fleet_snapshot(ngx_uint_t id, ngx_pool_t *pool)
{
    size_t                       size;
    ngx_http_ollama_server_t    *server;
    ngx_http_ollama_snapshot_t  *copy, *from;

    copy = NULL;
    size = 0;

    for ( ;; ) {

        ngx_http_ollama_fleet_lock();

        server = ngx_http_ollama_fleet_by_id_locked(id);
        from = server ? server->snapshot : NULL;

        if (from == NULL || (copy && from->size <= size)) {
            break;
        }

        size = from->size;

        ngx_http_ollama_fleet_unlock();

        copy = ngx_palloc(pool, size);
        if (copy == NULL) {
            return NULL;
        }
    }

    if (from) {
        ngx_memcpy(copy, from, from->size);
    }

    ngx_http_ollama_fleet_unlock();

    if (from == NULL) {
        return NULL;
    }

    ngx_http_ollama_snapshot_relocate(copy, from);

    return copy;
}


ngx_uint_t
ngx_http_ollama_fleet_is_polled(ngx_http_ollama_upstream_t *up)
{
    ngx_uint_t                 down, known, unknown;
    ngx_http_ollama_server_t  *server;

    down = 0;
    known = 0;
    unknown = 0;
    server = NULL;

    ngx_http_ollama_fleet_lock();

    while (!known
           && (server = ngx_http_ollama_fleet_next_locked(up, server)))
    {
        switch (server->status) {

        case NGX_HTTP_OLLAMA_UP:
            known |= (server->snapshot != NULL);
            unknown |= (server->snapshot == NULL);
            break;

        case NGX_HTTP_OLLAMA_DOWN:
            down = 1;
            break;

        default: /* NGX_HTTP_OLLAMA_CHECKING */
            break;
        }
    }

    ngx_http_ollama_fleet_unlock();

    return known || (down && !unknown);
}
