
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * In which form an endpoint replies, by the reply's content type, and by what
 * the request asks for if there is no reply.
 */


#include "unit.h"

#include "reply/ngx_http_ollama_frame_form.h"
#include "request/ngx_http_ollama_scan.h"


#define LINES  NGX_HTTP_OLLAMA_FRAME_LINES
#define SSE    NGX_HTTP_OLLAMA_FRAME_SSE
#define WHOLE  NGX_HTTP_OLLAMA_FRAME_WHOLE

#define OBJECT    NGX_HTTP_OLLAMA_END_OBJECT
#define DONE      NGX_HTTP_OLLAMA_END_DONE
#define MARK      NGX_HTTP_OLLAMA_END_MARK
#define RESPONSE  NGX_HTTP_OLLAMA_END_RESPONSE
#define MESSAGE   NGX_HTTP_OLLAMA_END_MESSAGE

#define UNSET  NGX_HTTP_OLLAMA_STREAM_UNSET
#define ON     NGX_HTTP_OLLAMA_STREAM_ON
#define OFF    NGX_HTTP_OLLAMA_STREAM_OFF


typedef struct {
    const char                    *title;    /* must be first */
    ngx_http_ollama_frame_end_e    last;
    ngx_http_ollama_stream_e       stream;
    const char                    *type;     /* NULL: there is no reply */
    ngx_http_ollama_frame_form_e   form;
} form_case_t;


static form_case_t  form_cases[] = {

    { "form: Ollama", DONE, UNSET, "application/x-ndjson", LINES },
    { "form: Ollama, stream", DONE, ON, "application/x-ndjson", LINES },
    { "form: Ollama, no stream", DONE, OFF, "application/json", WHOLE },
    { "form: Ollama, any type", DONE, UNSET, "text/plain", LINES },
    { "form: Ollama, no type", DONE, UNSET, "", LINES },
    { "form: Ollama, events", DONE, UNSET, "text/event-stream", SSE },

    { "form: Ollama, no reply", DONE, UNSET, NULL, LINES },
    { "form: Ollama, stream, no reply", DONE, ON, NULL, LINES },
    { "form: Ollama, no stream, no reply", DONE, OFF, NULL, WHOLE },

    { "form: OpenAI", MARK, UNSET, "application/json", WHOLE },
    { "form: OpenAI, stream", MARK, ON, "text/event-stream", SSE },
    { "form: OpenAI, stream, charset", MARK, ON,
      "text/event-stream; charset=utf-8", SSE },
    { "form: OpenAI, stream, capitals", MARK, ON, "Text/Event-Stream", SSE },
    { "form: OpenAI, stream, an object", MARK, ON, "application/json", WHOLE },
    { "form: OpenAI, a type cut short", MARK, ON, "text/event-strea", WHOLE },
    { "form: OpenAI, no type", MARK, ON, "", WHOLE },
    { "form: responses", RESPONSE, ON, "text/event-stream", SSE },
    { "form: messages", MESSAGE, ON, "text/event-stream", SSE },

    { "form: OpenAI, no reply", MARK, UNSET, NULL, WHOLE },
    { "form: OpenAI, stream, no reply", MARK, ON, NULL, SSE },
    { "form: OpenAI, no stream, no reply", MARK, OFF, NULL, WHOLE },
    { "form: responses, stream, no reply", RESPONSE, ON, NULL, SSE },
    { "form: messages, stream, no reply", MESSAGE, ON, NULL, SSE },

    { "form: embeddings", OBJECT, UNSET, "application/json", WHOLE },
    { "form: embeddings, no reply", OBJECT, UNSET, NULL, WHOLE }
};


static void
form_case_test(void **state)
{
    form_case_t *c = *state;

    ngx_str_t                    type;
    ngx_http_ollama_endpoint_t   endpoint;

    ngx_memzero(&endpoint, sizeof(ngx_http_ollama_endpoint_t));

    endpoint.last = c->last;

    if (c->type) {
        type.len = strlen(c->type);
        type.data = (u_char *) c->type;
    }

    assert_int_equal(ngx_http_ollama_frame_form(&endpoint, c->stream,
                                                c->type ? &type : NULL),
                     c->form);
}


int
main(void)
{
    unit_suite_t  suite = { NULL, 0 };

    unit_add_rows(&suite, form_case_test, form_cases, sizeof(form_case_t),
                  unit_nelts(form_cases));

    return unit_run(&suite, "frame_form");
}
