
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * Sessions and messages as JSON: walks over the result of an operation of the
 * store.  Members of a message's JSON are sent as they were stored.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "api/ngx_http_ollama_session_json.h"


static void ngx_http_ollama_session_json_fields(ngx_http_ollama_emit_t *t,
    ngx_str_t *id, ngx_http_ollama_store_session_t *session);
static void ngx_http_ollama_session_json_message(ngx_http_ollama_emit_t *t,
    ngx_http_ollama_session_message_t *m);
static void ngx_http_ollama_session_json_null(ngx_http_ollama_emit_t *t,
    const char *name, ngx_str_t *value);
static void ngx_http_ollama_session_json_string(ngx_http_ollama_emit_t *t,
    const char *name, ngx_str_t *value);
static void ngx_http_ollama_session_json_raw(ngx_http_ollama_emit_t *t,
    const char *name, ngx_str_t *value);


ngx_int_t
ngx_http_ollama_session_json_init(ngx_http_ollama_session_json_t *json,
    ngx_pool_t *pool)
{
    ngx_uint_t                          i;
    ngx_http_ollama_session_message_t  *m;

    m = ngx_palloc(pool, json->store->n
                         * sizeof(ngx_http_ollama_session_message_t));
    if (m == NULL) {
        return NGX_ERROR;
    }

    json->messages = m;

    for (i = 0; i < json->store->n; i++) {
        ngx_http_ollama_store_get_message(json->store, i, &m[i].stored);

        /* a message that is not an object has no members */
        (void) ngx_http_ollama_message_read(&m[i].stored.json,
                                            &m[i].message);
    }

    return NGX_OK;
}


void
ngx_http_ollama_session_json_session(ngx_http_ollama_emit_t *t, void *data)
{
    ngx_http_ollama_session_json_t *json = data;

    ngx_http_ollama_emit_add(t, "{");
    ngx_http_ollama_session_json_fields(t, &json->id, &json->store->session);
    ngx_http_ollama_emit_add(t, "}");
}


void
ngx_http_ollama_session_json_whole(ngx_http_ollama_emit_t *t, void *data)
{
    ngx_http_ollama_session_json_t *json = data;

    ngx_str_t                 edge;
    ngx_uint_t                i;
    ngx_http_ollama_store_t  *store;

    store = json->store;

    ngx_http_ollama_emit_add(t, "{");
    ngx_http_ollama_session_json_fields(t, &json->id, &store->session);
    ngx_http_ollama_session_json_null(t, ",\"active_task\":", &store->task);
    ngx_http_ollama_emit_add(t, ",\"messages\":[");

    for (i = 0; i < store->n; i++) {

        if (i) {
            ngx_http_ollama_emit_add(t, ",");
        }

        ngx_http_ollama_session_json_message(t, &json->messages[i]);
    }

    ngx_http_ollama_emit_add(t, "]");

    ngx_str_null(&edge);

    if (store->more && store->n) {
        edge = json->messages[json->back ? 0 : store->n - 1].stored.id;
    }

    ngx_http_ollama_session_json_null(t, json->back ? ",\"prev\":"
                                                    : ",\"next\":", &edge);
    ngx_http_ollama_emit_add(t, "}");
}


void
ngx_http_ollama_session_json_deleted(ngx_http_ollama_emit_t *t, void *data)
{
    ngx_http_ollama_session_json_t *json = data;

    ngx_http_ollama_emit_add(t, "{\"deleted\":");
    ngx_http_ollama_emit_number(t, json->store->total);
    ngx_http_ollama_emit_add(t, "}");
}


void
ngx_http_ollama_session_json_list(ngx_http_ollama_emit_t *t, void *data)
{
    ngx_http_ollama_session_json_t *json = data;

    ngx_uint_t                        i;
    ngx_http_ollama_store_session_t   session;

    ngx_http_ollama_emit_add(t, "{\"sessions\":[");

    for (i = 0; i < json->store->n; i++) {
        ngx_http_ollama_store_get_session(json->store, i, &session);

        ngx_http_ollama_emit_add(t, i ? ",{" : "{");
        ngx_http_ollama_session_json_fields(t, &session.id, &session);
        ngx_http_ollama_emit_add(t, "}");
    }

    ngx_http_ollama_emit_add(t, "]");
    ngx_http_ollama_session_json_null(t, ",\"next\":", &json->store->next);
    ngx_http_ollama_emit_add(t, "}");
}


static void
ngx_http_ollama_session_json_fields(ngx_http_ollama_emit_t *t, ngx_str_t *id,
    ngx_http_ollama_store_session_t *session)
{
    ngx_http_ollama_session_json_null(t, "\"session_id\":", id);
    ngx_http_ollama_session_json_null(t, ",\"title\":", &session->title);
    ngx_http_ollama_session_json_null(t, ",\"model\":", &session->model);
    ngx_http_ollama_session_json_null(t, ",\"system\":", &session->system);
    ngx_http_ollama_emit_add(t, ",\"created_at\":");
    ngx_http_ollama_emit_time(t, session->created);
    ngx_http_ollama_emit_add(t, ",\"updated_at\":");
    ngx_http_ollama_emit_time(t, session->updated);
}


static void
ngx_http_ollama_session_json_message(ngx_http_ollama_emit_t *t,
    ngx_http_ollama_session_message_t *m)
{
    static ngx_str_t  null = ngx_string("null");
    static ngx_str_t  empty = ngx_string("\"\"");

    ngx_http_ollama_session_json_null(t, "{\"id\":", &m->stored.id);
    ngx_http_ollama_session_json_raw(t, ",\"role\":",
                               m->message.role.len ? &m->message.role : &null);
    ngx_http_ollama_session_json_raw(t, ",\"content\":",
                        m->message.content.len ? &m->message.content : &empty);
    ngx_http_ollama_emit_add(t, ",\"created_at\":");
    ngx_http_ollama_emit_time(t, m->stored.created);
    ngx_http_ollama_session_json_string(t, ",\"model\":", &m->stored.model);
    ngx_http_ollama_session_json_string(t, ",\"server\":", &m->stored.server);
    ngx_http_ollama_session_json_null(t, ",\"status\":", &m->stored.status);
    ngx_http_ollama_session_json_string(t, ",\"thinking\":",
                                        &m->stored.thinking);
    ngx_http_ollama_session_json_raw(t, ",\"images\":", &m->message.images);
    ngx_http_ollama_session_json_raw(t, ",\"tool_calls\":",
                                     &m->message.tool_calls);
    ngx_http_ollama_session_json_raw(t, ",\"tool_name\":",
                                     &m->message.tool_name);
    ngx_http_ollama_session_json_string(t, ",\"participant\":",
                                        &m->stored.participant);
    ngx_http_ollama_session_json_raw(t, ",\"stats\":", &m->stored.stats);
    ngx_http_ollama_emit_add(t, "}");
}


/* A member that is null without a value. */

static void
ngx_http_ollama_session_json_null(ngx_http_ollama_emit_t *t,
    const char *name, ngx_str_t *value)
{
    ngx_http_ollama_emit_add(t, name);

    if (value->data) {
        ngx_http_ollama_emit_string(t, value);

    } else {
        ngx_http_ollama_emit_add(t, "null");
    }
}


/* Members that are left out without a value. */

static void
ngx_http_ollama_session_json_string(ngx_http_ollama_emit_t *t,
    const char *name, ngx_str_t *value)
{
    if (value->len) {
        ngx_http_ollama_emit_add(t, name);
        ngx_http_ollama_emit_string(t, value);
    }
}


static void
ngx_http_ollama_session_json_raw(ngx_http_ollama_emit_t *t, const char *name,
    ngx_str_t *value)
{
    if (value->len) {
        ngx_http_ollama_emit_add(t, name);
        ngx_http_ollama_emit_raw(t, value);
    }
}
