
/*
 * Which handler a path has.  The order is gin's: first Origin, then Host,
 * then the path.
 */

#include "fake.h"


typedef struct {
    const char       *method;
    const char       *path;         /* ending in "/:": one more segment */
    fake_handler_pt   handler;
} fake_route_t;


static const char *fake_route_param(const fake_route_t *route,
    const char *path);
static void fake_route_none(fake_conn_t *c);
static void fake_chat(fake_conn_t *c);
static void fake_generate(fake_conn_t *c);
static void fake_embed(fake_conn_t *c);
static void fake_embeddings(fake_conn_t *c);
static void fake_v1_chat(fake_conn_t *c);
static void fake_v1_completions(fake_conn_t *c);
static void fake_v1_embeddings(fake_conn_t *c);
static void fake_v1_responses(fake_conn_t *c);
static void fake_v1_messages(fake_conn_t *c);


/* HEAD before GET: Allow names them in this order */

static const fake_route_t  fake_routes[] = {
    { "HEAD", "/", fake_root },
    { "HEAD", "/api/version", fake_version },
    { "HEAD", "/api/tags", fake_lists },
    { "HEAD", "/api/blobs/:", fake_blob },
    { "GET", "/", fake_root },
    { "GET", "/api/version", fake_version },
    { "GET", "/api/status", fake_status },
    { "GET", "/api/tags", fake_lists },
    { "GET", "/api/ps", fake_lists },
    { "GET", "/v1/models", fake_v1_models },
    { "GET", "/v1/models/:", fake_v1_model },
    { "POST", "/api/pull", fake_pull },
    { "POST", "/api/push", fake_pull },
    { "POST", "/api/create", fake_pull },
    { "POST", "/api/show", fake_show },
    { "POST", "/api/copy", fake_copy },
    { "POST", "/api/blobs/:", fake_blob },
    { "POST", "/api/me", fake_me },
    { "POST", "/api/signout", fake_me },
    { "POST", "/api/generate", fake_generate },
    { "POST", "/api/chat", fake_chat },
    { "POST", "/api/embed", fake_embed },
    { "POST", "/api/embeddings", fake_embeddings },
    { "POST", "/v1/chat/completions", fake_v1_chat },
    { "POST", "/v1/completions", fake_v1_completions },
    { "POST", "/v1/embeddings", fake_v1_embeddings },
    { "POST", "/v1/responses", fake_v1_responses },
    { "POST", "/v1/messages", fake_v1_messages },
    { "DELETE", "/api/delete", fake_delete },
    { NULL, NULL, NULL }
};


void
fake_route(fake_conn_t *c)
{
    fake_req_t          *r;
    const fake_route_t  *route;

    r = c->req;

    if (fake_server.check_host) {

        if (r->origin && *r->origin && !fake_origin_check(c)) {
            return;
        }

        if (fake_is_loopback()) {

            if (!fake_host_allowed(r->host)) {
                fake_out_reply(c, 403, NULL, NULL, 0, NULL);
                return;
            }

            if (strcmp(r->method, "OPTIONS") == 0) {
                fake_out_reply(c, 204, NULL, NULL, 0, NULL);
                return;
            }
        }
    }

    for (route = fake_routes; route->method; route++) {
        if (strcmp(route->method, r->method) == 0
            && fake_route_param(route, r->path))
        {
            route->handler(c);
            return;
        }
    }

    fake_route_none(c);
}


/* the last segment, "" for a route without; NULL: not this route */

static const char *
fake_route_param(const fake_route_t *route, const char *path)
{
    size_t  len;

    len = strlen(route->path);

    if (route->path[len - 1] != ':') {
        return strcmp(route->path, path) == 0 ? "" : NULL;
    }

    if (strncmp(route->path, path, len - 1) != 0 || path[len - 1] == '\0'
        || strchr(path + len - 1, '/'))
    {
        return NULL;
    }

    return path + len - 1;
}


static void
fake_route_none(fake_conn_t *c)
{
    size_t               len;
    fake_buf_t           allow;
    const char          *path;
    const fake_route_t  *route;

    memset(&allow, 0, sizeof(fake_buf_t));

    path = c->req->path;

    for (route = fake_routes; route->method; route++) {
        if (fake_route_param(route, path)) {
            fake_buf_fmt(&allow, "%s%s", allow.len ? ", " : "Allow: ",
                         route->method);
        }
    }

    if (allow.len) {
        fake_buf_str(&allow, "\r\n");
        fake_out_reply(c, 405, "text/plain", "405 method not allowed", 22,
                       allow.data);
        fake_buf_free(&allow);
        return;
    }

    /* gin sends those with one slash too many on to the right path */

    len = strlen(path);

    if (len > 1 && path[len - 1] == '/') {

        c->req->path[len - 1] = '\0';

        for (route = fake_routes; route->method; route++) {
            if (strcmp(route->method, c->req->method) == 0
                && strcmp(route->path, path) == 0)
            {
                fake_buf_fmt(&allow, "Location: %s\r\n", path);
                fake_out_reply(c, c->req->head || c->req->method[0] == 'G'
                                  ? 301 : 307, NULL, NULL, 0, allow.data);
                fake_buf_free(&allow);
                return;
            }
        }
    }

    fake_out_reply(c, 404, "text/plain", "404 page not found", 18, NULL);
}


static void
fake_chat(fake_conn_t *c)
{
    fake_infer(c, FAKE_FORM_CHAT);
}


static void
fake_generate(fake_conn_t *c)
{
    fake_infer(c, FAKE_FORM_GENERATE);
}


static void
fake_embed(fake_conn_t *c)
{
    fake_infer(c, FAKE_FORM_EMBED);
}


static void
fake_embeddings(fake_conn_t *c)
{
    fake_infer(c, FAKE_FORM_EMBEDDINGS);
}


static void
fake_v1_chat(fake_conn_t *c)
{
    fake_infer(c, FAKE_FORM_V1_CHAT);
}


static void
fake_v1_completions(fake_conn_t *c)
{
    fake_infer(c, FAKE_FORM_V1_COMPLETIONS);
}


static void
fake_v1_embeddings(fake_conn_t *c)
{
    fake_infer(c, FAKE_FORM_V1_EMBEDDINGS);
}


static void
fake_v1_responses(fake_conn_t *c)
{
    fake_infer(c, FAKE_FORM_V1_RESPONSES);
}


static void
fake_v1_messages(fake_conn_t *c)
{
    fake_infer(c, FAKE_FORM_V1_MESSAGES);
}
