
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_MESSAGE_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_MESSAGE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


#define NGX_HTTP_OLLAMA_MESSAGE_TITLE       80    /* characters */
#define NGX_HTTP_OLLAMA_MESSAGE_TITLE_SIZE  (80 * 4)


/* values as they are in the message's JSON; data NULL: there is none */

typedef struct {
    ngx_str_t  role;
    ngx_str_t  content;
    ngx_str_t  images;
    ngx_str_t  tool_calls;
    ngx_str_t  tool_name;
} ngx_http_ollama_message_t;


/* NGX_DECLINED: the text is no object. */
ngx_int_t ngx_http_ollama_message_read(ngx_str_t *text,
    ngx_http_ollama_message_t *message);

/*
 * The first line with something in it of what a user says, without blanks
 * around it and control characters, cut to so many characters.  Returns its
 * length; the buffer must have room for ..._TITLE_SIZE bytes.
 */
size_t ngx_http_ollama_message_title(ngx_str_t *text, u_char *title);


#endif /* _NGX_HTTP_OLLAMA_MESSAGE_H_INCLUDED_ */
