
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * The table of all endpoints, in the order of docs/api.md.  A path that is not
 * in the table is 404, whatever the servers may offer, unless ollama_pass names
 * it.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_ollama_endpoints.h"
#include "api/ngx_http_ollama_cancel.h"
#include "api/ngx_http_ollama_models.h"
#include "api/ngx_http_ollama_session.h"
#include "api/ngx_http_ollama_session_create.h"
#include "conversation/ngx_http_ollama_conversation.h"
#include "core/ngx_http_ollama_endpoint.h"
#include "request/ngx_http_ollama_scan.h"
#include "util/ngx_http_ollama_path.h"


#define NGX_HTTP_OLLAMA_STREAM    NGX_HTTP_OLLAMA_SCAN_STREAM
#define NGX_HTTP_OLLAMA_PROMPT    NGX_HTTP_OLLAMA_SCAN_PROMPT

/* of Ollama's own endpoints; under /v1 a body is the client's alone */

#define NGX_HTTP_OLLAMA_API       (NGX_HTTP_OLLAMA_SCAN_OPTIONS              \
                                   |NGX_HTTP_OLLAMA_SCAN_OWN)

#define NGX_HTTP_OLLAMA_API_CHAT  (NGX_HTTP_OLLAMA_SCAN_STREAM               \
                                   |NGX_HTTP_OLLAMA_API                      \
                                   |NGX_HTTP_OLLAMA_SCAN_MESSAGES            \
                                   |NGX_HTTP_OLLAMA_SCAN_TEXT                \
                                   |NGX_HTTP_OLLAMA_PROMPT                   \
                                   |NGX_HTTP_OLLAMA_SCAN_UNLOAD)

#define NGX_HTTP_OLLAMA_V1_CHAT   (NGX_HTTP_OLLAMA_SCAN_STREAM               \
                                   |NGX_HTTP_OLLAMA_SCAN_MESSAGES            \
                                   |NGX_HTTP_OLLAMA_PROMPT)

/* without a model, too */
#define NGX_HTTP_OLLAMA_MANAGE    (NGX_HTTP_OLLAMA_SCAN_SESSION              \
                                   |NGX_HTTP_OLLAMA_SCAN_OWN)

#define NGX_HTTP_OLLAMA_GET_HEAD  (NGX_HTTP_GET|NGX_HTTP_HEAD)


static ngx_int_t ngx_http_ollama_endpoints_root(ngx_http_request_t *r);


static ngx_http_ollama_endpoint_t  ngx_http_ollama_endpoints[] = {

    /* chat: the first is that of a turn */

    { ngx_string("/api/chat"), NGX_HTTP_POST,
      NGX_HTTP_OLLAMA_ENDPOINT_MODEL, NGX_HTTP_OLLAMA_API_CHAT,
      NGX_HTTP_OLLAMA_END_DONE, NULL },

    { ngx_string("/api/generate"), NGX_HTTP_POST,
      NGX_HTTP_OLLAMA_ENDPOINT_MODEL,
      NGX_HTTP_OLLAMA_STREAM|NGX_HTTP_OLLAMA_API|NGX_HTTP_OLLAMA_PROMPT
      |NGX_HTTP_OLLAMA_SCAN_UNLOAD,
      NGX_HTTP_OLLAMA_END_DONE, NULL },

    { ngx_string("/api/embed"), NGX_HTTP_POST,
      NGX_HTTP_OLLAMA_ENDPOINT_MODEL,
      NGX_HTTP_OLLAMA_API|NGX_HTTP_OLLAMA_PROMPT,
      NGX_HTTP_OLLAMA_END_OBJECT, NULL },

    { ngx_string("/api/embeddings"), NGX_HTTP_POST,
      NGX_HTTP_OLLAMA_ENDPOINT_MODEL,
      NGX_HTTP_OLLAMA_API|NGX_HTTP_OLLAMA_PROMPT,
      NGX_HTTP_OLLAMA_END_OBJECT, NULL },

    { ngx_string("/api/show"), NGX_HTTP_POST,
      NGX_HTTP_OLLAMA_ENDPOINT_MODEL,
      NGX_HTTP_OLLAMA_SCAN_NAME|NGX_HTTP_OLLAMA_API,
      NGX_HTTP_OLLAMA_END_OBJECT, NULL },

    { ngx_string("/v1/chat/completions"), NGX_HTTP_POST,
      NGX_HTTP_OLLAMA_ENDPOINT_MODEL, NGX_HTTP_OLLAMA_V1_CHAT,
      NGX_HTTP_OLLAMA_END_MARK, NULL },

    { ngx_string("/v1/completions"), NGX_HTTP_POST,
      NGX_HTTP_OLLAMA_ENDPOINT_MODEL,
      NGX_HTTP_OLLAMA_STREAM|NGX_HTTP_OLLAMA_PROMPT,
      NGX_HTTP_OLLAMA_END_MARK, NULL },

    { ngx_string("/v1/embeddings"), NGX_HTTP_POST,
      NGX_HTTP_OLLAMA_ENDPOINT_MODEL, NGX_HTTP_OLLAMA_PROMPT,
      NGX_HTTP_OLLAMA_END_OBJECT, NULL },

    { ngx_string("/v1/responses"), NGX_HTTP_POST,
      NGX_HTTP_OLLAMA_ENDPOINT_MODEL,
      NGX_HTTP_OLLAMA_STREAM|NGX_HTTP_OLLAMA_PROMPT,
      NGX_HTTP_OLLAMA_END_RESPONSE, NULL },

    { ngx_string("/v1/responses/compact"), NGX_HTTP_POST,
      NGX_HTTP_OLLAMA_ENDPOINT_MODEL, NGX_HTTP_OLLAMA_PROMPT,
      NGX_HTTP_OLLAMA_END_OBJECT, NULL },

    { ngx_string("/v1/messages"), NGX_HTTP_POST,
      NGX_HTTP_OLLAMA_ENDPOINT_MODEL, NGX_HTTP_OLLAMA_V1_CHAT,
      NGX_HTTP_OLLAMA_END_MESSAGE, NULL },

    { ngx_string("/v1/images/generations"), NGX_HTTP_POST,
      NGX_HTTP_OLLAMA_ENDPOINT_MODEL, 0,
      NGX_HTTP_OLLAMA_END_ANY, NULL },

    { ngx_string("/v1/images/edits"), NGX_HTTP_POST,
      NGX_HTTP_OLLAMA_ENDPOINT_MODEL, NGX_HTTP_OLLAMA_SCAN_FORM,
      NGX_HTTP_OLLAMA_END_ANY, NULL },

    { ngx_string("/v1/audio/transcriptions"), NGX_HTTP_POST,
      NGX_HTTP_OLLAMA_ENDPOINT_MODEL, NGX_HTTP_OLLAMA_SCAN_FORM,
      NGX_HTTP_OLLAMA_END_ANY, NULL },

    /* stop */

    { ngx_string("/api/chat/cancel/*"), NGX_HTTP_POST,
      NGX_HTTP_OLLAMA_ENDPOINT_LOCAL, 0, 0, ngx_http_ollama_cancel_handler },

    /* servers and models */

    { ngx_string("/api/models/servers"), NGX_HTTP_OLLAMA_GET_HEAD,
      NGX_HTTP_OLLAMA_ENDPOINT_LOCAL, 0, 0,
      ngx_http_ollama_models_servers },

    { ngx_string("/api/models/server/models"), NGX_HTTP_OLLAMA_GET_HEAD,
      NGX_HTTP_OLLAMA_ENDPOINT_LOCAL, 0, 0,
      ngx_http_ollama_models_server },

    { ngx_string("/api/models/server/check"), NGX_HTTP_OLLAMA_GET_HEAD,
      NGX_HTTP_OLLAMA_ENDPOINT_LOCAL, 0, 0,
      ngx_http_ollama_models_check },

    { ngx_string("/api/tags"), NGX_HTTP_OLLAMA_GET_HEAD,
      NGX_HTTP_OLLAMA_ENDPOINT_LIST, 0, 0,
      ngx_http_ollama_models_tags },

    { ngx_string("/api/ps"), NGX_HTTP_GET,
      NGX_HTTP_OLLAMA_ENDPOINT_LIST, 0, 0,
      ngx_http_ollama_models_ps },

    { ngx_string("/v1/models"), NGX_HTTP_GET,
      NGX_HTTP_OLLAMA_ENDPOINT_LIST, 0, 0,
      ngx_http_ollama_models_openai },

    { ngx_string("/v1/models/**"), NGX_HTTP_GET,
      NGX_HTTP_OLLAMA_ENDPOINT_LIST, 0, 0,
      ngx_http_ollama_models_openai_one },

    { ngx_string("/api/version"), NGX_HTTP_OLLAMA_GET_HEAD,
      NGX_HTTP_OLLAMA_ENDPOINT_LIST, 0, 0,
      ngx_http_ollama_models_version },

    { ngx_string("/api/status"), NGX_HTTP_GET,
      NGX_HTTP_OLLAMA_ENDPOINT_PASS, 0, 0, NULL },

    { ngx_string("/"), NGX_HTTP_OLLAMA_GET_HEAD,
      NGX_HTTP_OLLAMA_ENDPOINT_LOCAL, 0, 0,
      ngx_http_ollama_endpoints_root },

    /* sessions */

    { ngx_string("/api/chat/session"), NGX_HTTP_POST,
      NGX_HTTP_OLLAMA_ENDPOINT_LOCAL, 0, 0,
      ngx_http_ollama_session_create },

    { ngx_string("/api/chat/session/*"),
      NGX_HTTP_OLLAMA_GET_HEAD|NGX_HTTP_PATCH|NGX_HTTP_DELETE,
      NGX_HTTP_OLLAMA_ENDPOINT_LOCAL, 0, 0,
      ngx_http_ollama_session_one },

    { ngx_string("/api/chat/session/*/messages"), NGX_HTTP_DELETE,
      NGX_HTTP_OLLAMA_ENDPOINT_LOCAL, 0, 0,
      ngx_http_ollama_session_messages },

    { ngx_string("/api/chat/sessions"), NGX_HTTP_OLLAMA_GET_HEAD,
      NGX_HTTP_OLLAMA_ENDPOINT_LOCAL, 0, 0,
      ngx_http_ollama_session_list },

    /* model-to-model chat */

    { ngx_string("/api/chat/multi-model"), NGX_HTTP_POST,
      NGX_HTTP_OLLAMA_ENDPOINT_CONVERSATION, 0, 0,
      ngx_http_ollama_conversation_handler },

    /* metrics */

    { ngx_string("/api/metrics"), NGX_HTTP_OLLAMA_GET_HEAD,
      NGX_HTTP_OLLAMA_ENDPOINT_NOT_IMPLEMENTED, 0, 0, NULL },

    /* management */

    { ngx_string("/api/pull"), NGX_HTTP_POST,
      NGX_HTTP_OLLAMA_ENDPOINT_MANAGEMENT,
      NGX_HTTP_OLLAMA_MANAGE|NGX_HTTP_OLLAMA_SCAN_NAME, 0, NULL },

    { ngx_string("/api/push"), NGX_HTTP_POST,
      NGX_HTTP_OLLAMA_ENDPOINT_MANAGEMENT,
      NGX_HTTP_OLLAMA_MANAGE|NGX_HTTP_OLLAMA_SCAN_NAME, 0, NULL },

    { ngx_string("/api/create"), NGX_HTTP_POST,
      NGX_HTTP_OLLAMA_ENDPOINT_MANAGEMENT,
      NGX_HTTP_OLLAMA_MANAGE|NGX_HTTP_OLLAMA_SCAN_NAME, 0, NULL },

    { ngx_string("/api/copy"), NGX_HTTP_POST,
      NGX_HTTP_OLLAMA_ENDPOINT_MANAGEMENT, NGX_HTTP_OLLAMA_MANAGE, 0, NULL },

    { ngx_string("/api/delete"), NGX_HTTP_DELETE,
      NGX_HTTP_OLLAMA_ENDPOINT_MANAGEMENT,
      NGX_HTTP_OLLAMA_MANAGE|NGX_HTTP_OLLAMA_SCAN_NAME, 0, NULL },

    { ngx_string("/api/blobs/*"), NGX_HTTP_HEAD|NGX_HTTP_POST,
      NGX_HTTP_OLLAMA_ENDPOINT_UPLOAD, 0, 0, NULL },

    { ngx_string("/api/me"), NGX_HTTP_POST,
      NGX_HTTP_OLLAMA_ENDPOINT_MANAGEMENT, 0, 0, NULL },

    { ngx_string("/api/signout"), NGX_HTTP_POST,
      NGX_HTTP_OLLAMA_ENDPOINT_MANAGEMENT, 0, 0, NULL },

    { ngx_string("/api/user/keys/*"), NGX_HTTP_DELETE,
      NGX_HTTP_OLLAMA_ENDPOINT_MANAGEMENT, 0, 0, NULL },

    { ngx_string("/api/experimental/*"),
      NGX_HTTP_GET|NGX_HTTP_POST|NGX_HTTP_DELETE,
      NGX_HTTP_OLLAMA_ENDPOINT_MANAGEMENT, NGX_HTTP_OLLAMA_MANAGE, 0, NULL },

    { ngx_null_string, 0, 0, 0, 0, NULL }
};


ngx_http_ollama_endpoint_t *
ngx_http_ollama_endpoints_find(ngx_str_t *uri)
{
    ngx_http_ollama_endpoint_t  *endpoint;

    for (endpoint = ngx_http_ollama_endpoints;
         endpoint->path.len;
         endpoint++)
    {
        if (ngx_http_ollama_path_match(&endpoint->path, uri)) {
            return endpoint;
        }
    }

    return NULL;
}


ngx_http_ollama_endpoint_t *
ngx_http_ollama_endpoints_turn(void)
{
    return &ngx_http_ollama_endpoints[0];
}


/* What Ollama answers there, which clients use to find out if it is up. */

static ngx_int_t
ngx_http_ollama_endpoints_root(ngx_http_request_t *r)
{
    ngx_str_t                 type;
    ngx_http_complex_value_t  cv;

    ngx_memzero(&cv, sizeof(ngx_http_complex_value_t));

    ngx_str_set(&cv.value, "Ollama is running");
    ngx_str_set(&type, "text/plain; charset=utf-8");

    return ngx_http_send_response(r, NGX_HTTP_OK, &type, &cv);
}
