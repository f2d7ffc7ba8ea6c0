
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * What a participant is sent of a conversation, as the body of a chat request.
 *
 * A message is escaped once, and names are inserted into it once, when it is
 * added; the body of a turn only points to it.  So the memory of a conversation
 * grows with its text, and a turn takes only some small bufs, although the size
 * of all bodies grows with the square of the number of turns.
 *
 * With two participants, each message is one of its own.  With three or more,
 * messages of others that follow one another become one message, whose lines
 * begin with the names of their speakers: so roles alternate, and the model
 * knows who speaks.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "conversation/ngx_http_ollama_conversation_prompt.h"
#include "util/ngx_http_ollama_emit.h"


/* a text before whose lines a name is inserted */

typedef struct {
    ngx_str_t                        *name;
    ngx_str_t                         text;
} ngx_http_ollama_conversation_lines_t;


/* a chain that grows */

typedef struct {
    ngx_pool_t                       *pool;
    ngx_chain_t                      *chain;
    ngx_chain_t                     **end;
    off_t                             size;
    unsigned                          failed:1;
} ngx_http_ollama_conversation_chain_t;


static void ngx_http_ollama_conversation_prompt_head(ngx_http_ollama_emit_t *t,
    void *data);
static void ngx_http_ollama_conversation_prompt_escape(
    ngx_http_ollama_emit_t *t, void *data);
static void ngx_http_ollama_conversation_prompt_lines(ngx_http_ollama_emit_t *t,
    void *data);
static u_char *ngx_http_ollama_conversation_prompt_nl(u_char *p, u_char *last,
    size_t *len);
static void ngx_http_ollama_conversation_prompt_put(
    ngx_http_ollama_conversation_chain_t *chain, ngx_str_t *text);


/* what is before a text: of another speaker, of the participant itself */

static ngx_str_t  ngx_http_ollama_conversation_prompt_first[] = {
    ngx_string("{\"role\":\"user\",\"content\":\""),
    ngx_string("{\"role\":\"assistant\",\"content\":\"")
};

static ngx_str_t  ngx_http_ollama_conversation_prompt_system[] = {
    ngx_string(",{\"role\":\"user\",\"content\":\""),
    ngx_string(",{\"role\":\"assistant\",\"content\":\"")
};

static ngx_str_t  ngx_http_ollama_conversation_prompt_next[] = {
    ngx_string("\"},{\"role\":\"user\",\"content\":\""),
    ngx_string("\"},{\"role\":\"assistant\",\"content\":\"")
};

static ngx_str_t  ngx_http_ollama_conversation_prompt_join = ngx_string("\\n");


/* what is behind the last text */

static ngx_str_t  ngx_http_ollama_conversation_prompt_close =
    ngx_string("\"}");
static ngx_str_t  ngx_http_ollama_conversation_prompt_stream =
    ngx_string("],\"stream\":true");
static ngx_str_t  ngx_http_ollama_conversation_prompt_options =
    ngx_string(",\"options\":");
static ngx_str_t  ngx_http_ollama_conversation_prompt_end =
    ngx_string("}");


ngx_int_t
ngx_http_ollama_conversation_prompt_init(ngx_pool_t *pool,
    ngx_http_ollama_conversation_body_t *body)
{
    ngx_uint_t  i;

    for (i = 0; i < body->n; i++) {
        if (ngx_http_ollama_emit_make(pool,
                                      ngx_http_ollama_conversation_prompt_head,
                                      &body->participant[i],
                                      &body->participant[i].head)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static void
ngx_http_ollama_conversation_prompt_head(ngx_http_ollama_emit_t *t, void *data)
{
    ngx_http_ollama_participant_t *participant = data;

    ngx_http_ollama_emit_add(t, "{\"model\":");
    ngx_http_ollama_emit_string(t, &participant->model);
    ngx_http_ollama_emit_add(t, ",\"messages\":[");

    if (participant->system.len) {
        ngx_http_ollama_emit_add(t, "{\"role\":\"system\",\"content\":");
        ngx_http_ollama_emit_string(t, &participant->system);
        ngx_http_ollama_emit_add(t, "}");
    }
}


ngx_int_t
ngx_http_ollama_conversation_prompt_add(ngx_pool_t *pool,
    ngx_http_ollama_conversation_body_t *body,
    ngx_http_ollama_utterance_t *utterance, ngx_int_t speaker, ngx_str_t *name,
    ngx_str_t *text, ngx_uint_t json)
{
    ngx_http_ollama_conversation_lines_t  lines;

    utterance->speaker = speaker;
    utterance->text = *text;

    if (!json
        && ngx_http_ollama_emit_make(pool,
                                     ngx_http_ollama_conversation_prompt_escape,
                                     text, &utterance->text)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    utterance->headed = utterance->text;

    if (speaker >= 0) {
        name = &body->participant[speaker].name;
    }

    if (body->n == 2 || speaker == NGX_HTTP_OLLAMA_CONVERSATION_USER
        || name == NULL || name->len == 0)
    {
        return NGX_OK;
    }

    lines.name = name;
    lines.text = utterance->text;

    return ngx_http_ollama_emit_make(pool,
                                     ngx_http_ollama_conversation_prompt_lines,
                                     &lines, &utterance->headed);
}


static void
ngx_http_ollama_conversation_prompt_escape(ngx_http_ollama_emit_t *t,
    void *data)
{
    ngx_http_ollama_emit_escape(t, data);
}


/* A newline at the end of the text does not begin another line. */

static void
ngx_http_ollama_conversation_prompt_lines(ngx_http_ollama_emit_t *t, void *data)
{
    ngx_http_ollama_conversation_lines_t *lines = data;

    size_t      len;
    u_char     *p, *last, *nl;
    ngx_str_t   line;

    p = lines->text.data;
    last = p + lines->text.len;

    for ( ;; ) {

        nl = ngx_http_ollama_conversation_prompt_nl(p, last, &len);

        line.data = p;
        line.len = nl - p;

        ngx_http_ollama_emit_escape(t, lines->name);
        ngx_http_ollama_emit_add(t, ": ");
        ngx_http_ollama_emit_raw(t, &line);

        p = nl + len;

        if (p == last) {
            return;
        }

        ngx_http_ollama_emit_raw(t, &ngx_http_ollama_conversation_prompt_join);
    }
}


/* The next newline of an escaped text, and its length; or the end, and 0. */

static u_char *
ngx_http_ollama_conversation_prompt_nl(u_char *p, u_char *last, size_t *len)
{
    while (p < last) {

        p = memchr(p, '\\', last - p);
        if (p == NULL) {
            break;
        }

        if (last - p >= 2 && p[1] == 'n') {
            *len = 2;
            return p;
        }

        /* text of the history may have been escaped in another way */

        if (last - p >= 6
            && ngx_strncmp(p, "\\u000", 5) == 0 && (p[5] | 0x20) == 'a')
        {
            *len = 6;
            return p;
        }

        p += ngx_min(last - p, 2);
    }

    *len = 0;

    return last;
}


ngx_chain_t *
ngx_http_ollama_conversation_prompt_make(ngx_pool_t *pool,
    ngx_http_ollama_conversation_body_t *body, ngx_uint_t self,
    ngx_http_ollama_utterance_t *utterances, ngx_uint_t n, off_t *size)
{
    ngx_str_t                             *between;
    ngx_uint_t                             i, own, last, joined;
    ngx_http_ollama_participant_t         *participant;
    ngx_http_ollama_conversation_chain_t   chain;

    participant = &body->participant[self];

    ngx_memzero(&chain, sizeof(ngx_http_ollama_conversation_chain_t));

    chain.pool = pool;
    chain.end = &chain.chain;

    ngx_http_ollama_conversation_prompt_put(&chain, &participant->head);

    between = participant->system.len
              ? ngx_http_ollama_conversation_prompt_system
              : ngx_http_ollama_conversation_prompt_first;

    joined = (body->n > 2);
    last = 1;

    for (i = 0; i < n; i++) {

        own = (utterances[i].speaker == (ngx_int_t) self);

        if (joined && !own && !last) {
            ngx_http_ollama_conversation_prompt_put(&chain,
                                    &ngx_http_ollama_conversation_prompt_join);
        } else {
            ngx_http_ollama_conversation_prompt_put(&chain, &between[own]);
        }

        ngx_http_ollama_conversation_prompt_put(&chain,
                                                own ? &utterances[i].text
                                                    : &utterances[i].headed);

        between = ngx_http_ollama_conversation_prompt_next;
        last = own;
    }

    if (n) {
        ngx_http_ollama_conversation_prompt_put(&chain,
                                   &ngx_http_ollama_conversation_prompt_close);
    }

    ngx_http_ollama_conversation_prompt_put(&chain,
                                  &ngx_http_ollama_conversation_prompt_stream);

    if (participant->options.len) {
        ngx_http_ollama_conversation_prompt_put(&chain,
                                 &ngx_http_ollama_conversation_prompt_options);
        ngx_http_ollama_conversation_prompt_put(&chain, &participant->options);
    }

    ngx_http_ollama_conversation_prompt_put(&chain,
                                     &ngx_http_ollama_conversation_prompt_end);

    *size = chain.size;

    return chain.failed ? NULL : chain.chain;
}


static void
ngx_http_ollama_conversation_prompt_put(
    ngx_http_ollama_conversation_chain_t *chain, ngx_str_t *text)
{
    ngx_buf_t    *b;
    ngx_chain_t  *cl;

    if (chain->failed || text->len == 0) {
        return;
    }

    b = ngx_calloc_buf(chain->pool);
    cl = b ? ngx_alloc_chain_link(chain->pool) : NULL;

    if (cl == NULL) {
        chain->failed = 1;
        return;
    }

    /* nginx sends a buffer from b->start on when it tries another server */

    b->start = text->data;
    b->pos = text->data;
    b->last = text->data + text->len;
    b->end = b->last;
    b->memory = 1;

    cl->buf = b;
    cl->next = NULL;

    *chain->end = cl;
    chain->end = &cl->next;
    chain->size += text->len;
}
