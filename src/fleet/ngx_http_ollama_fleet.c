
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * What is known of the servers: a table in shared memory that every worker
 * reads and only the poller and the outcomes of requests change.
 *
 * A server is an address of a line in an upstream block.  It is added to the
 * table when a worker of a configuration that has it starts, or when its name
 * is resolved anew, and removed when no configuration has it any more and
 * nothing is in flight there.  A reload leaves the table unchanged.  What a
 * server has by the last good probe is its snapshot, which a probe replaces as
 * a whole.
 *
 * This file owns the zone and the life of servers; the readers' part is in
 * fleet_view.c, the poller's in fleet_poll.c, that of requests in slot.c.  It
 * may use none of these.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "fleet/ngx_http_ollama_fleet.h"
#include "fleet/ngx_http_ollama_fleet_shm.h"


/* first probes at a start are so far apart, and all within, ms */
#define NGX_HTTP_OLLAMA_FLEET_STAGGER  2
#define NGX_HTTP_OLLAMA_FLEET_SPREAD   500


/* an address as the configuration or the resolver has it */

typedef struct {
    ngx_str_t         *line;
    ngx_str_t         *address;
    struct sockaddr   *sockaddr;
    socklen_t          socklen;
    ngx_uint_t         max_conns;
    ngx_uint_t         several;
    ngx_uint_t         down;      /* 0 or 1; nginx has more values, as that of
                                     "drain" */
} ngx_http_ollama_fleet_peer_t;


static ngx_rbtree_key_t ngx_http_ollama_fleet_key(
    ngx_http_ollama_upstream_t *up, ngx_str_t *address);
static ngx_int_t ngx_http_ollama_fleet_compare(
    ngx_http_ollama_server_t *server, ngx_str_t *upstream, ngx_str_t *line,
    ngx_str_t *address);
static void ngx_http_ollama_fleet_insert_value(ngx_rbtree_node_t *temp,
    ngx_rbtree_node_t *node, ngx_rbtree_node_t *sentinel);
static void ngx_http_ollama_fleet_register_lines_locked(
    ngx_http_ollama_upstream_t *up);
static void ngx_http_ollama_fleet_register_peers_locked(
    ngx_http_ollama_upstream_t *up, ngx_http_upstream_rr_peers_t *peers);
static void ngx_http_ollama_fleet_add_locked(ngx_http_ollama_upstream_t *up,
    ngx_http_ollama_fleet_peer_t *peer, ngx_uint_t order);
static ngx_http_ollama_server_t *ngx_http_ollama_fleet_create_locked(
    ngx_http_ollama_upstream_t *up, ngx_http_ollama_fleet_peer_t *peer,
    ngx_uint_t order);
static ngx_uint_t ngx_http_ollama_fleet_number_locked(void);
static void ngx_http_ollama_fleet_orphan_locked(
    ngx_http_ollama_upstream_t *up);
static ngx_uint_t ngx_http_ollama_fleet_is_of_locked(
    ngx_http_ollama_server_t *server, ngx_http_ollama_upstream_t *up);


ngx_http_ollama_fleet_t  *ngx_http_ollama_fleet;


void *
ngx_http_ollama_fleet_create(ngx_pool_t *pool)
{
    return ngx_pcalloc(pool, sizeof(ngx_http_ollama_fleet_t));
}


ngx_int_t
ngx_http_ollama_fleet_init_zone(ngx_shm_zone_t *shm_zone, void *data)
{
    ngx_http_ollama_fleet_t *old = data;

    size_t                       len;
    ngx_http_ollama_fleet_t     *fleet;
    ngx_http_ollama_fleet_sh_t  *sh;

    fleet = shm_zone->data;
    fleet->shpool = (ngx_slab_pool_t *) shm_zone->shm.addr;

    if (old || shm_zone->shm.exists) {
        fleet->sh = fleet->shpool->data;
        fleet->generation = ++fleet->sh->generation;
        return NGX_OK;
    }

    sh = ngx_slab_calloc(fleet->shpool, sizeof(ngx_http_ollama_fleet_sh_t));
    if (sh == NULL) {
        return NGX_ERROR;
    }

    ngx_rbtree_init(&sh->rbtree, &sh->sentinel,
                    ngx_http_ollama_fleet_insert_value);
    ngx_queue_init(&sh->servers);
    ngx_queue_init(&sh->queues);

    ngx_http_ollama_procs_init(&sh->procs);

    sh->generation = 1;

    fleet->sh = sh;
    fleet->generation = 1;
    fleet->shpool->data = sh;

    len = sizeof(" in zone \"\"") + shm_zone->shm.name.len;

    fleet->shpool->log_ctx = ngx_slab_alloc(fleet->shpool, len);
    if (fleet->shpool->log_ctx == NULL) {
        return NGX_ERROR;
    }

    ngx_sprintf(fleet->shpool->log_ctx, " in zone \"%V\"%Z",
                &shm_zone->shm.name);

    /* that the zone is full is logged once, by the code that finds it so */
    fleet->shpool->log_nomem = 0;

    return NGX_OK;
}


void
ngx_http_ollama_fleet_init_worker(ngx_shm_zone_t *shm_zone)
{
    ngx_http_ollama_fleet = shm_zone->data;
}


void
ngx_http_ollama_fleet_exit_worker(void)
{
    ngx_http_ollama_fleet = NULL;
}


void
ngx_http_ollama_fleet_lock(void)
{
    ngx_shmtx_lock(&ngx_http_ollama_fleet->shpool->mutex);
}


void
ngx_http_ollama_fleet_unlock(void)
{
    ngx_shmtx_unlock(&ngx_http_ollama_fleet->shpool->mutex);
}


/*
 * nginx releases the fleet's lock when a worker dies that has it, but not those
 * of the lists of peers: all workers would wait for these for ever.  So they
 * are taken only where names are resolved anew, which alone changes the lists;
 * and before the fleet's, first that of the servers, then that of the backup
 * servers.
 */

void
ngx_http_ollama_fleet_lock_peers(ngx_http_upstream_rr_peers_t *peers)
{
#if (NGX_HTTP_UPSTREAM_ZONE && nginx_version >= 1027003)
    for ( /* void */ ; peers; peers = peers->next) {
        if (peers->resolve) {
            ngx_http_upstream_rr_peers_rlock(peers);
        }
    }
#endif

    ngx_http_ollama_fleet_lock();
}


void
ngx_http_ollama_fleet_unlock_peers(ngx_http_upstream_rr_peers_t *peers)
{
    ngx_http_ollama_fleet_unlock();

#if (NGX_HTTP_UPSTREAM_ZONE && nginx_version >= 1027003)
    for ( /* void */ ; peers; peers = peers->next) {
        if (peers->resolve) {
            ngx_http_upstream_rr_peers_unlock(peers);
        }
    }
#endif
}


static ngx_rbtree_key_t
ngx_http_ollama_fleet_key(ngx_http_ollama_upstream_t *up, ngx_str_t *address)
{
    return up->hash ^ ngx_crc32_short(address->data, address->len);
}


static ngx_int_t
ngx_http_ollama_fleet_compare(ngx_http_ollama_server_t *server,
    ngx_str_t *upstream, ngx_str_t *line, ngx_str_t *address)
{
    ngx_int_t  rc;

    rc = ngx_memn2cmp(address->data, server->address.data, address->len,
                      server->address.len);
    if (rc == 0) {
        rc = ngx_memn2cmp(line->data, server->line.data, line->len,
                          server->line.len);
    }

    if (rc == 0) {
        rc = ngx_memn2cmp(upstream->data, server->upstream.data,
                          upstream->len, server->upstream.len);
    }

    return rc;
}


static void
ngx_http_ollama_fleet_insert_value(ngx_rbtree_node_t *temp,
    ngx_rbtree_node_t *node, ngx_rbtree_node_t *sentinel)
{
    ngx_int_t                  rc;
    ngx_rbtree_node_t        **p;
    ngx_http_ollama_server_t  *server;

    server = (ngx_http_ollama_server_t *) node;

    for ( ;; ) {

        if (node->key != temp->key) {
            p = (node->key < temp->key) ? &temp->left : &temp->right;

        } else {
            rc = ngx_http_ollama_fleet_compare(
                     (ngx_http_ollama_server_t *) temp, &server->upstream,
                     &server->line, &server->address);

            p = (rc < 0) ? &temp->left : &temp->right;
        }

        if (*p == sentinel) {
            break;
        }

        temp = *p;
    }

    *p = node;
    node->parent = temp;
    node->left = sentinel;
    node->right = sentinel;
    ngx_rbt_red(node);
}


ngx_http_ollama_server_t *
ngx_http_ollama_fleet_find_locked(ngx_http_ollama_upstream_t *up,
    ngx_str_t *line, ngx_str_t *address)
{
    ngx_int_t           rc;
    ngx_rbtree_t       *tree;
    ngx_rbtree_key_t    key;
    ngx_rbtree_node_t  *node;

    tree = &ngx_http_ollama_fleet->sh->rbtree;
    key = ngx_http_ollama_fleet_key(up, address);

    node = tree->root;

    while (node != tree->sentinel) {

        if (key != node->key) {
            node = (key < node->key) ? node->left : node->right;
            continue;
        }

        rc = ngx_http_ollama_fleet_compare((ngx_http_ollama_server_t *) node,
                                           &up->uscf->host, line, address);
        if (rc == 0) {
            return (ngx_http_ollama_server_t *) node;
        }

        node = (rc < 0) ? node->left : node->right;
    }

    return NULL;
}


ngx_uint_t
ngx_http_ollama_fleet_is_named_locked(ngx_http_ollama_server_t *server,
    ngx_str_t *name)
{
    if (server->name.len != name->len) {
        return 0;
    }

    if (server->sockaddr.sockaddr.sa_family == AF_UNIX) {
        return ngx_memcmp(server->name.data, name->data, name->len) == 0;
    }

    return ngx_strncasecmp(server->name.data, name->data, name->len) == 0;
}


size_t
ngx_http_ollama_fleet_name_locked(ngx_http_ollama_server_t *server,
    u_char name[NGX_HTTP_OLLAMA_FLEET_NAME])
{
    size_t  len;

    len = ngx_min(server->name.len, (size_t) NGX_HTTP_OLLAMA_FLEET_NAME);

    ngx_memcpy(name, server->name.data, len);

    return len;
}


void
ngx_http_ollama_fleet_register(ngx_http_ollama_upstream_t *up)
{
    ngx_uint_t                     config;
    ngx_http_upstream_rr_peers_t  *peers;

    peers = up->balanced ? up->uscf->peer.data : NULL;
    config = 0;

#if (NGX_HTTP_UPSTREAM_ZONE && nginx_version >= 1027003)
    if (peers && peers->config) {
        config = *peers->config;
    }
#endif

    if (up->registered && up->config == config) {
        return;
    }

    ngx_http_ollama_fleet_lock_peers(peers);

    ngx_http_ollama_fleet->sh->registrations++;
    up->registered = 1;

    if (peers) {
        ngx_http_ollama_fleet_register_peers_locked(up, peers);

    } else {
        ngx_http_ollama_fleet_register_lines_locked(up);
    }

    ngx_http_ollama_fleet_orphan_locked(up);

    ngx_http_ollama_fleet_unlock_peers(peers);

    up->config = config;

    if (up->registered) {
        ngx_http_ollama_fleet->sh->full = 0;
    }
}


/* The peers of another balancer are private: the server lines are used. */

static void
ngx_http_ollama_fleet_register_lines_locked(ngx_http_ollama_upstream_t *up)
{
    ngx_uint_t                     i, j, order;
    ngx_http_upstream_server_t    *server;
    ngx_http_ollama_fleet_peer_t   peer;

    if (up->uscf->servers == NULL) {
        return;
    }

    order = 0;
    server = up->uscf->servers->elts;

    for (i = 0; i < up->uscf->servers->nelts; i++) {
        for (j = 0; j < server[i].naddrs; j++) {
            peer.line = &server[i].name;
            peer.address = &server[i].addrs[j].name;
            peer.sockaddr = server[i].addrs[j].sockaddr;
            peer.socklen = server[i].addrs[j].socklen;
            peer.max_conns = server[i].max_conns;
            peer.several = (server[i].naddrs > 1);
            peer.down = (server[i].down != 0);

            ngx_http_ollama_fleet_add_locked(up, &peer, order++);
        }
    }
}


static void
ngx_http_ollama_fleet_register_peers_locked(ngx_http_ollama_upstream_t *up,
    ngx_http_upstream_rr_peers_t *peers)
{
    ngx_uint_t                     order;
    ngx_http_upstream_rr_peer_t   *rr, *prev;
    ngx_http_ollama_fleet_peer_t   peer;

    order = 0;

    for ( /* void */ ; peers; peers = peers->next) {

        prev = NULL;

        for (rr = peers->peer; rr; rr = rr->next) {
            peer.line = &rr->server;
            peer.address = &rr->name;
            peer.sockaddr = rr->sockaddr;
            peer.socklen = rr->socklen;
            peer.max_conns = rr->max_conns;
            peer.down = (rr->down != 0);

            /* the addresses of a line are next to each other */

            peer.several = (prev && prev->server.len == rr->server.len
                            && ngx_memcmp(prev->server.data, rr->server.data,
                                          rr->server.len) == 0)
                           || (rr->next
                               && rr->next->server.len == rr->server.len
                               && ngx_memcmp(rr->next->server.data,
                                             rr->server.data, rr->server.len)
                                  == 0);

            ngx_http_ollama_fleet_add_locked(up, &peer, order++);

            prev = rr;
        }
    }
}


static void
ngx_http_ollama_fleet_add_locked(ngx_http_ollama_upstream_t *up,
    ngx_http_ollama_fleet_peer_t *peer, ngx_uint_t order)
{
    ngx_http_ollama_server_t    *server;
    ngx_http_ollama_fleet_sh_t  *sh;

    sh = ngx_http_ollama_fleet->sh;

    server = ngx_http_ollama_fleet_find_locked(up, peer->line, peer->address);

    if (server == NULL) {
        server = ngx_http_ollama_fleet_create_locked(up, peer, order);

        if (server == NULL) {

            /* there may be room next time */
            up->registered = 0;

            if (!sh->full) {
                sh->full = 1;
                ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                              "ollama: no room for server \"%V\" of upstream "
                              "\"%V\", it gets requests but is not probed "
                              "(at most %d servers, or ollama_zone too "
                              "small)", peer->address, &up->uscf->host,
                              NGX_HTTP_OLLAMA_FLEET_SERVERS);
            }

            return;
        }
    }

    if (server->generation > ngx_http_ollama_fleet->generation) {
        /* a newer configuration has it, and its values are used */
        server->seen = sh->registrations;
        return;
    }

    if (server->seen == sh->registrations) {

        /* the same line twice is one server, with the slots of both */

        server->max_conns = (server->max_conns && peer->max_conns)
                            ? server->max_conns + peer->max_conns : 0;
        server->disabled = (server->disabled && peer->down);

    } else {
        server->generation = ngx_http_ollama_fleet->generation;
        server->order = order;
        server->max_conns = peer->max_conns;
        server->several = peer->several;
        server->disabled = peer->down;
    }

    server->seen = sh->registrations;
}


/* The new server's strings are in the same piece of memory. */

static ngx_http_ollama_server_t *
ngx_http_ollama_fleet_create_locked(ngx_http_ollama_upstream_t *up,
    ngx_http_ollama_fleet_peer_t *peer, ngx_uint_t order)
{
    u_char                      *p;
    size_t                       size;
    ngx_str_t                   *line;
    ngx_http_ollama_server_t    *server;
    ngx_http_ollama_fleet_sh_t  *sh;

    sh = ngx_http_ollama_fleet->sh;

    if (sh->nservers == NGX_HTTP_OLLAMA_FLEET_SERVERS) {
        ngx_http_ollama_fleet_expire_locked();
    }

    if (sh->nservers == NGX_HTTP_OLLAMA_FLEET_SERVERS
        || peer->socklen > sizeof(ngx_sockaddr_t))
    {
        return NULL;
    }

    line = peer->line;

    size = sizeof(ngx_http_ollama_server_t)
           + up->uscf->host.len + peer->address->len
           + 2 * line->len + sizeof(":65535") - 1;

    server = ngx_slab_calloc_locked(ngx_http_ollama_fleet->shpool, size);
    if (server == NULL) {
        return NULL;
    }

    p = (u_char *) server + sizeof(ngx_http_ollama_server_t);

    p = ngx_http_ollama_fleet_copy(&server->upstream, p, up->uscf->host.data,
                                   up->uscf->host.len);
    p = ngx_http_ollama_fleet_copy(&server->address, p, peer->address->data,
                                   peer->address->len);
    p = ngx_http_ollama_fleet_copy(&server->line, p, line->data, line->len);

    server->name.data = p;
    p = ngx_cpymem(p, line->data, line->len);

    ngx_memcpy(&server->sockaddr, peer->sockaddr, peer->socklen);
    server->socklen = peer->socklen;

    if (peer->sockaddr->sa_family != AF_UNIX
        && (line->data[line->len - 1] == ']'
            || ngx_strlchr(line->data, line->data + line->len, ':') == NULL))
    {
        p = ngx_sprintf(p, ":%d", (int) ngx_inet_get_port(peer->sockaddr));
    }

    server->name.len = p - server->name.data;

    server->node.key = ngx_http_ollama_fleet_key(up, peer->address);
    server->id = ++sh->ids;
    server->capacity.number = ngx_http_ollama_fleet_number_locked();
    server->capacity.born = ngx_current_msec;
    server->latency = -1;
    server->next = ngx_current_msec
                   + ngx_min(order * NGX_HTTP_OLLAMA_FLEET_STAGGER,
                             (ngx_uint_t) NGX_HTTP_OLLAMA_FLEET_SPREAD);

    ngx_rbtree_insert(&sh->rbtree, &server->node);
    ngx_queue_insert_tail(&sh->servers, &server->queue);
    sh->nservers++;

    return server;
}


/* The least number that no server has; there are fewer than can be. */

static ngx_uint_t
ngx_http_ollama_fleet_number_locked(void)
{
    u_char                       used[NGX_HTTP_OLLAMA_FLEET_SERVERS];
    ngx_uint_t                   i;
    ngx_queue_t                 *q;
    ngx_http_ollama_server_t    *server;
    ngx_http_ollama_fleet_sh_t  *sh;

    ngx_memzero(used, sizeof(used));

    sh = ngx_http_ollama_fleet->sh;

    for (q = ngx_queue_head(&sh->servers);
         q != ngx_queue_sentinel(&sh->servers);
         q = ngx_queue_next(q))
    {
        server = ngx_queue_data(q, ngx_http_ollama_server_t, queue);
        used[server->capacity.number] = 1;
    }

    for (i = 0; used[i]; i++) { /* void */ }

    return i;
}


/* The upstream's servers that were not found now belong to no configuration. */

static void
ngx_http_ollama_fleet_orphan_locked(ngx_http_ollama_upstream_t *up)
{
    ngx_queue_t                 *q;
    ngx_http_ollama_server_t    *server;
    ngx_http_ollama_fleet_sh_t  *sh;

    sh = ngx_http_ollama_fleet->sh;

    for (q = ngx_queue_head(&sh->servers);
         q != ngx_queue_sentinel(&sh->servers);
         q = ngx_queue_next(q))
    {
        server = ngx_queue_data(q, ngx_http_ollama_server_t, queue);

        if (server->seen != sh->registrations
            && server->generation <= ngx_http_ollama_fleet->generation
            && ngx_http_ollama_fleet_is_of_locked(server, up))
        {
            server->generation = 0;
        }
    }
}


void
ngx_http_ollama_fleet_expire_locked(void)
{
    ngx_queue_t                 *q, *next;
    ngx_http_ollama_server_t    *server;
    ngx_http_ollama_fleet_sh_t  *sh;

    sh = ngx_http_ollama_fleet->sh;

    for (q = ngx_queue_head(&sh->servers);
         q != ngx_queue_sentinel(&sh->servers);
         q = next)
    {
        next = ngx_queue_next(q);
        server = ngx_queue_data(q, ngx_http_ollama_server_t, queue);

        if (server->generation >= ngx_http_ollama_fleet->generation
            || server->in_flight
            || server->slotless
            || server->tickets)
        {
            continue;
        }

        ngx_queue_remove(q);
        ngx_rbtree_delete(&sh->rbtree, &server->node);
        sh->nservers--;

        if (server->snapshot) {
            ngx_slab_free_locked(ngx_http_ollama_fleet->shpool,
                                 server->snapshot);
        }

        ngx_slab_free_locked(ngx_http_ollama_fleet->shpool, server);
    }
}


static ngx_uint_t
ngx_http_ollama_fleet_is_of_locked(ngx_http_ollama_server_t *server,
    ngx_http_ollama_upstream_t *up)
{
    return server->upstream.len == up->uscf->host.len
           && ngx_memcmp(server->upstream.data, up->uscf->host.data,
                         up->uscf->host.len) == 0;
}


ngx_http_ollama_server_t *
ngx_http_ollama_fleet_next_locked(ngx_http_ollama_upstream_t *up,
    ngx_http_ollama_server_t *server)
{
    ngx_queue_t                 *q;
    ngx_http_ollama_fleet_sh_t  *sh;

    sh = ngx_http_ollama_fleet->sh;

    q = server ? ngx_queue_next(&server->queue) : ngx_queue_head(&sh->servers);

    for ( /* void */ ;
         q != ngx_queue_sentinel(&sh->servers);
         q = ngx_queue_next(q))
    {
        server = ngx_queue_data(q, ngx_http_ollama_server_t, queue);

        if (server->generation >= ngx_http_ollama_fleet->generation
            && ngx_http_ollama_fleet_is_of_locked(server, up))
        {
            return server;
        }
    }

    return NULL;
}


ngx_http_ollama_server_t *
ngx_http_ollama_fleet_by_id_locked(ngx_uint_t id)
{
    ngx_queue_t                 *q;
    ngx_http_ollama_server_t    *server;
    ngx_http_ollama_fleet_sh_t  *sh;

    sh = ngx_http_ollama_fleet->sh;

    for (q = ngx_queue_head(&sh->servers);
         q != ngx_queue_sentinel(&sh->servers);
         q = ngx_queue_next(q))
    {
        server = ngx_queue_data(q, ngx_http_ollama_server_t, queue);

        if (server->id == id) {
            return server;
        }
    }

    return NULL;
}


u_char *
ngx_http_ollama_fleet_copy(ngx_str_t *dst, u_char *p, u_char *src, size_t len)
{
    dst->data = p;
    dst->len = len;

    return ngx_cpymem(p, src, len);
}
