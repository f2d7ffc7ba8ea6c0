
/* The models, their names and settings, and those of the server */

#ifndef _FAKE_MODEL_H_INCLUDED_
#define _FAKE_MODEL_H_INCLUDED_

#include "util.h"


#define FAKE_MODIFIED  "2026-01-02T03:04:05.678901234Z"
#define FAKE_DIGEST                                                           \
    "5df20edd1d9e4b53a1dc9e4e2b5a3f7b8c6d0f1e2a3b4c5d6e7f8091a2b3c4d5"


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
    double     token_ms;

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
    int64_t    token_bytes;

    int64_t    tool_calls;
    int64_t    tool_once;
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
    json_t    *tool_name;
    json_t    *tool_args;
    json_t    *split_at;
} fake_conf_t;


typedef struct fake_model_s  fake_model_t;
typedef struct fake_slot_s   fake_slot_t;

struct fake_model_s {
    fake_model_t  *next;
    char          *name;
    char          *key;             /* normalized, for comparing */
    json_t        *spec;            /* as given to server.models */
    fake_conf_t    conf;

    /* of sched.c */

    double         load_until;      /* 0: nobody loads it */
    uint64_t       load_order;
    char          *options;         /* that it was, or is, loaded with */
    fake_slot_t   *slots;
    int64_t        nslots;
    int64_t        loaders;         /* requests waiting for the load */
    int64_t        waiting;         /* for a place */
    int64_t        working;
    int64_t        peak;            /* of them, since the reset */
    unsigned       loaded:1;
    unsigned       expiring:1;      /* goes when it has run dry */
};


typedef struct {
    double         lists_delay_ms;
    double         tags_delay_ms;
    double         ps_delay_ms;
    double         version_delay_ms;
    int64_t        lists_hang;
    int64_t        hang;
    int64_t        lists_status;
    int64_t        tags_status;
    int64_t        ps_status;
    int64_t        version_status;
    int64_t        check_host;
    int64_t        record;
    int64_t        chunked_json;
    int64_t        num_parallel;    /* 0: no scheduler */
    int64_t        max_loaded;      /* 0: any number */
    json_t        *lists_body;
    json_t        *tags_body;
    json_t        *ps_body;
    json_t        *version_body;
    json_t        *version;

    fake_model_t  *models;
} fake_server_t;


extern fake_server_t  fake_server;

/* set by those whose requests may wait for the load of a model */
extern void (*fake_model_removed)(fake_model_t *model);

char *fake_name_key(const char *name, size_t len);
fake_model_t *fake_model_find(const char *name, size_t len);
fake_model_t *fake_model_add(const char *name, json_t *spec);
void fake_conf_release(fake_conf_t *conf);
void fake_model_remove(fake_model_t *model);


#endif /* _FAKE_MODEL_H_INCLUDED_ */
