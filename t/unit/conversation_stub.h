
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _CONVERSATION_STUB_H_INCLUDED_
#define _CONVERSATION_STUB_H_INCLUDED_


#include "unit.h"

#include "conversation/ngx_http_ollama_conversation_body.h"


#define MODELS  "\"models\":[\"a\",\"b\"]"
#define START   "{\"initial_message\":\"hi\","
#define BODY    START MODELS ","


typedef struct {
    ngx_pool_t                           *pool;
    ngx_http_ollama_conversation_body_t   body;
    ngx_int_t                             rc;
} conversation_run_t;


/* a piece of "first" bytes, then pieces of "step" bytes; the pool stays */
void conversation_feed(conversation_run_t *run, u_char *body, size_t len,
    size_t first, size_t step);

/* in pieces of any kind: what is found, each time, or how it is refused */
void conversation_check(const char *title, const char *people,
    const char *rest, const char *error);


#endif /* _CONVERSATION_STUB_H_INCLUDED_ */
