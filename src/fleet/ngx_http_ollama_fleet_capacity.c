
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * What the balancer keeps in the fleet's zone: memory of its own, and what it
 * has learned of each server.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "fleet/ngx_http_ollama_fleet.h"
#include "fleet/ngx_http_ollama_fleet_shm.h"


void *
ngx_http_ollama_fleet_alloc_locked(size_t size)
{
    return ngx_slab_calloc_locked(ngx_http_ollama_fleet->shpool, size);
}


void
ngx_http_ollama_fleet_free_locked(void *p)
{
    ngx_slab_free_locked(ngx_http_ollama_fleet->shpool, p);
}


ngx_uint_t
ngx_http_ollama_fleet_generation(void)
{
    return ngx_http_ollama_fleet->generation;
}


size_t
ngx_http_ollama_fleet_size(void)
{
    ngx_slab_pool_t  *shpool;

    shpool = ngx_http_ollama_fleet->shpool;

    return shpool->end - (u_char *) shpool;
}


ngx_queue_t *
ngx_http_ollama_fleet_queues_locked(void)
{
    return &ngx_http_ollama_fleet->sh->queues;
}


void **
ngx_http_ollama_fleet_queue(void)
{
    return &ngx_http_ollama_fleet->queue;
}


void
ngx_http_ollama_fleet_hold_locked(ngx_http_ollama_server_t *server)
{
    server->tickets++;
}


void
ngx_http_ollama_fleet_drop_locked(ngx_http_ollama_server_t *server)
{
    server->tickets--;
}


ngx_http_ollama_capacity_t *
ngx_http_ollama_fleet_capacity_next_locked(ngx_http_ollama_upstream_t *up,
    ngx_http_ollama_capacity_t *c)
{
    ngx_http_ollama_server_t  *server;

    server = NULL;

    if (c) {
        server = (ngx_http_ollama_server_t *)
                  ((u_char *) c - offsetof(ngx_http_ollama_server_t, capacity));
    }

    server = ngx_http_ollama_fleet_next_locked(up, server);

    return server ? &server->capacity : NULL;
}


void
ngx_http_ollama_fleet_probe_locked(ngx_http_ollama_server_t *server)
{
    server->next = ngx_current_msec;
}


ngx_uint_t
ngx_http_ollama_fleet_is_peer_locked(ngx_http_ollama_server_t *server,
    ngx_str_t *line, ngx_str_t *address)
{
    return server->address.len == address->len
           && server->line.len == line->len
           && ngx_memcmp(server->address.data, address->data, address->len)
              == 0
           && ngx_memcmp(server->line.data, line->data, line->len) == 0;
}
