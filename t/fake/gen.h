
/* A reply that is being generated: its parts, and their text */

#ifndef _FAKE_GEN_H_INCLUDED_
#define _FAKE_GEN_H_INCLUDED_

#include "model.h"


typedef enum {
    FAKE_FORM_CHAT = 0,
    FAKE_FORM_GENERATE,
    FAKE_FORM_V1_CHAT,
    FAKE_FORM_V1_COMPLETIONS,
    FAKE_FORM_V1_RESPONSES,
    FAKE_FORM_V1_MESSAGES,
    FAKE_FORM_EMBED,
    FAKE_FORM_EMBEDDINGS,
    FAKE_FORM_V1_EMBEDDINGS
} fake_form_e;


/* a reply that is being generated; lives in its request */

typedef struct fake_gen_s  fake_gen_t;

struct fake_gen_s {
    int            form;
    int            stream;
    int            include_usage;
    uint64_t       id;              /* makes chatcmpl-N and the like */
    const char    *reason;          /* done_reason */
    size_t         inputs;          /* of an embedding */
    int            base64;

    fake_conf_t    conf;
    unsigned       conf_held:1;

    /* of sched.c: "next" and "prev" are of the list of its requests */

    int                  state;
    struct fake_conn_s  *conn;
    fake_model_t        *model;     /* NULL: none */
    struct fake_gen_s   *next;
    struct fake_gen_s   *prev;
    char                *options;   /* that need another load; or NULL */
    fake_str_t           prompt;    /* a part of the body */
    int64_t              slot;      /* 1: the first one; 0: none */
    int64_t              cached;    /* tokens of the prompt */

    char          *name;            /* the client's spelling, JSON-escaped */

    int64_t        index;           /* of the next frame */
    int64_t        total;           /* frames before the last one */
    unsigned       single:1;        /* the reply is one piece */
    unsigned       header_sent:1;
    unsigned       fault_done:1;
    unsigned       thinking_open:1;
    unsigned       thinking_closed:1;
    unsigned       text_open:1;
    unsigned       tools_sent:1;
    unsigned       started:1;
    int            block;           /* content or output index */
    int            sequence;

    uint64_t       start_ns;
    uint64_t       load_ns;         /* with the wait for it */
    uint64_t       work_ns;
    uint64_t       first_ns;
    uint64_t       due_ns;

    fake_buf_t     text;            /* Responses repeat all text at the end */
    fake_buf_t     thought;

    /* a body built beforehand, where its length is needed in the header */
    fake_buf_t     whole;
    size_t        *ends;
    size_t         given;
};


typedef enum {
    FAKE_PART_THINKING = 0,
    FAKE_PART_TEXT,
    FAKE_PART_TOOL,
    FAKE_PART_DONE
} fake_part_e;


#define FAKE_TOOL_ID  "call_fake0001"


int fake_gen_part(fake_gen_t *g, int64_t *i);
void fake_gen_text(fake_buf_t *b, fake_gen_t *g, int part, int64_t i);
void fake_gen_all(fake_buf_t *b, fake_gen_t *g, int part);
void fake_gen_tool_name(fake_buf_t *b, fake_gen_t *g);
void fake_gen_tool_args(fake_buf_t *b, fake_gen_t *g);
void fake_gen_tool_string(fake_buf_t *b, fake_gen_t *g);
int64_t fake_gen_eval_count(fake_gen_t *g);


#endif /* _FAKE_GEN_H_INCLUDED_ */
