
/*
 * A stand-in for an Ollama server: what the rooms share.
 *
 * main     command line, listening, the loop
 * conn     a connection's life
 * request  the request reader
 * out      bytes of a reply: header, framing, cutting, the ways to end
 * gojson   JSON as Go's encoding/json reads it
 * conf     settings of models and of the server
 * model    the models and their names
 * record   what was asked and what became of it
 * control  /fake/
 * route    paths
 * access   Host and Origin
 * lists    version, tags, ps, and OpenAI's lists
 * manage   show, pull, copy and the like
 * infer    requests that make a model speak: decoding and checks
 * stream   pacing of a reply, and its faults
 * form     a frame's text: Ollama's and OpenAI's forms
 * events   a frame's text: event forms (Responses, Anthropic)
 * codec    SHA-256, gzip, base64
 * util     buffers, clocks
 */

#ifndef _FAKE_H_INCLUDED_
#define _FAKE_H_INCLUDED_

/* before all system headers, so this one comes first everywhere */

#define _GNU_SOURCE

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <stdio.h>

#include <event2/event.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <jansson.h>


/* handlers have the parameters that libevent gives them */

#pragma GCC diagnostic ignored "-Wunused-parameter"


#define FAKE_PARSE_MAX    (8 * 1024 * 1024)    /* body kept for parsing */
#define FAKE_RECORD_BODY  (64 * 1024)          /* body kept for the record */
#define FAKE_RECORD_MAX   1000                 /* requests and connections */
#define FAKE_HEAD_MAX     (1024 * 1024)
#define FAKE_GO_BUFFER    2048                 /* of Go's replies */
#define FAKE_FLOOD_MAX    (1024ULL * 1024 * 1024)


/* a gateway that looks after its servers says so in User-Agent */

#define FAKE_POLLER       "nginx-ollama"


/* util */

typedef struct {
    char    *data;
    size_t   len;
    size_t   size;
} fake_buf_t;


typedef struct {
    const char  *data;
    size_t       len;
} fake_str_t;


void *fake_alloc(size_t size);
char *fake_strndup(const char *s, size_t len);
void fake_buf_need(fake_buf_t *b, size_t more);
void fake_buf_add(fake_buf_t *b, const void *data, size_t len);
void fake_buf_str(fake_buf_t *b, const char *s);
void fake_buf_fmt(fake_buf_t *b, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void fake_buf_json(fake_buf_t *b, const char *s, size_t len);
void fake_buf_free(fake_buf_t *b);
size_t fake_utf8_len(const unsigned char *s, size_t len);
uint64_t fake_now_ns(void);
double fake_now_ms(void);
void fake_buf_time(fake_buf_t *b);
long fake_unix_time(void);
const char *fake_http_date(void);
int fake_hex(int ch);


/* codec */

typedef struct {
    uint64_t        total;
    uint32_t        h[8];
    unsigned char   block[64];
} fake_sha256_t;


void fake_sha256_init(fake_sha256_t *s);
void fake_sha256_add(fake_sha256_t *s, const void *data, size_t len);
void fake_sha256_hex(fake_sha256_t *s, char *hex);
void fake_gzip(fake_buf_t *out, const char *data, size_t len);
void fake_base64(fake_buf_t *out, const unsigned char *data, size_t len);


/* gojson */

typedef struct {
    const char  *name;
    char         type;          /* s n b a o, or * for any */
    const char  *go_type;
    fake_str_t   value;         /* raw JSON; data NULL: not there */
} fake_field_t;


int fake_gojson_scan(const char *data, size_t len, size_t *end,
    fake_buf_t *err);
int fake_gojson_fields(const char *data, size_t len, const char *type,
    fake_field_t *fields, fake_buf_t *err);
int fake_gojson_next(fake_str_t *obj, fake_buf_t *key, fake_str_t *value);
void fake_gojson_string(fake_buf_t *b, const fake_str_t *raw);
size_t fake_gojson_count(const fake_str_t *raw);
int fake_gojson_true(const fake_str_t *raw);
const char *fake_gojson_kind(int ch);


/* conf */

typedef enum {
    FAKE_FAULT_NONE = 0,
    FAKE_FAULT_REFUSE,
    FAKE_FAULT_HANG,
    FAKE_FAULT_DIE_BEFORE_HEADER,
    FAKE_FAULT_DIE,
    FAKE_FAULT_RESET,
    FAKE_FAULT_DIE_MID_FRAME,
    FAKE_FAULT_DIE_AFTER_DONE,
    FAKE_FAULT_STALL,
    FAKE_FAULT_GARBAGE,
    FAKE_FAULT_GARBAGE_MID,
    FAKE_FAULT_BAD_CHUNK,
    FAKE_FAULT_BAD_HEADER,
    FAKE_FAULT_SHORT_LENGTH,
    FAKE_FAULT_FLOOD
} fake_fault_e;


/* the json_t members are references, each settings struct holds its own */

typedef struct {
    uint64_t   set;                 /* bit i: fields[i] of conf.c was set */

    double     ttft_ms;
    double     gap_ms;
    double     load_ms;

    int64_t    frames;
    int64_t    size;
    int64_t    batch;
    int64_t    thinking;
    int64_t    split;
    int64_t    split_delay_us;
    int64_t    status;
    int64_t    error_line_after;
    int64_t    after;
    int64_t    prompt_eval_count;

    int64_t    tool_calls;
    int64_t    length;
    int64_t    http10;
    int64_t    unicode;
    int64_t    no_done;
    int64_t    connection_close;
    int64_t    stamp;
    int64_t    fault;

    json_t    *body;
    json_t    *content_type;
    json_t    *encoding;
    json_t    *error;
    json_t    *raw_reply;
    json_t    *split_at;
} fake_conf_t;


typedef struct fake_model_s  fake_model_t;

struct fake_model_s {
    fake_model_t  *next;
    char          *name;
    char          *key;             /* normalized, for comparing */
    json_t        *spec;            /* as given to server.models */
    double         load_until;      /* 0: nobody loads it */
    unsigned       loaders;         /* requests waiting for the load */
    unsigned       loaded:1;
    fake_conf_t    conf;
};


typedef struct {
    double         lists_delay_ms;
    int64_t        lists_hang;
    int64_t        hang;
    int64_t        lists_status;
    int64_t        check_host;
    int64_t        record;
    int64_t        chunked_json;
    json_t        *lists_body;
    json_t        *tags_body;
    json_t        *ps_body;
    json_t        *version_body;
    json_t        *version;

    fake_model_t  *models;
} fake_server_t;


extern fake_server_t  fake_server;

void fake_conf_reset(void);
void fake_conf_exit(void);
int fake_conf_set(json_t *root, fake_buf_t *err);
void fake_conf_effective(fake_conf_t *conf, fake_model_t *model);
void fake_conf_release(fake_conf_t *conf);
char *fake_name_key(const char *name, size_t len);
fake_model_t *fake_model_find(const char *name, size_t len);
fake_model_t *fake_model_add(const char *name, json_t *spec);
void fake_model_remove(fake_model_t *model);


/* record */

typedef enum {
    FAKE_END_OPEN = 0,
    FAKE_END_COMPLETE,
    FAKE_END_CLIENT,
    FAKE_END_DIED
} fake_end_e;


typedef struct {
    uint64_t   n;                   /* 0: an unused place */
    uint64_t   conn;
    char      *method;
    char      *uri;
    char      *path;
    char      *model;
    char      *body;
    size_t     body_len;
    uint64_t   body_bytes;
    json_t    *headers;
    char       sha256[65];
    int        minor;
    int        status;
    double     started;
    double     received;
    double     header;
    double     ended;
    uint64_t   frames;
    int        end;
} fake_rec_t;


typedef struct {
    uint64_t   id;
    double     opened;
    double     closed;
    int        by_client;
    uint64_t   requests;
} fake_crec_t;


typedef struct {
    const char  *path;              /* NULL: any */
    int64_t      last;
    int64_t      polls;             /* 1: polls, 0: all but polls */
} fake_rec_filter_t;


fake_rec_t *fake_rec_start(uint64_t conn);
fake_rec_t *fake_rec_get(uint64_t n);
void fake_rec_ended(uint64_t n, int end);
uint64_t fake_rec_poll(uint64_t n, uint64_t conn);
uint64_t fake_rec_conn_open(int poll);
uint64_t fake_rec_conn_poll(uint64_t id);
void fake_rec_conn_forget(uint64_t id);
void fake_rec_conn_closed(uint64_t id, int by_client);
void fake_rec_reset(void);
void fake_rec_counts(const fake_rec_filter_t *f, uint64_t *count,
    uint64_t *ended);
json_t *fake_rec_json(const fake_rec_filter_t *f);


/* conn */

typedef enum {
    FAKE_STATE_LINE = 0,
    FAKE_STATE_HEADERS,
    FAKE_STATE_BODY,
    FAKE_STATE_CHUNK_SIZE,
    FAKE_STATE_CHUNK_DATA,
    FAKE_STATE_CHUNK_END,
    FAKE_STATE_TRAILER,
    FAKE_STATE_REPLY
} fake_state_e;


typedef enum {
    FAKE_FRAMING_LENGTH = 0,
    FAKE_FRAMING_CHUNKED,
    FAKE_FRAMING_EOF
} fake_framing_e;


typedef enum {
    FAKE_DO_NOTHING = 0,
    FAKE_DO_KEEPALIVE,
    FAKE_DO_FIN,
    FAKE_DO_RST
} fake_do_e;


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


typedef struct fake_conn_s  fake_conn_t;
typedef void (*fake_handler_pt)(fake_conn_t *c);


/* a reply that is being generated; lives in its request */

typedef struct {
    int            form;
    int            stream;
    int            include_usage;
    uint64_t       id;              /* makes chatcmpl-N and the like */
    const char    *reason;          /* done_reason */
    size_t         inputs;          /* of an embedding */
    int            base64;

    fake_conf_t    conf;
    unsigned       conf_held:1;
    fake_model_t  *loading;         /* we are one of its loaders */

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
    uint64_t       load_ns;
    uint64_t       first_ns;
    uint64_t       due_ns;

    fake_buf_t     text;            /* Responses repeat all text at the end */
    fake_buf_t     thought;

    /* a body built beforehand, where its length is needed in the header */
    fake_buf_t     whole;
    size_t        *ends;
    size_t         given;
} fake_gen_t;


typedef struct {
    uint64_t        rec;
    char           *method;
    char           *uri;
    char           *path;
    char           *query;
    char           *host;
    char           *origin;
    char           *allow;          /* header line of a wrong method */
    int             minor;
    unsigned        chunked:1;
    unsigned        has_length:1;
    unsigned        hosts:2;
    unsigned        keepalive:1;
    unsigned        close:1;
    unsigned        expect:1;
    unsigned        head:1;
    unsigned        hashing:1;
    unsigned        cut:1;          /* body longer than what was kept */
    json_t         *headers;
    uint64_t        length;
    uint64_t        left;
    uint64_t        body_bytes;
    fake_buf_t      body;
    fake_sha256_t   sha;
    char            sha256[65];
    fake_gen_t      gen;
} fake_req_t;


typedef struct {
    int               framing;
    int               todo;         /* fake_do_e, once all is written */
    int               end;          /* fake_end_e to record then */
    uint64_t          body;         /* offset in the body */
    uint64_t          wire;         /* the same, framing included */
    uint64_t          released;     /* wire bytes let out of pend */
    struct evbuffer  *pend;         /* NULL: nothing is cut */
    uint64_t         *cuts;         /* wire offsets, from split_at */
    size_t            ncuts;
    size_t            cut;
    size_t            split_at;     /* next element of the setting */
} fake_out_t;


struct fake_conn_s {
    fake_conn_t         *next;
    fake_conn_t         *prev;
    struct bufferevent  *bev;
    evutil_socket_t      fd;
    struct event        *timer;     /* of the reply */
    struct event        *pump;      /* of cut output and of RST */
    fake_handler_pt      handler;   /* what the timer calls */
    fake_handler_pt      drained;   /* called when output ran empty */
    uint64_t             id;        /* in the record; 0: control */
    int                  state;
    size_t               head;      /* bytes of this request's header */
    unsigned             control:1;
    unsigned             poll:1;    /* asked by a gateway for itself */
    unsigned             dead:1;    /* closed, freed by the reaper */
    unsigned             waiting:1; /* control: in the list of waiters */
    double               wait_until;
    fake_req_t          *req;
    fake_out_t           out;
};


extern struct event_base  *fake_base;
extern const char         *fake_name;
extern fake_conn_t         fake_conns;
extern unsigned            fake_open[2]; /* connections, and those of polls;
                                         control left out */
extern uint64_t            fake_loads;   /* begun since the reset */

void fake_conn_init(void);
void fake_conn_new(evutil_socket_t fd, int tcp);
void fake_conn_close(fake_conn_t *c, int end, int by_client);
void fake_conn_close_idle(void);
void fake_conn_reset_all(void);
void fake_conn_exit(void);
void fake_conn_next(fake_conn_t *c);
void fake_conn_timer(fake_conn_t *c, double ms, fake_handler_pt handler);
void fake_conn_kill(fake_conn_t *c);


/* request */

void fake_request_read(fake_conn_t *c);
void fake_request_bad(fake_conn_t *c, int status, const char *text);


/* out */

void fake_out_header(fake_conn_t *c, fake_buf_t *wire, int status,
    const char *type, int framing, uint64_t length, const char *more);
void fake_out_body(fake_conn_t *c, fake_buf_t *wire, const char *data,
    size_t len);
void fake_out_raw(fake_conn_t *c, fake_buf_t *wire, const char *data,
    size_t len);
void fake_out_cutting(fake_conn_t *c);
void fake_out_flush(fake_conn_t *c, fake_buf_t *wire);
size_t fake_out_waiting(fake_conn_t *c);
void fake_out_finish(fake_conn_t *c, fake_buf_t *wire, int todo, int end);
void fake_out_end(fake_conn_t *c, fake_buf_t *wire);
void fake_out_drained(fake_conn_t *c);
void fake_out_pump(evutil_socket_t fd, short what, void *data);
void fake_out_free(fake_conn_t *c);
void fake_out_reply(fake_conn_t *c, int status, const char *type,
    const char *data, size_t len, const char *more);
void fake_out_json(fake_conn_t *c, int status, json_t *json);
void fake_out_error(fake_conn_t *c, int status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
const char *fake_status_text(int status);


/* control, route, access, lists, manage, infer, stream */

#define FAKE_MODIFIED  "2026-01-02T03:04:05.678901234Z"
#define FAKE_DIGEST                                                           \
    "5df20edd1d9e4b53a1dc9e4e2b5a3f7b8c6d0f1e2a3b4c5d6e7f8091a2b3c4d5"


typedef enum {
    FAKE_HOST_FOREIGN = 0,
    FAKE_HOST_NAME,
    FAKE_HOST_ADDRESS
} fake_host_e;


void fake_route(fake_conn_t *c);
int fake_origin_check(fake_conn_t *c);
fake_host_e fake_host_allowed(const char *header);
void fake_origin_headers(fake_conn_t *c, fake_buf_t *more);
void fake_root(fake_conn_t *c);
void fake_version(fake_conn_t *c);
void fake_lists(fake_conn_t *c);
json_t *fake_list_get(fake_model_t *m, const char *key, json_t *value);
json_t *fake_list_details(fake_model_t *m);
void fake_v1_models(fake_conn_t *c);
void fake_v1_model(fake_conn_t *c);
void fake_status(fake_conn_t *c);
void fake_me(fake_conn_t *c);
void fake_show(fake_conn_t *c);
void fake_pull(fake_conn_t *c);
void fake_copy(fake_conn_t *c);
void fake_delete(fake_conn_t *c);
void fake_blob(fake_conn_t *c);
void fake_control(fake_conn_t *c);
void fake_control_check(void);
void fake_control_exit(void);
void fake_control_leave(fake_conn_t *c);
void fake_infer(fake_conn_t *c, int form);
void fake_infer_error(fake_conn_t *c, int form, int status, int direct,
    const char *fmt, ...) __attribute__((format(printf, 5, 6)));
void fake_infer_missing(fake_conn_t *c, int form, const char *name,
    size_t len, int show);
int fake_decode(fake_conn_t *c, const char *type, fake_field_t *fields,
    fake_buf_t *err);
void fake_stream_start(fake_conn_t *c);
void fake_stream_free(fake_req_t *r);
void fake_stream_exit(void);
void fake_load_leave(fake_gen_t *g);


/* form, events */

typedef enum {
    FAKE_PART_THINKING = 0,
    FAKE_PART_TEXT,
    FAKE_PART_TOOL,
    FAKE_PART_DONE
} fake_part_e;


#define FAKE_TOOL_ID    "call_fake0001"
#define FAKE_TOOL_NAME  "get_weather"
#define FAKE_TOOL_ARGS  "{\"city\":\"Paris\"}"
#define FAKE_TOOL_ESC   "{\\\"city\\\":\\\"Paris\\\"}"


int fake_form_part(fake_gen_t *g, int64_t *i);
void fake_form_text(fake_buf_t *b, fake_gen_t *g, int part, int64_t i);
void fake_form_all(fake_buf_t *b, fake_gen_t *g, int part);
void fake_form_frame(fake_buf_t *b, fake_gen_t *g);
void fake_form_whole(fake_buf_t *b, fake_gen_t *g);
void fake_form_error(fake_buf_t *b, fake_gen_t *g, const char *text);
void fake_form_embeddings(fake_buf_t *b, fake_gen_t *g);
int64_t fake_form_eval_count(fake_gen_t *g);
void fake_events_messages(fake_buf_t *b, fake_gen_t *g, int part, int64_t i);
void fake_events_messages_whole(fake_buf_t *b, fake_gen_t *g);
void fake_events_responses(fake_buf_t *b, fake_gen_t *g, int part,
    int64_t i);
void fake_events_responses_whole(fake_buf_t *b, fake_gen_t *g);


/* main */

int fake_listen(int on);
void fake_relisten(double ms);
int fake_is_loopback(void);

#endif /* _FAKE_H_INCLUDED_ */
