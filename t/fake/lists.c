
/*
 * What is asked about the server and its models: version, lists, and
 * OpenAI's view of them.
 */

#include "lists.h"
#include "error.h"
#include "out.h"
#include "sched.h"

#include <time.h>


#define FAKE_MODIFIED_UNIX  1767323045


static void fake_version_ready(fake_conn_t *c);
static int fake_lists_running(fake_conn_t *c);
static int fake_lists_given(fake_conn_t *c, int64_t status, json_t *body);
static void fake_lists_ready(fake_conn_t *c);
static json_t *fake_list_tag(fake_model_t *m);
static json_t *fake_list_running(fake_model_t *m);
static json_t *fake_v1_model_json(const char *id, fake_model_t *m);
static void fake_v1_reply(fake_conn_t *c, json_t *json);


void
fake_root(fake_conn_t *c)
{
    fake_out_reply(c, 200, "text/plain; charset=utf-8", "Ollama is running",
                   17, NULL);
}


void
fake_version(fake_conn_t *c)
{
    if (fake_server.version_delay_ms) {
        fake_conn_timer(c, fake_server.version_delay_ms, fake_version_ready);
        return;
    }

    fake_version_ready(c);
}


static void
fake_version_ready(fake_conn_t *c)
{
    json_t  *version;

    if (fake_lists_given(c, fake_server.version_status,
                         fake_server.version_body))
    {
        return;
    }

    version = fake_server.version;

    fake_out_json(c, 200, json_pack("{s:o}", "version",
                                    version ? json_incref(version)
                                            : json_string("0.17.4")));
}


void
fake_lists(fake_conn_t *c)
{
    double  delay;

    if (fake_server.lists_hang) {
        return;
    }

    delay = fake_lists_running(c) ? fake_server.ps_delay_ms
                                  : fake_server.tags_delay_ms;
    delay = delay ? delay : fake_server.lists_delay_ms;

    if (delay) {
        fake_conn_timer(c, delay, fake_lists_ready);
        return;
    }

    fake_lists_ready(c);
}


static int
fake_lists_running(fake_conn_t *c)
{
    return strcmp(c->req->path, "/api/ps") == 0;
}


/* sends a status or body that was set, if one was; status 0: 200 */

static int
fake_lists_given(fake_conn_t *c, int64_t status, json_t *body)
{
    const char  *text;

    text = "{\"error\":\"fake lists_status\"}";
    status = status ? status : 200;

    if (body == NULL && status == 200) {
        return 0;
    }

    fake_out_reply(c, (int) status, "application/json; charset=utf-8",
                   body ? json_string_value(body) : text,
                   body ? json_string_length(body) : strlen(text), NULL);

    return 1;
}


static void
fake_lists_ready(fake_conn_t *c)
{
    int            running;
    json_t        *list, *body;
    int64_t        status;
    fake_model_t  *m;

    running = fake_lists_running(c);

    status = running ? fake_server.ps_status : fake_server.tags_status;
    status = status ? status : fake_server.lists_status;

    body = running ? fake_server.ps_body : fake_server.tags_body;
    body = body ? body : fake_server.lists_body;

    if (fake_lists_given(c, status, body)) {
        return;
    }

    list = json_array();

    for (m = fake_server.models; m; m = m->next) {
        if (!running) {
            json_array_append_new(list, fake_list_tag(m));

        } else if (m->loaded) {
            json_array_append_new(list, fake_list_running(m));
        }
    }

    fake_out_json(c, 200, json_pack("{s:o}", "models", list));
}


/* a member of the model's description, or a default, whose reference goes */

json_t *
fake_list_get(fake_model_t *m, const char *key, json_t *value)
{
    json_t  *given;

    given = json_object_get(m->spec, key);

    if (given == NULL) {
        return value;
    }

    json_decref(value);

    return json_incref(given);
}


/* without one of its own a model has that of its name */

json_t *
fake_list_digest(fake_model_t *m)
{
    char         text[sizeof(FAKE_DIGEST)];
    uint32_t     hash;
    const char  *p;

    hash = 2166136261u;

    for (p = m->key; *p; p++) {
        hash = (hash ^ (unsigned char) *p) * 16777619u;
    }

    snprintf(text, sizeof(text), "%08x%s", (unsigned) hash, FAKE_DIGEST + 8);

    return fake_list_get(m, "digest", json_string(text));
}


json_t *
fake_list_details(fake_model_t *m)
{
    return fake_list_get(m, "details",
                json_pack("{s:s, s:s, s:s, s:[s], s:s, s:s}",
                          "parent_model", "", "format", "gguf",
                          "family", "llama", "families", "llama",
                          "parameter_size", "134.52M",
                          "quantization_level", "Q4_1"));
}


static json_t *
fake_list_tag(fake_model_t *m)
{
    json_t  *obj, *value;

    obj = json_pack("{s:s, s:s}", "name", m->name, "model", m->name);

    value = json_object_get(m->spec, "remote_model");

    if (value) {
        json_object_set(obj, "remote_model", value);
    }

    value = json_object_get(m->spec, "remote_host");

    if (value) {
        json_object_set(obj, "remote_host", value);
    }

    json_object_set_new(obj, "modified_at",
                fake_list_get(m, "modified_at", json_string(FAKE_MODIFIED)));
    json_object_set_new(obj, "size",
                fake_list_get(m, "size", json_integer(91700000)));
    json_object_set_new(obj, "digest",
                fake_list_digest(m));
    json_object_set_new(obj, "details", fake_list_details(m));

    value = json_object_get(m->spec, "capabilities");

    if (value) {
        json_object_set(obj, "capabilities", value);
    }

    return obj;
}


static json_t *
fake_list_running(fake_model_t *m)
{
    char       text[40];
    json_t    *obj;
    time_t     at;
    struct tm  tm;

    at = time(NULL) + 300;
    gmtime_r(&at, &tm);
    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S.123456789Z", &tm);

    obj = json_pack("{s:s, s:s}", "name", m->name, "model", m->name);

    json_object_set_new(obj, "size",
                fake_list_get(m, "size", json_integer(91700000)));
    json_object_set_new(obj, "digest",
                fake_list_digest(m));
    json_object_set_new(obj, "details", fake_list_details(m));
    json_object_set_new(obj, "expires_at",
                fake_list_get(m, "expires_at", json_string(text)));
    json_object_set_new(obj, "size_vram",
                fake_list_get(m, "size_vram",
                      fake_list_get(m, "size", json_integer(91700000))));
    json_object_set_new(obj, "context_length",
                fake_list_get(m, "context_length",
                              json_integer(FAKE_CONTEXT)));

    if (m->options && strncmp(m->options, "num_ctx=", 8) == 0) {
        json_object_set_new(obj, "context_length",
                            json_integer(atoll(m->options + 8)));
    }

    return obj;
}


static json_t *
fake_v1_model_json(const char *id, fake_model_t *m)
{
    char        *key, *owner;
    json_t      *obj, *modified;
    time_t       created;
    struct tm    tm;

    created = FAKE_MODIFIED_UNIX;
    modified = json_object_get(m->spec, "modified_at");

    memset(&tm, 0, sizeof(tm));

    if (json_is_string(modified)
        && strptime(json_string_value(modified), "%Y-%m-%dT%H:%M:%S", &tm))
    {
        created = timegm(&tm);
    }

    /* the owner is the namespace */

    key = fake_name_key(id, strlen(id));
    owner = key ? strchr(key, '/') : NULL;

    if (owner) {
        *strchr(++owner, '/') = '\0';
    }

    obj = json_pack("{s:s, s:s, s:I, s:s}", "id", id, "object", "model",
                    "created", (json_int_t) created,
                    "owned_by", owner ? owner : "library");
    free(key);

    return obj;
}


/* as the /v1 writers do: another type, and a line feed; takes json */

static void
fake_v1_reply(fake_conn_t *c, json_t *json)
{
    char        *text;
    fake_buf_t   b;

    memset(&b, 0, sizeof(fake_buf_t));

    text = json_dumps(json, JSON_COMPACT);

    fake_buf_str(&b, text ? text : "null");
    fake_buf_str(&b, "\n");

    fake_out_reply(c, 200, "application/json", b.data, b.len, NULL);

    free(text);
    fake_buf_free(&b);
    json_decref(json);
}


void
fake_v1_models(fake_conn_t *c)
{
    json_t        *list;
    fake_model_t  *m;

    list = json_array();

    for (m = fake_server.models; m; m = m->next) {
        json_array_append_new(list, fake_v1_model_json(m->name, m));
    }

    fake_v1_reply(c, json_pack("{s:s, s:o}", "object", "list",
                               "data", list));
}


void
fake_v1_model(fake_conn_t *c)
{
    const char    *id;
    fake_model_t  *m;

    id = c->req->path + sizeof("/v1/models/") - 1;
    m = fake_model_find(id, strlen(id));

    if (m == NULL) {
        fake_error_reply(c, FAKE_FORM_V1_CHAT, 404, 0,
                         "model '%s' not found", id);
        return;
    }

    fake_v1_reply(c, fake_v1_model_json(id, m));
}


void
fake_status(fake_conn_t *c)
{
    fake_out_json(c, 200, json_pack("{s:{s:b, s:s}}", "cloud",
                                    "disabled", 0, "source", "none"));
}


void
fake_me(fake_conn_t *c)
{
    fake_out_json(c, 401, json_pack("{s:s, s:s}", "error", "unauthorized",
                                    "signin_url",
                                    "https://ollama.com/connect?name=fake"));
}
