
/*
 * Requests that make a model speak: reading them, and the refusals, in the
 * words and the order of Ollama's handlers and middlewares.
 */

#include "infer.h"
#include "conf.h"
#include "error.h"
#include "out.h"
#include "record.h"
#include "sched.h"
#include "stream.h"


typedef struct {
    const char    *type;            /* Go's, for its error texts */
    fake_field_t   fields[7];
} fake_schema_t;


static fake_field_t *fake_infer_field(fake_field_t *fields,
    const char *name);
static char *fake_infer_string(const fake_field_t *f, size_t *len);
static int fake_infer_check(fake_conn_t *c, int form, fake_field_t *fields,
    const char *name);
static int fake_infer_input(fake_conn_t *c, int form, fake_field_t *f);
static void fake_infer_prompt(fake_gen_t *g, fake_field_t *fields);
static void fake_infer_options(fake_gen_t *g, fake_field_t *fields,
    fake_model_t *m);
static int fake_infer_zero(const fake_field_t *f);
static int fake_infer_told(fake_conn_t *c);
static int fake_infer_load(fake_conn_t *c, int form, fake_field_t *fields,
    fake_model_t *m);
static void fake_infer_refuse(fake_conn_t *c, int form);
static void fake_infer_gen(fake_conn_t *c, int form, fake_field_t *fields,
    const char *name, size_t len);


#define fake_f(name, type, go)  { name, type, go, { NULL, 0 } }

/* in the order of fake_form_e */

static const fake_schema_t  fake_schemas[] = {

    { "api.ChatRequest", {
        fake_f("model", 's', "string"),
        fake_f("messages", 'a', "[]api.Message"),
        fake_f("stream", 'b', "*bool"),
        fake_f("options", 'o', "map[string]interface {}"),
        fake_f("keep_alive", '*', "*api.Duration") } },

    { "api.GenerateRequest", {
        fake_f("model", 's', "string"),
        fake_f("prompt", 's', "string"),
        fake_f("stream", 'b', "*bool"),
        fake_f("options", 'o', "map[string]interface {}"),
        fake_f("keep_alive", '*', "*api.Duration") } },

    { "openai.ChatCompletionRequest", {
        fake_f("model", 's', "string"),
        fake_f("messages", 'a', "[]openai.Message"),
        fake_f("stream", 'b', "bool"),
        fake_f("stream_options", 'o', "*openai.StreamOptions") } },

    { "openai.CompletionRequest", {
        fake_f("model", 's', "string"),
        fake_f("prompt", 's', "string"),
        fake_f("stream", 'b', "bool"),
        fake_f("stream_options", 'o', "*openai.StreamOptions") } },

    { "openai.ResponsesRequest", {
        fake_f("model", 's', "string"),
        fake_f("input", '*', "openai.ResponsesInput"),
        fake_f("stream", 'b', "*bool") } },

    { "anthropic.MessagesRequest", {
        fake_f("model", 's', "string"),
        fake_f("messages", 'a', "[]anthropic.MessageParam"),
        fake_f("stream", 'b', "bool"),
        fake_f("max_tokens", 'n', "int") } },

    { "api.EmbedRequest", {
        fake_f("model", 's', "string"),
        fake_f("input", '*', "interface {}"),
        fake_f("options", 'o', "map[string]interface {}"),
        fake_f("keep_alive", '*', "*api.Duration") } },

    { "api.EmbeddingRequest", {
        fake_f("model", 's', "string"),
        fake_f("prompt", 's', "string"),
        fake_f("options", 'o', "map[string]interface {}"),
        fake_f("keep_alive", '*', "*api.Duration") } },

    { "openai.EmbedRequest", {
        fake_f("model", 's', "string"),
        fake_f("input", '*', "interface {}"),
        fake_f("encoding_format", 's', "string") } }
};


/* -1: err has the text of the 400 */

int
fake_decode(fake_conn_t *c, const char *type, fake_field_t *fields,
    fake_buf_t *err)
{
    int          rc;
    size_t       end;
    fake_req_t  *r;

    r = c->req;

    if (!r->cut) {
        rc = fake_gojson_scan(r->body.data ? r->body.data : "", r->body.len,
                              &end, err);

        if (rc > 0) {
            fake_buf_str(err, strncmp(type, "api.", 4) == 0
                              ? "missing request body" : "EOF");
        }

        if (rc != 0) {
            return -1;
        }
    }

    return fake_gojson_fields(r->body.data, r->body.len, type, fields, err);
}


static fake_field_t *
fake_infer_field(fake_field_t *fields, const char *name)
{
    static fake_field_t  none;

    for ( /* void */ ; fields->name; fields++) {
        if (strcmp(fields->name, name) == 0) {
            return fields;
        }
    }

    return &none;
}


/* never NULL */

static char *
fake_infer_string(const fake_field_t *f, size_t *len)
{
    fake_buf_t  b;

    memset(&b, 0, sizeof(fake_buf_t));
    fake_buf_str(&b, "");

    if (f->value.data && f->value.data[0] == '"') {
        fake_gojson_string(&b, &f->value);
    }

    *len = b.len;

    return b.data;
}


void
fake_infer(fake_conn_t *c, int form)
{
    char           *name;
    size_t          len;
    fake_buf_t      err;
    fake_gen_t     *g;
    fake_rec_t     *rec;
    fake_model_t   *m;
    fake_schema_t   schema;

    schema = fake_schemas[form];
    memset(&err, 0, sizeof(fake_buf_t));

    if (fake_decode(c, schema.type, schema.fields, &err) != 0) {
        fake_error_reply(c, form, 400, 1, "%s", err.data);
        fake_buf_free(&err);
        return;
    }

    name = fake_infer_string(&schema.fields[0], &len);
    rec = fake_rec_get(c->req->rec);

    if (rec) {
        rec->model = fake_strndup(name, strlen(name));
    }

    if (fake_infer_check(c, form, schema.fields, name) != 0) {
        free(name);
        return;
    }

    fake_infer_gen(c, form, schema.fields, name, len);

    m = fake_model_find(name, len);

    /* a name behind the first 8 MB isn't known: settings of "*" do */

    if (m == NULL && !(c->req->cut && len == 0)) {
        fake_infer_missing(c, form, name, len, 0);
        free(name);
        return;
    }

    free(name);

    g = &c->req->gen;

    fake_conf_effective(&g->conf, m);
    g->conf_held = 1;

    if (g->conf.tool_once && fake_infer_told(c)) {
        g->conf.tool_calls = 0;
    }

    fake_infer_prompt(g, schema.fields);
    fake_infer_options(g, schema.fields, m);

    if (m && fake_infer_load(c, form, schema.fields, m)) {
        return;
    }

    if (g->conf.status) {
        fake_infer_refuse(c, form);
        return;
    }

    if (g->conf.fault == FAKE_FAULT_HANG) {
        return;
    }

    fake_stream_start(c, m);
}


/* what is refused before the model is looked for; -1: has answered */

static int
fake_infer_check(fake_conn_t *c, int form, fake_field_t *fields,
    const char *name)
{
    size_t         messages;
    fake_field_t  *f;

    if (c->req->cut) {
        return 0;
    }

    messages = fake_gojson_count(&fake_infer_field(fields,
                                                   "messages")->value);

    switch (form) {

    case FAKE_FORM_V1_CHAT:
        if (messages == 0) {
            fake_error_reply(c, form, 400, 1,
                             "[] is too short - 'messages'");
            return -1;
        }

        break;

    case FAKE_FORM_V1_MESSAGES:
        f = fake_infer_field(fields, "max_tokens");

        if (*name == '\0') {
            fake_error_reply(c, form, 400, 1, "model is required");
            return -1;
        }

        if (f->value.data == NULL || atof(f->value.data) <= 0) {
            fake_error_reply(c, form, 400, 1,
                             "max_tokens is required and must be positive");
            return -1;
        }

        if (messages == 0) {
            fake_error_reply(c, form, 400, 1, "messages is required");
            return -1;
        }

        break;

    case FAKE_FORM_V1_RESPONSES:
        f = fake_infer_field(fields, "input");

        if (f->value.data && f->value.data[0] != '"'
            && f->value.data[0] != '[')
        {
            fake_error_reply(c, form, 400, 1,
                             "input must be a string or array: json: cannot "
                             "unmarshal %s into Go value of type "
                             "[]json.RawMessage",
                             fake_gojson_kind(f->value.data[0]));
            return -1;
        }

        break;

    case FAKE_FORM_EMBED:
    case FAKE_FORM_V1_EMBEDDINGS:
        return fake_infer_input(c, form, fake_infer_field(fields, "input"));
    }

    return 0;
}


static int
fake_infer_input(fake_conn_t *c, int form, fake_field_t *f)
{
    int         bad;
    fake_str_t  rest, value;

    if (f->value.data == NULL) {
        if (form == FAKE_FORM_V1_EMBEDDINGS) {
            fake_error_reply(c, form, 400, 1, "invalid input");
            return -1;
        }

        return 0;
    }

    bad = 0;

    if (f->value.data[0] == '[') {
        rest = f->value;

        while (fake_gojson_next(&rest, NULL, &value)) {
            bad |= (value.data[0] != '"');
        }

        if (fake_gojson_count(&f->value) == 0
            && form == FAKE_FORM_V1_EMBEDDINGS)
        {
            fake_error_reply(c, form, 400, 1, "invalid input");
            return -1;
        }

    } else {
        bad = (f->value.data[0] != '"');
    }

    if (bad) {
        fake_error_reply(c, form, 400, 0, "invalid input type");
        return -1;
    }

    return 0;
}


/*
 * An invalid name is "required" to chat, not found to generate, and said in
 * full to embed and show; and not found is said in two ways.
 */

void
fake_infer_missing(fake_conn_t *c, int form, const char *name, size_t len,
    int show)
{
    int          embed, generate;
    char        *key;
    const char  *prefix, *suffix;

    key = fake_name_key(name, len);

    embed = (form == FAKE_FORM_EMBED || form == FAKE_FORM_V1_EMBEDDINGS);
    generate = (form == FAKE_FORM_GENERATE
                || form == FAKE_FORM_V1_COMPLETIONS);

    if (key == NULL && embed) {
        prefix = strchr(name, '/') ? "" : "registry.ollama.ai/library/";
        suffix = (strchr(name, ':') == NULL) ? ":latest"
                 : (name[len - 1] == ':') ? "!MISSING!" : "";

        fake_error_reply(c, form, 500, 0, "unqualified name: %s%s%s", prefix,
                         *name ? name : "!MISSING!", suffix);

    } else if (key == NULL && !generate) {
        fake_error_reply(c, form, 400, 0, "model is required");

    } else if ((embed && !show) || form == FAKE_FORM_EMBEDDINGS) {
        fake_error_reply(c, form, 404, 0,
                         "model \"%s\" not found, try pulling it first",
                         name);

    } else {
        fake_error_reply(c, form, 404, 0, "model '%s' not found", name);
    }

    free(key);
}


/* what is evaluated: the JSON of it, in which a token has so many bytes */

static void
fake_infer_prompt(fake_gen_t *g, fake_field_t *fields)
{
    size_t         i;
    fake_field_t  *f;

    static const char  *names[] = { "messages", "prompt", "input" };

    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        f = fake_infer_field(fields, names[i]);

        if (f->value.data) {
            g->prompt = f->value;
            break;
        }
    }

    if (g->conf.token_bytes && g->prompt.len) {
        g->conf.prompt_eval_count = ((int64_t) g->prompt.len
                                     + g->conf.token_bytes - 1)
                                    / g->conf.token_bytes;
    }
}


/* those that a runner is started with, unless they are the defaults */

static void
fake_infer_options(fake_gen_t *g, fake_field_t *fields, fake_model_t *m)
{
    json_int_t      context;
    fake_buf_t      b, err;
    fake_field_t   *f;

    fake_field_t  options[] = {
        { "num_ctx", '*', "", { NULL, 0 } },
        { "num_batch", '*', "", { NULL, 0 } },
        { "num_gpu", '*', "", { NULL, 0 } },
        { "main_gpu", '*', "", { NULL, 0 } },
        { "use_mmap", '*', "", { NULL, 0 } },
        { "num_thread", '*', "", { NULL, 0 } },
        { NULL, 0, NULL, { NULL, 0 } }
    };

    f = fake_infer_field(fields, "options");

    if (m == NULL || f->value.data == NULL || fake_server.num_parallel == 0) {
        return;
    }

    memset(&b, 0, sizeof(fake_buf_t));
    memset(&err, 0, sizeof(fake_buf_t));

    (void) fake_gojson_fields(f->value.data, f->value.len, "api.Options",
                              options, &err);
    fake_buf_free(&err);

    context = json_integer_value(json_object_get(m->spec, "context_length"));
    context = context ? context : FAKE_CONTEXT;

    for (f = options; f->name; f++) {

        if (f->value.data == NULL
            || (f == options && atoll(f->value.data) == context))
        {
            continue;
        }

        fake_buf_fmt(&b, "%s=%.*s;", f->name, (int) f->value.len,
                     f->value.data);
    }

    g->options = b.data;
}


/* keep_alive 0, "0", "0s" */

static int
fake_infer_zero(const fake_field_t *f)
{
    size_t       i;
    const char  *p;

    p = f->value.data;

    if (p == NULL || (*p != '"' && *p != '0' && *p != '-')) {
        return 0;
    }

    for (i = 0; i < f->value.len; i++) {
        if (p[i] >= '1' && p[i] <= '9') {
            return 0;
        }
    }

    return memchr(p, '0', f->value.len) != NULL;
}


/* the request has what a tool returned: in any dialect, by a key or a type */

static int
fake_infer_told(fake_conn_t *c)
{
    size_t       i;
    fake_buf_t  *body;

    static const char  *words[] = {
        "\"tool_call_id\"", "\"tool_name\"", "\"function_call_output\"",
        "\"tool_result\""
    };

    body = &c->req->body;

    for (i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (memmem(body->data, body->len, words[i], strlen(words[i]))) {
            return 1;
        }
    }

    return 0;
}


/* a request without a prompt loads or unloads; 1: it was an unloading */

static int
fake_infer_load(fake_conn_t *c, int form, fake_field_t *fields,
    fake_model_t *m)
{
    fake_gen_t    *g;
    fake_field_t  *f;

    g = &c->req->gen;

    switch (form) {

    case FAKE_FORM_CHAT:
        f = fake_infer_field(fields, "messages");

        if (fake_gojson_count(&f->value)) {
            return 0;
        }

        break;

    case FAKE_FORM_GENERATE:
    case FAKE_FORM_V1_COMPLETIONS:
        f = fake_infer_field(fields, "prompt");

        if (f->value.len > 2) {
            return 0;
        }

        break;

    case FAKE_FORM_V1_RESPONSES:
        f = fake_infer_field(fields, "input");

        if (f->value.data) {
            return 0;
        }

        break;

    default:
        return 0;
    }

    g->reason = "load";

    /* an empty answer in the forms of /v1, one frame in Ollama's */

    g->conf.frames = 0;
    g->conf.thinking = 0;
    g->conf.tool_calls = 0;
    g->conf.prompt_eval_count = 0;

    if (form == FAKE_FORM_CHAT || form == FAKE_FORM_GENERATE) {
        g->single = 1;
        g->stream = 0;
    }

    if (!fake_infer_zero(fake_infer_field(fields, "keep_alive"))
        || g->conf.status || g->conf.fault == FAKE_FAULT_HANG)
    {
        return 0;
    }

    g->reason = "unload";
    fake_sched_unload(m);

    fake_stream_start(c, NULL);

    return 1;
}


/* the setting "status" */

static void
fake_infer_refuse(fake_conn_t *c, int form)
{
    int           status;
    fake_conf_t  *conf;

    conf = &c->req->gen.conf;
    status = (int) conf->status;

    if (conf->body) {
        fake_out_reply(c, status,
                       conf->content_type
                       ? json_string_value(conf->content_type)
                       : "application/json; charset=utf-8",
                       json_string_value(conf->body),
                       json_string_length(conf->body), NULL);
        return;
    }

    fake_error_reply(c, form, status, 0, "%s",
                     conf->error ? json_string_value(conf->error)
                     : status == 503 ? "server busy, please try again.  "
                                       "maximum pending requests exceeded"
                     : fake_status_text(status));
}


static void
fake_infer_gen(fake_conn_t *c, int form, fake_field_t *fields,
    const char *name, size_t len)
{
    char           *format;
    fake_buf_t      escaped, err;
    fake_gen_t     *g;
    fake_field_t   *f, options[2];

    g = &c->req->gen;

    g->form = form;
    g->id = c->req->rec;
    g->reason = "stop";

    memset(&escaped, 0, sizeof(fake_buf_t));
    memset(&err, 0, sizeof(fake_buf_t));

    if (len == 0 && fake_server.models) {
        name = fake_server.models->name;
        len = strlen(name);
    }

    fake_buf_json(&escaped, name, len);
    g->name = escaped.data;

    f = fake_infer_field(fields, "stream");

    g->stream = (form == FAKE_FORM_CHAT || form == FAKE_FORM_GENERATE)
                ? !(f->value.data && f->value.data[0] == 'f')
                : fake_gojson_true(&f->value);

    g->single = !g->stream;

    f = fake_infer_field(fields, "stream_options");

    if (f->value.data) {
        memset(options, 0, sizeof(options));
        options[0].name = "include_usage";
        options[0].type = 'b';
        options[0].go_type = "bool";

        (void) fake_gojson_fields(f->value.data, f->value.len,
                                  "openai.StreamOptions", options, &err);
        g->include_usage = fake_gojson_true(&options[0].value);
        fake_buf_free(&err);
    }

    f = fake_infer_field(fields, "input");

    if (f->value.data && f->value.data[0] == '[') {
        g->inputs = fake_gojson_count(&f->value);

    } else if (f->value.data) {
        g->inputs = (f->value.len > 2 || form == FAKE_FORM_V1_EMBEDDINGS);
    }

    if (form == FAKE_FORM_EMBEDDINGS) {
        g->inputs = (fake_infer_field(fields, "prompt")->value.len > 2);
    }

    format = fake_infer_string(fake_infer_field(fields, "encoding_format"),
                               &len);
    g->base64 = (strcasecmp(format, "base64") == 0);
    free(format);
}
