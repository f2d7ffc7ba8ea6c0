
/*
 * Which handler a path has.  The order is gin's: first Origin, then Host,
 * then the path; in front of it all is Go's mux.
 */

#include "route.h"
#include "access.h"
#include "infer.h"
#include "listen.h"
#include "lists.h"
#include "manage.h"
#include "out.h"


typedef struct {
    const char       *method;
    const char       *path;         /* ending in "/:": one more segment */
    fake_handler_pt   handler;
} fake_route_t;


static const char *fake_route_param(const fake_route_t *route,
    const char *path);
static int fake_route_clean(fake_conn_t *c);
static void fake_route_redirect(fake_conn_t *c, int status,
    const char *to);
static void fake_route_allow(fake_req_t *r);
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
    int                  local;
    fake_req_t          *r;
    const fake_route_t  *route;

    r = c->req;

    if (fake_server.hang) {
        return;
    }

    if (fake_route_clean(c)) {
        return;
    }

    for (route = fake_routes; route->method; route++) {
        if (strcmp(route->method, r->method) == 0
            && fake_route_param(route, r->path))
        {
            break;
        }
    }

    /* gin sets Allow before it asks the middlewares */

    if (route->method == NULL) {
        fake_route_allow(r);
    }

    if (fake_server.check_host) {

        if (r->origin && *r->origin && !fake_origin_check(c)) {
            return;
        }

        local = fake_is_loopback() ? fake_host_allowed(r->host)
                                   : FAKE_HOST_ADDRESS;

        if (local == FAKE_HOST_FOREIGN) {
            fake_out_reply(c, 403, NULL, NULL, 0, NULL);
            return;
        }

        if (local == FAKE_HOST_NAME && strcmp(r->method, "OPTIONS") == 0) {
            fake_out_reply(c, 204, NULL, NULL, 0, NULL);
            return;
        }
    }

    if (route->method) {
        route->handler(c);
        return;
    }

    fake_route_none(c);
}


/*
 * Go's mux, in front of all else, sends a path with empty or dot segments
 * on to what it means.  1: has answered.
 */

static int
fake_route_clean(fake_conn_t *c)
{
    int          n;
    char        *path;
    fake_buf_t   to;
    const char  *p, *segment;

    path = c->req->path;

    if (*path != '/') {
        return 0;
    }

    memset(&to, 0, sizeof(fake_buf_t));
    fake_buf_str(&to, "");

    for (p = path; *p; /* void */ ) {

        while (*p == '/') {
            p++;
        }

        segment = p;
        p += strcspn(p, "/");
        n = (int) (p - segment);

        if (n == 2 && segment[0] == '.' && segment[1] == '.') {
            while (to.len && to.data[--to.len] != '/') { /* void */ }
            to.data[to.len] = '\0';

        } else if (n && !(n == 1 && segment[0] == '.')) {
            fake_buf_fmt(&to, "/%.*s", n, segment);
        }
    }

    if (to.len == 0 || path[strlen(path) - 1] == '/') {
        fake_buf_str(&to, "/");
    }

    if (strcmp(path, to.data) == 0) {
        fake_buf_free(&to);
        return 0;
    }

    if (*c->req->query) {
        fake_buf_fmt(&to, "?%s", c->req->query);
    }

    fake_route_redirect(c, 307, to.data);
    fake_buf_free(&to);

    return 1;
}


/* Go's http.Redirect: GET gets a word about it; HEAD is our own matter */

static void
fake_route_redirect(fake_conn_t *c, int status, const char *to)
{
    int          text;
    fake_buf_t   body, location;
    const char  *p;

    text = (c->req->head || strcmp(c->req->method, "GET") == 0);

    memset(&body, 0, sizeof(fake_buf_t));
    memset(&location, 0, sizeof(fake_buf_t));

    fake_buf_str(&location, "Location: ");

    /* the path was decoded, and may have what no header can */

    for (p = to; *p; p++) {
        if ((unsigned char) *p <= ' ' || (unsigned char) *p >= 0x7f) {
            fake_buf_fmt(&location, "%%%02X", (unsigned char) *p);

        } else {
            fake_buf_add(&location, p, 1);
        }
    }

    fake_buf_fmt(&body, "<a href=\"%s\">%s</a>.\n\n",
                 location.data + sizeof("Location: ") - 1,
                 fake_status_text(status));
    fake_buf_str(&location, "\r\n");

    fake_out_reply(c, status, text ? "text/html; charset=utf-8" : NULL,
                   body.data, text ? body.len : 0, location.data);

    fake_buf_free(&body);
    fake_buf_free(&location);
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


/* what other methods the path has */

static void
fake_route_allow(fake_req_t *r)
{
    fake_buf_t           allow;
    const fake_route_t  *route;

    memset(&allow, 0, sizeof(fake_buf_t));

    for (route = fake_routes; route->method; route++) {
        if (fake_route_param(route, r->path)) {
            fake_buf_fmt(&allow, "%s%s", allow.len ? ", " : "Allow: ",
                         route->method);
        }
    }

    if (allow.len) {
        fake_buf_str(&allow, "\r\n");
    }

    r->allow = allow.data;
}


static void
fake_route_none(fake_conn_t *c)
{
    size_t               len;
    fake_req_t          *r;
    const fake_route_t  *route;

    r = c->req;

    if (r->allow) {
        fake_out_reply(c, 405, "text/plain", "405 method not allowed", 22,
                       NULL);
        return;
    }

    /* gin sends those with one slash too many on to the right path */

    len = strlen(r->path);

    if (len > 1 && r->path[len - 1] == '/') {

        r->path[len - 1] = '\0';

        for (route = fake_routes; route->method; route++) {
            if (strcmp(route->method, r->method) == 0
                && strcmp(route->path, r->path) == 0)
            {
                fake_route_redirect(c, strcmp(r->method, "GET") == 0
                                       ? 301 : 307, r->path);
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
