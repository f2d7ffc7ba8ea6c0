
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * What a participant is sent of a conversation, as the body of a chat request.
 *
 * A message is escaped once, and names are inserted into it once, when it is
 * added; the body of a turn points to long texts, and copies only short ones.
 * Successive messages that are no participant's look the same to all: they are
 * joined to long texts when they are added, so that a history of any number of
 * messages takes few bufs.  (nginx allocates memory for each buf of a body, in
 * the request's pool: it is freed when the conversation has ended.)  So the
 * memory of a conversation grows with its text, although the size of all bodies
 * grows with the square of the number of turns.
 *
 * With two participants, each message is one of its own.  With three or more,
 * messages of others that follow one another become one message, whose lines
 * begin with the names of their speakers: so roles alternate, and the model
 * knows who speaks.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "conversation/ngx_http_ollama_conversation_prompt.h"
#include "util/ngx_http_ollama_chain.h"
#include "util/ngx_http_ollama_emit.h"


/* from how many bytes on a text is sent from where it is */
#define NGX_HTTP_OLLAMA_CONVERSATION_PROMPT_LONG   (32 * 1024)

/* how long texts become by joining messages */
#define NGX_HTTP_OLLAMA_CONVERSATION_PROMPT_JOINED  (256 * 1024)


/* a text before whose lines a name is inserted */

typedef struct {
    ngx_str_t                        *name;
    ngx_str_t                         text;
} ngx_http_ollama_conversation_lines_t;


/* a chain that grows, or is only measured */

typedef struct {
    ngx_pool_t                       *pool;     /* NULL: only measured */
    ngx_chain_t                      *chain;
    ngx_chain_t                     **end;
    off_t                             size;
    off_t                             small;    /* bytes of the short texts,
                                                   that are still to come */
    ngx_buf_t                        *buf;      /* that short texts go on in;
                                                   NULL: none */
    u_char                           *pos;      /* memory for short texts */
    u_char                           *last;
    unsigned                          failed:1;
} ngx_http_ollama_conversation_chain_t;


static void ngx_http_ollama_conversation_prompt_head(ngx_http_ollama_emit_t *t,
    void *data);
static ngx_int_t ngx_http_ollama_conversation_prompt_write(
    ngx_http_ollama_conversation_said_t *said, ngx_http_ollama_emit_pt walk,
    void *data, ngx_str_t *text);
static u_char *ngx_http_ollama_conversation_prompt_alloc(
    ngx_http_ollama_conversation_said_t *said, size_t size);
static ngx_int_t ngx_http_ollama_conversation_prompt_join(
    ngx_http_ollama_conversation_said_t *said,
    ngx_http_ollama_conversation_lines_t *lines);
static void ngx_http_ollama_conversation_prompt_escape(
    ngx_http_ollama_emit_t *t, void *data);
static void ngx_http_ollama_conversation_prompt_lines(ngx_http_ollama_emit_t *t,
    void *data);
static ngx_uint_t ngx_http_ollama_conversation_prompt_is_blank(u_char *p,
    u_char *last);
static u_char *ngx_http_ollama_conversation_prompt_nl(u_char *p, u_char *last,
    size_t *len);
static void ngx_http_ollama_conversation_prompt_all(
    ngx_http_ollama_conversation_said_t *said, ngx_uint_t self,
    ngx_http_ollama_conversation_chain_t *chain);
static void ngx_http_ollama_conversation_prompt_put(
    ngx_http_ollama_conversation_chain_t *chain, ngx_str_t *text);
static void ngx_http_ollama_conversation_prompt_copy(
    ngx_http_ollama_conversation_chain_t *chain, ngx_str_t *text);
static ngx_buf_t *ngx_http_ollama_conversation_prompt_buf(
    ngx_http_ollama_conversation_chain_t *chain, u_char *start, size_t len);


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

static ngx_str_t  ngx_http_ollama_conversation_prompt_newline =
    ngx_string("\\n");


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
ngx_http_ollama_conversation_prompt_init(
    ngx_http_ollama_conversation_said_t *said, ngx_pool_t *pool,
    ngx_http_ollama_conversation_body_t *body)
{
    ngx_uint_t  i;

    ngx_memzero(said, sizeof(ngx_http_ollama_conversation_said_t));

    said->pool = pool;
    said->body = body;

    if (ngx_array_init(&said->utterances, pool, 16,
                       sizeof(ngx_http_ollama_utterance_t))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    for (i = 0; i < body->n; i++) {
        if (ngx_http_ollama_conversation_prompt_write(said,
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


/* As ngx_http_ollama_emit_make(), in memory that is freed in parts. */

static ngx_int_t
ngx_http_ollama_conversation_prompt_write(
    ngx_http_ollama_conversation_said_t *said, ngx_http_ollama_emit_pt walk,
    void *data, ngx_str_t *text)
{
    ngx_http_ollama_emit_t  t;

    t.pos = NULL;
    t.len = 0;

    walk(&t, data);

    text->len = t.len;

    text->data = ngx_http_ollama_conversation_prompt_alloc(said, text->len);
    if (text->data == NULL) {
        return NGX_ERROR;
    }

    t.pos = text->data;

    walk(&t, data);

    return NGX_OK;
}


static u_char *
ngx_http_ollama_conversation_prompt_alloc(
    ngx_http_ollama_conversation_said_t *said, size_t size)
{
    return (size < NGX_HTTP_OLLAMA_CONVERSATION_PROMPT_LONG)
           ? ngx_pnalloc(said->pool, size)
           : ngx_http_ollama_lazyfree_alloc(&said->lazyfree, said->pool, size);
}


static void
ngx_http_ollama_conversation_prompt_head(ngx_http_ollama_emit_t *t, void *data)
{
    ngx_http_ollama_participant_t *participant = data;

    ngx_http_ollama_emit_add(t, "{\"model\":");
    ngx_http_ollama_emit_string(t, &participant->model);
    ngx_http_ollama_emit_add(t, ",\"messages\":[");

    if (participant->system.len) {
        ngx_http_ollama_emit_add(t, "{\"role\":\"system\",\"content\":\"");
        ngx_http_ollama_emit_raw(t, &participant->system);
        ngx_http_ollama_emit_add(t, "\"}");
    }
}


ngx_int_t
ngx_http_ollama_conversation_prompt_add(
    ngx_http_ollama_conversation_said_t *said, ngx_int_t speaker,
    ngx_str_t *name, ngx_str_t *text, ngx_uint_t json)
{
    size_t                                 size;
    ngx_http_ollama_emit_t                 t;
    ngx_http_ollama_utterance_t           *utterance;
    ngx_http_ollama_conversation_lines_t   lines;

    if (speaker >= 0) {
        name = &said->body->participant[speaker].name;
    }

    lines.name = name;
    lines.text = *text;

    if (said->body->n == 2 || speaker == NGX_HTTP_OLLAMA_CONVERSATION_USER
        || name == NULL || name->len == 0)
    {
        lines.name = NULL;
    }

    if (text->len > NGX_HTTP_OLLAMA_CONVERSATION_SIZE - said->size) {
        return NGX_DECLINED;
    }

    if (!json
        && ngx_http_ollama_conversation_prompt_write(said,
                                    ngx_http_ollama_conversation_prompt_escape,
                                    text, &lines.text)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    t.pos = NULL;
    t.len = 0;

    ngx_http_ollama_conversation_prompt_lines(&t, &lines);

    size = t.len + ngx_http_ollama_conversation_prompt_next[1].len;

    if (size > NGX_HTTP_OLLAMA_CONVERSATION_SIZE - said->size) {
        return NGX_DECLINED;
    }

    said->size += size;

    if (speaker < 0) {
        return ngx_http_ollama_conversation_prompt_join(said, &lines);
    }

    utterance = ngx_array_push(&said->utterances);
    if (utterance == NULL) {
        return NGX_ERROR;
    }

    utterance->speaker = speaker;
    utterance->text = lines.text;

    if (json) {
        utterance->text.data =
             ngx_http_ollama_conversation_prompt_alloc(said, lines.text.len);
        if (utterance->text.data == NULL) {
            return NGX_ERROR;
        }

        ngx_memcpy(utterance->text.data, lines.text.data, lines.text.len);
    }

    utterance->headed = utterance->text;
    utterance->size = utterance->text.len;

    if (lines.name == NULL) {
        return NGX_OK;
    }

    return ngx_http_ollama_conversation_prompt_write(said,
                                     ngx_http_ollama_conversation_prompt_lines,
                                     &lines, &utterance->headed);
}


/*
 * Adds a message of no participant to the one before, if that is another such
 * message and doesn't become too long.
 */

static ngx_int_t
ngx_http_ollama_conversation_prompt_join(
    ngx_http_ollama_conversation_said_t *said,
    ngx_http_ollama_conversation_lines_t *lines)
{
    size_t                        size;
    u_char                       *p;
    ngx_str_t                    *sep;
    ngx_array_t                  *utterances;
    ngx_http_ollama_emit_t        t;
    ngx_http_ollama_utterance_t  *utterance;

    sep = (said->body->n == 2) ? &ngx_http_ollama_conversation_prompt_next[0]
                               : &ngx_http_ollama_conversation_prompt_newline;

    t.pos = NULL;
    t.len = 0;

    ngx_http_ollama_conversation_prompt_lines(&t, lines);

    utterances = &said->utterances;
    utterance = NULL;
    size = 0;

    if (utterances->nelts) {
        utterance = utterances->elts;
        utterance += utterances->nelts - 1;

        size = utterance->text.len + sep->len + t.len;
    }

    if (utterance == NULL || utterance->speaker >= 0
        || size > ngx_max(utterance->size,
                          NGX_HTTP_OLLAMA_CONVERSATION_PROMPT_JOINED))
    {
        utterance = ngx_array_push(utterances);
        if (utterance == NULL) {
            return NGX_ERROR;
        }

        utterance->speaker = NGX_HTTP_OLLAMA_CONVERSATION_OTHER;
        utterance->size = t.len;
        utterance->text.len = 0;

        utterance->text.data =
                       ngx_http_ollama_conversation_prompt_alloc(said, t.len);
        if (utterance->text.data == NULL) {
            return NGX_ERROR;
        }

        sep = NULL;

    } else if (size > utterance->size) {

        /* so that few long ones are made for a long history */

        size = (size < NGX_HTTP_OLLAMA_CONVERSATION_PROMPT_LONG / 2)
               ? 2 * size : NGX_HTTP_OLLAMA_CONVERSATION_PROMPT_JOINED;

        p = ngx_http_ollama_conversation_prompt_alloc(said, size);
        if (p == NULL) {
            return NGX_ERROR;
        }

        if (utterance->text.len) {
            ngx_memcpy(p, utterance->text.data, utterance->text.len);
        }

        utterance->text.data = p;
        utterance->size = size;
    }

    t.pos = utterance->text.data + utterance->text.len;
    t.len = utterance->text.len;

    if (sep) {
        ngx_http_ollama_emit_raw(&t, sep);
    }

    ngx_http_ollama_conversation_prompt_lines(&t, lines);

    utterance->text.len = t.len;
    utterance->headed = utterance->text;

    return NGX_OK;
}


static void
ngx_http_ollama_conversation_prompt_escape(ngx_http_ollama_emit_t *t,
    void *data)
{
    ngx_http_ollama_emit_escape(t, data);
}


/*
 * A newline at the end of the text does not begin another line, and nobody says
 * a line without a word.
 */

static void
ngx_http_ollama_conversation_prompt_lines(ngx_http_ollama_emit_t *t, void *data)
{
    ngx_http_ollama_conversation_lines_t *lines = data;

    size_t      len;
    u_char     *p, *last, *nl;
    ngx_str_t   line;

    if (lines->name == NULL) {
        ngx_http_ollama_emit_raw(t, &lines->text);
        return;
    }

    p = lines->text.data;
    last = p + lines->text.len;

    for ( ;; ) {

        nl = ngx_http_ollama_conversation_prompt_nl(p, last, &len);

        if (!ngx_http_ollama_conversation_prompt_is_blank(p, nl)) {
            ngx_http_ollama_emit_escape(t, lines->name);
            ngx_http_ollama_emit_add(t, ": ");
        }

        line.data = p;
        line.len = nl - p;

        ngx_http_ollama_emit_raw(t, &line);

        p = nl + len;

        if (p == last) {
            return;
        }

        ngx_http_ollama_emit_raw(t,
                                 &ngx_http_ollama_conversation_prompt_newline);
    }
}


/* Blanks of ASCII, as they are or escaped. */

static ngx_uint_t
ngx_http_ollama_conversation_prompt_is_blank(u_char *p, u_char *last)
{
    ngx_int_t  ch;

    while (p < last) {

        if (*p == ' ') {
            p++;

        } else if (*p != '\\') {
            return 0;

        } else if (last - p >= 2
                   && (p[1] == 't' || p[1] == 'r' || p[1] == 'f'))
        {
            p += 2;

        } else if (last - p >= 6 && p[1] == 'u') {
            ch = ngx_hextoi(p + 2, 4);

            if (ch != ' ' && (ch < 0x09 || ch > 0x0d)) {
                return 0;
            }

            p += 6;

        } else {
            return 0;
        }
    }

    return 1;
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
ngx_http_ollama_conversation_prompt_make(
    ngx_http_ollama_conversation_said_t *said, ngx_pool_t *pool,
    ngx_uint_t self, off_t *size)
{
    ngx_http_ollama_conversation_chain_t  chain;

    ngx_memzero(&chain, sizeof(ngx_http_ollama_conversation_chain_t));

    ngx_http_ollama_conversation_prompt_all(said, self, &chain);

    *size = chain.size;

    chain.pool = pool;
    chain.end = &chain.chain;

    ngx_http_ollama_conversation_prompt_all(said, self, &chain);

    return chain.failed ? NULL : chain.chain;
}


static void
ngx_http_ollama_conversation_prompt_all(
    ngx_http_ollama_conversation_said_t *said, ngx_uint_t self,
    ngx_http_ollama_conversation_chain_t *chain)
{
    ngx_str_t                      *between;
    ngx_uint_t                      i, own, last, joined;
    ngx_http_ollama_utterance_t    *utterance;
    ngx_http_ollama_participant_t  *participant;

    participant = &said->body->participant[self];

    ngx_http_ollama_conversation_prompt_put(chain, &participant->head);

    between = participant->system.len
              ? ngx_http_ollama_conversation_prompt_system
              : ngx_http_ollama_conversation_prompt_first;

    joined = (said->body->n > 2);
    last = 1;

    utterance = said->utterances.elts;

    for (i = 0; i < said->utterances.nelts; i++) {

        own = (utterance[i].speaker == (ngx_int_t) self);

        if (joined && !own && !last) {
            ngx_http_ollama_conversation_prompt_put(chain,
                                 &ngx_http_ollama_conversation_prompt_newline);
        } else {
            ngx_http_ollama_conversation_prompt_put(chain, &between[own]);
        }

        ngx_http_ollama_conversation_prompt_put(chain,
                                                own ? &utterance[i].text
                                                    : &utterance[i].headed);

        between = ngx_http_ollama_conversation_prompt_next;
        last = own;
    }

    if (i) {
        ngx_http_ollama_conversation_prompt_put(chain,
                                   &ngx_http_ollama_conversation_prompt_close);
    }

    ngx_http_ollama_conversation_prompt_put(chain,
                                  &ngx_http_ollama_conversation_prompt_stream);

    if (participant->options.len) {
        ngx_http_ollama_conversation_prompt_put(chain,
                                 &ngx_http_ollama_conversation_prompt_options);
        ngx_http_ollama_conversation_prompt_put(chain, &participant->options);
    }

    ngx_http_ollama_conversation_prompt_put(chain,
                                     &ngx_http_ollama_conversation_prompt_end);
}


static void
ngx_http_ollama_conversation_prompt_put(
    ngx_http_ollama_conversation_chain_t *chain, ngx_str_t *text)
{
    if (chain->pool == NULL) {
        chain->size += text->len;

        if (text->len < NGX_HTTP_OLLAMA_CONVERSATION_PROMPT_LONG) {
            chain->small += text->len;
        }

    } else if (text->len < NGX_HTTP_OLLAMA_CONVERSATION_PROMPT_LONG) {
        ngx_http_ollama_conversation_prompt_copy(chain, text);

    } else {
        (void) ngx_http_ollama_conversation_prompt_buf(chain, text->data,
                                                       text->len);
        chain->buf = NULL;
    }
}


/* The memory for copies is of just the size that is needed. */

static void
ngx_http_ollama_conversation_prompt_copy(
    ngx_http_ollama_conversation_chain_t *chain, ngx_str_t *text)
{
    size_t   n, size;
    u_char  *p;

    for (p = text->data, size = text->len; size; p += n, size -= n) {

        if (chain->pos == chain->last) {

            n = ngx_min(chain->small, NGX_HTTP_OLLAMA_CONVERSATION_PROMPT_LONG);

            chain->buf = NULL;

            chain->pos = ngx_pnalloc(chain->pool, n);
            if (chain->pos == NULL) {
                chain->last = NULL;
                chain->failed = 1;
                return;
            }

            chain->last = chain->pos + n;
        }

        if (chain->buf == NULL) {
            chain->buf = ngx_http_ollama_conversation_prompt_buf(chain,
                                                                 chain->pos, 0);
            if (chain->buf == NULL) {
                return;
            }
        }

        n = ngx_min(size, (size_t) (chain->last - chain->pos));

        chain->pos = ngx_cpymem(chain->pos, p, n);
        chain->small -= n;

        chain->buf->last = chain->pos;
        chain->buf->end = chain->pos;
    }
}


static ngx_buf_t *
ngx_http_ollama_conversation_prompt_buf(
    ngx_http_ollama_conversation_chain_t *chain, u_char *start, size_t len)
{
    ngx_chain_t  *cl;

    cl = ngx_http_ollama_chain_text(chain->pool, start, len);
    if (cl == NULL) {
        chain->failed = 1;
        return NULL;
    }

    *chain->end = cl;
    chain->end = &cl->next;

    return cl->buf;
}
