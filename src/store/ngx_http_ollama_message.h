
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_MESSAGE_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_MESSAGE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


#define NGX_HTTP_OLLAMA_MESSAGE_TITLE       80    /* characters */
#define NGX_HTTP_OLLAMA_MESSAGE_TITLE_SIZE  (80 * 4)


/* values as they are in the message's JSON, and lie there; data NULL: none */

typedef struct {
    ngx_str_t  role;
    ngx_str_t  content;
    ngx_str_t  images;
    ngx_str_t  tool_calls;
    ngx_str_t  tool_name;
} ngx_http_ollama_message_t;


/*
 * Finds the values of a stored message.  NGX_DECLINED: the text isn't an
 * object.
 */
ngx_int_t ngx_http_ollama_message_read(ngx_str_t *text,
    ngx_http_ollama_message_t *message);

/*
 * Writes a title for a session: of a user's message the first line that isn't
 * empty, without blanks around it and control characters, MESSAGE_TITLE
 * characters at most.  There must be room for ..._TITLE_SIZE bytes.  Returns
 * its length in bytes, 0: the message gives none.
 */
size_t ngx_http_ollama_message_title(ngx_str_t *text, u_char *title);


#endif /* _NGX_HTTP_OLLAMA_MESSAGE_H_INCLUDED_ */
