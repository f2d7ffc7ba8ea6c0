
/*
 * Errors in the form that clients of a path expect.
 */

#include "error.h"
#include "out.h"

#include <stdarg.h>


static int fake_error_anthropic(int form);
static int fake_error_openai(int form);


/*
 * direct: the refusal comes from the /v1 middleware.  Else it has gone
 * through its writer, which calls everything api_error in OpenAI's form.
 */

void
fake_error_reply(fake_conn_t *c, int form, int status, int direct,
    const char *fmt, ...)
{
    char         text[1024];
    va_list      args;
    fake_buf_t   b;
    const char  *type, *more;

    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);

    type = (status == 400) ? "invalid_request_error"
           : (status == 404) ? "not_found_error" : "api_error";

    memset(&b, 0, sizeof(fake_buf_t));

    if (fake_error_anthropic(form)) {
        type = (status == 401) ? "authentication_error"
               : (status == 403) ? "permission_error"
               : (status == 429) ? "rate_limit_error"
               : (status == 503) ? "overloaded_error" : type;

        fake_buf_fmt(&b, "{\"type\":\"error\",\"error\":{\"type\":\"%s\","
                         "\"message\":\"", type);
        fake_buf_json(&b, text, strlen(text));
        fake_buf_fmt(&b, "\"},\"request_id\":\"req_%024llx\"}",
                     (unsigned long long) c->req->rec);

    } else if (fake_error_openai(form)) {
        fake_buf_str(&b, "{\"error\":{\"message\":\"");
        fake_buf_json(&b, text, strlen(text));
        fake_buf_fmt(&b, "\",\"type\":\"%s\",\"param\":null,\"code\":null}}",
                     direct ? type : "api_error");

    } else {
        fake_buf_str(&b, "{\"error\":\"");
        fake_buf_json(&b, text, strlen(text));
        fake_buf_str(&b, "\"}");
        direct = 1;
    }

    /* the writers use an encoder, which ends with a line feed */

    if (!direct) {
        fake_buf_str(&b, "\n");
    }

    /* two middlewares set headers before they know */

    more = (!direct && c->req->gen.stream
            && (form == FAKE_FORM_V1_MESSAGES
                || form == FAKE_FORM_V1_RESPONSES))
           ? "Cache-Control: no-cache\r\n" : NULL;

    fake_out_reply(c, status, direct ? "application/json; charset=utf-8"
                                     : "application/json",
                   b.data, b.len, more);

    fake_buf_free(&b);
}


static int
fake_error_anthropic(int form)
{
    return form == FAKE_FORM_V1_MESSAGES;
}


static int
fake_error_openai(int form)
{
    return form == FAKE_FORM_V1_CHAT || form == FAKE_FORM_V1_COMPLETIONS
           || form == FAKE_FORM_V1_RESPONSES
           || form == FAKE_FORM_V1_EMBEDDINGS;
}
