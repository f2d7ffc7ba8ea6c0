
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_PEERS_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_PEERS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "balancer/ngx_http_ollama_candidates.h"
#include "fleet/ngx_http_ollama_slot.h"


/* the peer data of a request */

typedef struct {
    ngx_http_upstream_rr_peer_data_t   rrp;      /* must be first */
    ngx_http_request_t                *request;
    ngx_http_ollama_candidates_t       search;
    ngx_http_ollama_slot_t            *slot;     /* NULL: it holds none */
    ngx_queue_t                        queue;    /* while it holds one */
    ngx_uint_t                         reserve;  /* tries for the case that the
                                                    first server that is up
                                                    can't be reached */
    unsigned                           moved:1;  /* from a frozen server */
} ngx_http_ollama_balancer_t;


/*
 * Whether names were resolved anew since the request began: its tried bits are
 * those of another list then.
 */
ngx_uint_t ngx_http_ollama_peers_is_changed(ngx_http_ollama_balancer_t *b);

/* Goes on with another list of peers, which has tried bits of its own. */
void ngx_http_ollama_peers_list_locked(ngx_http_ollama_balancer_t *b,
    ngx_http_upstream_rr_peers_t *peers);

/* Sets or clears the peer's tried bit. */
void ngx_http_ollama_peers_set_tried(ngx_http_ollama_balancer_t *b,
    ngx_http_upstream_rr_peer_t *peer, ngx_uint_t tried);


#endif /* _NGX_HTTP_OLLAMA_PEERS_H_INCLUDED_ */
