
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * A request's lists of peers: nginx's round robin has one of the servers and
 * one of the backup servers.  They change when names are resolved anew.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "balancer/ngx_http_ollama_peers.h"


ngx_uint_t
ngx_http_ollama_peers_is_changed(ngx_http_ollama_balancer_t *b)
{
#if (NGX_HTTP_UPSTREAM_ZONE && nginx_version >= 1027003)
    ngx_uint_t  *config;

    config = b->rrp.peers->config;

    return config && b->rrp.config != *config;
#else
    return 0;
#endif
}


void
ngx_http_ollama_peers_list_locked(ngx_http_ollama_balancer_t *b,
    ngx_http_upstream_rr_peers_t *peers)
{
    ngx_uint_t  i, n;

    b->rrp.peers = peers;

    n = (peers->number + (8 * sizeof(uintptr_t) - 1))
        / (8 * sizeof(uintptr_t));

    for (i = 0; i < n; i++) {
        b->rrp.tried[i] = 0;
    }
}


void
ngx_http_ollama_peers_set_tried(ngx_http_ollama_balancer_t *b,
    ngx_http_upstream_rr_peer_t *peer, ngx_uint_t tried)
{
    uintptr_t                     *bits, m;
    ngx_uint_t                     i;
    ngx_http_upstream_rr_peer_t   *p;

    i = 0;

    for (p = b->rrp.peers->peer; p != peer; p = p->next) {

        if (p == NULL) {
            return;
        }

        i++;
    }

    bits = &b->rrp.tried[i / (8 * sizeof(uintptr_t))];
    m = (uintptr_t) 1 << i % (8 * sizeof(uintptr_t));

    if (tried) {
        *bits |= m;

    } else {
        *bits &= ~m;
    }
}
